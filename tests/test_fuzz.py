"""A seeded mutator over every reader of a stranger's file: no traceback, no escape, no hang, no
number changed in silence.

A case is one input of one layer below, mutated once and given to the readers of that layer in this
process. It ends in a value or in one printable line, within LONGEST_S seconds, and has the layer's
property (the docstring of its function). `make fuzz` runs a million cases, `make fuzz CASES=100000`
is for CI; LAYERS says how many of them are of which layer. Whole bundles that both verifiers judge
are 1 in 1,000: they take 0.3 s each, the others a fraction of a millisecond.

Every case is a seed: `AMBIEMO_FUZZ_SEED=N AMBIEMO_FUZZ_CASES=1 pytest tests/test_fuzz.py -k LAYER`
runs that one again. test_hostile_input has the limits of memory.
"""

import csv
import gzip
import io
import json
import math
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import bundle_real as real
import numpy as np
import pytest
import yaml

from ambiemo import jsonlines
from ambiemo.bundle import bag, recomputing
from ambiemo.bundle.contents import parsed, study_from
from ambiemo.bundle.evidence import check_evidence
from ambiemo.bundle.folder import opened, read_listing
from ambiemo.bundle.provenance import provenance
from ambiemo.bundle.shipped import verify as shipped
from ambiemo.bundle.verify import PROVENANCE, from_results, unpacked_and_extra
from ambiemo.corpora import audio, crema_d, iemocap, msp_podcast
from ambiemo.corpora.acted import ActedOptions, truth_of
from ambiemo.corpora.label_files import Source
from ambiemo.draws import Answer, Candidate, Decoding
from ambiemo.engines.journal import Journal
from ambiemo.errors import AmbiemoError, Broken, shown
from ambiemo.labels import SIX
from ambiemo.limits import parse_yaml
from ambiemo.models.parsing import parse_candidate, parse_score
from ambiemo.pipeline.store import AnswerFile, as_line
from ambiemo.plan import schema
from ambiemo.results import score

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("AMBIEMO_FUZZ_CASES", "10000"))
FIRST = int(os.environ.get("AMBIEMO_FUZZ_SEED", "0"))
LONGEST_S = 20
SPICES = (
    b"\x1b[2J", b"[/red]", b"\0", b"\xff\xfe", b"NaN", b"-Infinity", b"1e999", b"-0", b"-1", b"1.0", b"0x1", b"1_0", b"null", b"true", b"[]", b"{}",
    b'""', b"\n", b"\r\n", b"\r", b"\x0b", b"\x85", b"\xe2\x80\xa8", b",", b":", b"&a *a", b"!!python/object:os.system ", b"<<: ", b"---\n", b"...\n",
    b"9" * 5000, b"9" * 400, b"[" * 3000, b"\xed\xa0\x80", b"\\ud800", b"\\u0000", "ﬁ\u202e".encode(), "e\u0301".encode(), b"\xef\xbb\xbf",
    b"../../x", b"| a |\n| --- |\n", b'"a": 1, "a": 2', b" " * 300,
)  # fmt: skip
Files = dict[str, bytes]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few changes: a bit, a slice dropped, doubled or moved, a spice, a line swapped, a
    number.
    """
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        end = min(end, at + chance.choice((1, 4, 40, 400)))
        kind = chance.randrange(7)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[end:]
        elif kind == 2:
            data = data[:end] + data[at:]
        elif kind in (3, 4):
            data = data[:at] + chance.choice(SPICES) + data[end if chance.random() < 0.5 else at :]
        elif kind == 5:
            lines = data.splitlines(keepends=True)
            if len(lines) > 1:
                one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
                lines[one], lines[other] = lines[other], lines[one]
                data = b"".join(lines)
        else:
            digits = [
                place for place in range(at, min(at + 400, len(data))) if chr(data[place]).isdigit()
            ]
            if digits:
                place = chance.choice(digits)
                data = data[:place] + str(chance.randrange(10)).encode() + data[place + 1 :]
    return data


@contextmanager
def ends() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"a case took more than {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def told(read: Callable[[], object]) -> object:
    """What a reader of ours gives, or the one line of its error."""
    try:
        return read()
    except (AmbiemoError, audio.BadAudio) as error:
        line = shown(str(error), 4000)
        assert line.isprintable()
        return Line(line)


class Line(str):
    """An error in one line."""


def theirs(read: Callable[[], object]) -> object:
    """The same of the second verifier."""
    try:
        return read()
    except (shipped.Broken, shipped.Unreadable) as error:
        return Line(str(error))


class Disk:
    """A place for the readers that want a file, and for the second verifier a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / "file"
        (folder / "data").mkdir()
        self.shipped = shipped.Folder(str(folder / "data"))

    def holding(self, data: bytes) -> Path:
        self.place.write_bytes(data)
        return self.place


# --- samples ------------------------------------------------------------------------------------


@cache
def small() -> Files:
    """A whole bundle of four clips that is soon made again."""
    plan = real.plan(
        strategies=["greedy", "bon", "alm_v"], controls=[], bootstrap={"resamples": 100}
    )
    return real.whole_of(plan, 4)


@cache
def unpacked() -> Files:
    """The files of rows, unpacked, by path."""
    rows = {path: data for path, data in small().items() if path.endswith((".gz", ".jsonl"))}
    return {
        path: gzip.decompress(data) if path.endswith(".gz") else data for path, data in rows.items()
    }


@cache
def lines_of_rows() -> list[list[bytes]]:
    """The lines of every file of rows."""
    return [unpacked()[path].splitlines(keepends=True) for path in sorted(unpacked())]


@cache
def texts() -> list[bytes]:
    """What models said, plain and in need of repair."""
    said = [
        json.loads(line).get("text", "")
        for path, data in unpacked().items()
        for line in data.splitlines()
        if path.startswith(("answers/", "scores/"))
    ]
    return sorted({text.encode() for text in said if text}) + [
        text.encode() for text in (*real.MENDED, '{"score": 7}', "Score: 8/10")
    ]


@cache
def plans() -> list[bytes]:
    found = sorted(Path(__file__).parent.parent.glob("reproduce/*.yaml"))
    return [path.read_bytes() for path in found if path.name != "claims.yaml"] + [
        small()["config/plan.yaml"]
    ]


VOTES = b"utterance_id,happy,sad,angry\n" + b"".join(
    b"u%d,%d,%d,1\n" % (n, n % 4, n % 3) for n in range(6)
)
LISTING = b"".join(b"%064x  data/f%03d\n" % (n, n) for n in range(8))
YAML = b"""name: small
title: 'it''s a title: one line'
seed: 7
models:
- id: tiny
  options: {}
  price: null
corpora: [tiny]
bootstrap:
  level: 0.95
  resamples: 100
"""
IEMOCAP = (
    b"[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
    b"C-E2:\tNeutral;\t()\nC-E3:\tNeutral; Happiness;\t(calm)\nC-F1:\tNeutral;\t(curious)\n"
    b"A-E3:\tval 3; act 2; dom  2;\t()\n"
)
CONSENSUS = (
    b"FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
    b"MSP-PODCAST_0001_0008.wav,N,4.2,4.0,4.2,127,Male,Train\n"
    b"MSP-PODCAST_0001_0019.wav,X,3.0,4.0,4.2,Unknown,Unknown,Development\n"
)
DETAILED = (
    b"FileName,EmoDetail\n"
    b'MSP-PODCAST_0001_0008.wav,"W1; Happy; Happy,Excited; A:4.0; V:4.0; D:4.0;"\n'
)
ACTED = b"utterance_id,angry,sad,happy\na,1,2,0\nb,0,0,3\n"
CREMA = (
    b'"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote","meanEmoResp"\n'
    b'"100001",0,0,0,0,5,1,"1001_DFA_NEU_XX",6,0.833333333333333,"N",1\n'
    b'"100002",6,1,0,0,1,0,"1001_DFA_ANG_XX",8,0.75,"A",2\n'
    b'"200002",6,1,0,0,1,0,"1001_DFA_ANG_XX",8,0.75,"A",2\n'
)
JOURNAL = (
    b'{"asked": 1, "most": 0.003}\n'
    b'{"asked": 1, "paid": 0.0012, "id": "a/b#0", "answer": {"text": "x"}}\n'
    b'{"asked": 2, "most": 0.003}\n'
)
KEYS = [f"{number:064x}" for number in range(1, 5)]


@cache
def stored() -> tuple[bytes, dict[str, Answer]]:
    """A file of the answer store and what is in it."""
    decoding = Decoding("sample", 2, 1.0, 1.0, 96)
    answers = {
        key: Answer(
            key,
            (
                Candidate(f"said {key[-1]}", 3, -1.5, "stop"),
                Candidate('{"sad": 1}', 4, None, "stop"),
            ),
            decoding,
        )
        for key in KEYS
    }
    groups = [list(answers.values())[:2], list(answers.values())[2:]]
    return b"".join(as_line(f"g{n}", group) for n, group in enumerate(groups)), answers


@cache
def clip() -> bytes:
    """A quarter of a second of WAV."""
    samples = (np.sin(np.arange(4000) / 9) * 9000).astype("<i2").tobytes()
    head = b"RIFF" + (36 + len(samples)).to_bytes(4, "little") + b"WAVEfmt "
    form = b"".join(
        number.to_bytes(size, "little")
        for number, size in ((16, 4), (1, 2), (1, 2), (16000, 4), (32000, 4), (2, 2), (16, 2))
    )
    return head + form + b"data" + len(samples).to_bytes(4, "little") + samples


# --- layers -------------------------------------------------------------------------------------


def rows(chance: random.Random, disk: Disk) -> None:
    """JSON lines: what is accepted is spelled in one way only, and the second verifier that accepts
    a line reads the same.
    """
    lines = chance.choice(lines_of_rows())
    at = chance.randrange(len(lines))
    data = mutated(b"".join(lines[at : at + 2]), chance)
    found = told(lambda: list(jsonlines.rows(io.BytesIO(data), "rows")))
    if not isinstance(found, Line):
        assert jsonlines.lines(found) == data
    other = theirs(
        lambda: [
            shipped.canonical_row(line, "rows")
            for line in shipped.decoded(data, "rows").removesuffix("\n").split("\n")
        ]
    )
    if data.endswith(b"\n") and not isinstance(other, Line):
        assert found == other


def answers(chance: random.Random, disk: Disk) -> None:
    """Answers' texts: shares are finite and sum to 1; what the second verifier reads, we read."""
    text = mutated(chance.choice(texts()), chance).decode("utf-8", "replace")
    found = parse_candidate(text, SIX, "greedy")
    if found.distribution is not None:
        assert min(found.distribution) >= 0
        assert abs(math.fsum(found.distribution) - 1) < 1e-9
    shares, verdict = shipped.Reading(SIX).read(text)
    if shares is not None:
        assert verdict == found.verdict
        assert found.distribution == pytest.approx(shares, abs=1e-12)
    judged = parse_score(text)
    assert judged.score is None or 0 <= judged.score <= 10
    try:
        plain = shipped.score_of(text, judged.verdict, "score")
    except shipped.Broken as error:
        raise AssertionError(f"{text!r}: {judged}: {error}") from error
    assert plain in (judged.score, shipped.CANNOT_TELL)


def packed(chance: random.Random, disk: Disk) -> None:
    """gzip: both verifiers unpack the same bytes, or both say what is wrong."""
    path = chance.choice([path for path in sorted(small()) if path.endswith(".gz")])
    data = mutated(small()[path], chance)

    place = disk.folder / "data" / "rows.gz"
    place.write_bytes(data)

    def read() -> bytes:
        try:
            with opened({path: data}, path) as file:
                unpacked = file.read()
            if extra := unpacked_and_extra(place):
                raise Broken(f"{path}: {extra}")
            return unpacked
        except jsonlines.GZIP_ERRORS as error:
            raise Broken(f"{path}: {error}") from error

    found = told(read)
    other = theirs(lambda: b"".join(disk.shipped.blocks("rows.gz")))
    assert isinstance(found, Line) == isinstance(other, Line), (found, other)
    assert isinstance(found, Line) or found == other


def documents(chance: random.Random, disk: Disk) -> None:
    """JSON documents: no key twice, finite numbers; both verifiers read the same."""
    path = chance.choice([path for path in sorted(small()) if path.endswith(".json")])
    whole = small()[path]
    at = chance.randrange(max(1, len(whole) - 3000))
    if len(whole) > 3000:  # a part of a large one that is a document itself
        whole = json.dumps(
            {"part": whole[at : at + 400].decode("utf-8", "replace"), "n": at}
        ).encode()
    data = mutated(whole, chance)
    found = told(lambda: parsed(path, {path: data}, jsonlines.strict))
    other = theirs(lambda: shipped.strict_json(shipped.decoded(data, path), path))
    if not isinstance(found, Line) and not isinstance(other, Line):
        assert found == other
        assert repr(found) == repr(other)


def store(chance: random.Random, disk: Disk) -> None:
    """The answer store: an answer that is read is the one that was written."""
    whole, written = stored()
    place = disk.holding(mutated(whole, chance))

    def read() -> dict[str, Answer]:
        with AnswerFile(place) as file:
            index = file.index()
            places = {key: index.find(key) for key in KEYS}
            return {key: file.answer(key, at) for key, at in places.items() if at is not None}

    found = told(read)
    if not isinstance(found, Line):
        assert all(written[key] == answer for key, answer in found.items())


def manifest(chance: random.Random, disk: Disk) -> None:
    """Manifests: no path leaves the bundle; what has no fault has one form."""
    data = mutated(LISTING, chance)
    listing = read_listing("manifest", data, True)
    for _, found, expected in listing.faults:
        assert (found + expected).isprintable()
    for path in listing.digests:
        assert path.startswith("data/")
        assert not {"..", ".", ""} & set(path.split("/"))
    if not listing.faults:
        assert bag.manifest(listing.digests) == data


def tables(chance: random.Random, disk: Disk) -> None:
    """CSV for `score`: numbers are those that Python's csv reads."""
    data = mutated(VOTES, chance)
    place = disk.holding(data)
    found = told(lambda: score.read(place))
    if isinstance(found, Line):
        return
    plain = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    head, *rest = ([cell.strip() for cell in row] for row in plain if "".join(row).strip())
    at = head.index(score.ID)
    expected = {row[at]: tuple(map(float, row[:at] + row[at + 1 :])) for row in rest}
    assert found.numbers == expected
    if chance.random() < 0.02:
        good = disk.folder / "votes.csv"
        good.write_bytes(VOTES)
        with redirect_stdout(io.StringIO()):
            said = told(lambda: score.as_json(score.score(good, place)))
        assert isinstance(said, Line) or json.loads(str(said))


def small_yaml(chance: random.Random, disk: Disk) -> None:
    """YAML: read as the safe loader reads it or not at all; so does the second verifier what a run
    would write.
    """
    data = mutated(YAML, chance).decode("utf-8", "replace")
    try:
        found = parse_yaml(data)
    except (ValueError, yaml.YAMLError):
        found = Line()
    else:
        assert repr(found) == repr(yaml.safe_load(data))
    other = theirs(lambda: shipped.plan_of(data))
    if isinstance(found, dict) and not isinstance(other, Line):
        written = yaml.safe_dump(found, sort_keys=False, allow_unicode=True)
        assert written != data or other == found


def of_crema_d(source: Source) -> object:
    names, votes, _ = crema_d._votes(source, crema_d.QUERIES["voice"])
    assert len(names) == len(set(names)) == len(votes)
    assert (votes >= 0).all()
    return names


def of_acted(source: Source) -> object:
    options = ActedOptions(votes=source.root / source.relative)
    found = truth_of(["a", "b"], ["sad", "happy"], ("sad", "happy"), options)
    assert (found.votes >= 0).all()
    return found


LABEL_FILES: tuple[tuple[bytes, Callable[[Source], object]], ...] = (
    (CREMA, of_crema_d),
    (IEMOCAP, lambda source: list(iemocap._blocks(source, "Ses01F_impro01", "Session1"))),
    (CONSENSUS, msp_podcast._consensus),
    (DETAILED, msp_podcast._detailed),
    (ACTED, of_acted),
)


def labels(chance: random.Random, disk: Disk) -> None:
    """Label files of a corpus: counts of votes, or a line that says what is wrong."""
    whole, read = chance.choice(LABEL_FILES)
    disk.holding(mutated(whole, chance))
    told(lambda: read(Source(disk.folder, "file")))


def clips(chance: random.Random, disk: Disk) -> None:
    """Audio: finite samples or one line."""
    found = told(lambda: audio.decode(mutated(clip(), chance), max_seconds=30))
    if not isinstance(found, Line):
        assert np.isfinite(found.samples).all()
        assert len(found.samples) <= 31 * audio.RATE


def journal(chance: random.Random, disk: Disk) -> None:
    """The journal of what was paid: never less than nothing, and a number."""
    place = disk.folder / "paid"
    place.mkdir(exist_ok=True)
    (place / "1-a.jsonl").write_bytes(mutated(JOURNAL, chance))
    found = told(lambda: Journal(place))
    if not isinstance(found, Line):
        assert 0 <= found.spent < math.inf


def whole_plans(chance: random.Random, disk: Disk) -> None:
    """Plans: a plan that is accepted has a title of one printable line."""
    place = disk.holding(mutated(chance.choice(plans()), chance))
    found = told(lambda: schema.read(place))
    if not isinstance(found, Line):
        assert found.title.isprintable()


ADMITTED = ("env/machine.json", "log/run.log", "config/plan.yaml", "inputs/utterances.jsonl")
"""Files that no table is compared with, or on which all tables rest: `whole_bundles` has those."""


def describing(chance: random.Random, disk: Disk) -> None:
    """Describing files of a bundle: a change is found, but for ADMITTED ones."""
    paths = [path for path in small() if path.startswith(("config/", "inputs/", "env/", "log/run"))]
    path = chance.choice(paths)
    data = mutated(small()[path], chance)
    if data == small()[path]:
        return
    files = {**small(), path: data}

    def read() -> None:
        study = study_from(files)
        recomputing.check_inputs(study, files)
        check_evidence(study, files)
        recomputing.check_claims(files)

    found = told(read)
    assert isinstance(found, Line) or path in ADMITTED, f"{path}: {data!r:.300}"


def changed_bundle(chance: random.Random) -> tuple[str, Files]:
    """One file of the small bundle changed (what is packed: unpacked, changed, packed), and
    provenance made again.
    """
    free = ("provenance/", "ro-crate", "verify.py", "README.md", "figures/")
    path = chance.choice([path for path in sorted(small()) if not path.startswith(free)])
    if path in unpacked():
        data = mutated(unpacked()[path], chance)
        data = gzip.compress(data, 1, mtime=0) if path.endswith(".gz") else data
    else:
        data = mutated(small()[path], chance)
    files = {name: of for name, of in {**small(), path: data}.items() if name not in PROVENANCE}
    try:
        return path, files | provenance(files)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, yaml.YAMLError):
        return path, {**small(), path: data}  # of what is no such file nothing can be made


def shipped_says(files: Files, disk: Disk) -> tuple[int, str]:
    """Exit code and text of data/verify.py about the files."""
    folder = disk.folder / "data"
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists() or place.read_bytes() != data:
            place.write_bytes(data)
    (folder / "rows.gz").unlink(missing_ok=True)
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        code = shipped.main([str(folder)])
    return code, out.getvalue()


def second_verifier(chance: random.Random, disk: Disk) -> None:
    """Whole bundles for data/verify.py: printable lines, exit 0, 1 or 2; a changed number of a
    table that it makes again is found.
    """
    path, files = changed_bundle(chance)
    code, said = shipped_says(files, disk)
    assert code in (0, 1, 2)
    assert "Traceback" not in said
    assert all(line.isprintable() for line in said.splitlines()), said
    if path in ("tables/results.csv", "tables/paired.csv") and numbers(files[path]) != numbers(
        small()[path]
    ):
        assert code, f"{path}: {files[path]!r:.2000}"


def numbers(table: bytes) -> list[list[str]]:
    """The rows of a table in any order, without what the second verifier says it leaves out: bounds
    of the bootstrap, words of a reason.
    """
    rows = list(csv.reader(io.StringIO(table.decode("utf-8", "replace"), newline="")))
    head = rows[0] if rows else []
    return sorted(
        [
            cell
            for name, cell in zip(head, row, strict=False)
            if not name.startswith("ece_") and name not in ("reason", "by_bootstrap")
        ]
        for row in rows[1:]
    )


def whole_bundles(chance: random.Random, disk: Disk) -> None:
    """Whole bundles for both verifiers: what changed in answers, scores, predictions or tables is
    found, or no table moves.
    """
    path, files = changed_bundle(chance)
    found = told(lambda: from_results(files))
    code, _ = shipped_says(files, disk)
    assert code in (0, 1, 2)
    if isinstance(found, Line) or files[path] == small()[path]:
        return
    differs = [name for name, made in found.items() if made is not None and made != files.get(name)]
    if path.startswith("tables/"):
        assert differs, f"{path}: {files[path]!r:.2000}"
    moved = [name for name in small() if name.startswith("tables/") and name in found]
    # what recompute leaves out as equal is equal to the bundle's own, which is the unchanged one
    same = all(found[name] in (None, small()[name]) for name in moved)
    assert differs or same, path


Layer = Callable[[random.Random, Disk], None]
LAYERS: dict[Layer, float] = {  # share of all cases
    rows: 0.24, answers: 0.18, packed: 0.10, documents: 0.10, store: 0.09, manifest: 0.09, tables: 0.08, small_yaml: 0.04, labels: 0.04, clips: 0.013,
    journal: 0.014, whole_plans: 0.006, describing: 0.003, second_verifier: 0.003, whole_bundles: 0.001,
}  # fmt: skip


def cases_of(layer: Layer) -> int:
    """How many of CASES are of a layer."""
    return max(1, round(CASES * LAYERS[layer]))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
@pytest.mark.timeout(7200)
def test_mutated(layer: Layer, tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for number in range(FIRST, FIRST + cases_of(layer)):
        with ends():
            try:
                layer(random.Random(f"{layer.__name__} {number}"), disk)
            except Exception as error:
                raise AssertionError(
                    f"{layer.__name__}: AMBIEMO_FUZZ_SEED={number}: {type(error).__name__}: {error}"
                ) from error


def test_the_layers_share_all_cases() -> None:
    assert math.isclose(sum(LAYERS.values()), 1)


def test_the_sample_that_is_mutated_holds_for_both_verifiers(tmp_path: Path) -> None:
    found = from_results(small())
    assert all(made is None or made == small()[name] for name, made in found.items())
    assert shipped_says(small(), Disk(tmp_path))[0] == 0
