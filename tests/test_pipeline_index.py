"""Where a store's answers are, as sorted columns: the same places as a dict would give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.pipeline.index import Index, PlacesRead

EDGES = ("00" * 16, "ff" * 16, "ab" * 15 + "00", "ab" * 14 + "0000", "00" * 15 + "01")
"""Ends in zeros, which numpy does not tell from shorter ones when it prints them."""
KEYS = (st.sampled_from(EDGES) | st.binary(min_size=16, max_size=16).map(bytes.hex)).map(
    lambda end: "5e" * 16 + end
)
"""Keys that are the same where their ends are, as those of all draws: only ends are kept."""
READ = st.lists(st.tuples(KEYS, st.integers(0, 2**62)), max_size=40)


def read(pairs: list[tuple[str, int]]) -> PlacesRead:
    places = PlacesRead()
    for key, place in pairs:
        places.add(key, place)
    return places


@given(READ, st.lists(KEYS, max_size=20))
def test_each_key_has_the_place_that_a_dict_would_give(
    pairs: list[tuple[str, int]], others: list[str]
) -> None:
    first: dict[str, int] = {}
    for key, place in pairs:
        first.setdefault(key, place)
    last = dict(pairs)
    asked = [*others, *last]
    assert read(pairs).first().of(asked).tolist() == [first.get(key, -1) for key in asked]
    assert read(pairs).last().of(asked).tolist() == [last.get(key, -1) for key in asked]


@given(READ, READ, st.lists(KEYS, max_size=20))
def test_an_answer_comes_before_a_failure_of_the_same_draw(
    answered: list[tuple[str, int]], failed: list[tuple[str, int]], others: list[str]
) -> None:
    index = Index(read(answered).first(), read(failed).last())
    for key in [*others, *dict(answered), *dict(failed)]:
        first = next((place for one, place in answered if one == key), None)
        expected = first if first is not None else dict(failed).get(key)
        assert index.find(key) == expected
        assert index.has(key) == (first is not None)
    asked = [*others, *dict(answered), *dict(failed)]
    one_by_one = [index.find(key) for key in asked]
    assert index.of(asked).tolist() == [-1 if one is None else one for one in one_by_one]


def test_a_key_takes_twenty_four_bytes() -> None:
    places = read([(f"{number:064x}", number) for number in range(1000)]).first()
    assert len(places) == 1000
    assert places.keys.nbytes + places.places.nbytes == 24_000


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 64 hexadecimal digits"):
        PlacesRead().add("abcd", 0)
