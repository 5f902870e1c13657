"""The second verifier, data/verify.py, on what a bundle concludes: ambiguity.csv, curves.csv and
claims.csv.

It makes all three again from the answers with the standard library alone. Made-up bundles ask for
agreement on every cell, among them the awkward ones: one speaker, failed draws, constant answers,
ties everywhere. A forged verdict or estimate is found by it alone.
"""

import csv
import gzip
import importlib.util
import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import bundle_real as real
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_bundle_shipped_verify import (
    describe_again,
    rewrite,
    rewrite_csv,
    run,
    strip_foreign_cells,
)

from ambiemo.bundle import bag
from ambiemo.bundle.contents import study_files
from ambiemo.bundle.inputs import input_files
from ambiemo.bundle.provenance import provenance
from ambiemo.bundle.shipped import verify as shipped
from ambiemo.corpora.utterances import Utterance
from ambiemo.draws import Answer, Candidate, Draw
from ambiemo.durable import sha256
from ambiemo.metrics.ambiguity import tempered
from ambiemo.metrics.curves import brier_pool_curve
from ambiemo.results.claims.deciding import claim_rows
from ambiemo.results.claims.evidence import Evidence
from ambiemo.results.claims.reading import claims, packaged
from ambiemo.results.study import study_of
from ambiemo.results.tables.subset_losses import pool_and_best, vote

BENCH = Path(__file__).resolve().parent.parent / "reproduce" / "bench"
AMBIGUITY, CURVES, CLAIMS = (f"tables/{name}.csv" for name in ("ambiguity", "curves", "claims"))
VERIFIER = "tables/verifier.csv"
TABLE = 0.5e-6 + 1e-9
"""Two numbers that agree to this have the same six decimals, or the neighbouring ones."""


# --- whole bundles -------------------------------------------------------------------------------

World = Callable[[random.Random, Draw, tuple[int, ...], int], str | None]
"""(chance, draw, votes, number of the candidate) -> what the model says; None: the draw fails."""


def spelled(labels: tuple[str, ...], shares: list[float]) -> str:
    return "{" + ", ".join(f'"{a}": {b:.6f}' for a, b in zip(labels, shares, strict=True)) + "}"


def judged(draw: Draw, scores: list[int]) -> str:
    """A verifier's answer: one score, or a list of three."""
    return json.dumps({"scores": scores} if draw.prompt_id == "listwise" else {"score": scores[0]})


def hears(chance: random.Random, draw: Draw, votes: tuple[int, ...], index: int) -> str | None:
    """Near to the raters with the clip, far from them without; now and then nothing."""
    if draw.purpose == "score":
        return judged(draw, [chance.randint(0, 10) for _ in range(3)])
    if chance.random() < 0.04:
        return "no idea"
    told = votes if draw.audio == "clip" else (1,) * len(votes)
    even = sum(told) / len(told)  # half-hearted, so that there is an error to remove
    shares = [(vote + even) * chance.expovariate(1) for vote in told]
    return spelled(real.SIX, [share / sum(shares) for share in shares])


def constant(chance: random.Random, draw: Draw, votes: tuple[int, ...], index: int) -> str | None:
    """The same of every clip."""
    return '{"score": 5}' if draw.purpose == "score" else spelled(real.SIX, [0.5, 0.5, 0, 0, 0, 0])


def uniform(chance: random.Random, draw: Draw, votes: tuple[int, ...], index: int) -> str | None:
    return judged(draw, [0] * 3) if draw.purpose == "score" else spelled(real.SIX, [1 / 6] * 6)


def fails(chance: random.Random, draw: Draw, votes: tuple[int, ...], index: int) -> str | None:
    return None


def sometimes_fails(
    chance: random.Random, draw: Draw, votes: tuple[int, ...], index: int
) -> str | None:
    return None if draw.seed % 5 == 0 else hears(chance, draw, votes, index)


def several(chance: random.Random) -> tuple[int, ...]:
    """Clear clips and divided ones, each about a label of its own."""
    votes, top, clear = [0] * 6, chance.randrange(6), chance.choice([0.95, 0.8, 0.45])
    for _ in range(chance.choice([4, 6, 9])):
        votes[top if chance.random() < clear else chance.randrange(6)] += 1
    return tuple(votes)


def tied(chance: random.Random) -> tuple[int, ...]:
    return (2, 2, 2, 0, 0, 0)


def few(chance: random.Random) -> tuple[int, ...]:
    return chance.choice([(1, 0, 0, 0, 0, 0), (1, 1, 1, 0, 0, 0)])


STRATEGIES = (
    *("greedy", "cot", "bon", "w_bon", "alm_v", "w_alm_v", "majority_vote"),
    {"name": "best_of_12", "base": "alm_v", "decoding": "sample", "count": 12},
    {"name": "alm_v_rubric", "base": "alm_v", "scorer": "rubric"},
    {"name": "w_alm_v_listwise", "base": "w_alm_v", "scorer": "listwise"},
)
CONTROLS = ({"name": "shuffled_audio", "strategies": ["greedy"]},)


def written(
    folder: Path,
    says: World,
    votes: Callable[[random.Random], tuple[int, ...]],
    n: int,
    people: int,
    strategies: Iterable[str | dict] = STRATEGIES,
    controls: Iterable[dict] = CONTROLS,
) -> Path:
    """A bundle of made-up answers; its data/ folder."""
    cast = {}
    for number in range(n):
        clip = sha256(f"clip {number}".encode())
        cast[clip] = Utterance(
            f"u{number:03}",
            f"s{number % people}",
            "",
            "a.wav",
            clip,
            1.5,
            votes(random.Random(f"votes {number}")),
        )

    def answered(draw: Draw, labels: tuple[str, ...], mended: bool) -> Answer:
        made = []
        for index in range(draw.decoding.count):
            chance = random.Random(f"{draw.seed} {index}")
            text = says(chance, draw, cast[draw.audio_sha256].votes, index)
            if text is None:
                return Answer(draw.key, (), draw.decoding, failure="the engine gave up")
            likelihood = None if chance.random() < 0.05 else -chance.choice([1.0, 1.0, 2.0, 3.5])
            made.append(Candidate(text, len(text) // 4, likelihood, "stop"))
        return Answer(draw.key, tuple(made), draw.decoding)

    plan = real.plan(strategies=[*strategies], controls=[*controls])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real, "utterances", lambda *_: tuple(cast.values()))
        patch.setattr(real, "answered", answered)
        stands = real.expanded(plan, n)
        study = study_of(stands)
        gathered, answers = real.answers_of(stands, False)
        made = {
            **study_files(study),
            **answers,
            **real.derived(study, gathered),
            **input_files(stands, None),
            "log/run.log": real.RUN_LOG,
        }
        bag.write(folder, made | provenance(made), {})
    strip_foreign_cells(folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose model hears, so that claims and the ambiguity test are decided."""
    return written(tmp_path_factory.mktemp("hearing") / "bundle", hears, several, 45, 9)


def test_rubric_and_listwise_verifiers_have_their_own_scores_of_the_same_answers(
    hearing: Path,
) -> None:
    answers = hearing / "answers" / "tiny" / "tiny"
    plain = (answers / "direct.beam-3.jsonl.gz").read_bytes()
    for name in ("direct.beam-3.rubric", "direct.beam-3.listwise"):
        assert gzip.decompress((answers / f"{name}.jsonl.gz").read_bytes()) == gzip.decompress(
            plain
        )
        assert (hearing / "scores" / "tiny" / "tiny" / f"{name}.jsonl.gz").exists()
        assert {"concordance", "order_slope"} <= {
            row["quantity"] for row in rows(hearing, VERIFIER) if row["question"] == name
        }
    places = {
        row["question"]
        for row in rows(hearing, VERIFIER)
        if row["quantity"] in ("place_slope", "place_slope_js", "mean_score_at_place")
    }
    assert places == {"direct.beam-3.listwise"}
    assert {"verifier", "rubric", "listwise"} <= {
        row["prompt"] for row in rows(hearing, "tables/draws.csv")
    }


def test_a_listwise_score_that_is_another_candidate_s_is_found(
    hearing: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = Path(shutil.copytree(hearing, tmp_path / "data"))

    def swap(told: list[dict]) -> None:
        row = next(row for row in told if row.get("score") is not None)
        row["score"] = float((row["score"] + 1) % 11)

    rewrite(data / "scores" / "tiny" / "tiny" / "direct.beam-3.listwise.jsonl.gz", swap)
    describe_again(data)
    code, printed = run(data, capsys)
    assert code == 1
    assert "key score: found" in printed


def rows(data: Path, path: str) -> list[dict]:
    return list(csv.DictReader((data / path).read_text("utf-8").splitlines()))


def test_every_number_of_the_three_tables_is_made_again(
    hearing: Path, capsys: pytest.CaptureFixture
) -> None:
    code, printed = run(hearing, capsys)
    assert code == 0, printed
    for table in ("ambiguity.csv", "curves.csv", "claims.csv"):
        assert table not in printed
    # And there is something to make again.
    assert any(row["verdict"] != "NOT TESTED" for row in rows(hearing, AMBIGUITY))
    assert any(row["verdict"] not in ("NOT TESTED", "") for row in rows(hearing, CLAIMS))
    assert {"greedy", "linear_pool", "vote", "best_by_likelihood", "best_by_verifier"} == {
        row["method"] for row in rows(hearing, CURVES)
    }


WORLDS: dict[str, tuple[World, Callable[[random.Random], tuple[int, ...]], int, int]] = {
    #                   says             votes    clips, speakers
    "one speaker": (hears, several, 6, 1),
    "two speakers": (hears, several, 8, 2),
    "one utterance": (hears, several, 1, 1),
    "too few raters": (hears, few, 12, 4),
    "all candidates failed": (fails, several, 8, 4),
    "some draws failed": (sometimes_fails, several, 18, 6),
    "constant answers": (constant, several, 12, 4),
    "uniform answers": (uniform, several, 12, 4),
    "ties everywhere": (constant, tied, 12, 4),
    "everything tied and uniform": (uniform, tied, 12, 4),
}


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The bundle of a world, written once; nobody changes it."""
    return cache(lambda world: written(tmp_path_factory.mktemp("world") / "b", *WORLDS[world]))


@pytest.mark.parametrize("world", WORLDS)
def test_both_verifiers_agree_in_an_awkward_world(
    world: str, awkward: Callable[[str], Path], capsys: pytest.CaptureFixture
) -> None:
    code, printed = run(awkward(world), capsys)
    assert code == 0, printed


PLANS: dict[str, tuple[tuple[str | dict, ...], tuple[dict, ...]]] = {
    "without greedy": (("cot", "bon", "w_bon", "alm_v", "majority_vote", "linear_pool"), ()),
    "without greedy, a control of another": (
        ("cot", "bon", "linear_pool"),
        ({"name": "silence", "strategies": ["bon"]},),
    ),
    "greedy alone": (("greedy",), CONTROLS),
    "one candidate each": (("greedy", "cot"), ({"name": "silence"},)),
    "pools alone": (("linear_pool", "self_consistency"), ()),
    "without controls": (("greedy", "bon", "w_alm_v", "linear_pool"), ()),
}


@pytest.mark.parametrize("plan", PLANS)
def test_both_verifiers_agree_on_a_plan_of_another_shape(
    plan: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    strategies, controls = PLANS[plan]
    data = written(tmp_path / "bundle", sometimes_fails, several, 18, 6, strategies, controls)
    code, printed = run(data, capsys)
    assert code == 0, printed


@pytest.mark.parametrize("world", WORLDS)
def test_what_cannot_be_known_there_has_a_reason(
    world: str, awkward: Callable[[str], Path]
) -> None:
    data = awkward(world)
    for table in ("ambiguity", "claims", "curves", "floors", "gains", "paired", "verifier"):
        path = data / "tables" / f"{table}.csv"
        for row in rows(data, f"tables/{table}.csv") if path.exists() else ():
            assert not {"nan", "NaN", "None"} & set(row.values()), (table, row)
            numbers = [name for name in row if f"{name}_low" in row] or ["value", "difference"]
            empty = [name for name in numbers if row.get(name) == ""]
            if empty:
                assert row["reason"], (table, row)


def claim(**wanted: str) -> Callable[[list[dict]], dict]:
    """The first row of a table that has these values."""
    return lambda told: next(
        row for row in told if all(re.fullmatch(value, row[key]) for key, value in wanted.items())
    )


FORGERIES = [
    (CLAIMS, claim(id="E1a"), {"verdict": "HOLDS"}),
    (CLAIMS, claim(id="E1a"), {"verdict": "NOT TESTED"}),
    (CLAIMS, claim(id="E1a"), {"estimate": "0.111111"}),
    (CLAIMS, claim(id="E1a"), {"low": "0.000100"}),
    (CLAIMS, claim(id="E1a"), {"p_holm": "0.000100"}),
    (CLAIMS, claim(id="E1a"), {"flips": "40"}),
    (CLAIMS, claim(id="E1a"), {"sentence": "Test-time scaling beats everything"}),
    (CLAIMS, claim(id="E1a"), {"tolerance": "0.500000"}),
    (CLAIMS, claim(id="E1a"), {"n": "96"}),
    (CLAIMS, claim(id="C1a"), {"verdict": "HOLDS"}),
    (CLAIMS, claim(id="C1a"), {"reason": "the model was not shown to hear"}),
    (CURVES, claim(method="linear_pool", k="2"), {"js_divergence_bits": "0.000001"}),
    (CURVES, claim(method="linear_pool", k="inf"), {"brier": "0.000001"}),
    (CURVES, claim(method="linear_pool", k="inf"), {"js_divergence_bits_low": "0.000001"}),
    (CURVES, claim(method="vote", k="4"), {"same_draws": "-0.400000"}),
    (CURVES, claim(method="vote", k="4"), {"same_draws_k": "2"}),
    (CURVES, claim(method="best_by_verifier", k="2"), {"brier_high": "0.000001"}),
    (CURVES, claim(method="best_by_verifier", k="2"), {"tokens": "1.000000"}),
    (CURVES, claim(method="best_by_likelihood", k="4"), {"dollars_per_1000_clips": "0.100000"}),
    (CURVES, claim(pareto="no"), {"pareto": "yes"}),
    (AMBIGUITY, claim(verdict="NOT SHOWN"), {"verdict": "HOLDS"}),
    (AMBIGUITY, claim(verdict="NOT SHOWN"), {"verdict": "NOT TESTED"}),
    (AMBIGUITY, claim(verdict="NOT SHOWN"), {"share_removed_against_tempered": "0.900000"}),
    (AMBIGUITY, claim(verdict="NOT SHOWN"), {"gain_against_tempered_low": "0.900000"}),
    (AMBIGUITY, claim(verdict="NOT SHOWN"), {"overall_gain_against_tempered_p": "0.000010"}),
    (VERIFIER, claim(quantity="place_slope"), {"value": "-1.000000"}),
    (VERIFIER, claim(quantity="place_slope"), {"low": "-1.000000"}),
    (VERIFIER, claim(quantity="place_slope_js"), {"high": "1.000000"}),
    (VERIFIER, claim(quantity="mean_score_at_place", candidate="2"), {"value": "9.000000"}),
]


def rounds() -> dict[str, list[tuple[Callable[[list[dict]], dict], str, str]]]:
    """The forgeries in as few bundles as can have them: one table each, no cell twice in one."""
    made: dict[str, list[tuple[Callable[[list[dict]], dict], str, str]]] = {}
    for path, which, forged in FORGERIES:
        ((column, value),) = forged.items()
        number = 1
        while any(one[1] == column for one in made.get(f"{path} {number}", ())):
            number += 1
        made.setdefault(f"{path} {number}", []).append((which, column, value))
    return made


@pytest.mark.parametrize("name", rounds())
def test_every_forged_conclusion_is_found_by_it_alone(
    hearing: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    data = Path(shutil.copytree(hearing, tmp_path / "data"))
    path, expected = name.split()[0], []

    def change(told: list[dict]) -> None:
        chosen = [(which(told), column, value) for which, column, value in rounds()[name]]
        for row, column, value in chosen:
            assert row[column] != value
            row[column] = value
            expected.append(f"{path}, line {told.index(row) + 2}, column {column}: found ")

    rewrite_csv(data / path, change)
    describe_again(data)
    code, printed = run(data, capsys)
    assert code == 1, printed
    assert [one for one in expected if one not in printed] == [], printed


@pytest.mark.parametrize("path", [AMBIGUITY, CURVES, CLAIMS])
def test_a_row_that_was_left_out_is_found(
    hearing: Path, tmp_path: Path, capsys: pytest.CaptureFixture, path: str
) -> None:
    data = Path(shutil.copytree(hearing, tmp_path / "data"))
    rewrite_csv(data / path, lambda told: told[:-1])
    describe_again(data)
    code, printed = run(data, capsys)
    assert code == 1
    assert f"{path}: found no row for " in printed


def test_a_claim_that_was_changed_after_the_run_is_found(
    hearing: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = Path(shutil.copytree(hearing, tmp_path / "data"))
    path = data / "config" / "claims.yaml"
    path.write_text(path.read_text("utf-8").replace("tolerance: 0.005", "tolerance: 0.5", 1))
    describe_again(data)
    code, printed = run(data, capsys)
    assert code == 1
    assert "claims_sha256" in printed


# --- one part at a time --------------------------------------------------------------------------


def test_it_reads_the_claims_as_yaml_does() -> None:
    text = packaged().decode("utf-8")
    assert shipped.ClaimsReader(text).read() == yaml.safe_load(text)


@pytest.mark.parametrize(
    "line",
    [
        "a: &anchor b",
        "a: [b, {c: d]",
        "a: [b, c",
        "a: {b, c}",
        "a: {b: c, b: d}",
        "a: [b] c",
        "a: yes",
        "a: [on]",
        "a: .5",
        "a: 0x10",
        "a: 2026-01-01",
        "a: b # comment",
        "a: !tag b",
        "- a",
        "",
    ],
)
def test_it_refuses_yaml_that_it_might_read_otherwise(line: str) -> None:
    with pytest.raises(shipped.Broken):
        shipped.ClaimsReader(line).read()


shares = st.lists(st.sampled_from([0.0, 0.0, 0.1, 0.25, 0.5, 1.0, 1 / 3]), min_size=4, max_size=4)
distributions = shares.filter(any).map(lambda row: [one / sum(row) for one in row])
votes = st.lists(st.integers(0, 4), min_size=4, max_size=4).filter(any)


@given(st.lists(st.tuples(st.integers(0, 6), votes, distributions), min_size=2, max_size=12))
def test_it_tempers_as_the_package_does(drawn: list) -> None:
    people = [f"speaker {one}" for one, _, _ in drawn]
    if len(set(people)) < 2:
        return
    expected = tempered([v for _, v, _ in drawn], [p for _, _, p in drawn], people)
    names = sorted(set(people))
    told = [
        (names.index(person), shipped.truth_of(v), tuple(p))
        for person, (_, v, p) in zip(people, drawn, strict=True)
    ]
    assert np.allclose(shipped.tempered(told, names), expected, rtol=0, atol=1e-9)


@given(
    votes,
    st.lists(
        st.tuples(distributions, st.sampled_from([0.0, 1.0, 2.0, 3.0])), min_size=1, max_size=10
    ),
)
def test_its_curves_are_the_package_s(cast: list[int], told: list) -> None:
    truth, answers = shipped.Truth(cast, 1), [tuple(row) for row, _ in told]
    scores = [score for _, score in told]
    pool = np.array([answers])
    share = np.array([truth.shares])
    linear, (best,) = pool_and_best(share, pool, [np.array([scores])])
    voted = vote(share, pool)
    question = SimpleNamespace(kind="sample", count=len(answers), judged=0, name="x")
    curves = shipped.Curves(question)
    given_rows = [tuple(shipped.vote(row)) for row in answers]
    for expected, rows_of, by in (
        (linear, answers, None),
        (best, answers, scores),
        (voted, given_rows, None),
    ):
        found, ks = curves._curve(truth, rows_of, by, len(answers))
        assert set(found) == set(expected.js)
        for k, (js, brier) in found.items():
            assert js == pytest.approx(float(expected.js[k][0]), abs=1e-9)
            assert brier == pytest.approx(float(expected.brier[k][0]), abs=1e-9)
        if len(ks) > 1:
            limit = shipped.limit_of(*zip(*[(js, k) for k, js in ks], strict=True))
            assert limit == pytest.approx(float(expected.js_limit[0]), abs=1e-9)
    if len(answers) > 1:
        a, _ = shipped.brier_line(truth, answers)
        assert a == pytest.approx(float(brier_pool_curve(share, pool).a[0]), abs=1e-9)


@pytest.fixture(scope="module")
def worlds() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCH))
    try:
        spec = importlib.util.spec_from_file_location("claims_worlds", BENCH / "claims_worlds.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["claims_worlds"] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCH))


def decided_by_it(evidence: Evidence) -> tuple[shipped.Evidence, list[shipped.Decided]]:
    """What the shipped verifier decides from the same votes and predictions."""
    corpora = {}
    for name, panel in evidence.panels.items():
        corpora[name] = own = shipped.Corpus(name, list("abcd"), panel.unit)
        cast = zip(panel.votes.astype(int).tolist(), panel.clusters, strict=True)
        for number, (counts, speaker) in enumerate(cast):
            row = dict.fromkeys(("corpus", "id", "speaker", "cluster", "audio_sha256"), "")
            row |= {"id": f"u{number:05}", "speaker": speaker, "duration_s": 1.0}
            own.add(row | {"votes": counts, "truth_source": "votes"}, "a row")
        own.finish({"rule": "bits", "thresholds": {"medium_from": 0.5, "high_from": 1.0}})
    keys = sorted({key[:3] for key in evidence.predicted if not key.role})
    study = SimpleNamespace(
        corpora=corpora,
        cells=[(model, corpus, SimpleNamespace(name=name), "none") for corpus, model, name in keys],
        plan={
            "corpora": [{"id": name, "limit": None} for name in corpora],
            "models": [{"id": one, "engine": ""} for one in sorted({key[1] for key in keys})],
        },
        run={"limit": None, "missing": []},
        strategies={},
    )
    book = shipped.Book(packaged().decode("utf-8"))
    made = shipped.Evidence(study, book)
    for key, predicted in sorted(evidence.predicted.items()):
        if key in made.wanted:
            made.take(corpora[key.corpus], tuple(key), predicted.tolist())
            if key[2:] == ("greedy", ""):
                made.temper(corpora[key.corpus], tuple(key), predicted.tolist())
    return made, shipped.decide(made)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("C1c.bon", "C2a", "C3b", "C4b")]


@pytest.mark.parametrize("name", ["C2b", "C3a", "C4a", *SLOW])
def test_it_decides_every_claim_about_the_paper_as_the_package_does(
    worlds: ModuleType, name: str
) -> None:
    """All 34 claims, eight models and three corpora: estimate, interval, p, Holm, verdict, flips."""
    made = worlds.world(
        worlds.PLANTS[name][1],
        "second verifier",
        name,
        per_speaker=8,
        speakers={"iemocap": 6, "msp-podcast": 7, "crema-d": 9},
    )
    evidence = Evidence(made.panels, made.predicted)
    ours, decided = decided_by_it(evidence)
    for at, (row, one) in enumerate(
        zip(claim_rows(claims(), evidence, worlds.RUN), decided, strict=True)
    ):
        outcome = one.outcome
        main = outcome.main if outcome else shipped.Estimate(shipped.NAN)
        verdict, why = "NOT TESTED", one.why
        if outcome:
            verdict, why = shipped.RULES[one.claim.rule](one.claim, outcome, one.p)
        assert (row["id"], row["verdict"]) == (one.claim.id, verdict)
        assert why in row["reason"]
        assert (row["n"], row["clusters"]) == (main.n, main.people)
        for key, value in {
            "estimate": main.value,
            "low": main.low,
            "high": main.high,
            "p": outcome.p if outcome else shipped.NAN,
            "p_holm": one.p,
            "g_eff": main.effective,
        }.items():
            assert value == pytest.approx(row[key], abs=TABLE, nan_ok=True), (row["id"], key)
        if outcome:
            tried = shipped.Flips(decided, at, ours)
            if row["flips_kind"] == "never":
                assert not any(tried.changes(None)), row["id"]
            else:
                count = int(row["flips"])
                enough = tried.changes(count)
                fewer = tried.changes(count - 1) if count > 1 else [False] * len(enough)
                assert (True, False) in set(zip(enough, fewer, strict=True)), row["id"]
