"""Candidates as columns: collected draw by draw, cut to the first few, taken by place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.strategies.candidates import Candidates
from ambiemo.strategies.collecting import Collected

NAN = float("nan")
SURE, OPEN = (1.0, 0.0), (0.5, 0.5)


def collected() -> Candidates:
    """Three draws of three candidates: a whole one, a failed one, one that brought one answer."""
    made = Collected(3, 2)
    made.answered([SURE, None, OPEN], [-1.0, -2.0, None], [4, 5, 6], [7.0, None])
    made.failed("audio: is empty")
    made.answered([OPEN], [-3.0], [9])
    return made.columns()


def test_what_was_collected_stands_in_the_columns_at_its_place() -> None:
    columns = collected()
    whole = [[SURE, (NAN, NAN), OPEN], [(NAN, NAN)] * 3, [OPEN, (NAN, NAN), (NAN, NAN)]]
    np.testing.assert_array_equal(columns.distributions, np.array(whole))
    likelihoods = [[-1.0, -2.0, NAN], [NAN] * 3, [-3.0, NAN, NAN]]
    np.testing.assert_array_equal(columns.log_likelihoods, likelihoods)
    np.testing.assert_array_equal(columns.tokens, [[4, 5, 6], [0, 0, 0], [9, 0, 0]])
    np.testing.assert_array_equal(columns.scores, [[7.0, NAN, NAN], [NAN] * 3, [NAN] * 3])
    there = [[True, True, True], [False] * 3, [True, False, False]]
    np.testing.assert_array_equal(columns.there, there)
    assert columns.failures.tolist() == ["", "audio: is empty", ""]


def test_a_candidate_that_is_there_may_not_have_parsed_and_one_that_is_not_never_has() -> None:
    columns = collected()
    parsed = [[True, False, True], [False] * 3, [True, False, False]]
    assert columns.parsed.tolist() == parsed
    assert not (columns.parsed & ~columns.there).any()


def test_the_first_candidates_of_every_draw_are_what_fewer_would_have_been() -> None:
    first = collected().first(1)
    assert first.distributions.shape == (3, 1, 2)
    assert [one.shape for one in (first.log_likelihoods, first.tokens, first.scores)] == [
        (3, 1)
    ] * 3
    assert first.there.tolist() == [[True], [False], [True]]
    assert first.failures.tolist() == ["", "audio: is empty", ""]


def test_more_candidates_than_there_are_is_all_of_them() -> None:
    columns = collected()
    assert columns.first(3) is columns.first(9) is columns


def test_draws_are_taken_by_place_in_any_order_and_more_than_once() -> None:
    chosen = collected().of(np.array([2, 0, 2, 1]))
    assert chosen.tokens.tolist() == [[9, 0, 0], [4, 5, 6], [9, 0, 0], [0, 0, 0]]
    assert chosen.failures.tolist() == ["", "", "", "audio: is empty"]


def test_before_the_first_draw_the_columns_are_empty_and_have_their_shape() -> None:
    columns = Collected(5, 6).columns()
    assert columns.distributions.shape == (0, 5, 6)
    assert (columns.there.shape, columns.failures.shape) == ((0, 5), (0,))


def test_columns_taken_early_do_not_change_when_more_draws_come() -> None:
    made = Collected(1, 2)
    made.answered([SURE], [-1.0], [1])
    early = made.columns()
    made.answered([OPEN], [-2.0], [2])
    assert early.distributions.tolist() == [[[1.0, 0.0]]]
    assert made.columns().tokens.tolist() == [[1], [2]]


SHARES = st.one_of(st.none(), st.lists(st.floats(0, 1), min_size=2, max_size=2))
NUMBER = st.one_of(st.none(), st.floats(-1e6, 1e6))
CANDIDATE = st.tuples(SHARES, NUMBER, st.integers(0, 999), NUMBER)


@given(st.lists(st.lists(CANDIDATE, max_size=4), max_size=6))
def test_every_number_comes_back_as_it_went_in(draws: list) -> None:
    made = Collected(4, 2)
    for one in draws:
        parts = list(zip(*one, strict=True)) or [(), (), (), ()]
        made.answered(*parts)
    columns = made.columns()
    for i, one in enumerate(draws):
        for j, (shares, likelihood, tokens, score) in enumerate(one):
            np.testing.assert_array_equal(columns.distributions[i, j], shares or [NAN, NAN])
            np.testing.assert_array_equal(
                [columns.log_likelihoods[i, j], columns.scores[i, j]],
                [NAN if x is None else x for x in (likelihood, score)],
            )
            assert columns.tokens[i, j] == tokens
        assert columns.there[i].tolist() == [j < len(one) for j in range(4)]
