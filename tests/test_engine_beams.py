"""The beam search's bookkeeping against trying every sequence."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.engines.beams import Beam, BeamSearch

END = 0


def run(search: BeamSearch, table: dict[tuple[int, ...], list[float]]) -> int:
    steps = 0
    while not search.finished:
        search.advance([dict(enumerate(table[beam.tokens])) for beam in search.open])
        steps += 1
    return steps


def tables(vocabulary: int, longest: int):
    """A next-token distribution for every prefix that has not ended."""
    prefixes = [
        p for n in range(longest) for p in itertools.product(range(1, vocabulary), repeat=n)
    ]
    row = st.lists(st.floats(0.05, 1), min_size=vocabulary, max_size=vocabulary)
    return st.lists(row, min_size=len(prefixes), max_size=len(prefixes)).map(
        lambda rows: {
            p: [math.log(x / sum(r)) for x in r] for p, r in zip(prefixes, rows, strict=True)
        }
    )


def every_sequence(table, vocabulary, longest):
    found = []
    for tokens in (
        t for n in range(1, longest + 1) for t in itertools.product(range(vocabulary), repeat=n)
    ):
        ended = tokens[-1] == END
        if END in tokens[:-1] or (not ended and len(tokens) < longest):
            continue
        total = sum(table[tokens[:i]][token] for i, token in enumerate(tokens))
        found.append(Beam(tokens, total, ended))
    return sorted(found, key=lambda beam: (-beam.total, beam.tokens))


@given(tables(3, 3))
def test_with_room_for_every_sequence_the_search_is_exhaustive(table):
    best = every_sequence(table, 3, 3)
    search = BeamSearch(len(best), [END], 3)
    run(search, table)
    assert [beam.tokens for beam in search.complete] == [beam.tokens for beam in best]
    assert [beam.total for beam in search.complete] == pytest.approx([beam.total for beam in best])


@given(tables(3, 3), st.integers(1, 4))
def test_beams_come_best_first_and_no_two_are_alike(table, count):
    search = BeamSearch(count, [END], 3)
    run(search, table)
    totals = [beam.total for beam in search.complete]
    assert totals == sorted(totals, reverse=True)
    assert len({beam.tokens for beam in search.complete}) == len(totals) == count
    assert all(len(beam.tokens) <= 3 for beam in search.complete)


def test_the_search_stops_when_no_open_beam_can_win():
    sure = {(): [math.log(0.9), math.log(0.1)]}
    search = BeamSearch(1, [END], 1000)
    assert run(search, sure) == 1
    assert search.complete[0].tokens == (END,)


def test_any_of_several_end_tokens_ends_a_beam():
    search = BeamSearch(1, [0, 1], 10)
    run(search, {(): [math.log(0.3), math.log(0.6), math.log(0.1)]})
    assert search.complete == [Beam((1,), math.log(0.6), True)]


def test_a_beam_that_runs_out_of_tokens_counts_as_it_is():
    table = {(1,) * n: [math.log(0.2), math.log(0.8)] for n in range(4)}
    search = BeamSearch(1, [END], 4)
    run(search, table)
    assert search.complete[0].tokens == (1, 1, 1, 1)
    assert not search.complete[0].ended
