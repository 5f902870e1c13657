"""Every forgery of the page of threats, with everything else made again: who catches it, and by
which check.

The bundle is made of the packaged clips and their votes, with invented answers. `-s` prints the
table. A row that nobody can catch from inside is named in ADMITTED with what shows it to a reader;
docs/bundle.md carries the same list.
"""

import gzip
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import bundle_real as real
import pytest
from test_bundle_forgery import (
    CELLS,
    UTTERANCES,
    Files,
    edit,
    judged,
    remade,
    rows_of,
    text_change,
    texts_are_read_once,  # noqa: F401
    with_rows,
)

from ambiemo.bundle import bag
from ambiemo.bundle.contents import study_files
from ambiemo.bundle.inputs import input_files
from ambiemo.bundle.provenance import provenance
from ambiemo.bundle.verify import verify
from ambiemo.corpora.utterances import load_corpus, sampled
from ambiemo.durable import sha256
from ambiemo.errors import AmbiemoError
from ambiemo.jsonlines import document
from ambiemo.labels import SIX
from ambiemo.models import MODELS
from ambiemo.models.parsing import parse_candidate
from ambiemo.plan.expand import Expanded, laid_out
from ambiemo.plan.schema import check
from ambiemo.results.study import study_of

GREEDY, BEAMS = (f"answers/tiny/tiny/direct.{name}.jsonl.gz" for name in ("greedy", "beam-5"))
PLAN, RUN, COUNTS, MODEL = (
    "config/plan.yaml",
    "config/run.json",
    "inputs/corpora.json",
    "inputs/models.json",
)
NOBODY = "nobody"


@cache
def packaged() -> Files:
    """A bundle of the packaged corpus: its clips and votes, and answers by a seeded hand."""
    plan = check(
        {
            "name": "matrix",
            "models": ["tiny"],
            "corpora": [{"id": "tiny", "expect": 96}],
            "strategies": ["greedy", "bon", "alm_v"],
            "bootstrap": {"resamples": 100},
        },
        "plan",
    )
    bare = Expanded(plan, {"tiny": MODELS["tiny"]}, {"tiny": load_corpus("tiny")}, (), ())
    stands = Expanded(plan, bare.specs, bare.corpora, tuple(laid_out(bare, set())), ())
    study = study_of(stands)
    gathered, answers = real.answers_of(stands, False)
    made = {
        **study_files(study),
        **answers,
        **real.derived(study, gathered),
        **input_files(stands, None),
    }
    return {**made, "log/run.log": real.RUN_LOG}


@cache
def untouched() -> Files:
    """The same with everything that is derived made again, as below after a forgery."""
    with pytest.MonkeyPatch.context() as patch:
        return remade(packaged(), patch)


def counted(files: Files, **counts: object) -> Files:
    told = json.loads(files[COUNTS])
    told["tiny"]["counts"] |= counts
    return {**files, COUNTS: document(told)}


def agreeing(files: Files) -> Files:
    """The loader's counts of votes, speakers and clips as the forged rows have them."""
    rows = rows_of(files, UTTERANCES)
    return counted(
        files,
        votes=sum(sum(row["votes"]) for row in rows if row["truth_source"] == "votes"),
        speakers=len({row["speaker"] for row in rows}),
        same_clip=len(rows) - len({row["audio_sha256"] for row in rows}),
    )


def keeping(files: Files, kept: Callable[[dict], bool]) -> Files:
    rows = [row for row in rows_of(files, UTTERANCES) if kept(row)]
    return of_clips(with_rows(files, UTTERANCES, rows), {row["audio_sha256"] for row in rows})


def of_clips(files: Files, clips: set[str]) -> Files:
    for path in [path for path in files if path.startswith(("answers/", "scores/"))]:
        files = with_rows(
            files, path, [row for row in rows_of(files, path) if row["audio_sha256"] in clips]
        )
    return files


def first(n: int) -> Callable[[dict], bool]:
    return lambda row: int(row["id"][-5:]) < n


def run_says(**said: object) -> Callable[[Files], Files]:
    return lambda files: {**files, RUN: document(json.loads(files[RUN]) | said)}


def drop_40(files: Files) -> Files:
    return agreeing(counted(keeping(files, first(56)), no_vote_in_label_set=40))


def clones(files: Files) -> Files:
    rows = rows_of(files, UTTERANCES)
    added = [{**row, "id": f"{row['id']}-{number}"} for row in rows[:10] for number in range(20)]
    forged = with_rows(files, UTTERANCES, sorted([*rows, *added], key=lambda row: row["id"]))
    return agreeing(counted(forged, no_vote_in_label_set=-200))


def few_clips(files: Files) -> Files:
    rows = rows_of(files, UTTERANCES)
    clips = [row["audio_sha256"] for row in rows[:28]]
    for place, row in enumerate(rows):
        row["audio_sha256"] = clips[place % 28]
    return agreeing(of_clips(with_rows(files, UTTERANCES, rows), set(clips)))


def failed_draws(files: Files) -> Files:
    """30 draws of every question failed, and are not judged."""
    gone = {row["audio_sha256"] for row in rows_of(files, UTTERANCES)[:30]}
    tail = ("rendered_prompt_sha256", "prompt_tokens", "audio_s", "truncated")
    for path in [path for path in files if path.startswith("answers/")]:
        rows = rows_of(files, path)
        told = []
        for row in rows:
            if row["audio_sha256"] in gone:
                if row["index"] in (0, None):
                    head = {
                        key: row[key] for key in ("utterance_id", "draw", "audio_sha256", "seed")
                    }
                    told.append(
                        {
                            **head,
                            "index": None,
                            "failure": "CUDA out of memory",
                            **{key: row[key] for key in tail},
                        }
                    )
            else:
                told.append(row)
        files = with_rows(files, path, told)
    for path in [path for path in files if path.startswith("scores/")]:
        files = with_rows(
            files, path, [row for row in rows_of(files, path) if row["audio_sha256"] not in gone]
        )
    return files


def limited(partial: bool) -> Callable[[Files], Files]:
    def forge(files: Files) -> Files:
        return run_says(limit=56, partial=partial)(keeping(files, first(56)))

    return forge


def truly_limited(files: Files) -> Files:
    ids = [row["id"] for row in rows_of(files, UTTERANCES)]
    kept = {ids[place] for place in sampled(ids, 56)}
    return run_says(limit=56, partial=True)(
        counted(keeping(files, lambda row: row["id"] in kept), same_clip=0)
    )


def plan_says(old: str, new: str) -> Callable[[Files], Files]:
    return text_change(PLAN, old, new)


def model_says(**said: object) -> Callable[[Files], Files]:
    def forge(files: Files) -> Files:
        told = json.loads(files[MODEL])
        told["tiny"] |= said
        return {**files, MODEL: document(told)}

    return forge


def every(path: str, **said: object) -> Callable[[Files], Files]:
    return edit(path, lambda rows: [row.update(said) for row in rows] and None)


def acted(files: Files) -> Files:
    return agreeing(
        edit(
            UTTERANCES,
            lambda rows: [row.update(truth_source="acted") for row in rows[:25]] and None,
        )(files)
    )


def other_votes(files: Files) -> Files:
    return agreeing(
        edit(
            UTTERANCES, lambda rows: [row.update(votes=row["votes"][::-1]) for row in rows] and None
        )(files)
    )


def one_speaker(files: Files) -> Files:
    return agreeing(every(UTTERANCES, speaker="a", cluster="a")(files))


def failure_and_likelihood(rows: list[dict]) -> None:
    row = next(row for row in rows if row["index"] == 2)
    row |= {"failure": "gone", "log_likelihood": 1000.0}


def dots(files: Files) -> Files:
    """A dot after every answer that is not judged: the second verifier would have to take its
    prediction as given.
    """

    def dotted(rows: list[dict]) -> None:
        for row in rows:
            if "text" in row:
                row["text"] += "."
                row["verdict"] = parse_candidate(row["text"], SIX, "greedy").verdict

    return edit(BEAMS, dotted)(edit(GREEDY, dotted)(files))


def votes_as_predictions(files: Files) -> Files:
    """And predictions that are the votes."""
    votes = {row["id"]: row["votes"] for row in rows_of(files, UTTERANCES)}

    def told(rows: list[dict]) -> None:
        for row in rows:
            if row["distribution"] and row["strategy"] != "alm_v":
                row["distribution"] = [
                    float(f"{one / sum(votes[row['utterance_id']]):.9g}")
                    for one in votes[row["utterance_id"]]
                ]

    return edit("predictions/tiny/tiny.jsonl.gz", told)(dots(files))


def extra_cell(rows: list[dict]) -> list[dict]:
    return [
        *rows,
        {
            **rows[0],
            "control": "silence",
            "skipped": "the model heard nothing | and said so",
            "cannot": True,
        },
    ]


def document_says(path: str, change: Callable[[dict], object]) -> Callable[[Files], Files]:
    def forge(files: Files) -> Files:
        told = json.loads(files[path])
        change(told)
        return {**files, path: (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()}

    return forge


def beside(name: str) -> Callable[[Path], None]:
    """A file next to data/, in the tag manifest."""

    def forge(folder: Path) -> None:
        (folder / name).write_text("JS .001\n")
        tags = folder / bag.TAG_MANIFEST
        known = {line[66:]: line[:64] for line in tags.read_text().splitlines()}
        tags.write_bytes(bag.manifest({**known, name: sha256((folder / name).read_bytes())}))

    return forge


def nothing(files: Files) -> Files:
    return files


def packed_otherwise(
    flags: int, head: bytes, tail: bytes, time: int = 0
) -> Callable[[Files], Files]:
    """The same rows in a gzip file that says more."""

    def forge(files: Files) -> Files:
        plain = gzip.compress(gzip.decompress(files[GREEDY]), mtime=0)
        start = plain[:3] + bytes([flags]) + time.to_bytes(4, "little") + plain[8:10]
        return {**files, GREEDY: start + head + plain[10:] + tail}

    return forge


def other_claims(files: Files) -> Files:
    claims = files["config/claims.yaml"].replace(b"paper", b"Paper", 1)
    return run_says(claims_sha256=sha256(claims))({**files, "config/claims.yaml": claims})


EVIDENCE: dict[str, tuple[Callable[[Files], Files], str]] = {
    # forged before everything else is made again, and the file that `ambiemo verify` names, or
    # NOBODY
    "40 utterances dropped as without votes": (drop_40, COUNTS),
    "200 clones, -200 without votes": (clones, COUNTS),
    "28 of 96 clips stay": (few_clips, UTTERANCES),
    "30 draws become failures": (failed_draws, NOBODY),
    "a limit kept the best 56, partial false": (limited(False), RUN),
    "a limit kept the best 56": (limited(True), UTTERANCES),
    "25 votes become acted": (acted, UTTERANCES),
    "votes rewritten": (other_votes, UTTERANCES),
    "all clips by one speaker": (one_speaker, UTTERANCES),
    "tau changed afterwards": (plan_says("tau: 1.0", "tau: 0.1"), NOBODY),
    "concentration changed afterwards": (
        plan_says("concentration: 10.0", "concentration: 99.0"),
        NOBODY,
    ),
    "thresholds changed afterwards": (plan_says("medium_from: ", "medium_from: 0.1 #"), PLAN),
    "interval level changed afterwards": (plan_says("level: 0.95", "level: 0.5"), NOBODY),
    "a table in the plan's title": (
        plan_says("title: ''", 'title: "x\\n\\n| JS |\\n| --- |\\n| .001 |"'),
        PLAN,
    ),
    "a skipped cell with a reason of its own": (edit(CELLS, extra_cell), CELLS),
    "a second dirichlet key": (
        plan_says("dirichlet:", "dirichlet:\n  concentration: 10.0\n  epsilon: 0.5\ndirichlet:"),
        PLAN,
    ),
    "a lying comment in the plan": (plan_says("seed: 0", "seed: 0  # the paper's seed"), PLAN),
    "the model called by another name": (model_says(title="GPT-4o audio"), MODEL),
    "another revision": (model_says(revision="f" * 64), MODEL),
    "an ability denied": (model_says(capabilities=["sampling"]), CELLS),
    "another judge": (
        lambda files: {**files, "inputs/judges.json": document({"tiny": "gpt-4o"})},
        "inputs/judges.json",
    ),
    "another prompt": (
        text_change("config/prompts/tiny/direct.txt", "disagree", "agree"),
        "config/prompts/",
    ),
    "served_model of a local model": (every(GREEDY, served_model=["gpt-4o"]), GREEDY),
    "truncated": (every(GREEDY, truncated=True, audio_s=99.0), GREEDY),
    "audio_s of one candidate": (
        edit(
            BEAMS,
            lambda rows: [row.update(audio_s=7.0) for row in rows if row["index"] == 1] and None,
        ),
        BEAMS,
    ),
    "vote units": (
        lambda files: {**files, "inputs/vote_units.json": document({"tiny": 3})},
        "inputs/vote_units.json",
    ),
    "counts rewritten": (lambda files: counted(files, votes=10_000), COUNTS),
    "counts dropped": (
        lambda files: {
            **files,
            COUNTS: document({"tiny": {"counts": {}, "options": {}, "sources": []}}),
        },
        COUNTS,
    ),
    "a candidate with failure and likelihood": (edit(BEAMS, failure_and_likelihood), BEAMS),
    "every answer rewritten": (dots, NOBODY),
    "a name and a text in a gzip header": (packed_otherwise(8, b"JS is .001\0", b""), GREEDY),
    "a time in a gzip header": (packed_otherwise(0, b"", b"", time=1), GREEDY),
    "a second, empty gzip member": (packed_otherwise(0, b"", gzip.compress(b"")), GREEDY),
    "zeros behind the gzip data": (packed_otherwise(0, b"", bytes(9)), GREEDY),
    "a row with a carriage return": (
        lambda files: {
            **files,
            GREEDY: gzip.compress(gzip.decompress(files[GREEDY]).replace(b"\n", b"\r\n"), mtime=0),
        },
        GREEDY,
    ),
    "other claims, with their hash": (other_claims, "config/claims.yaml"),
    "a prompt that nobody asks": (
        lambda files: {**files, "config/prompts/tiny/extra.txt": b"JS is .001\n"},
        "config/prompts/",
    ),
    "blank lines behind a prompt": (
        lambda files: {
            **files,
            "config/prompts/tiny/direct.txt": files["config/prompts/tiny/direct.txt"] + b"\n\n",
        },
        "config/prompts/",
    ),
    "another README": (
        lambda files: {**files, "README.md": files["README.md"] + b"JS is .001\n"},
        "README.md",
    ),
    "a log that says more": (
        lambda files: {**files, "log/run.log": document(json.loads(real.RUN_LOG) | {"JS": 0.001})},
        "log/run.log",
    ),
    "a machine that says more": (
        lambda files: {
            **files,
            "env/machine.json": document(json.loads(files["env/machine.json"]) | {"JS": ".001"}),
        },
        "env/machine.json",
    ),
    "a count that nobody counts": (lambda files: counted(files, js=0.001), COUNTS),
    "counts as 96.0": (lambda files: counted(files, utterances=96.0), COUNTS),
    "format 2.0": (run_says(format=2.0), "format"),
    "a time of hearing below 0": (every(GREEDY, audio_s=-0.0), GREEDY),
}
AFTERWARDS: dict[str, tuple[Callable[[Files], Files], str]] = {
    # forged after everything else was made again; checksums are made again too
    "predictions := votes, a dot after every answer": (votes_as_predictions, "predictions/"),
    "statement about nothing": (
        document_says("provenance/statement.json", lambda told: told.update(subject=[])),
        "provenance/",
    ),
    "crate about nothing": (
        document_says("ro-crate-metadata.json", lambda told: told.update({"@graph": []})),
        "ro-crate",
    ),
    "another author in the crate": (
        document_says(
            "ro-crate-metadata.json", lambda told: told["@graph"][1].update(author="the authors")
        ),
        "ro-crate",
    ),
    "a module that python3 data/verify.py would import": (
        lambda files: {**files, "csv.py": b"print('holds')\n"},
        "csv.py",
    ),
    "log with keys of its own": (
        lambda files: {**files, "log/run.log": b'{\n  "JS": 0.001\n}\n'},
        "log/run.log",
    ),
    "machine.json spelled otherwise": (
        lambda files: {**files, "env/machine.json": files["env/machine.json"] + b"\n"},
        "env/",
    ),
}
FOLDER = {name: (beside(name), name) for name in ("RESULTS.md", "verify.sh", "fetch.txt")}
ADMITTED = {
    "30 draws become failures": "the last line: failed predictions",
    "tau changed afterwards": "weights.tau is not at its default",
    "concentration changed afterwards": "dirichlet.concentration is not at its default",
    "interval level changed afterwards": "bootstrap.level is not at its default",
    "every answer rewritten": "nothing: run the plan again, or trust who signed",
}
"""What no check from inside can know, and what shows it."""
TOLD: dict[str, tuple[str, str]] = {}


def forged_files(forge: Callable[[Files], Files], monkeypatch: pytest.MonkeyPatch) -> Files:
    forged = forge(packaged())
    assert forged != packaged()
    try:
        return remade(forged, monkeypatch)
    except (
        AmbiemoError,
        AssertionError,
        KeyError,
        TypeError,
        ValueError,
    ):  # of some nothing can be made: they stay as they are
        return forged | provenance(packaged())


def outcome(name: str, said: list[tuple[int, str]], expected: str) -> None:
    """Note who caught it and by what; raise where `ambiemo verify` did not name the expected
    file.
    """
    (code, printed), (shipped_code, shipped) = said
    block = re.search(r"^(?:✗|NO) (.*)\n\s+(\S.*)\n\s+found\s+(.*)", printed, re.MULTILINE)
    ours = (
        f"{block[1]}: {block[2]}: {block[3]}"[:150]
        if block
        else printed.strip().splitlines()[-1][:150]
    )
    theirs = next(
        (line for line in shipped.splitlines() if "found" in line), shipped.strip().splitlines()[-1]
    )[:120]
    TOLD[name] = (f"{code} {ours}", f"{shipped_code} {theirs}")
    if expected == NOBODY:
        assert name in ADMITTED
        assert code == 0, printed
        if "at its default" in ADMITTED[name]:
            assert re.search(f"not at its default: .*{ADMITTED[name].split()[0]}", shipped)
        assert " ".join(ADMITTED[name].split()[:1]) in printed or name in (
            "30 draws become failures",
            "every answer rewritten",
        )
        return
    assert code in (1, 2), printed
    assert expected in printed, printed
    assert shipped_code in (1, 2), shipped


def test_the_bundle_that_is_forged_holds_for_both(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    said = judged(tmp_path / "whole", untouched(), capsys)
    assert [code for code, _ in said] == [0, 0], said
    assert said[0][1].splitlines()[-1].startswith("holds: 96 utterances, ")
    assert "believed of" not in said[0][1]  # clips and votes are those of the package


def test_a_limit_that_kept_the_right_utterances_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    code, printed = judged(
        tmp_path / "limited", remade(truly_limited(packaged()), monkeypatch), capsys
    )[0]
    assert code == 0, printed
    assert "limit: 56 utterances of each corpus" in printed.splitlines()[-1]


@pytest.mark.parametrize("name", EVIDENCE)
def test_evidence_forged_with_everything_remade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, name: str
) -> None:
    forge, expected = EVIDENCE[name]
    outcome(name, judged(tmp_path / "forged", forged_files(forge, monkeypatch), capsys), expected)


@pytest.mark.parametrize("name", AFTERWARDS)
def test_what_is_derived_forged_with_checksums_remade(
    tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    forge, expected = AFTERWARDS[name]
    outcome(name, judged(tmp_path / "forged", forge(dict(untouched())), capsys), expected)


@pytest.mark.parametrize("name", FOLDER)
def test_a_file_next_to_data_that_the_tag_manifest_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, name: str
) -> None:
    forge, expected = FOLDER[name]
    monkeypatch.setattr(
        bag,
        "write",
        lambda folder, files, info, write=bag.write: (write(folder, files, info), forge(folder)),
    )
    outcome(name, judged(tmp_path / "forged", untouched(), capsys), expected)


def info_says(change: Callable[[str], str]) -> Callable[[Path], None]:
    """bag-info.txt changed, with its hash in the tag manifest."""

    def forge(folder: Path) -> None:
        info, tags = folder / "bag-info.txt", folder / bag.TAG_MANIFEST
        info.write_text(change(info.read_text()))
        known = {line[66:]: line[:64] for line in tags.read_text().splitlines()}
        tags.write_bytes(bag.manifest({**known, "bag-info.txt": sha256(info.read_bytes())}))

    return forge


INFO: dict[str, Callable[[str], str]] = {
    "a label twice, the first a lie": lambda text: "External-Identifier: JS .001\n" + text,
    "a line without a label": lambda text: ": JS is .001\n" + text,
    "a day written otherwise": lambda text: "Bagging-Date: 20261128\n" + text,
    "lines in another order": lambda text: "\n".join([*reversed(text.splitlines()), ""]),
}


@pytest.mark.parametrize("name", INFO)
def test_bag_info_has_one_form(tmp_path: Path, name: str) -> None:
    """data/verify.py looks below data/ only, so this is for `ambiemo verify`."""
    bag.write(tmp_path / "bundle", untouched(), {"External-Identifier": "matrix"})
    info_says(INFO[name])(tmp_path / "bundle")
    assert "bag-info.txt" in {finding.file for finding in verify(tmp_path / "bundle")}


def test_print_who_catches_what(capsys: pytest.CaptureFixture) -> None:
    with capsys.disabled():
        for name, (ours, theirs) in TOLD.items():
            print(f"\n| {name} | {ours} | {theirs} |", end="")


def test_the_page_says_of_every_admitted_row_what_shows_it() -> None:
    page = (Path(__file__).parent.parent / "docs" / "bundle.md").read_text("utf-8")
    for name in ADMITTED:
        assert f"| {name} |" in page
