"""From columns of candidates to a unit's predictions: made once per clip, read by all."""

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.corpora.utterances import Utterance, Utterances
from ambiemo.durable import sha256
from ambiemo.jsonlines import Row, rows
from ambiemo.labels import FOUR
from ambiemo.plan.expand import NO_CONTROL, Cell
from ambiemo.plan.schema import check
from ambiemo.plan.sharing import clip_owners, distinct
from ambiemo.results import predictions
from ambiemo.results.predictions import (
    BITS,
    Column,
    baseline_columns,
    clip_rows,
    prediction_lines,
    rounded,
    unit_columns,
)
from ambiemo.results.study import Study
from ambiemo.results.truths import truths_of
from ambiemo.strategies.candidates import Candidates
from ambiemo.strategies.predict import Settings, predict

UNIT = ("tiny", "tiny")


def utterance(number: int, clip: str) -> Utterance:
    votes = tuple(1 + (number + label) % 4 for label in range(4))
    return Utterance(
        f"u{number}", f"s{number % 2}", "d", "x.wav", sha256(clip.encode()), 1.0, votes
    )


def study(clips: Sequence[str], order: Sequence[int] | None = None, **changes: Any) -> Study:
    """One model on one corpus whose utterance i has the clip clips[i]."""
    whole: dict[str, Any] = {
        "name": "small",
        "seed": 7,
        "models": [{"id": "tiny", "engine": "null"}],
        "corpora": ["tiny"],
        "strategies": ["greedy", "w_bon"],
    }
    plan = check({**whole, **changes}, "plan")
    asked = [(NO_CONTROL, tuple(entry.name for entry in plan.strategies))]
    asked += [(control.name, control.strategies) for control in plan.controls]
    rows_of = {entry.name: entry.row() for entry in plan.strategies}
    told = [utterance(i, clip) for i, clip in enumerate(clips)]
    return Study(
        plan=plan,
        cells=tuple(
            Cell(*UNIT, rows_of[name], control) for control, names in asked for name in names
        ),
        labels={"tiny": FOUR},
        utterances={"tiny": Utterances.of([told[i] for i in order or range(len(told))])},
        judges={"tiny": "tiny"},
        vote_units={"tiny": 1},
    )


def candidates(draws: int, count: int, seed: int = 0) -> Candidates:
    """Random candidates, all of them parsed and scored: no two draws are alike."""
    random = np.random.default_rng([draws, count, seed])
    return Candidates(
        distributions=random.dirichlet(np.ones(4), (draws, count)),
        log_likelihoods=-random.gamma(2, 2, (draws, count)),
        tokens=random.integers(1, 9, (draws, count)),
        scores=random.integers(0, 11, (draws, count)).astype(float),
        there=np.ones((draws, count), dtype=bool),
        failures=np.full(draws, "", dtype=object),
    )


def asked_of(made: Study) -> dict[str, Candidates]:
    """Candidates of every question, one row per distinct clip."""
    clips = len(distinct(made.utterances["tiny"]))
    every = made.questions
    return {one.name: candidates(clips, one.decoding.count, i) for i, one in enumerate(every)}


def columns_of(made: Study, asked: dict[str, Candidates] | None = None) -> dict[tuple, Column]:
    columns = unit_columns(made, UNIT, truths_of(made, "tiny"), asked or asked_of(made))
    return {(one.strategy, one.control): one for one in columns}


def test_each_utterance_has_the_prediction_of_its_clip() -> None:
    made = study("abcd")
    asked = asked_of(made)
    column = columns_of(made, asked)["greedy", "none"]
    assert column.name == ("tiny", "tiny", "greedy", "none")
    np.testing.assert_allclose(column.shares, asked["direct.greedy"].distributions[:, 0], rtol=1e-8)
    assert column.clip_of == ("u0", "u1", "u2", "u3")
    assert column.candidates.tolist() == [1, 1, 1, 1]


def test_a_prediction_is_made_once_per_clip_and_shared_by_utterances_with_equal_clips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []

    def counted(*given: Any) -> Any:
        made = predict(*given)
        sizes.append(len(made.distributions))
        return made

    monkeypatch.setattr(predictions, "predict", counted)
    made = study("abacb")
    column = columns_of(made)["greedy", "none"]
    assert sizes == [3, 3], "two strategies, three clips"
    first = [column.shares[place].tolist() for place in (0, 1, 3)]
    assert len({tuple(one) for one in first}) == 3
    assert column.shares[2].tolist() == first[0]
    assert column.shares[4].tolist() == first[1]
    assert column.clip_of == ("u0", "u1", "u2", "u3", "u4"), "each is still given its own clip"


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=10))
def test_clips_are_numbered_in_the_order_in_which_they_are_drawn(clips: list[str]) -> None:
    made = study(clips)
    numbered = clip_rows(truths_of(made, "tiny")).tolist()
    drawn = [one.audio_sha256 for one in distinct(made.utterances["tiny"])]
    assert [drawn[number] for number in numbered] == made.utterances["tiny"].audio_sha256


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=10), st.integers(0, 99))
def test_shuffled_audio_reads_the_clip_of_another_speaker(clips: list[str], seed: int) -> None:
    made = study(clips, seed=seed, controls=["shuffled_audio"])
    found = columns_of(made)
    own, shuffled = found["greedy", "none"], found["greedy", "shuffled_audio"]
    places = [own.clip_of.index(one) for one in shuffled.clip_of]
    speakers = truths_of(made, "tiny").speakers
    assert all(speakers[place] != one for place, one in zip(places, speakers, strict=True))
    if len(clips) % 2 == 0:  # else one of the two speakers has more than half
        assert sorted(shuffled.clip_of) == sorted(own.clip_of), "every clip is given to somebody"
    assert shuffled.shares.tolist() == own.shares[places].tolist()
    owners = clip_owners(own.clip_of, speakers, "shuffled_audio", seed, "tiny")
    assert shuffled.clip_of == tuple(owners[one] for one in own.clip_of)


def test_shuffled_audio_of_a_weighted_strategy_moves_its_counts_and_entropies_along() -> None:
    made = study("abcde", controls=[{"name": "shuffled_audio", "strategies": ["w_bon"]}])
    asked = asked_of(made)
    beams = asked["direct.beam-5"]
    beams.distributions[2, 1:] = np.nan  # four of u2's beams did not parse
    found = columns_of(made, asked)
    own, shuffled = found["w_bon", "none"], found["w_bon", "shuffled_audio"]
    listener = shuffled.clip_of.index("u2")
    assert (own.unparsed.tolist(), shuffled.unparsed[listener]) == ([0, 0, 4, 0, 0], 4)
    assert shuffled.bits[listener].tolist() == own.bits[2].tolist()


def test_one_utterance_alone_has_no_shuffled_column() -> None:
    made = study("a", controls=["shuffled_audio", "silence"])
    assert list(columns_of(made)) == [("greedy", "none"), ("w_bon", "none"), ("greedy", "silence")]


def test_silence_is_a_question_of_its_own() -> None:
    made = study("abc", controls=["silence"])
    asked = asked_of(made)
    silent = columns_of(made, asked)["greedy", "silence"]
    given_silence = asked["direct.greedy.silence"].distributions[:, 0]
    np.testing.assert_allclose(silent.shares, given_silence, rtol=1e-8)
    assert silent.clip_of == ("u0", "u1", "u2")


def test_a_smaller_sample_is_the_first_candidates_of_the_larger_one() -> None:
    few = {"name": "vote_of_3", "base": "majority_vote", "count": 3}
    made = study("abcd", strategies=["majority_vote", few])
    asked = asked_of(made)
    assert list(asked) == ["direct.sample-8"]
    found = columns_of(made, asked)
    for name, count in (("majority_vote", 8), ("vote_of_3", 3)):
        rows_of = {entry.name: entry.row() for entry in made.plan.strategies}
        alone = predict(rows_of[name], asked["direct.sample-8"].first(count), Settings())
        assert found[name, "none"].shares.tolist() == rounded(alone.distributions).tolist()
        assert found[name, "none"].candidates.tolist() == [count] * 4


def test_the_plan_s_weights_reach_the_strategies() -> None:
    asked = asked_of(study("abcd"))
    chosen: dict[str, Any] = {
        "weights": {"tau": 9.0},
        "dirichlet": {"concentration": 2.0, "epsilon": 3.0},
    }
    made = study("abcd", **chosen)
    row = next(entry.row() for entry in made.plan.strategies if entry.name == "w_bon")
    expected = predict(row, asked["direct.beam-5"], Settings(9.0, 2.0, 3.0))
    column = columns_of(made, asked)["w_bon", "none"]
    assert column.shares.tolist() == rounded(expected.distributions).tolist()
    assert column.bits.tolist() == np.round(expected.bits, 9).tolist()
    assert (
        column.shares.tolist() != columns_of(study("abcd"), asked)["w_bon", "none"].shares.tolist()
    )


@given(st.permutations(range(6)))
def test_the_order_in_which_a_corpus_names_its_utterances_changes_nothing(order: list[int]) -> None:
    changes: dict[str, Any] = {"controls": ["shuffled_audio"]}
    asked = asked_of(study("abcabd", **changes))
    here, there = (study("abcabd", one, **changes) for one in (None, order))
    rows_of = [
        list(prediction_lines(truths_of(one, "tiny"), list(columns_of(one, asked).values())))
        for one in (here, there)
    ]
    assert rows_of[0] == rows_of[1]


# --- the rows of the file ---


def rows_of(made: Study, columns: list[Column]) -> list[Row]:
    """The lines of the file, read back: each must be spelled as `json.dumps` spells it."""
    data = b"".join(prediction_lines(truths_of(made, "tiny"), columns))
    return list(rows(io.BytesIO(data), "predictions"))


def failing() -> tuple[Study, dict[str, Candidates]]:
    """The second clip's draw failed, and nothing of the third one parsed."""
    made = study("abc", controls=["shuffled_audio"])
    asked = asked_of(made)
    for one in asked.values():
        one.distributions[1:] = np.nan
        one.there[1] = False
        one.failures[1] = "audio: is empty"
    return made, asked


def test_rows_go_utterance_by_utterance_and_within_each_column_by_column() -> None:
    made = study("abc", controls=["shuffled_audio"])
    told = rows_of(made, list(columns_of(made).values()))
    cells = [("greedy", "none"), ("w_bon", "none"), ("greedy", "shuffled_audio")]
    expected = [(one, *cell) for one in ("u0", "u1", "u2") for cell in cells]
    assert [(row["utterance_id"], row["strategy"], row["control"]) for row in told] == expected


def test_a_row_says_what_its_column_says_and_can_be_written() -> None:
    made, asked = failing()
    columns = columns_of(made, asked)
    told = rows_of(made, list(columns.values()))
    greedy = [row for row in told if (row["strategy"], row["control"]) == ("greedy", "none")]
    column = columns["greedy", "none"]
    assert [row["distribution"] for row in greedy] == [column.shares[0].tolist(), None, None]
    assert [row["failure"] for row in greedy] == ["", "audio: is empty", "no candidate parsed"]
    assert [(row["candidates"], row["unparsed"]) for row in greedy] == [(1, 0), (0, 0), (1, 1)]
    assert [row[name] for row in greedy for name in BITS] == [None] * 9
    mixture = next(row for row in told if row["strategy"] == "w_bon")
    assert [mixture[name] for name in BITS] == columns["w_bon", "none"].bits[0].tolist()
    assert column.has_prediction.tolist() == [True, False, False]


@given(st.text(), st.text(), st.text(), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_line_is_what_json_dumps_writes(
    name: str, clip: str, failure: str, shares: list[float]
) -> None:
    made = study("a")
    (whole,) = [one for key, one in columns_of(made).items() if key == ("w_bon", NO_CONTROL)]
    column = replace(
        whole,
        strategy=name,
        clip_of=(clip,),
        failures=np.array([failure], dtype=object),
        shares=np.array([shares]),
    )
    (row,) = rows_of(made, [column])
    assert (row["strategy"], row["clip_of"], row["failure"]) == (name, clip, failure)
    assert row["distribution"] == shares


def test_a_rounded_prediction_adds_up_to_1_again_and_a_missing_one_stays_missing() -> None:
    made, asked = failing()
    column = columns_of(made, asked)["w_bon", "none"]
    assert math.fsum(column.predicted[0]) == pytest.approx(1, abs=1e-15)
    np.testing.assert_allclose(column.predicted[0], column.shares[0], rtol=1e-8)
    assert np.isnan(column.predicted[1:]).all()


def test_baselines_are_columns_that_were_given_no_clip() -> None:
    made = study("abab")
    truths = truths_of(made, "tiny")
    columns = {one.strategy: one for one in baseline_columns(made, "tiny", truths)}
    assert list(columns) == ["uniform", "prior", "prior_without_speaker", "prior_one_hot"]
    assert columns["uniform"].shares.tolist() == [[0.25] * 4] * 4
    np.testing.assert_allclose(columns["prior"].shares[0], truths.truth.mean(axis=0), rtol=1e-8)
    for one in columns.values():
        assert (one.model, one.control, one.clip_of) == ("baselines", "none", ("",) * 4)
        assert one.candidates.tolist() == [0] * 4
        assert one.failures.tolist() == [""] * 4


# --- rounding ---


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_rounding_twice_is_rounding_once_and_only_0_becomes_0(shares: list[float]) -> None:
    once = rounded(np.array(shares))
    assert rounded(once).tobytes() == once.tobytes()
    assert ((once == 0) == (np.array(shares) == 0)).all()
    np.testing.assert_allclose(once, shares, rtol=5.1e-9, atol=5e-324)


@given(st.randoms(use_true_random=False))
def test_a_rounded_share_has_at_most_nine_digits(random: Random) -> None:
    share = random.random() ** random.choice([1, 5, 50])
    written = repr(float(rounded(np.array([share]))[0])).partition("e")[0]
    assert len(written.replace(".", "").lstrip("0")) <= 9


def test_rounding_keeps_the_shape_and_what_is_missing() -> None:
    shares = np.array([[0.1234567894, 0.8765432106], [np.nan, np.nan]])
    expected = np.array([[0.123456789, 0.876543211], [np.nan, np.nan]])
    np.testing.assert_array_equal(rounded(shares), expected)
