"""Claims: what is decided, what is refused and why, and how often the procedure is wrong."""

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from ambiemo.errors import BadInput
from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.metrics.jackknife import jackknife
from ambiemo.metrics.signflip import sign_flip
from ambiemo.results.claims.deciding import NOT_TESTED, RULES, Run, claim_rows, decide
from ambiemo.results.claims.estimators import ESTIMATORS, combined
from ambiemo.results.claims.evidence import Evidence, Key, Panel, uniform_where_failed
from ambiemo.results.claims.reading import claims, packaged, read
from ambiemo.results.claims_rendering import claims_table

ROOT = Path(__file__).resolve().parent.parent
TINY = Run(corpora=("tiny",))
SCALED = ("cot", "bon", "w_bon", "alm_v", "w_alm_v")


def bench(name):
    folder = ROOT / "reproduce" / "bench"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def worlds():
    return bench("claims_worlds")


def tiny(gain=0.0, pool=0.0, speakers=12, per=8, raters=9, number=0, blur=0.8) -> Evidence:
    """A run of the embedded corpus: strategies go a share of the way to the truth."""
    r = np.random.default_rng([number, speakers, per])
    n = speakers * per
    true = r.dirichlet(np.full(4, 0.8), n) * 0.96 + 0.01
    votes = r.multinomial(raters, true).astype(float)
    panel = Panel(
        votes,
        votes / votes.sum(axis=1, keepdims=True),
        tuple(f"s{one // per:02}" for one in range(n)),
    )

    def answers(share, of=true):
        noisy = of * np.exp(blur * r.standard_normal(of.shape))
        noisy /= noisy.sum(axis=1, keepdims=True)
        return noisy + share * (of - noisy)

    predicted = {
        Key("tiny", "tiny", "greedy"): answers(0.0),
        Key("tiny", "tiny", "greedy", "shuffled_audio"): answers(0.0, true[:, ::-1]),
    }
    for strategy in SCALED:
        predicted[Key("tiny", "tiny", strategy)] = answers(gain)
        predicted[Key("tiny", "tiny", strategy, "pool")] = answers(pool)
    return Evidence({"tiny": panel}, predicted)


def decided(evidence, run=TINY):
    return {one.claim.id: one for one in decide(claims(), evidence, run)}


def changed(evidence, **predicted):
    """The same evidence with other answers of some strategies."""
    keys = {Key("tiny", "tiny", name): answers for name, answers in predicted.items()}
    return Evidence(evidence.panels, dict(evidence.predicted) | keys)


# The file


def test_reproduce_claims_yaml_is_the_file_that_ships() -> None:
    assert (ROOT / "reproduce" / "claims.yaml").read_bytes() == packaged()


def test_every_published_number_is_a_claim_and_no_other_is() -> None:
    import csv

    with (ROOT / "reproduce" / "published.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    value = {(row["corpus"], row["strategy"], row["metric"]): float(row["value"]) for row in rows}
    levels, gains = {}, {}
    for claim in claims().claims:
        if claim.published is not None:
            (place,) = claims().places(claim)
            metric = claim.id.split(".")[-2]
            side = levels if claim.rule == "published_level" else gains
            side[place.corpus, place.strategy, metric] = claim.published
            assert place.model == "qwen2-audio-7b"
            assert claim.grade == "S"
    assert levels == value
    assert gains.keys() == {name for name in value if name[1] != "greedy"}
    for (corpus, strategy, metric), gain in gains.items():
        assert gain == pytest.approx(
            value[corpus, strategy, metric] - value[corpus, "greedy", metric], abs=1e-9
        )


def test_every_rule_and_estimator_is_used_and_has_words() -> None:
    book = claims()
    assert {claim.estimator for claim in book.claims} == set(ESTIMATORS)
    assert {claim.rule for claim in book.claims} == set(RULES) == set(book.rules)


def test_no_claim_about_the_paper_looks_at_the_embedded_corpus_or_the_other_way() -> None:
    for claim in claims().claims:
        corpora = {place.corpus for place in claims().places(claim)}
        assert (corpora == {"tiny"}) == (claim.about == "embedded")
        assert ("embedded corpus" in claim.sentence) == (claim.about == "embedded")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("tolerence", 1, "claim C1a.tolerence: unknown key"),
        (
            "estimator",
            "mean_gian",
            "claim C1a: estimator 'mean_gian' is unknown; did you mean 'mean_gain'?",
        ),
        ("rule", "vibes", "claim C1a: rule 'vibes' is unknown"),
        ("family", "mine", "claim C1a: family 'mine' is unknown"),
        ("metric", "wer", "claim C1a: metric 'wer' is unknown"),
        ("id", "C1b", "claim C1b: found the id twice"),
        (
            "cells",
            [{"models": ["gpt-9"], "corpora": ["tiny"], "strategies": ["cot"]}],
            "model 'gpt-9' is unknown",
        ),
        ("tolerance", "much", "claim C1a.tolerance: "),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_claim(key, value, said) -> None:
    content = yaml.safe_load(packaged())
    content["claims"][0][key] = value
    with pytest.raises(BadInput) as caught:
        read(yaml.safe_dump(content).encode(), "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("data", [b"claims: [", b"- 1", b"\xff"])
def test_a_file_that_is_no_yaml_is_one_line(data) -> None:
    with pytest.raises(BadInput, match=r"^mine\.yaml: [^\n]*$"):
        read(data, "mine.yaml")


# Numbers


def test_the_gain_of_one_corpus_is_the_jackknife_and_the_sign_flip() -> None:
    evidence = tiny(gain=0.2)
    panel = evidence.panels["tiny"]
    js = [
        js_divergence_bits(panel.truth, evidence.predicted[Key("tiny", "tiny", one)])
        for one in ("greedy", *SCALED)
    ]
    d = js[0] - np.mean(js[1:], axis=0)
    expected = jackknife(
        np.stack([d, np.ones(len(d))], axis=1), panel.clusters, lambda s: s[..., 0] / s[..., 1]
    )
    sums = [d[np.array(panel.clusters) == name].sum() for name in sorted(set(panel.clusters))]
    found = decided(evidence)["E1a"].outcome
    assert found.main.value == pytest.approx(expected.value, abs=1e-12)
    assert (found.main.low, found.main.high) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )
    assert found.p == sign_flip(sums)


def test_corpora_weigh_the_same_however_large() -> None:
    r = np.random.default_rng(1)
    parts = []
    for n, value in ((40, 1.0), (400, 3.0)):
        column = np.stack([value + r.standard_normal(n), np.ones(n)], axis=1)
        parts.append(
            jackknife(column, [f"{one % 10}" for one in range(n)], lambda s: s[..., 0] / s[..., 1])
        )
    both = combined(parts)
    assert both.value == pytest.approx((parts[0].value + parts[1].value) / 2)
    assert both.se == pytest.approx(math.hypot(parts[0].se, parts[1].se) / 2)
    assert 9 < both.effective - 1 < 18
    assert both.n == 440


def test_the_shown_verdicts_of_one_planted_run() -> None:
    found = decided(tiny(gain=0.6))
    assert found["E1a"].verdict == "HOLDS"
    assert {found[f"E1c.{one}"].verdict for one in SCALED[1:]} == {"HOLDS"}
    assert found["E2b"].verdict == "NOT REPRODUCED"
    assert {one.verdict for name, one in found.items() if not name.startswith("E")} == {NOT_TESTED}


def test_a_gain_that_is_all_averaging_is_not_choice() -> None:
    evidence = tiny(gain=0.6)
    pools = {
        key: evidence.predicted[key._replace(role="")] if key.role == "pool" else answers
        for key, answers in evidence.predicted.items()
    }
    found = decided(Evidence(evidence.panels, pools))
    assert found["E1a"].verdict == "HOLDS"
    assert {found[f"E1c.{one}"].verdict for one in SCALED[1:]} == {"NOT REPRODUCED"}


# Flips


def test_the_flip_budget_is_what_it_says() -> None:
    evidence = tiny(gain=0.6)
    row = next(row for row in claim_rows(claims(), evidence, TINY) if row["id"] == "E1c.bon")
    assert row["verdict"] == "HOLDS"
    assert row["flips_kind"] == "bound"
    panel, key = evidence.panels["tiny"], Key("tiny", "tiny", "bon")
    now = js_divergence_bits(panel.truth, evidence.predicted[key])
    worst = np.eye(4)[panel.truth.argmin(axis=1)]
    order = np.argsort(-(js_divergence_bits(panel.truth, worst) - now), kind="stable")
    verdicts = []
    for count in (int(row["flips"]) - 1, int(row["flips"])):
        answers = evidence.predicted[key].copy()
        answers[order[:count]] = worst[order[:count]]
        verdicts.append(decided(changed(evidence, bon=answers))["E1c.bon"].verdict)
    assert verdicts[0] == "HOLDS"
    assert verdicts[1] != "HOLDS"


def test_one_answer_is_exact_and_no_answer_has_none() -> None:
    rows = {row["id"]: row for row in claim_rows(claims(), tiny(gain=0.1), TINY)}
    for row in rows.values():
        tested = row["verdict"] != NOT_TESTED
        assert (row["flips_kind"] != "") == tested
        assert (row["flips_kind"] == "exact") == (row["flips"] == 1)


# What a run may say


def test_a_run_that_is_not_whole_decides_nothing() -> None:
    found = decided(tiny(gain=0.6), replace(TINY, partial="limited to 5 utterances per corpus"))
    assert {one.verdict for one in found.values()} == {NOT_TESTED}
    assert found["E1a"].reason == "not a whole run: limited to 5 utterances per corpus"


def test_the_embedded_corpus_says_nothing_about_the_paper() -> None:
    found = decided(tiny(gain=0.6))
    assert "embedded corpus only" in found["C1a"].reason


def test_a_missing_cell_is_named() -> None:
    evidence = tiny(gain=0.6)
    predicted = {key: one for key, one in evidence.predicted.items() if key.strategy != "alm_v"}
    found = decided(Evidence(evidence.panels, predicted))
    assert found["E1a"].verdict == found["E1c.alm_v"].verdict == NOT_TESTED
    assert found["E1a"].reason == "1 of 5 cells are missing: tiny × tiny × alm_v"
    assert found["E1a"].missing == 1
    assert found["E1c.bon"].verdict == "HOLDS"


def test_a_claim_that_is_not_tested_still_counts_in_its_family() -> None:
    evidence = tiny(gain=0.3)
    predicted = {key: one for key, one in evidence.predicted.items() if key.strategy != "alm_v"}
    whole, less = decided(evidence), decided(Evidence(evidence.panels, predicted))
    assert less["E1c.bon"].p_holm >= whole["E1c.bon"].outcome.p * 3


def test_a_model_that_does_not_hear_decides_nothing() -> None:
    evidence = tiny(gain=0.6)
    deaf = dict(evidence.predicted)
    deaf[Key("tiny", "tiny", "greedy", "shuffled_audio")] = deaf[Key("tiny", "tiny", "greedy")]
    found = decided(Evidence(evidence.panels, deaf))
    assert {one.verdict for one in found.values()} == {NOT_TESTED}
    assert "not shown to hear" in found["E1a"].reason
    del deaf[Key("tiny", "tiny", "greedy", "shuffled_audio")]
    assert "has no control" in decided(Evidence(evidence.panels, deaf))["E1a"].reason


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (Run(corpora=("crema-d",), stand_ins=("qwen2-audio-7b",)), "the engine null did"),
        (Run(corpora=("crema-d",), renamed=("w_bon",)), "another strategy under this name"),
        (Run(corpora=("crema-d",)), "cells are missing"),
    ],
)
def test_what_is_not_the_paper_is_refused(run, said) -> None:
    rows = {one.claim.id: one for one in decide(claims(), Evidence({}, {}), run)}
    assert rows["P.crema-d.w_bon.accuracy.gain"].verdict == NOT_TESTED
    assert said in rows["P.crema-d.w_bon.accuracy.gain"].reason
    assert not any(name.startswith("E") for name in rows)


# Bad data


def reasons(evidence):
    rows = claim_rows(claims(), evidence, TINY)
    for row in rows:
        assert row["verdict"] in (
            "HOLDS",
            "WITHIN TOLERANCE",
            "NOT REPRODUCED",
            "NOT SHOWN",
            NOT_TESTED,
        )
        assert row["reason"]
        assert (row["verdict"] == NOT_TESTED) == math.isnan(row["estimate"])
    return {
        row["id"]: (row["verdict"], row["reason"]) for row in rows if row["about"] == "embedded"
    }


def test_one_speaker() -> None:
    found = reasons(tiny(gain=0.4, speakers=1, per=40))
    assert {verdict for verdict, _ in found.values()} == {NOT_TESTED}


@pytest.mark.parametrize(("speakers", "per"), [(1, 1), (2, 1), (2, 8), (3, 1)])
def test_few_speakers_and_few_clips(speakers, per) -> None:
    found = reasons(tiny(gain=0.4, speakers=speakers, per=per))
    assert "HOLDS" not in {verdict for verdict, _ in found.values()}


def test_all_predictions_failed() -> None:
    evidence = tiny(gain=0.6)
    made = {}
    for key, answers in evidence.predicted.items():
        lost = np.full(answers.shape, np.nan) if key.strategy != "greedy" else answers
        made[key], failed = uniform_where_failed(lost)
        assert failed == (len(answers) if key.strategy != "greedy" else 0)
    found = reasons(Evidence(evidence.panels, made))
    assert found["E1a"][0] == "NOT REPRODUCED"
    assert found["E2b"][0] == "HOLDS"
    assert found["E1c.bon"][0] == "NOT REPRODUCED"  # uniform against a uniform pool: 0 everywhere


def test_constant_predictions_and_the_same_prediction_everywhere() -> None:
    evidence = tiny()
    one = np.tile([0.4, 0.3, 0.2, 0.1], (96, 1))
    same = dict.fromkeys(evidence.predicted, one)
    assert {verdict for verdict, _ in reasons(Evidence(evidence.panels, same)).values()} == {
        NOT_TESTED
    }  # not heard
    constant = {
        key: answers if key.strategy == "greedy" else one
        for key, answers in evidence.predicted.items()
    }
    found = reasons(Evidence(evidence.panels, constant))
    assert found["E1c.bon"][0] == "NOT REPRODUCED"


def test_votes_that_are_shares_cannot_be_split() -> None:
    evidence = tiny(gain=0.6)
    panel = evidence.panels["tiny"]
    halves = Panel(panel.votes + 0.5, panel.truth, panel.clusters)
    found = reasons(Evidence({"tiny": halves}, evidence.predicted))
    assert found["E1b"] == (
        NOT_TESTED,
        "0% of the clips have 4 or more raters with one vote each; at least 80% must",
    )
    assert found["E4b"][0] == NOT_TESTED
    assert found["E1a"][0] == "HOLDS"


def test_ties_everywhere() -> None:
    evidence = tiny(gain=0.3)
    panel = evidence.panels["tiny"]
    tied = Panel(np.full(panel.votes.shape, 2.0), np.full(panel.votes.shape, 0.25), panel.clusters)
    reasons(Evidence({"tiny": tied}, evidence.predicted))


def test_claims_that_are_refused_for_one_reason_share_a_line() -> None:
    rows = claim_rows(claims(), tiny(gain=0.6), TINY)
    table = claims_table(rows)
    assert table[1][0].startswith("C1a to P.")
    assert len(table) == 1 + 1 + sum(row["about"] == "embedded" for row in rows)
    assert claims_table([]) == []


# How often it is wrong


def test_where_nothing_differs_hardly_any_claim_about_the_embedded_corpus_holds() -> None:
    """100 worlds. The model's skill does fall with ambiguity in them, so E4b is left out."""
    held = 0
    for number in range(100):
        found = decided(tiny(number=number, per=4))
        held += any(one.verdict == "HOLDS" for name, one in found.items() if name != "E4b")
    assert held <= 11  # 5 % and three times its error


SMALL = {"iemocap": 4, "msp-podcast": 6, "crema-d": 6}


@pytest.mark.parametrize("kind", ["N1", "N2", "N3", "N4", "N5"])
def test_nulls_of_the_papers_design_hold_hardly_ever(worlds, kind) -> None:
    """Four worlds each, for the machinery: reproduce/bench/false_positives.py measures the
    rates.
    """
    assert sum(bool(worlds.null(kind, number, SMALL)) for number in range(4)) <= 1


@pytest.mark.parametrize("name", ["C1a", "C1c.bon", "C2a", "C3a", "C4a"])
def test_what_was_planted_is_found(worlds, name) -> None:
    made = worlds.world(worlds.PLANTS[name][1], "plant", name, per_speaker=24)
    assert name in worlds.verdicts(made, "HOLDS")


def test_the_ratio_of_spreads_is_what_was_planted(worlds) -> None:
    claim = next(one for one in claims().claims if one.id == "C3b")
    made = worlds.world(worlds.PLANTS["C3b"][1], "c3b", 0, per_speaker=16)
    found = ESTIMATORS["spread_ratio"](claims().places(claim), claim, made)
    assert [one.low < math.log(0.3 / 0.9) < one.high for one in found.parts] == [True, True]
    assert RULES["everywhere"](claim, found, found.p)[0] == "HOLDS"
