"""Verifiers that judge by criteria, or all candidates in one list."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.bundle.shipped import verify as shipped
from ambiemo.draws import Decoding, Draw
from ambiemo.models.parsing import parse_scores
from ambiemo.plan.sharing import LISTWISE, judge_of, score_read, shown_order
from ambiemo.strategies import SCORERS

KEY = "ab" * 32


def judged_draw() -> Draw:
    return Draw("m", "", "null", "c", "u", "00" * 32, "", "direct", "?", Decoding("beam", 3), 7)


@given(st.integers(1, 9))
def test_over_the_draws_of_a_clip_every_candidate_stands_once_in_every_place(count: int) -> None:
    orders = [shown_order(KEY, index, count) for index in range(count)]
    for place in range(count):
        assert sorted(order[place] for order in orders) == list(range(count))


def test_another_clip_has_another_order() -> None:
    orders = {tuple(shown_order(f"{number:064x}", 0, 5)) for number in range(50)}
    assert len(orders) > 20


def test_a_listwise_prompt_shows_all_candidates_verbatim_and_its_score_is_its_own() -> None:
    prompt = "hear {labels}\n{candidate}"
    judge = judge_of(
        "m",
        revision="",
        engine="null",
        prompt_id=LISTWISE,
        prompt=prompt,
        labels=("a", "b"),
        max_tokens=32,
    )
    texts, drawn = ["x {labels}", "y", "z"], judged_draw()
    for index in range(3):
        asked = judge(drawn, index, texts)
        lines = asked.prompt.splitlines()[1:]
        order = shown_order(drawn.key, index, 3)
        assert lines == [f"Answer {n}: {texts[one]}" for n, one in enumerate(order, 1)]
        said = json.dumps({"scores": [one + 1 for one in order]})
        assert score_read(asked, index, 3, said).score == index + 1


def test_other_judges_are_asked_about_one_candidate() -> None:
    for name in ("verifier", "rubric"):
        judge = judge_of(
            "m",
            revision="",
            engine="null",
            prompt_id=name,
            prompt="{candidate}",
            labels=(),
            max_tokens=32,
        )
        asked = judge(judged_draw(), 1, ["x", "y", "z"])
        assert asked.prompt == "y"
        assert score_read(asked, 1, 3, '{"score": 4}').score == 4


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"scores": [1, 7, 10]}', 7),
        ('I heard it. {"scores": [1, 7.5, 10]}', 7.5),
        ('```json\n{"scores": [1, 7, 10]}\n```', 7),
        ('{"scores": [1, 7]}', None),
        ('{"scores": [1, 7, 10, 3]}', None),
        ('{"scores": [1, 7, 11]}', None),
        ('{"scores": [1, true, 10]}', None),
        ('{"scores": [1, NaN, 10]}', None),
        ('{"scores": [1, "7", 10]}', None),
        ('{"scores": {"1": 7}}', None),
        ('{"scores": [1, 7, 10], "scores": [1, 8, 10]}', None),
        ('{"scores": [1, 7, 10], "why": 1}', None),
        ('{"score": 7}', None),
        ('{"scores": [1, 7, 10]} as I said', None),
        ("7", None),
        ("", None),
        ("{" * 100_000, None),
        ("x" * 200_000, None),
    ],
)
def test_a_list_of_scores_is_read_whole_or_not_at_all(text: str, score: float | None) -> None:
    read = parse_scores(text, 3, 1)
    assert (read.verdict, read.score) == (("unparsed", None) if score is None else ("exact", score))
    assert shipped.score_in_list(text, read.verdict, 3, 1, "here") == score


def test_the_second_verifier_knows_the_scorers_and_the_order() -> None:
    assert set(shipped.SCORERS) == {"none", *SCORERS}
    assert set(shipped.JUDGED_BY) == {name for name, one in SCORERS.items() if one.judge}
    asking = shipped.Asking.__new__(shipped.Asking)
    asking.judged = 5
    assert all(asking.order(KEY, index) == shown_order(KEY, index, 5) for index in range(5))
