"""Utterances kept as columns are the same utterances; a clip that occurs twice is never two."""

import hashlib
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.corpora.columns import build
from ambiemo.corpora.utterances import Utterance, Utterances, load_corpus, sampled
from ambiemo.labels import SIX
from ambiemo.plan.sharing import distinct


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def kept(hashes: list[str]) -> Utterances:
    n = len(hashes)
    columns = {
        "utterance_id": [f"u{i}" for i in range(n)],
        "speaker": [f"s{i % 3}" for i in range(n)],
        "cluster": [f"d{i % 2}" for i in range(n)],
        "audio_path": [f"clips/é{i}.wav" if hashes[i] else "" for i in range(n)],
        "audio_sha256": hashes,
        "corpus": "c",
        "duration_s": [i / 7 for i in range(n)],
        "truth_source": ["votes"] * n,
    }
    return Utterances(build(columns, SIX, np.arange(n * 6).reshape(n, 6)))


@pytest.mark.parametrize("count", [1, 5, 1024, 2500])
def test_what_was_in_the_table_comes_out(count: int) -> None:
    hashes = [digest(i) if i % 4 else "" for i in range(count)]
    utterances = kept(hashes)
    assert len(utterances) == count
    for i, one in enumerate(utterances):
        votes = tuple(range(6 * i, 6 * i + 6))
        path = f"clips/é{i}.wav" if hashes[i] else ""
        assert one == Utterance(
            f"u{i}", f"s{i % 3}", f"d{i % 2}", path, hashes[i], i / 7, votes, "votes"
        )


def test_columns_are_read_without_utterance_objects() -> None:
    hashes = [digest(i) if i % 4 else "" for i in range(2500)]
    utterances, rows = kept(hashes), list(kept(hashes))
    assert utterances.ids == [one.id for one in rows]
    assert utterances.speakers == [one.speaker for one in rows]
    assert utterances.clusters == [one.cluster for one in rows]
    assert utterances.audio_sha256 == hashes
    assert utterances.votes.tolist() == [list(one.votes) for one in rows]
    assert utterances.acted.tolist() == [False] * 2500
    none = kept([])
    assert (none.ids, none.audio_sha256, none.votes.shape, none.acted.shape) == (
        [],
        [],
        (0, 0),
        (0,),
    )


def test_acted_utterances_are_marked() -> None:
    columns = {"utterance_id": ["a", "b"], "truth_source": ["acted", "votes"]}
    both = Utterances(build({**columns, "corpus": "c"}, ("p", "q"), np.array([[1, 0], [2, 1]])))
    assert both.acted.tolist() == [True, False]


def test_votes_in_many_units_fit() -> None:
    votes = np.array([[2520 * 15, 0], [0, 2520]])
    many = Utterances(build({"utterance_id": ["a", "b"], "corpus": "c"}, ("p", "q"), votes))
    assert many.votes.tolist() == votes.tolist()
    assert many[0].votes == (2520 * 15, 0)


def test_a_plan_s_limit_and_the_loader_s_option_choose_the_same_clips() -> None:
    for count in (1, 7, 40):
        by_plan = load_corpus("tiny", limit=count)
        by_option = load_corpus("tiny", options={"limit": count})
        assert isinstance(by_plan.utterances, Utterances)
        assert list(by_plan.utterances) == list(by_option.utterances)
        assert len(by_plan.utterances) == count
    both = load_corpus("tiny", options={"limit": 40}, limit=7)
    assert list(both.utterances) == list(load_corpus("tiny", limit=7).utterances)


@given(st.lists(st.text(), unique=True, max_size=12), st.integers(0, 12), st.randoms())
def test_a_larger_sample_only_adds_and_order_chooses_nothing(
    ids: list[str], limit: int, random: Random
) -> None:
    chosen = {ids[place] for place in sampled(ids, limit)}
    assert len(chosen) == min(limit, len(ids))
    assert chosen <= {ids[place] for place in sampled(ids, limit + 1)}
    mixed = random.sample(ids, len(ids))
    assert chosen == {mixed[place] for place in sampled(mixed, limit)}


def test_it_is_asked_like_a_list() -> None:
    utterances, told = kept([digest(i) for i in range(9)]), [f"u{i}" for i in range(9)]
    for asked in (
        slice(2, 5),
        slice(None),
        slice(7, 99),
        slice(5, 2),
        slice(0, 9, 2),
        slice(-3, None),
    ):
        assert [one.id for one in utterances[asked]] == told[asked]
    assert (utterances[0].id, utterances[-1].id) == ("u0", "u8")


@given(st.lists(st.integers(0, 12), min_size=1, max_size=12))
def test_clips_with_the_same_bytes_are_asked_about_once(numbers: list[int]) -> None:
    utterances = kept([digest(number) for number in numbers])
    assert utterances.clips_differ == (len(set(numbers)) == len(numbers))
    found = distinct(utterances)
    assert [one.audio_sha256 for one in found] == [
        digest(number) for number in dict.fromkeys(numbers)
    ]


def test_hashes_that_begin_alike_are_looked_at_whole() -> None:
    alike = ["ab" * 8 + digest(i)[16:] for i in range(3)]
    utterances = kept(alike)
    assert not utterances.clips_differ
    assert len(distinct(utterances)) == 3


def test_a_missing_clip_leaves_the_others_apart() -> None:
    utterances = kept(["", digest(1), digest(2)])
    assert not utterances.clips_differ
    assert [one.id for one in distinct(utterances)] == [
        "u0",
        "u1",
        "u2",
    ]
