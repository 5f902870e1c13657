"""The strategies: every formula against a value worked out by hand, and what no order of candidates may change."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from ambiemo.errors import BadInput
from ambiemo.metrics.distribution import kl_nats
from ambiemo.results.predictions import kept
from ambiemo.strategies import STRATEGIES, strategy
from ambiemo.strategies.aggregators import (
    NothingParsed,
    best,
    dirichlet_mixture,
    entropy_bits,
    only,
    usable,
    vote_share,
    weighted_mean,
)
from ambiemo.strategies.baselines import BASELINES, prior, prior_one_hot, uniform
from ambiemo.strategies.predict import Heard, Weighting, predict
from ambiemo.strategies.scorers import proportional_weights, softmax_weights

UNPARSED = [np.nan] * 3
A, B, C = [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]


def rows(*candidates: list[float]) -> np.ndarray:
    return np.array(candidates, dtype=float)


@st.composite
def candidates(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Some distributions over three labels, a few of them unparsed, with a score each, some tied."""
    size = draw(st.integers(1, 7))
    counts = [draw(st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any)) for _ in range(size)]
    parsed = [np.array(one) / sum(one) if draw(st.booleans()) or i == 0 else UNPARSED for i, one in enumerate(counts)]
    scores = [draw(st.sampled_from([0.0, 1.0, 2.5, 7.0])) for _ in range(size)]
    return rows(*parsed), np.array(scores)


def test_the_single_answer_is_taken_as_it_is() -> None:
    assert only(rows(A)).tolist() == pytest.approx(A)


def test_an_unparsed_single_answer_is_no_prediction() -> None:
    with pytest.raises(NothingParsed):
        only(rows(UNPARSED))


def test_the_best_scored_candidate_wins() -> None:
    assert best(rows(A, B, C), np.array([-3.0, -1.0, -2.0])).tolist() == pytest.approx(B)


def test_tied_candidates_share_the_win() -> None:
    assert best(rows(A, B, C), np.array([5.0, 5.0, 1.0])).tolist() == pytest.approx([0.4, 0.5, 0.1])


def test_a_better_scored_candidate_that_did_not_parse_does_not_win() -> None:
    assert best(rows(UNPARSED, B), np.array([9.0, 1.0])).tolist() == pytest.approx(B)


def test_a_candidate_without_a_score_does_not_win() -> None:
    assert best(rows(A, B), np.array([np.nan, 1.0])).tolist() == pytest.approx(B)
    with pytest.raises(NothingParsed):
        best(rows(A, B), np.array([np.nan, np.nan]))


def test_votes_are_counted_by_the_largest_label_and_a_tie_splits_the_vote() -> None:
    tied = [0.4, 0.4, 0.2]
    assert vote_share(rows(A, A, B, tied)).tolist() == pytest.approx([2.5 / 4, 1.5 / 4, 0.0])


def test_a_weighted_mean_is_the_mean_by_weight_and_forgets_what_did_not_parse() -> None:
    assert weighted_mean(rows(A, B, UNPARSED), np.array([3.0, 1.0, 9.0])).tolist() == pytest.approx([0.55, 0.35, 0.1])
    with pytest.raises(NothingParsed):
        weighted_mean(rows(A, B), np.array([0.0, np.nan]))


def test_label_logprobs_is_the_softmax_of_the_labels_log_probabilities_whatever_tau_is() -> None:
    logprobs = [-1.0, -2.0, -4.0]
    forced = [Heard(row, logprob, 1) for row, logprob in zip(np.eye(3).tolist(), logprobs, strict=True)]
    made = predict(STRATEGIES["label_logprobs"], forced, 3, Weighting(temperature=50.0))
    assert made.distribution == pytest.approx(np.exp(logprobs) / np.exp(logprobs).sum())
    assert (made.candidates, made.unparsed, made.unscored) == (3, 0, 0)


def test_softmax_weights_are_the_softmax_of_the_sums_over_tau() -> None:
    raw = softmax_weights(np.array([-2.0, -4.0]), temperature=2.0)
    assert raw.tolist() == pytest.approx([1 / (1 + math.exp(-1)), math.exp(-1) / (1 + math.exp(-1))])
    per_token = softmax_weights(np.array([-2.0, -4.0]), temperature=1.0, lengths=np.array([2.0, 4.0]))
    assert per_token.tolist() == pytest.approx([0.5, 0.5])


def test_likelihoods_far_below_zero_do_not_underflow() -> None:
    assert softmax_weights(np.array([-9000.0, -9001.0]), 1.0).sum() == pytest.approx(1.0)


def test_a_verifier_that_prefers_nobody_weighs_all_alike() -> None:
    assert proportional_weights(np.array([0.0, 0.0, np.nan])).tolist() == [0.5, 0.5, 0.0]
    assert proportional_weights(np.array([1.0, 3.0])).tolist() == [0.25, 0.75]


def test_the_mixtures_mean_is_the_weighted_mean_of_the_components_means() -> None:
    made = dirichlet_mixture(rows(A, B), np.array([0.25, 0.75]), concentration=10, epsilon=0.5)
    means = [(10 * np.array(one) + 0.5) / 11.5 for one in (A, B)]
    assert made.mean.tolist() == pytest.approx((0.25 * means[0] + 0.75 * means[1]).tolist())


def test_the_mixtures_entropy_splits_as_scipys_dirichlet_says() -> None:
    made = dirichlet_mixture(rows(A, B), np.array([0.5, 0.5]), concentration=20, epsilon=0.1)
    assert made.total_bits == pytest.approx(entropy_bits(made.mean))
    sampler = np.random.default_rng(0)
    parts = [stats.dirichlet(20 * np.array(one) + 0.1).rvs(200_000, random_state=sampler) for one in (A, B)]
    expected = np.mean([stats.entropy(part, base=2, axis=1).mean() for part in parts])
    assert made.expected_bits == pytest.approx(expected, abs=3e-3)
    parts = (made.expected_bits, made.spread_bits, made.disagreement_bits)
    assert math.fsum(parts) == pytest.approx(made.total_bits, abs=1e-12)


def test_disagreement_is_the_jensen_shannon_divergence_of_the_components_means() -> None:
    made = dirichlet_mixture(rows(A, B), np.array([0.5, 0.5]), concentration=10, epsilon=0.5)
    means = [(10 * np.array(one) + 0.5) / 11.5 for one in (A, B)]
    assert made.disagreement_bits == pytest.approx(jensenshannon(*means, base=2) ** 2)
    apart = dirichlet_mixture(np.eye(2), np.array([0.5, 0.5]), concentration=1e9, epsilon=1e-9)
    assert apart.disagreement_bits == pytest.approx(1.0)


@given(candidates(), st.integers(1, 9), st.floats(0.01, 1e4), st.floats(1e-6, 10))
def test_candidates_that_agree_have_no_disagreement_however_many_they_are(
    made: tuple[np.ndarray, np.ndarray], count: int, concentration: float, epsilon: float
) -> None:
    alike = np.repeat(made[0][:1], count, axis=0)
    told = dirichlet_mixture(alike, np.arange(1.0, count + 1), concentration, epsilon)
    assert 0 <= told.disagreement_bits < 1e-12
    assert told.spread_bits > 0


@given(candidates(), st.randoms(use_true_random=False))
def test_permuting_candidates_changes_no_bit(made: tuple[np.ndarray, np.ndarray], random) -> None:
    distributions, scores = made
    order = list(range(len(scores)))
    random.shuffle(order)
    parsed = usable(distributions)
    for aggregate in (
        lambda d, s, u: best(d, s),
        lambda d, s, u: vote_share(d),
        lambda d, s, u: dirichlet_mixture(d, proportional_weights(s, u), 10, 0.01).mean,
        lambda d, s, u: dirichlet_mixture(d, softmax_weights(-s, 1.0, usable=u), 10, 0.01).mean,
    ):
        told = aggregate(distributions, scores, parsed)
        assert told.tobytes() == aggregate(distributions[order], scores[order], parsed[order]).tobytes()
        assert math.fsum(told) == pytest.approx(1.0)
        assert (told >= 0).all()


@given(candidates(), st.randoms(use_true_random=False))
def test_permuting_candidates_changes_no_bit_of_the_entropies(made: tuple[np.ndarray, np.ndarray], random) -> None:
    distributions, scores = made
    order = list(range(len(scores)))
    random.shuffle(order)
    here, there = (dirichlet_mixture(distributions[o], scores[o] + 1, 10, 0.01) for o in (slice(None), order))
    for part in ("total_bits", "expected_bits", "spread_bits", "disagreement_bits"):
        assert getattr(here, part) == getattr(there, part) >= 0


@given(candidates())
def test_an_unparsed_candidate_has_no_weight(made: tuple[np.ndarray, np.ndarray]) -> None:
    distributions, scores = made
    parsed = usable(distributions)
    assert softmax_weights(scores, 1.0, usable=parsed)[~parsed].sum() == 0
    assert vote_share(distributions).tolist() == vote_share(distributions[parsed]).tolist()


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_predicts_from_the_candidates_it_asks_for(name: str) -> None:
    row = strategy(name)
    told = [Heard((0.5, 0.25, 0.25), -1.0 - i, 10 + i, score=float(i)) for i in range(row.count or 3)]
    made = predict(row, told, 3, Weighting())
    assert made.failure == ""
    assert sum(made.distribution or ()) == pytest.approx(1.0)
    assert made.candidates == (row.count or 3)


@pytest.mark.parametrize("name", STRATEGIES)
def test_when_nothing_parses_every_strategy_says_so_and_guesses_nothing(name: str) -> None:
    row = strategy(name)
    made = predict(row, [Heard(None, -1.0, 5, 3.0)] * (row.count or 3), 3, Weighting())
    assert (made.distribution, made.failure) == (None, "no candidate parsed")
    assert made.unparsed == (row.count or 3)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_draw_that_brought_nothing_is_a_failure_of_its_own(name: str) -> None:
    made = predict(strategy(name), [], 3, Weighting())
    assert (made.distribution, made.failure, made.candidates) == (None, "no candidates", 0)


def test_a_verifier_without_a_usable_score_is_a_failure_of_its_own() -> None:
    made = predict(strategy("alm_v"), [Heard((1.0, 0.0, 0.0), -1.0, 5)] * 3, 3, Weighting())
    assert (made.failure, made.unscored, made.unparsed) == ("no candidate has a score", 3, 0)


def test_an_unknown_strategy_is_named_with_the_nearest_one() -> None:
    with pytest.raises(BadInput, match="did you mean 'w_bon'"):
        strategy("w_bom")


def test_the_paper_s_counts_are_the_table_s() -> None:
    assert (STRATEGIES["bon"].count, STRATEGIES["alm_v"].count) == (5, 3)  # grade S


def test_baselines_hear_nothing_and_peek_only_where_they_say_so() -> None:
    truth = rows(A, B, B)
    assert set(BASELINES) == {"uniform", "prior", "prior_one_hot"}
    assert uniform(truth).tolist() == [[1 / 3] * 3] * 3
    assert prior(truth)[0].tolist() == pytest.approx(np.mean([A, B, B], axis=0).tolist())
    assert prior_one_hot(truth)[2].tolist() == [0.0, 1.0, 0.0]


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any), min_size=1), st.randoms())
def test_no_order_of_the_utterances_changes_a_bit_of_a_baseline(votes: list[list[int]], random) -> None:
    truth = np.array([np.array(row) / sum(row) for row in votes])
    order = list(range(len(truth)))
    random.shuffle(order)
    for name, baseline in BASELINES.items():
        assert baseline(truth).tobytes() == baseline(truth[order]).tobytes(), name


@given(st.lists(st.permutations(A), max_size=20), st.randoms())
def test_the_one_hot_prior_shares_an_exact_tie_whatever_the_order_of_the_utterances(turned: list, random) -> None:
    tied = [row[n:] + row[:n] for row in [A, *turned] for n in range(3)]  # every label gets every share of a row
    random.shuffle(tied)
    assert prior_one_hot(rows(*tied)).tolist() == [[1 / 3] * 3] * len(tied)


@given(st.floats(0, 1))
def test_a_kept_share_is_zero_only_if_it_was_and_keeping_it_again_changes_nothing(share: float) -> None:
    assert (kept(share) == 0) == (share == 0)
    assert kept(kept(share)) == kept(share)
    assert kept(share) == pytest.approx(share, rel=5.1e-9, abs=5e-324)


def test_the_divergence_from_a_tiny_share_is_finite() -> None:
    made = predict(STRATEGIES["label_logprobs"], [Heard((1, 0), -1.0, 1), Heard((0, 1), -31.0, 1)], 2, Weighting())
    told = [kept(share) for share in made.distribution or ()]
    assert told[1] == pytest.approx(math.exp(-30), rel=1e-8)
    assert kl_nats([[0.5, 0.5]], [told])[0] == pytest.approx(15 - math.log(2), abs=1e-6)
