"""Whatever an adversary gives, a command ends soon, in little memory, with one clear line and exit
1 or 2. `-s` prints the table.
"""

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import bundle_real as real
import hostile
import numpy as np
import pytest

from ambiemo.bundle import bag
from ambiemo.durable import sha256

pytestmark = pytest.mark.slow

MEASURED: list[str] = []
ANSWERS = "answers/tiny/tiny/direct.greedy.jsonl.gz"


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(tmp_path: Path) -> Iterator[None]:
    """Folders 1,000 deep are more than pytest's own cleaning takes."""
    yield
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "bundle"
    bag.write(folder, real.whole(count=4), {})
    return folder


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


def listed(bundle: Path) -> None:
    """Make the manifests again, so that nothing but the contents can be at fault."""
    inside = {
        path.relative_to(bundle).as_posix(): path
        for path in bundle.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    payload = {
        name: sha256(path.read_bytes()) for name, path in inside.items() if name.startswith("data/")
    }
    octets = sum(inside[name].stat().st_size for name in payload)
    info = bundle / "bag-info.txt"
    kept = [line for line in info.read_text().splitlines() if not line.startswith("Payload-Oxum")]
    info.write_text("\n".join([*kept, f"Payload-Oxum: {octets}.{len(payload)}", ""]))
    (bundle / bag.MANIFEST).write_bytes(bag.manifest(payload))
    tags = ("bag-info.txt", "bagit.txt", bag.MANIFEST)
    (bundle / bag.TAG_MANIFEST).write_bytes(
        bag.manifest({name: sha256((bundle / name).read_bytes()) for name in tags})
    )


@cache
def bomb(mib: int) -> bytes:
    """Zeros, packed a thousand times smaller."""
    return gzip.compress(bytes(2**20), mtime=0) * mib


@cache
def bomb_of_lines(mib: int) -> bytes:
    return gzip.compress(b"{}\n" * (2**20 // 3), mtime=0) * mib


def replaced(
    path: str, data: bytes | str | Callable[[], bytes], again: bool = True
) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        value = data() if callable(data) else data
        (bundle / path).write_bytes(value.encode() if isinstance(value, str) else value)
        if again and path.startswith("data/"):
            listed(bundle)

    return change


def row_changed(path: str, **values: object) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        place = bundle / "data" / path
        data = gzip.decompress(place.read_bytes()) if path.endswith(".gz") else place.read_bytes()
        first, *rest = data.splitlines(keepends=True)
        made = (
            json.dumps({**json.loads(first), **values}, ensure_ascii=False) + "\n"
        ).encode() + b"".join(rest)
        place.write_bytes(gzip.compress(made, mtime=0) if path.endswith(".gz") else made)
        listed(bundle)

    return change


def fifo(path: str) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        (bundle / path).unlink()
        os.mkfifo(bundle / path)

    return change


def link(path: str, to: str | None = None) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        place = bundle / path
        target = Path(to) if to else place.rename(bundle.parent / "moved")
        if place.exists():
            place.unlink()
        place.symlink_to(target)

    return change


def sparse(path: str, size: int) -> Callable[[Path], None]:
    return lambda bundle: hostile.sparse(bundle / path, size)


def deep_folders(bundle: Path) -> None:
    here = os.getcwd()
    os.chdir(bundle / "data")
    try:
        for _ in range(1000):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)


def many_files(bundle: Path) -> None:
    (bundle / "data/many").mkdir()
    for number in range(101_000):
        (bundle / f"data/many/{number}").touch()


def million_keys() -> bytes:
    return "".join(f"k{number}: 1\n" for number in range(1_500_000)).encode()


HOSTILE: dict[str, Callable[[Path], None]] = {
    "gzip of 10 MB that unpacks to 10 GB, as answers": replaced(
        f"data/{ANSWERS}", lambda: bomb(10_000)
    ),
    "the same, as predictions": replaced(
        "data/predictions/tiny/tiny.jsonl.gz", lambda: bomb(10_000)
    ),
    "gzip of many short lines": replaced(f"data/{ANSWERS}", lambda: bomb_of_lines(2_000)),
    "billion laughs as plan": replaced("data/config/plan.yaml", hostile.laughs()),
    "1.5 million keys as plan": replaced("data/config/plan.yaml", million_keys),
    "plan with values nested 100,000 deep": replaced(
        "data/config/plan.yaml", "a: " + hostile.deep(100_000)
    ),
    "plan of 9,000 keys": replaced(
        "data/config/plan.yaml", "".join(f"k{n}: 1\n" for n in range(9_000))
    ),
    "manifest of 10 million lines": replaced(bag.MANIFEST, lambda: b"x\n" * 10_000_000),
    "manifest of 900,000 bad lines": replaced(bag.MANIFEST, lambda: b"x y z\n" * 900_000),
    "a manifest's line of 500 MB": lambda bundle: hostile.sparse(
        bundle / bag.MANIFEST, 500_000_000
    ),
    "FIFO as plan.yaml": fifo("data/config/plan.yaml"),
    "FIFO as answers": fifo(f"data/{ANSWERS}"),
    "FIFO as bagit.txt": fifo("bagit.txt"),
    "link to /dev/zero": link(f"data/{ANSWERS}", "/dev/zero"),
    "link for data/config": link("data/config"),
    "link for data": link("data"),
    "answer of 100,000 blanks": row_changed(ANSWERS, text="{}" + " " * 99_000 + "x"),
    "answer of 100,000 braces": row_changed(ANSWERS, text="{" * 99_000),
    "1,000 folders deep": deep_folders,
    "101,000 files": many_files,
    "8 GB sparse labels.json": sparse("data/inputs/labels.json", 8_000_000_000),
    "8 GB sparse bag-info.txt": sparse("bag-info.txt", 8_000_000_000),
    "JSON 200,000 deep": replaced("data/inputs/labels.json", hostile.deep(200_000)),
    "JSON line 200,000 deep": replaced(
        "data/inputs/utterances.jsonl", hostile.deep(200_000) + "\n"
    ),
    "votes 10^400": row_changed("inputs/utterances.jsonl", votes=[10**400, 0, 0, 0, 0, 0]),
    "votes 2^40": row_changed("inputs/utterances.jsonl", votes=[2**40, 0, 0, 0, 0, 0]),
    "votes of texts": row_changed("inputs/utterances.jsonl", votes=["\x1b[2J"] * 6),
    "a CSV cell of 200 kB": replaced(
        "data/tables/results.csv", "corpus,model\n" + "x" * 200_000 + ",tiny\n"
    ),
    "ESC in a label": replaced(
        "data/inputs/labels.json", '{\n  "tiny": [\n    "\x1b[2J[/red]"\n  ]\n}\n'
    ),
    "ESC in an id": row_changed("inputs/utterances.jsonl", id="\x1b[2J\x1b]0;x\x07"),
    "ESC in an answer": row_changed(ANSWERS, text="\x1b[2J [/red] [link=http://x]"),
    "markup in a prediction's strategy": row_changed(
        "predictions/tiny/tiny.jsonl.gz", strategy="[/red]\x1b[2J"
    ),
    "format that is a list": replaced("data/config/run.json", '{\n  "format": [\n    2\n  ]\n}\n'),
    "no plan": lambda bundle: (bundle / "data/config/plan.yaml").unlink(),
}
COMMANDS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "verify": lambda bundle: ("verify", bundle),
    "tables": lambda bundle: ("tables", bundle),
    "trace": lambda bundle: (
        "trace",
        bundle,
        "results",
        "tiny/tiny/greedy/none/all",
        "js_divergence_bits",
    ),
    "compare": lambda bundle: ("compare", bundle, bundle),
}
FOR_ALL = (
    "gzip of 10 MB that unpacks to 10 GB, as answers",
    "the same, as predictions",
    "billion laughs as plan",
    "FIFO as plan.yaml",
    "FIFO as answers",
    "link to /dev/zero",
    "8 GB sparse labels.json",
    "JSON line 200,000 deep",
    "votes 10^400",
    "a CSV cell of 200 kB",
    "ESC in a label",
    "ESC in an answer",
    "markup in a prediction's strategy",
)
"""What other commands than `verify` meet, too. They may succeed where they do not read what is
hostile.
"""


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (name, command)
        for name in HOSTILE
        for command in COMMANDS
        if command == "verify" or name in FOR_ALL
    ],
)
def test_a_hostile_bundle(bundle: Path, name: str, command: str) -> None:
    HOSTILE[name](bundle)
    ended = hostile.run(*COMMANDS[command](bundle))
    MEASURED.append(
        f"{name:<50} {command:<8} {ended.code} {ended.seconds:5.1f} s {ended.mib:5.0f} MiB {''.join(ended.lines[:1])[:120]}"
    )
    hostile.calm(ended, (1, 2) if command == "verify" else (0, 1, 2))
    if command == "verify" and ended.code == 1:
        assert "✗" in ended.out or "NO" in ended.out or len(ended.lines) == 1


PLAN = "name: x\nmodels: [tiny]\ncorpora: [tiny]\nstrategies: [greedy]\n"
PLANS: dict[str, str | bytes] = {
    "laughs": hostile.laughs(),
    "1.5 million keys": "".join(f"k{n}: 1\n" for n in range(1_500_000)),
    "20,000 strategies": PLAN.replace(
        "[greedy]", "[" + ", ".join(f"s{n}" for n in range(20_000)) + "]"
    ),
    "2,000 strategies": PLAN.replace(
        "[greedy]", "[" + ", ".join(f"s{n}" for n in range(2_000)) + "]"
    ),
    "nominal 10^9": PLAN.replace("[tiny]\nstr", "[{id: tiny, nominal: 1000000000}]\nstr"),
    "nominal of 5,000 digits": PLAN.replace(
        "[tiny]\nstr", f"[{{id: tiny, nominal: {'9' * 5000}}}]\nstr"
    ),
    "infinite temperature": PLAN + "sampling: {temperature: .inf}\n",
    "infinite tokens a second": PLAN + "assume: {tokens_per_gpu_second: .inf}\n",
    "a key twice": PLAN + "seed: 1\nseed: 2\n",
    "10^12 resamples": PLAN + "bootstrap: {resamples: 1000000000000}\n",
    "a merge key": PLAN + "bootstrap: {<<: {resamples: 100}}\n",
    "a tag": PLAN + "title: !!python/object/apply:os.system [id]\n",
    "a title of two lines": PLAN + 'title: "x\\n| JS |"\n',
    "ESC in the title": PLAN + 'title: "\\e[2J"\n',
    "ESC in a key": '"\\e[2J": 1\n',
    "markup in a name": 'name: "[/red]"\n',
    "user info in an address": PLAN.replace(
        "[tiny]\ncor", "[{id: tiny, options: {base_url: 'http://u:SECRET@h/v1'}}]\ncor"
    ),
    "options 100 deep": PLAN.replace(
        "[tiny]\ncor", "[{id: tiny, options: {a: " + hostile.deep(100) + "}}]\ncor"
    ),
    "not UTF-8": b"\xff\xfe\x00",
    "a list": "- 1\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", PLANS)
def test_a_hostile_plan(tmp_path: Path, name: str) -> None:
    data = PLANS[name]
    (tmp_path / "plan.yaml").write_bytes(data if isinstance(data, bytes) else data.encode())
    ended = hostile.run("plan", tmp_path / "plan.yaml")
    MEASURED.append(
        f"{name:<50} plan     {ended.code} {ended.seconds:5.1f} s {ended.mib:5.0f} MiB {''.join(ended.lines[:1])[-120:]}"
    )
    hostile.calm(ended, (2,))
    assert "SECRET" not in ended.out + ended.err


def test_markup_in_a_title_is_shown(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN + "title: 'a [/red] [bold]b'\n")
    ended = hostile.run("plan", tmp_path / "plan.yaml")
    hostile.calm(ended, (0, 2))
    assert "a [/red] [bold]b" in ended.out


STRANGE = ("fifo", "/dev/zero", "sparse", "folder", "missing")


def strange(place: Path, kind: str) -> Path:
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "sparse":
        hostile.sparse(place, 20_000_000_000)
    elif kind == "folder":
        place.mkdir()
    return Path(kind) if kind.startswith("/") else place


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("command", ["plan", "score", "import", "describe", "verify", "compare"])
def test_what_is_no_file(tmp_path: Path, command: str, kind: str) -> None:
    place = strange(tmp_path / "strange", kind)
    good = tmp_path / "good.csv"
    good.write_text("utterance_id,a,b\nu,1,2\n")
    root = tmp_path / "crema"
    if command == "import":
        (root / "AudioWAV").mkdir(parents=True)
        (root / "processedResults").mkdir()
        if kind != "missing":
            (root / "processedResults/tabulatedVotes.csv").symlink_to(place)
    arguments: dict[str, tuple[object, ...]] = {
        "plan": ("plan", place),
        "score": ("score", place, good),
        "import": ("data", "import", "crema-d", "--root", root, "--out", tmp_path / "out.parquet"),
        "describe": ("data", "describe", place),
        "verify": ("verify", place),
        "compare": ("compare", place, place),
    }
    ended = hostile.run(*arguments[command])
    MEASURED.append(
        f"{kind:<50} {command:<8} {ended.code} {ended.seconds:5.1f} s {ended.mib:5.0f} MiB {''.join(ended.lines[:1])[-120:]}"
    )
    hostile.calm(ended, (2,))


TABLES: dict[str, str] = {
    "100,000 columns": "utterance_id,"
    + ",".join(f"l{n}" for n in range(100_000))
    + "\nu"
    + ",1" * 100_000
    + "\n",
    "a cell of 200 kB": "utterance_id,a,b\n" + "u" * 200_000 + ",1,2\n",
    "ESC in a label": "utterance_id,\x1b[2J,b\nu,1,2\n",
    "ESC in an id": "utterance_id,a,b\n\x1b[2J,1,x\n",
    "markup in a label": "utterance_id,[/red],b\nu,1,x\n",
    "an open quote": 'utterance_id,a,b\n"u,1,2\n' + "x\n" * 100_000,
    "a number of 10,000 digits": "utterance_id,a,b\nu," + "9" * 10_000 + ",1\n",
    "NUL": "utterance_id,a,b\nu\0,1,2\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_hostile_table(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.csv").write_text(TABLES[name])
    ended = hostile.run("score", tmp_path / "t.csv", tmp_path / "t.csv")
    MEASURED.append(
        f"{name:<50} score    {ended.code} {ended.seconds:5.1f} s {ended.mib:5.0f} MiB {''.join(ended.lines[:1])[-120:]}"
    )
    hostile.calm(ended, (2,))


def test_a_small_flac_of_days_of_silence_is_not_decoded(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    from ambiemo.corpora.audio import BadAudio, decode

    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        for _ in range(40):
            file.write(np.zeros(1_000_000, dtype=np.int16))
    assert path.stat().st_size < 2_000_000
    with pytest.raises(BadAudio, match="40,000,000 samples, expected 32,000,000 at most"):
        decode(path)
    clip = decode(path, max_seconds=30)
    assert (clip.truncated, clip.seconds) == (True, 30)


def test_a_fifo_as_clip_is_no_audio(tmp_path: Path) -> None:
    from ambiemo.corpora.audio import BadAudio, decode

    os.mkfifo(tmp_path / "clip.wav")
    with pytest.raises(BadAudio, match="not a regular file"):
        decode(tmp_path / "clip.wav")


def test_print_what_was_measured(capsys: pytest.CaptureFixture) -> None:
    with capsys.disabled():
        print("\n" + "\n".join(MEASURED))
