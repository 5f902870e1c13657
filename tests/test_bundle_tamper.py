"""Every way to tamper with every class of file is caught by name; docs/bundle.md shows which other
tool would have seen it.

`AMBIEMO_REWRITE_DOCS=1 pytest tests/test_bundle_tamper.py` writes the table in docs/bundle.md anew.
"""

import gzip
import logging
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import bagit
import bundle_sample as sample
import pytest

from ambiemo.bundle import bag
from ambiemo.bundle.verify import verify
from ambiemo.errors import BadInput

DOCS = Path(__file__).parent.parent / "docs" / "bundle.md"
OPENING, CLOSING = (
    "<!-- tamper matrix: written and checked by tests/test_bundle_tamper.py -->",
    "<!-- end -->",
)
FLIPS = 4
PAIR = {  # which other file a file's bytes are swapped with: one of its own class where there are two
    "data/answers/tiny/tiny.jsonl.gz": "data/answers/tiny/other.jsonl.gz",
    "data/config/prompts/direct.txt": "data/config/prompts/cot.txt",
    "data/inputs/utterances.jsonl": "data/inputs/models.json",
    "data/tables/results.csv": "data/tables/results.md",
    "data/log/failures.csv": "data/log/run.log",
    bag.MANIFEST: bag.TAG_MANIFEST,
    bag.TAG_MANIFEST: bag.MANIFEST,
}

Tamper = Callable[[Path, str, random.Random], str]


class Caught(NamedTuple):
    """One tampering: the file concerned, what `verify` says, and which of verify, sha256sum and
    bagit.py saw something.
    """

    name: str
    said: list[str]
    tools: tuple[bool, bool, bool]


def flip(bundle: Path, path: str, chance: random.Random) -> str:
    data = bytearray((bundle / path).read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    (bundle / path).write_bytes(data)
    return path


def delete(bundle: Path, path: str, chance: random.Random) -> str:
    (bundle / path).unlink()
    return path


def add(bundle: Path, path: str, chance: random.Random) -> str:
    added = (bundle / path).with_name("added.txt")
    added.write_text("not of this bundle\n")
    return added.relative_to(bundle).as_posix()


def swap(bundle: Path, path: str, chance: random.Random) -> str:
    other = bundle / PAIR.get(
        path, "data/README.md" if path != "data/README.md" else "data/claims.json"
    )
    mine, theirs = (bundle / path).read_bytes(), other.read_bytes()
    (bundle / path).write_bytes(theirs)
    other.write_bytes(mine)
    return path


def reorder(bundle: Path, path: str, chance: random.Random) -> str:
    data = (bundle / path).read_bytes()
    lines = (gzip.decompress(data) if path.endswith(".gz") else data).splitlines(keepends=True)
    turned = b"".join(lines[1:] + lines[:1])
    (bundle / path).write_bytes(gzip.compress(turned, mtime=0) if path.endswith(".gz") else turned)
    return path


def truncate(bundle: Path, path: str, chance: random.Random) -> str:
    os.truncate(bundle / path, (bundle / path).stat().st_size - 1)
    return path


def link(bundle: Path, path: str, chance: random.Random) -> str:
    outside = bundle.with_name("outside")
    shutil.move(bundle / path, outside)
    (bundle / path).symlink_to(outside)
    return path


TAMPERS: dict[str, tuple[Tamper, int]] = {
    f"flip one bit ({FLIPS} places)": (flip, FLIPS),
    "delete": (delete, 1),
    "add a file beside it": (add, 1),
    "swap with another": (swap, 1),
    "reorder its lines": (reorder, 1),
    "cut off the last byte": (truncate, 1),
    "link to the same bytes outside": (link, 1),
}


def ours(bundle: Path) -> list[str]:
    """The text of all that `verify` says is wrong."""
    try:
        return [" ".join(vars(finding).values()) for finding in verify(bundle, sample.recompute)]
    except BadInput as error:
        return [str(error)]


def sha256sum(bundle: Path) -> bool:
    """Whether the command of data/README.md sees that something is wrong."""
    command = ["sha256sum", "-c", "--strict", "--quiet", bag.MANIFEST, bag.TAG_MANIFEST]
    return subprocess.run(command, cwd=bundle, capture_output=True, close_fds=False).returncode != 0


def bagit_py(bundle: Path) -> bool:
    """Whether bagit.py --validate sees that something is wrong (it calls the same two
    functions).
    """
    try:
        bagit.Bag(str(bundle)).validate()
    except Exception:
        return True
    return False


def share(caught: list[bool]) -> str:
    return "yes" if all(caught) else "some" if any(caught) else "no"


def among(names: list[str]) -> str:
    """Some of the file classes, told by the shorter list."""
    others = [name for name in sample.FILE_CLASSES if name not in names]
    if len(others) >= len(names):
        return ", ".join(names)
    return "every class but " + ", ".join(others) if others else "every class"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a tampered bundle may be made, beside a whole one."""
    folder = tmp_path_factory.mktemp("tamper")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        sample.write(folder / "whole")
    return folder / "bundle"


@pytest.fixture(scope="module")
def caught(place: Path) -> dict[tuple[str, str], list[Caught]]:
    """What each tool says of every tampering (kind, path), once for each place where it was
    done.
    """
    logging.getLogger("bagit").setLevel(logging.CRITICAL)
    return {
        (kind, path): [attempt(place, tamper, path, time) for time in range(times)]
        for kind, (tamper, times) in TAMPERS.items()
        for path in sample.FILE_CLASSES.values()
    }


def attempt(place: Path, tamper: Tamper, path: str, time: int) -> Caught:
    """Tamper once with a fresh copy and ask the three tools."""
    shutil.rmtree(place, ignore_errors=True)
    place.with_name("outside").unlink(missing_ok=True)
    shutil.copytree(place.with_name("whole"), place)
    name = tamper(place, path, random.Random(f"{tamper.__name__} {path} {time}"))
    said = ours(place)
    return Caught(name, said, (bool(said), sha256sum(place), bagit_py(place)))


@pytest.mark.parametrize("kind", TAMPERS)
@pytest.mark.parametrize("path", sample.FILE_CLASSES.values(), ids=sample.FILE_CLASSES)
def test_every_tampering_with_every_class_of_file_is_caught_by_name(
    caught: dict, path: str, kind: str
) -> None:
    for name, said, _ in caught[kind, path]:
        assert said, f"{kind} {path}: not caught"
        assert any(name in line for line in said), f"{kind} {path}: {name} is not named in {said}"


@pytest.mark.parametrize("name", ["bagit.txt", "bag-info.txt", bag.MANIFEST, bag.TAG_MANIFEST])
def test_any_bit_of_a_tag_file_counts(place: Path, name: str) -> None:
    shutil.rmtree(place, ignore_errors=True)
    bundle = shutil.copytree(place.with_name("whole"), place)
    whole = (bundle / name).read_bytes()
    every = [(position, bit) for position in range(len(whole)) for bit in range(8)]
    for position, bit in random.Random(name).sample(every, 120):
        changed = bytearray(whole)
        changed[position] ^= 1 << bit
        (bundle / name).write_bytes(changed)
        assert any(name in line for line in ours(bundle)), f"byte {position} bit {bit}"


def matrix(caught: dict[tuple[str, str], list[Caught]]) -> str:
    """The table of docs/bundle.md: for every tampering, which file classes each tool sees it in."""
    lines = [
        "| what was done | to | `ambiemo verify` | `sha256sum -c` | `bagit.py` |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in TAMPERS:
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, path in sample.FILE_CLASSES.items():
            tools = zip(*(attempt.tools for attempt in caught[kind, path]), strict=True)
            groups.setdefault(tuple(share(list(each)) for each in tools), []).append(name)
        lines += [
            f"| {kind} | {among(names)} | {' | '.join(tools)} |" for tools, names in groups.items()
        ]
    return "\n".join(lines)


def test_the_table_in_the_docs_says_what_each_tool_catches(caught: dict) -> None:
    before, opening, rest = DOCS.read_text("utf-8").partition(OPENING)
    written, closing, after = rest.partition(CLOSING)
    assert opening, f"{DOCS.name} has lost its tamper matrix"
    assert closing, f"{DOCS.name} has lost its tamper matrix"
    true = f"\n{matrix(caught)}\n"
    if os.environ.get("AMBIEMO_REWRITE_DOCS"):
        DOCS.write_text(before + opening + true + closing + after, "utf-8", newline="\n")
        written = true
    assert written == true, "run this test once with AMBIEMO_REWRITE_DOCS=1"
    assert {line.split("|")[3].strip() for line in true.strip().splitlines()[2:]} == {"yes"}
