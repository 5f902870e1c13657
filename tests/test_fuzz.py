"""A seeded mutator over bundles, plans, answer stores and tables: no traceback, no escape, no hang,
no number changed in silence.

Every case is a seed: `AMBIEMO_FUZZ_SEED=N AMBIEMO_FUZZ_CASES=1` runs that one again. CI runs CASES
of each kind; `make fuzz` a million in all. Cases run in this process, so one takes a millisecond to
some ten and not a second; test_hostile_input has the limits.
"""

import gzip
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import bundle_real as real
import pytest

from ambiemo.bundle import recomputing
from ambiemo.bundle.contents import study_from
from ambiemo.bundle.evidence import check_evidence
from ambiemo.bundle.folder import read_listing
from ambiemo.bundle.verify import from_results
from ambiemo.errors import AmbiemoError, shown
from ambiemo.limits import parse_yaml
from ambiemo.plan import schema
from ambiemo.results import score

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("AMBIEMO_FUZZ_CASES", "0"))
FIRST = int(os.environ.get("AMBIEMO_FUZZ_SEED", "0"))
LONGEST_S = 20
SPICES = (
    b"\x1b[2J", b"[/red]", b"\0", b"\xff\xfe", b"NaN", b"1e999", b"-1", b"null", b"true", b"[]", b"{}", b'""', b"\n", b"\r\n", b",", b":", b"&a *a",
    b"!!python/object:os.system ", b"<<: ", b"9" * 5000, b"[" * 3000, b"\xed\xa0\x80", "ﬁ\u202e".encode(), b"../../x", b"| a |\n| --- |\n",
)  # fmt: skip


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


def cases(kind: str, usual: int, share: float) -> Iterator[tuple[int, random.Random]]:
    for number in range(FIRST, FIRST + (max(1, int(CASES * share)) if CASES else usual)):
        yield number, random.Random(f"{kind} {number}")


def told(kind: str, number: int, act: Callable[[], object]) -> object:
    """What an act gives, or the one line of an error of ours."""
    try:
        with ends():
            return act()
    except AmbiemoError as error:
        line = shown(str(error), 4000)
        assert line.isprintable(), (kind, number)
        return line
    except Exception as error:
        raise AssertionError(f"{kind}: seed {number}: {type(error).__name__}: {error}") from error


def test_plans_that_were_mutated(tmp_path: Path) -> None:
    texts = [
        path.read_bytes() for path in sorted(Path(__file__).parent.parent.glob("reproduce/*.yaml"))
    ]
    texts.append(real.files(4)["config/plan.yaml"])
    place = tmp_path / "plan.yaml"
    for number, chance in cases("plan", 400, 0.1):
        place.write_bytes(mutated(chance.choice(texts), chance))
        found = told("plan", number, lambda: schema.read(place))
        if not isinstance(found, str):
            assert found.title.isprintable()


def test_manifests_that_were_mutated() -> None:
    whole = b"".join(b"%064x  data/f%03d\n" % (n, n) for n in range(40))
    for number, chance in cases("manifest", 5_000, 0.4):
        data = mutated(whole, chance)
        listing = told("manifest", number, lambda data=data: read_listing("manifest", data, True))
        for _, found, expected in listing.faults:
            assert (found + expected).isprintable(), number
        assert (
            listing.faults
            or data == whole
            or set(listing.digests) <= {f"data/f{n:03}" for n in range(1000)}
            or all(".." not in path.split("/") for path in listing.digests)
        )


def test_tables_that_were_mutated(tmp_path: Path) -> None:
    votes = b"utterance_id,happy,sad,angry\n" + b"".join(
        b"u%d,%d,%d,1\n" % (n, n % 4, n % 3) for n in range(12)
    )
    good, place = tmp_path / "votes.csv", tmp_path / "mutated.csv"
    good.write_bytes(votes)
    for number, chance in cases("table", 1_500, 0.2):
        place.write_bytes(mutated(votes, chance))
        told("table", number, lambda: score.read(place))
        if number % 25 == 0:
            with redirect_stdout(StringIO()):
                told("table", number, lambda: score.as_json(score.score(good, place)))


def test_yaml_reads_as_the_safe_loader_or_not_at_all() -> None:
    import yaml

    text = real.files(4)["config/plan.yaml"]
    for number, chance in cases("yaml", 150, 0.02):
        data = mutated(text, chance).decode("utf-8", "replace")
        try:
            with ends():
                ours = parse_yaml(data)
        except (ValueError, yaml.YAMLError):
            continue
        assert ours == yaml.safe_load(data), number


def test_describing_files_that_were_mutated_change_no_number_in_silence() -> None:
    whole = real.whole(count=4)
    paths = [path for path in whole if path.startswith(("config/", "inputs/", "env/", "log/run"))]
    for number, chance in cases("inputs", 250, 0.08):
        path = chance.choice(paths)
        data = mutated(whole[path], chance)
        if data == whole[path]:
            continue
        files = {**whole, path: data}

        def act(files: dict[str, bytes] = files, path: str = path) -> str:
            study = study_from(files)
            recomputing.check_inputs(study, files)
            check_evidence(study, files)
            return (
                ""
                if path
                in (
                    "env/machine.json",
                    "log/run.log",
                    "config/plan.yaml",
                    "inputs/utterances.jsonl",
                )
                else "accepted"
            )

        found = told("inputs", number, act)
        # "": admitted files, or those on which tables rest that are then compared
        assert found != "accepted", f"{path}: seed {number}: {data!r:.300}"


@pytest.mark.slow
def test_bundles_that_were_mutated_are_broken() -> None:
    """One byte somewhere in answers, scores or predictions, checksums made again: found, or the
    tables do not move.
    """
    whole = real.whole(count=4)
    packed = [path for path in whole if path.endswith(".gz")]
    plain = {path: gzip.decompress(whole[path]) for path in packed}
    for number, chance in cases("bundle", 12, 0.005):
        path = chance.choice(packed)
        data = mutated(plain[path], chance)
        if data == plain[path]:
            continue
        files = {**whole, path: gzip.compress(data, 1, mtime=0)}
        found = told("bundle", number, lambda files=files: from_results(files))
        if isinstance(found, str):
            continue
        differs = [
            name for name, made in found.items() if made is not None and made != files.get(name)
        ]
        same_tables = all(
            found[name] == whole[name] for name in found if name.startswith("tables/")
        )
        assert differs or same_tables, f"{path}: seed {number}"
