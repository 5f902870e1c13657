"""The strategies: each formula against a value computed by hand, and what no order may change."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.spatial.distance import jensenshannon

from ambiemo.errors import BadInput
from ambiemo.labels import entropy_bits
from ambiemo.metrics.distribution import kl_nats
from ambiemo.results.predictions import rounded
from ambiemo.strategies import (
    AGGREGATORS,
    SCORERS,
    STRATEGIES,
    Beam,
    Forced,
    Greedy,
    Sample,
    Strategy,
    aggregator,
    scorer,
    strategy,
)
from ambiemo.strategies.aggregators import best, dirichlet_mixture, only, vote_share, weighted_mean
from ambiemo.strategies.baselines import (
    BASELINES,
    prior,
    prior_one_hot,
    prior_without_speaker,
    uniform,
)
from ambiemo.strategies.candidates import PER_CANDIDATE, Candidates
from ambiemo.strategies.collecting import Collected
from ambiemo.strategies.predict import Predictions, Settings, predict
from ambiemo.strategies.weights import exact_sum, proportional, softmax

NAN = float("nan")
UNPARSED = [NAN] * 3
A, B, C = [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]
LIKELIHOODS, TOKENS, SCORES = [-2.0, -3.0, -6.0], [1, 6, 6], [2.0, 3.0, 5.0]
"""A is the likeliest as a whole, B per token (-2, -1/2, -1), C has the verifier's best score."""


def rows(*candidates: list[float]) -> np.ndarray:
    return np.array(candidates, dtype=float)


def one_draw(
    distributions: list,
    likelihoods: list = LIKELIHOODS,
    tokens: list = TOKENS,
    scores: list = SCORES,
) -> Candidates:
    """The candidates of a single draw; None for a distribution that did not parse."""
    labels = next((len(one) for one in distributions if one is not None), 3)
    collected = Collected(max(len(distributions), 1), labels)
    size = len(distributions)
    collected.answered(distributions, likelihoods[:size], tokens[:size], scores[:size])
    return collected.columns()


def predicted(row: Strategy, asked: Candidates, chosen: Settings | None = None) -> list[float]:
    (shares,) = predict(row, asked, chosen or Settings()).distributions.tolist()
    return shares


def row_of(scored: str, combined: str, **own: Any) -> Strategy:
    """The strategy of this scorer and this aggregator, with as many candidates as it takes."""
    decoding = Greedy() if combined == "only" else Beam(3)
    return Strategy("x", "direct", decoding, SCORERS.get(scored), AGGREGATORS[combined], **own)


def mixed(weights: list[float], parts: tuple[list[float], ...] = (A, B, C)) -> list[float]:
    """Weighted mean in plain Python; the weights need not sum to 1."""
    total = sum(weights)
    return [sum(w * p[k] for w, p in zip(weights, parts, strict=True)) / total for k in range(3)]


def smoothed(c: float, e: float) -> tuple[list[float], ...]:
    """Means of the components Dir(c p + e) of A, B and C."""
    return tuple([(c * share + e) / (c + 3 * e) for share in one] for one in (A, B, C))


# --- the product: every scorer with every aggregator ---

BY_SUM = [math.exp(-2 / 2), math.exp(-3 / 2), math.exp(-6 / 2)]  # tau 2
BY_MEAN = [math.exp(-2 / 2), math.exp(-0.5 / 2), math.exp(-1 / 2)]
HAND = {
    ("likelihood", "best"): A,
    ("mean_likelihood", "best"): B,
    ("verifier", "best"): C,
    ("likelihood", "weighted_mean"): mixed(BY_SUM),
    ("mean_likelihood", "weighted_mean"): mixed(BY_MEAN),
    ("verifier", "weighted_mean"): [0.32, 0.43, 0.25],  # .2 A + .3 B + .5 C
    ("likelihood", "dirichlet_mixture"): mixed(BY_SUM, smoothed(4, 0.5)),
    ("mean_likelihood", "dirichlet_mixture"): mixed(BY_MEAN, smoothed(4, 0.5)),
    ("verifier", "dirichlet_mixture"): mixed(SCORES, smoothed(4, 0.5)),
    ("none", "only"): A,
    ("none", "linear_pool"): [1.1 / 3, 1.3 / 3, 0.6 / 3],
    ("none", "vote_share"): [1 / 3, 1 / 3, 1 / 3],
}
HAND |= {
    (other, name): found
    for other in ("rubric", "listwise")  # the same number, asked for in another way
    for (one, name), found in HAND.items()
    if one == "verifier"
}

REFUSED = {
    **{
        (one, name): f"{name} reads no scores, so the scorer {one} would be paid for nothing"
        for one in SCORERS
        for name in ("only", "linear_pool", "vote_share")
    },
    ("none", "best"): "best reads scores, and there is no scorer",
    ("none", "weighted_mean"): "weighted_mean reads weights, and there is no scorer",
    ("none", "dirichlet_mixture"): "dirichlet_mixture reads weights, and there is no scorer",
}


@pytest.mark.parametrize("pair", HAND, ids="-".join)
def test_every_allowed_pair_gives_what_a_hand_computes(pair: tuple) -> None:
    asked = one_draw([A] if pair[1] == "only" else [A, B, C])
    found = predicted(row_of(*pair), asked, Settings(tau=2.0, concentration=4.0, epsilon=0.5))
    assert found == pytest.approx(HAND[pair], abs=1e-12)


@pytest.mark.parametrize("pair", REFUSED, ids="-".join)
def test_every_other_pair_is_refused_with_its_reason(pair: tuple) -> None:
    with pytest.raises(BadInput, match=f"^strategy 'x': {REFUSED[pair]}"):
        row_of(*pair)


def test_every_pair_of_the_tables_is_either_allowed_or_refused() -> None:
    every = {(one, name) for one in (*SCORERS, "none") for name in AGGREGATORS}
    assert HAND.keys() | REFUSED.keys() == every
    assert not HAND.keys() & REFUSED.keys()


def test_best_by_mean_likelihood_is_not_best_by_the_plain_sum() -> None:
    asked = one_draw([A, B, C])
    assert predicted(row_of("mean_likelihood", "best"), asked) == pytest.approx(B)
    assert predicted(row_of("likelihood", "best"), asked) == pytest.approx(A)


def test_the_fewer_candidates_count_where_one_of_them_did_not_parse() -> None:
    without_b = one_draw([A, None, C])
    assert predicted(row_of("mean_likelihood", "best"), without_b) == pytest.approx(C)
    assert predicted(row_of("none", "linear_pool"), without_b) == pytest.approx([0.5, 0.25, 0.25])
    assert predicted(row_of("none", "vote_share"), without_b) == pytest.approx([0.5, 0, 0.5])
    pooled = predicted(row_of("verifier", "weighted_mean"), without_b)
    assert pooled == pytest.approx([2.9 / 7, 1.9 / 7, 2.2 / 7])  # 2 A + 5 C


# --- numbers of a strategy's own ---


@pytest.mark.parametrize("combined", ["weighted_mean", "dirichlet_mixture"])
@pytest.mark.parametrize("scored", ["likelihood", "mean_likelihood"])
def test_a_strategy_s_own_tau_takes_the_place_of_the_plan_s(scored: str, combined: str) -> None:
    asked = one_draw([A, B, C])
    own = predicted(row_of(scored, combined, tau=0.3), asked, Settings(tau=50.0))
    assert own == predicted(row_of(scored, combined), asked, Settings(tau=0.3))
    assert own != predicted(row_of(scored, combined), asked, Settings(tau=50.0))


def test_a_strategy_s_own_concentration_and_epsilon_take_the_place_of_the_plan_s() -> None:
    asked, plans = one_draw([A, B, C]), Settings(concentration=3.0, epsilon=2.0)
    own = row_of("verifier", "dirichlet_mixture", concentration=4.0, epsilon=0.5)
    assert predicted(own, asked, plans) == pytest.approx(HAND["verifier", "dirichlet_mixture"])
    only_c = row_of("verifier", "dirichlet_mixture", concentration=4.0)
    assert predicted(only_c, asked, plans) == pytest.approx(mixed(SCORES, smoothed(4, 2)))


@pytest.mark.parametrize(
    ("pair", "own", "reason"),
    [
        (("likelihood", "best"), {"tau": 1.0}, "found tau, which only softmax weights use"),
        (("verifier", "weighted_mean"), {"tau": 1.0}, "found tau, which only softmax weights use"),
        (("verifier", "dirichlet_mixture"), {"tau": 1.0}, "found tau, which only softmax weights"),
        (("none", "linear_pool"), {"tau": 1.0}, "found tau, which only softmax weights use"),
        (("likelihood", "best"), {"epsilon": 1.0}, "epsilon, which best does not use; remove it"),
        (("likelihood", "weighted_mean"), {"concentration": 1.0}, "which weighted_mean does not"),
        (("none", "vote_share"), {"concentration": 1.0}, "which vote_share does not use"),
    ],
)
def test_a_number_that_nothing_would_use_is_refused(pair: tuple, own: dict, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        row_of(*pair, **own)


@pytest.mark.parametrize(
    ("prompt", "decoding", "scored", "combined", "reason"),
    [
        ("direct", Beam(2), None, "only", "found count 2, expected 1: the aggregator 'only' takes"),
        ("direct", replace(Greedy(), count=5), "likelihood", "best", "5 equal answers would be"),
        (
            "direct",
            Forced(),
            "likelihood",
            "weighted_mean",
            "found prompt direct with decoding forc",
        ),
        ("label", Beam(3), "likelihood", "weighted_mean", "found prompt label with decoding beam"),
        ("label", Forced(), "verifier", "weighted_mean", "would judge bare labels"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(
    prompt: str, decoding: object, scored: str | None, combined: str, reason: str
) -> None:
    scoring = SCORERS[scored] if scored else None
    with pytest.raises(BadInput, match=reason):
        Strategy("x", prompt, decoding, scoring, AGGREGATORS[combined])  # type: ignore[arg-type]


# --- aggregators ---


def test_the_single_answer_is_taken_as_it_is() -> None:
    assert only(rows(A)).tolist() == pytest.approx(A)
    with pytest.raises(ValueError, match="expected one candidate, found 2"):
        only(rows(A, B))


@pytest.mark.parametrize(
    "combine",
    [
        lambda d: only(d[:1]),
        lambda d: best(d, np.array([1.0, 2.0])),
        vote_share,
        lambda d: weighted_mean(d, np.array([1.0, 2.0])),
        lambda d: dirichlet_mixture(d, np.array([1.0, 2.0]), 10, 0.1).mean,
    ],
)
def test_where_no_candidate_parsed_there_is_no_prediction(combine: Callable) -> None:
    assert np.isnan(combine(rows(UNPARSED, UNPARSED))).all()


def test_tied_candidates_share_the_win() -> None:
    assert best(rows(A, B, C), np.array([5.0, 5.0, 1.0])).tolist() == pytest.approx([0.4, 0.5, 0.1])


def test_a_better_scored_candidate_that_did_not_parse_does_not_win() -> None:
    assert best(rows(UNPARSED, B), np.array([9.0, 1.0])).tolist() == pytest.approx(B)


def test_a_candidate_without_a_score_does_not_win() -> None:
    assert best(rows(A, B), np.array([NAN, 1.0])).tolist() == pytest.approx(B)
    assert np.isnan(best(rows(A, B), np.array([NAN, NAN]))).all()


def test_votes_are_counted_by_the_largest_label_and_a_tie_splits_the_vote() -> None:
    tied = [0.4, 0.4, 0.2]
    shares = vote_share(rows(A, A, B, tied, UNPARSED)).tolist()
    assert shares == pytest.approx([2.5 / 4, 1.5 / 4, 0.0])


def test_a_weighted_mean_forgets_what_did_not_parse_and_what_has_no_weight() -> None:
    mean = weighted_mean(rows(A, B, UNPARSED, C), np.array([3.0, 1.0, 9.0, NAN]))
    assert mean.tolist() == pytest.approx([0.55, 0.35, 0.1])
    assert np.isnan(weighted_mean(rows(A, B), np.array([0.0, NAN]))).all()


def test_label_logprobs_is_the_softmax_of_the_labels_log_probabilities_whatever_tau_is() -> None:
    logprobs = [-1.0, -2.0, -4.0]
    asked = one_draw(np.eye(3).tolist(), logprobs, [1, 1, 1], [])
    made = predict(STRATEGIES["label_logprobs"], asked, Settings(tau=50.0))
    expected = np.exp(logprobs) / np.exp(logprobs).sum()
    assert made.distributions[0].tolist() == pytest.approx(expected.tolist())
    counts = (made.candidates, made.unparsed, made.unscored)
    assert [one.tolist() for one in counts] == [[3], [0], [0]]


# --- weights ---


def test_softmax_weights_are_the_softmax_of_the_scores_over_tau() -> None:
    odds = math.exp(-1)
    expected = [1 / (1 + odds), odds / (1 + odds), 0.0]
    assert softmax(np.array([-2.0, -4.0, NAN]), 2.0).tolist() == pytest.approx(expected)


def test_likelihoods_far_below_zero_do_not_underflow() -> None:
    weights = softmax(np.array([-9000.0, -9001.0]), 1.0)
    assert weights.tolist() == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


def test_a_verifier_that_prefers_nobody_weighs_all_alike() -> None:
    assert proportional(np.array([0.0, 0.0, NAN])).tolist() == [0.5, 0.5, 0.0]
    assert proportional(np.array([1.0, 3.0])).tolist() == [0.25, 0.75]


def test_without_any_score_there_is_no_weight() -> None:
    for weigh in (softmax, proportional):
        assert weigh(np.array([NAN, NAN]), 1.0).tolist() == [0.0, 0.0]


TERMS = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(0, 1),
    st.builds(
        lambda sign, power: sign * 2.0**power, st.sampled_from([-1, 1]), st.integers(-140, 40)
    ),
)


@settings(max_examples=4 * settings.default.max_examples)
@given(st.lists(st.lists(TERMS, min_size=4, max_size=4), min_size=1, max_size=6))
def test_exact_sum_is_fsum_to_the_bit(terms: list[list[float]]) -> None:
    expected = [math.fsum(row) for row in terms]
    assert exact_sum(np.array(terms)).tolist() == expected
    assert exact_sum(np.asfortranarray(terms)).tolist() == expected
    assert [float(exact_sum(np.array(row))) for row in terms] == expected


def test_exact_sum_rounds_once_even_where_its_remainders_round() -> None:
    terms = np.array(
        [1.0, 2.0**-53, 2.0**-106]
    )  # just above a tie, by less than a remainder can say
    assert float(exact_sum(terms)) == math.fsum(terms) == 1 + 2.0**-52
    assert exact_sum(terms[:, None]).tolist() == terms.tolist()


# --- the mixture ---


def test_the_mixtures_mean_is_the_weighted_mean_of_the_components_means() -> None:
    made = dirichlet_mixture(rows(A, B), np.array([0.25, 0.75]), concentration=10, epsilon=0.5)
    means = [(10 * np.array(one) + 0.5) / 11.5 for one in (A, B)]
    assert made.mean.tolist() == pytest.approx((0.25 * means[0] + 0.75 * means[1]).tolist())


def test_the_mixtures_entropy_splits_as_scipys_dirichlet_says() -> None:
    made = dirichlet_mixture(rows(A, B), np.array([0.5, 0.5]), concentration=20, epsilon=0.1)
    sampler = np.random.default_rng(0)
    drawn = [stats.dirichlet(20 * np.array(one) + 0.1).rvs(200_000, sampler) for one in (A, B)]
    expected = np.mean([stats.entropy(part, base=2, axis=1).mean() for part in drawn])
    assert made.expected_bits == pytest.approx(expected, abs=3e-3)
    parts = (made.expected_bits, made.spread_bits, made.disagreement_bits)
    assert math.fsum(parts) == pytest.approx(stats.entropy(made.mean, base=2), abs=1e-12)


@pytest.mark.parametrize("shares", [[0.8, 0.2], [0.5, 0.5], [1.0, 0.0]])
def test_the_expected_entropy_is_the_integral_over_scipys_beta(shares: list[float]) -> None:
    a, b = (6 * share + 0.7 for share in shares)
    made = dirichlet_mixture(rows(shares), np.ones(1), concentration=6, epsilon=0.7)
    integral, _ = integrate.quad(
        lambda p: stats.beta(a, b).pdf(p) * stats.entropy([p, 1 - p], base=2), 0, 1
    )
    assert made.expected_bits == pytest.approx(integral, abs=1e-7)
    own = stats.entropy([a / (a + b), b / (a + b)], base=2)
    assert made.spread_bits == pytest.approx(own - integral, abs=1e-7)


def test_disagreement_is_the_jensen_shannon_divergence_of_the_components_means() -> None:
    made = dirichlet_mixture(rows(A, B), np.array([0.5, 0.5]), concentration=10, epsilon=0.5)
    means = [(10 * np.array(one) + 0.5) / 11.5 for one in (A, B)]
    assert made.disagreement_bits == pytest.approx(jensenshannon(*means, base=2) ** 2)
    apart = dirichlet_mixture(np.eye(2), np.array([0.5, 0.5]), concentration=1e9, epsilon=1e-9)
    assert apart.disagreement_bits == pytest.approx(1.0)


@given(
    st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any),
    st.integers(1, 9),
    st.floats(0.01, 1e4),
    st.floats(1e-6, 10),
)
def test_candidates_that_agree_have_no_disagreement_however_many_they_are(
    votes: list[int], count: int, concentration: float, epsilon: float
) -> None:
    alike = np.tile(np.array(votes) / sum(votes), (count, 1))
    made = dirichlet_mixture(alike, np.arange(1.0, count + 1), concentration, epsilon)
    assert 0 <= made.disagreement_bits < 1e-12
    assert made.spread_bits > 0


# --- whole strategies over many draws ---


def many(draws: int, count: int, labels: int, seed: int) -> Candidates:
    """Random columns with ties, zeros, failed draws, and candidates that lack something."""
    random = np.random.default_rng(seed)
    shape = (draws, count)
    counts = (
        random.integers(0, 4, (*shape, labels)) + np.eye(labels)[random.integers(0, labels, shape)]
    )
    smooth = random.dirichlet(np.full(labels, 0.3), shape)
    shares = np.where(random.random((*shape, 1)) < 0.5, counts, smooth + 1e-12)
    shares = shares / shares.sum(axis=-1, keepdims=True)
    failed = random.random(draws) < 0.15
    there = (random.random(shape) < 0.9) & ~failed[:, None]
    shares[(random.random(shape) < 0.2) | ~there] = np.nan
    likelihoods = np.where(
        random.random(shape) < 0.5, -random.integers(1, 4, shape), -random.gamma(2, 9, shape)
    )
    return Candidates(
        distributions=shares,
        log_likelihoods=np.where(there & (random.random(shape) < 0.9), likelihoods, np.nan),
        tokens=np.where(there, random.integers(0, 9, shape), 0),
        scores=np.where(there & (random.random(shape) < 0.8), random.integers(0, 4, shape), np.nan),
        there=there,
        failures=np.where(failed, "the server hung up", "").astype(object),
    )


MANY = st.builds(
    many, st.integers(1, 6), st.integers(1, 8), st.integers(2, 7), st.integers(0, 2**32)
)
EVERY = {**STRATEGIES, **{"-".join(pair): row_of(*pair) for pair in HAND}}
patient = settings(suppress_health_check=[HealthCheck.too_slow])


def as_asked(row: Strategy, asked: Candidates) -> Candidates:
    return asked.first(1) if row.aggregator.name == "only" else asked


def bits(made: Predictions) -> dict[str, bytes | list]:
    """All that a prediction says, to the last bit."""
    parts = {one.name: getattr(made, one.name) for one in fields(made)}
    return {n: p.tolist() if p.dtype == object else p.tobytes() for n, p in parts.items()}


@patient
@given(MANY, st.randoms(use_true_random=False))
def test_permuting_candidates_changes_no_bit_of_any_prediction(
    asked: Candidates, random: Random
) -> None:
    order = random.sample(range(asked.there.shape[1]), asked.there.shape[1])
    turned = replace(asked, **{name: getattr(asked, name)[:, order] for name in PER_CANDIDATE})
    for name, row in EVERY.items():
        if row.aggregator.name != "only":
            here, there = (bits(predict(row, one, Settings())) for one in (asked, turned))
            assert here == there, name


@patient
@given(MANY)
def test_many_draws_at_once_are_the_same_draws_one_at_a_time_to_the_bit(asked: Candidates) -> None:
    for name, row in EVERY.items():
        given_to = as_asked(row, asked)
        together = predict(row, given_to, Settings())
        for place in range(len(asked.there)):
            alone = predict(row, given_to.of(np.array([place])), Settings())
            for part in fields(Predictions):
                one, all_ = getattr(alone, part.name), getattr(together, part.name)
                here = all_[place : place + 1]
                same = (
                    one.tolist() == here.tolist()
                    if one.dtype == object
                    else one.tobytes() == here.tobytes()
                )
                assert same, (name, part.name)


@patient
@given(MANY)
def test_a_prediction_is_a_distribution_or_a_failure_with_a_reason(asked: Candidates) -> None:
    for name, row in EVERY.items():
        given_to = as_asked(row, asked)
        made = predict(row, given_to, Settings())
        missing = np.isnan(made.distributions).any(axis=1)
        assert (missing == np.isnan(made.distributions).all(axis=1)).all(), name
        assert (missing == (made.failures != "")).all(), name
        assert np.allclose(made.distributions[~missing].sum(axis=1), 1, atol=1e-12), name
        assert (made.distributions[~missing] >= 0).all(), name
        failed = asked.failures != ""
        assert (made.failures[failed] == "the server hung up").all(), name
        usable = given_to.parsed & ~np.isnan(row.scorer.score(given_to) if row.scorer else 0.0)
        assert (missing == ~usable.any(axis=1)).all(), name
        assert (made.candidates == given_to.there.sum(axis=1)).all(), name
        assert (made.unparsed + given_to.parsed.sum(axis=1) == made.candidates).all(), name
        parsed = given_to.parsed.sum(axis=1) if row.scorer else 0
        assert (made.unscored == (parsed - usable.sum(axis=1) if row.scorer else 0)).all(), name


@patient
@given(MANY)
def test_a_pooled_share_lies_between_those_of_the_candidates(asked: Candidates) -> None:
    for pair in HAND:
        if pair[1] in ("best", "weighted_mean", "linear_pool"):
            made = predict(row_of(*pair), asked, Settings()).distributions
            known = ~np.isnan(made).any(axis=1)
            lowest = np.where(np.isnan(asked.distributions), 1, asked.distributions).min(axis=1)
            highest = np.where(np.isnan(asked.distributions), 0, asked.distributions).max(axis=1)
            assert (made >= lowest - 1e-12)[known].all(), pair
            assert (made <= highest + 1e-12)[known].all(), pair


@patient
@given(MANY)
def test_only_a_mixture_has_entropies_and_they_add_up_to_that_of_its_mean(
    asked: Candidates,
) -> None:
    for name, row in EVERY.items():
        made = predict(row, as_asked(row, asked), Settings())
        if not row.aggregator.mixes:
            assert np.isnan(made.bits).all(), name
            continue
        known = made.failures == ""
        assert np.isnan(made.bits[~known]).all()
        assert (made.bits[known] >= 0).all()
        total = entropy_bits(made.distributions[known])
        assert np.allclose(made.bits[known].sum(axis=1), total, atol=1e-9)


@patient
@given(MANY)
def test_a_candidate_that_did_not_parse_changes_nothing_whatever_its_score(
    asked: Candidates,
) -> None:
    raised = replace(
        asked,
        log_likelihoods=np.where(asked.parsed, asked.log_likelihoods, 99.0),
        scores=np.where(asked.parsed, asked.scores, 10.0),
    )
    for name, row in EVERY.items():
        here, there = (
            bits(predict(row, as_asked(row, one), Settings())) for one in (asked, raised)
        )
        assert here == there, name


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_predicts_from_the_candidates_it_asks_for(name: str) -> None:
    row = strategy(name)
    count = row.count or 3
    shares = [[0.5, 0.25, 0.25]] * count
    steps = list(range(count))
    asked = one_draw(
        shares, [-1.0 - i for i in steps], [10 + i for i in steps], [float(i) for i in steps]
    )
    made = predict(row, asked, Settings())
    assert made.failures.tolist() == [""]
    assert math.fsum(made.distributions[0]) == pytest.approx(1.0)
    assert made.candidates.tolist() == [count]


@pytest.mark.parametrize("name", STRATEGIES)
def test_when_nothing_parses_every_strategy_says_so_and_guesses_nothing(name: str) -> None:
    row = strategy(name)
    count = row.count or 3
    made = predict(
        row, one_draw([None] * count, [-1.0] * count, [5] * count, [3.0] * count), Settings()
    )
    assert np.isnan(made.distributions).all()
    assert (made.failures.tolist(), made.unparsed.tolist()) == (["no candidate parsed"], [count])


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_draw_that_brought_nothing_is_a_failure_of_its_own(name: str) -> None:
    row = strategy(name)
    collected = Collected(row.count or 3, 3)
    collected.failed("the clip is empty")
    collected.answered([], [], [])
    made = predict(row, collected.columns(), Settings())
    assert np.isnan(made.distributions).all()
    assert made.failures.tolist() == ["the clip is empty", "no candidates"]
    assert made.candidates.tolist() == [0, 0]


def test_a_verifier_without_a_usable_score_is_a_failure_of_its_own() -> None:
    made = predict(strategy("alm_v"), one_draw([A, B, None], scores=[None, None, 7.0]), Settings())
    assert made.failures.tolist() == ["no candidate has a score"]
    assert (made.unscored.tolist(), made.unparsed.tolist()) == ([2], [1])


def test_no_draws_make_no_predictions() -> None:
    for name, row in EVERY.items():
        made = predict(row, Collected(row.count or 3, 3).columns(), Settings())
        assert made.distributions.shape == (0, 3), name
        assert made.failures.tolist() == [], name


# --- the table ---


def test_an_unknown_strategy_scorer_or_aggregator_is_named_with_the_nearest_one() -> None:
    with pytest.raises(BadInput, match="strategy 'w_bom': unknown; did you mean 'w_bon'"):
        strategy("w_bom")
    with pytest.raises(BadInput, match="scorer 'likelyhood': unknown; did you mean 'likelihood'"):
        scorer("likelyhood")
    with pytest.raises(BadInput, match="aggregator 'zzz': unknown; there are only, linear_pool"):
        aggregator("zzz")


def test_the_papers_counts_are_the_tables() -> None:
    assert (STRATEGIES["bon"].count, STRATEGIES["alm_v"].count) == (5, 3)  # grade S


def test_the_plain_mean_of_the_beams_is_a_row_of_its_own() -> None:
    row = STRATEGIES["linear_pool"]
    assert (row.decoding, row.scorer, row.aggregator.name) == (Beam(5), None, "linear_pool")
    assert row.decoding == STRATEGIES["bon"].decoding, "it reads the draws that bon reads"


def test_a_strategy_needs_what_its_decoding_and_its_scorer_need() -> None:
    needs = {name: set(row.needs) for name, row in STRATEGIES.items()}
    assert needs["greedy"] == set()
    assert needs["bon"] == {"beam", "likelihood"}
    assert needs["alm_v"] == needs["linear_pool"] == {"beam"}
    assert needs["majority_vote"] == {"sampling"}
    assert needs["label_logprobs"] == {"label_logprobs", "likelihood"}
    assert [name for name, row in STRATEGIES.items() if row.verified] == ["alm_v", "w_alm_v"]
    assert Sample(3).needs == {"sampling"}


# --- baselines ---


def test_baselines_hear_nothing_and_peek_only_where_they_say_so() -> None:
    truth = rows(A, B, B)
    assert list(BASELINES) == ["uniform", "prior", "prior_without_speaker", "prior_one_hot"]
    assert uniform(truth).tolist() == [[1 / 3] * 3] * 3
    assert prior(truth)[0].tolist() == pytest.approx(np.mean([A, B, B], axis=0).tolist())
    assert prior_one_hot(truth)[2].tolist() == [0.0, 1.0, 0.0]


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any), min_size=1),
    st.randoms(),
)
def test_no_order_of_the_utterances_changes_a_bit_of_a_baseline(
    votes: list, random: Random
) -> None:
    truth = np.array([np.array(row) / sum(row) for row in votes])
    order = list(range(len(truth)))
    random.shuffle(order)
    speakers = [f"s{place % 3}" for place in range(len(truth))]
    for name, baseline in BASELINES.items():
        turned = baseline(truth[order], [speakers[place] for place in order])
        assert baseline(truth, speakers)[order].tobytes() == turned.tobytes(), name


def test_the_prior_without_the_speaker_has_not_seen_what_it_is_scored_on() -> None:
    truth = rows(A, B, B, A)
    found = prior_without_speaker(truth, ["x", "y", "x", "z"])
    others = [(B, A), (A, B, A), (B, A), (A, B, B)]
    np.testing.assert_allclose(found, [np.mean(one, axis=0) for one in others], atol=1e-12)


def test_one_speaker_leaves_no_other_prior() -> None:
    assert np.isnan(prior_without_speaker(rows(A, B), ["x", "x"])).all()


@given(st.lists(st.permutations(A), max_size=20), st.randoms())
def test_the_one_hot_prior_shares_an_exact_tie_in_any_order(turned: list, random: Random) -> None:
    # every label gets every share of a row
    tied = [row[n:] + row[:n] for row in [A, *turned] for n in range(3)]
    random.shuffle(tied)
    assert prior_one_hot(rows(*tied)).tolist() == [[1 / 3] * 3] * len(tied)


def test_the_divergence_from_a_tiny_share_is_finite() -> None:
    asked = one_draw([[1, 0], [0, 1]], [-1.0, -31.0], [1, 1], [])
    shares = rounded(predict(STRATEGIES["label_logprobs"], asked, Settings()).distributions)
    assert shares[0, 1] == pytest.approx(math.exp(-30), rel=1e-8)
    assert kl_nats([[0.5, 0.5]], shares)[0] == pytest.approx(15 - math.log(2), abs=1e-6)
