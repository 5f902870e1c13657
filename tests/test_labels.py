"""Truth, entropy and ambiguity levels: properties, and values worked out by hand."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from ambiemo import labels as of

VOTES = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 40), st.integers(2, 9)), elements=st.integers(0, 12)
)
RULES = list(of.AMBIGUITY_RULES)


@given(VOTES)
def test_truth_is_the_share_of_votes_and_unknown_without_any(votes: np.ndarray) -> None:
    truth = of.truth(votes)
    has = votes.sum(axis=1) > 0
    assert np.allclose(truth[has] * votes[has].sum(axis=1, keepdims=True), votes[has])
    assert np.allclose(truth[has].sum(axis=1), 1)
    assert np.isnan(truth[~has]).all()


@given(VOTES)
def test_entropy_agrees_with_scipy(votes: np.ndarray) -> None:
    has = votes.sum(axis=1) > 0
    expected = stats.entropy(votes[has].astype(float), base=2, axis=1)
    assert np.allclose(of.entropy_bits(of.truth(votes))[has], expected, atol=1e-12)
    assert np.isnan(of.entropy_bits(of.truth(votes))[~has]).all()


@given(VOTES, st.randoms())
def test_the_order_of_labels_changes_no_bit(votes: np.ndarray, random: object) -> None:
    order = list(range(votes.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    for value in (
        lambda v: of.entropy_bits(of.truth(v)),
        of.miller_madow_bits,
        of.distinct_normalised_entropy,
    ):
        assert np.array_equal(value(votes), value(votes[:, order]), equal_nan=True)
    for rule in RULES:
        assert (
            of.ambiguity_levels(votes, rule) == of.ambiguity_levels(votes[:, order], rule)
        ).all()


@given(VOTES, st.randoms(), st.sampled_from(RULES))
def test_the_order_of_utterances_changes_no_level(
    votes: np.ndarray, random: object, rule: str
) -> None:
    order = list(range(len(votes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert (
        of.ambiguity_levels(votes, rule)[order] == of.ambiguity_levels(votes[order], rule)
    ).all()


@given(VOTES, st.sampled_from(RULES))
def test_twice_the_votes_are_the_same_truth_and_the_same_level(
    votes: np.ndarray, rule: str
) -> None:
    assert (of.ambiguity_levels(votes, rule) == of.ambiguity_levels(2 * votes, rule)).all()


@given(VOTES, st.sampled_from(RULES))
def test_levels_rise_with_the_entropy_they_are_made_from(votes: np.ndarray, rule: str) -> None:
    levels = of.ambiguity_levels(votes, rule)
    has = levels != ""
    assert (has == (votes.sum(axis=1) > 0)).all()
    if rule == "2601.14620":
        entropy = of.distinct_normalised_entropy(votes)[has]
    elif rule == "2409.18339":
        entropy = of.entropy_bits(np.round(of.truth(votes), 2))[has]
    else:
        entropy = of.entropy_bits(of.truth(votes))[has]
    rank = np.array([of.LEVELS.index(level) for level in levels[has]], dtype=int)
    order = np.argsort(entropy, kind="stable")
    assert (np.diff(rank[order])[np.diff(entropy[order]) > 1e-8] >= 0).all()
    assert (np.diff(rank[order])[np.diff(entropy[order]) < 1e-12] == 0).all()


@given(st.lists(st.integers(1, 400), min_size=1, max_size=200, unique=True))
def test_tertiles_without_ties_are_thirds(ones: list[int]) -> None:
    votes = np.array([[1000, one] for one in ones])
    levels = of.ambiguity_levels(votes, "tertiles")
    sizes = [int((levels == level).sum()) for level in of.LEVELS]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == len(ones)


def test_tied_entropies_are_never_parted_by_order() -> None:
    votes = np.array([[3, 0], [0, 3], [3, 0], [0, 3], [3, 0], [2, 1]])
    levels = of.ambiguity_levels(votes, "tertiles")
    assert set(levels[:5]) == {"medium"}
    assert levels[5] == "high"


def test_fixed_thresholds_take_their_lower_end() -> None:
    votes = np.array([[3, 1, 0, 0], [1, 1, 0, 0], [2, 1, 1, 0], [4, 0, 0, 0], [1, 1, 1, 1]])
    assert list(of.ambiguity_levels(votes, "bits")) == ["low", "medium", "high", "low", "high"]
    assert list(of.ambiguity_levels(votes, "bits", medium_from=0.5, high_from=2.0)) == [
        "medium",
        "medium",
        "medium",
        "low",
        "high",
    ]


def test_aer_llm_levels_are_unanimous_two_to_one_and_the_rest() -> None:
    # 0.9149 is its code's entropy of a 2:1 split (probabilities .67 and .33); 1.5835 that of 1:1:1.
    votes = np.array([[3, 0, 0], [2, 1, 0], [1, 1, 1], [3, 1, 0], [1, 1, 0]])
    assert round(float(of.entropy_bits(np.round(of.truth(votes[1]), 2))), 4) == 0.9149
    assert round(float(of.entropy_bits(np.round(of.truth(votes[2]), 2))), 4) == 1.5835
    assert list(of.ambiguity_levels(votes, "2409.18339")) == [
        "low",
        "medium",
        "high",
        "medium",
        "high",
    ]


def test_scaling_ambiguity_levels_normalise_by_the_labels_an_utterance_got() -> None:
    votes = np.array([[6, 0, 0, 0], [5, 1, 0, 0], [1, 1, 0, 0]])
    normalised = of.distinct_normalised_entropy(votes)
    assert normalised == pytest.approx([0.0, 0.6500224216, 1.0])
    assert list(of.ambiguity_levels(votes, "2601.14620")) == ["low", "medium", "high"]


def test_an_even_split_is_as_ambiguous_in_two_as_in_four_under_the_normalised_rule() -> None:
    votes = np.array(
        [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0], [5, 1, 0, 0], [6, 0, 0, 0], [6, 1, 0, 0]]
    )
    assert set(of.ambiguity_levels(votes, "2601.14620")[:3]) == {"high"}


def test_miller_madow_adds_the_bias_of_few_raters() -> None:
    # H(2/3, 1/3) = 0.918296 bits; two labels seen, three votes: (2 - 1) / (2 * 3 * ln 2) =
    # 0.240449.
    assert of.miller_madow_bits([[2, 1, 0]])[0] == pytest.approx(
        0.9182958341 + 0.2404491735, abs=1e-9
    )
    assert of.miller_madow_bits([[5, 0, 0]])[0] == 0
    assert np.isnan(of.miller_madow_bits([[0, 0, 0]])[0])


def test_miller_madow_is_closer_to_the_entropy_the_votes_were_drawn_from() -> None:
    truth = np.array([0.5, 0.25, 0.15, 0.1])
    votes = np.random.default_rng(1).multinomial(9, truth, size=4000)
    entropy = of.entropy_bits(truth)
    raw = abs(of.entropy_bits(of.truth(votes)).mean() - entropy)
    assert abs(of.miller_madow_bits(votes).mean() - entropy) < raw / 2


def test_acted_labels_are_clear_cut_under_every_rule_and_take_no_part_in_ranks() -> None:
    votes = np.array([[9, 0], [5, 4], [8, 1], [7, 2]])
    acted = [True, False, False, False]
    for rule in RULES:
        levels = of.ambiguity_levels(votes, rule, acted=acted)
        assert levels[0] == of.CLEAR_CUT
        assert (levels[1:] == of.ambiguity_levels(votes[1:], rule)).all()


def test_unanimous_and_tied_rows_are_told() -> None:
    votes = [[3, 0, 0], [1, 1, 0], [2, 1, 1], [0, 0, 0]]
    assert list(of.unanimous(votes)) == [True, False, False, False]
    assert list(of.plurality_tied(votes)) == [False, True, False, False]


@pytest.mark.parametrize("votes", [[[-1, 2]], [[np.nan, 1]], [[np.inf, 1]]])
def test_votes_that_are_no_counts_are_refused(votes: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="votes"):
        of.truth(votes)


def test_unknown_rules_and_thresholds_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'quartiles': unknown; did you mean 'tertiles'"):
        of.ambiguity_levels([[1, 2]], "quartiles")
    with pytest.raises(ValueError, match="unknown threshold 'medium_from'"):
        of.ambiguity_levels([[1, 2]], "tertiles", medium_from=1.0)
    with pytest.raises(ValueError, match="medium_from <= high_from"):
        of.ambiguity_levels([[1, 2]], "bits", medium_from=2.0)


def test_no_utterances_have_no_levels() -> None:
    assert all(len(of.ambiguity_levels(np.zeros((0, 3)), rule)) == 0 for rule in RULES)


def test_labels_need_numpy_alone() -> None:
    code = "import sys, ambiemo.labels; print([m for m in ('pandas', 'pyarrow', 'scipy', 'torch', 'ray') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
