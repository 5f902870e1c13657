"""What a verifier is asked: one draw per candidate that was brought, made when it is asked for."""

from dataclasses import replace
from pathlib import Path

import pytest

from ambiemo.draws import Answer, Candidate, Decoding, Draw
from ambiemo.errors import Broken
from ambiemo.pipeline.draw import groups
from ambiemo.pipeline.score import Judgements, judgements
from ambiemo.pipeline.store import AnswerFile, AnswerStore, as_line
from ambiemo.plan.expand import Expanded, expand
from ambiemo.plan.schema import check
from ambiemo.plan.sharing import Question, draws, judging, questions_of


def planned(**changes: object) -> Expanded:
    """Six embedded clips; alm_v reads three beams, w_alm_v_2 two of eight samples."""
    sampled = {"name": "w_alm_v_2", "base": "w_alm_v", "decoding": "sample", "count": 2}
    whole = {
        "name": "small",
        "models": [{"id": "tiny", "engine": "null"}],
        "corpora": [{"id": "tiny", "limit": 6}],
        "strategies": ["greedy", "alm_v", sampled, "majority_vote"],
    }
    return expand(check({**whole, **changes}, "plan"))


def answer(draw: Draw, count: int | None = None, failure: str = "") -> Answer:
    """The candidates of a draw. Their texts name the draw and have a placeholder in them."""
    size = draw.decoding.count if count is None else count
    texts = [f"{draw.key[:6]} {i} {{labels}} é" for i in range(0 if failure else size)]
    candidates = tuple(Candidate(text, 3, -1.5, "stop") for text in texts)
    return Answer(draw.key, candidates, draw.decoding, failure=failure)


def stored(
    expanded: Expanded, store: AnswerStore, answers: dict[str, Answer] | None = None
) -> None:
    """Answer every question in groups of four; `answers` (by key) replace the usual ones."""
    for question in questions_of(expanded):
        asked = list(draws(expanded, question))
        for start in range(0, len(asked), 4):
            group = [(answers or {}).get(one.key, answer(one)) for one in asked[start : start + 4]]
            store.append(question.model, as_line("g", group))


def judged(expanded: Expanded) -> list[Question]:
    return [one for one in questions_of(expanded) if one.judged]


def all_of(asked: dict[str, list[Judgements]]) -> list[Draw]:
    return [draw for own in asked.values() for one in own for draw in one]


def test_the_lazily_made_draws_are_those_of_judging_each_candidate(tmp_path: Path) -> None:
    expanded = planned()
    with AnswerStore(tmp_path) as store:
        stored(expanded, store)
        (name,) = asked = judgements(expanded, store)
    expected = []
    for question in judged(expanded):
        judge = judging(expanded, question)
        for draw in draws(expanded, question):
            texts = [one.text for one in answer(draw).candidates]
            expected += [
                judge(draw, index, texts[: question.judged]) for index in range(question.judged)
            ]
    assert name == "tiny"
    assert all_of(asked) == expected
    assert len({draw.key for draw in expected}) == len(expected) == 6 * (3 + 2)


def test_a_judgement_says_the_candidate_verbatim_and_gives_the_same_clip(tmp_path: Path) -> None:
    expanded = planned(strategies=["alm_v"])
    (question,) = judged(expanded)
    first = next(draws(expanded, question))
    with AnswerStore(tmp_path) as store:
        stored(expanded, store)
        ((lazily,),) = judgements(expanded, store).values()
        second = lazily[1]
    assert (second.purpose, second.prompt_id, second.about) == (
        "score",
        "verifier",
        f"{first.key}#1",
    )
    assert answer(first).candidates[1].text in second.prompt
    assert second.audio_sha256 == first.audio_sha256
    assert second.decoding == Decoding("greedy", max_tokens=32)


def test_they_are_asked_like_a_list(tmp_path: Path) -> None:
    expanded = planned(strategies=["alm_v"])
    with AnswerStore(tmp_path) as store:
        stored(expanded, store)
        ((lazily,),) = judgements(expanded, store).values()
    told = list(lazily)
    assert len(lazily) == len(told) == 18
    for at in (
        slice(2, 5),
        slice(None),
        slice(16, 99),
        slice(5, 2),
        slice(0, 18, 4),
        slice(-3, None),
    ):
        assert lazily[at] == told[at]
    assert [lazily[place] for place in (0, 7, 17, -1, -18)] == [
        told[place] for place in (0, 7, 17, -1, 0)
    ]
    for outside in (18, -19):
        with pytest.raises(IndexError):
            lazily[outside]
    assert told[4] in lazily


def test_the_draw_stage_groups_them_without_changing_one(tmp_path: Path) -> None:
    expanded = planned(strategies=["alm_v"])
    with AnswerStore(tmp_path) as store:
        stored(expanded, store)
        ((lazily,),) = judgements(expanded, store).values()
    told = list(lazily)
    done = {told[0].key, told[5].key}
    work = groups([(lambda draw: draw, lazily)], 4, done.__contains__)
    assert [draw for group in work for draw in group] == [
        draw for draw in told if draw.key not in done
    ]


def test_a_failed_draw_and_one_that_was_never_made_are_not_judged(tmp_path: Path) -> None:
    expanded = planned(strategies=["alm_v"])
    (question,) = judged(expanded)
    asked = list(draws(expanded, question))
    with AnswerStore(tmp_path) as store:
        failed = answer(asked[0], failure="audio: is empty")
        store.append("tiny", as_line("g", [failed, *map(answer, asked[2:])]))
        ((lazily,),) = judgements(expanded, store).values()
        abouts = {draw.about.partition("#")[0] for draw in lazily}
    assert abouts == {draw.key for draw in asked[2:]}
    assert len(lazily) == 4 * 3


def test_a_draw_that_failed_once_and_was_answered_later_is_judged(tmp_path: Path) -> None:
    expanded = planned(strategies=["alm_v"])
    (question,) = judged(expanded)
    asked = list(draws(expanded, question))
    with AnswerStore(tmp_path) as store:
        store.append("tiny", as_line("g", [answer(one, failure="timed out") for one in asked]))
        assert len(all_of(judgements(expanded, store))) == 0
        store.append("tiny", as_line("g", [answer(one) for one in asked]))
        assert len(all_of(judgements(expanded, store))) == 18


def test_an_engine_that_brought_fewer_candidates_is_named(tmp_path: Path) -> None:
    expanded = planned(strategies=["alm_v"])
    (question,) = judged(expanded)
    short = list(draws(expanded, question))[3]
    with AnswerStore(tmp_path) as store:
        stored(expanded, store, {short.key: answer(short, count=2)})
        ((lazily,),) = judgements(expanded, store).values()
        assert lazily[10].about == f"{short.key}#1", "the candidates that it brought can be judged"
        with pytest.raises(Broken) as error:
            lazily[11]
    said = str(error.value)
    assert said.startswith(
        f"{tmp_path / 'tiny.jsonl'}: {short.utterance_id} (draw {short.key[:12]}"
    )
    assert "found 2 candidates, expected 3; the engine brought fewer" in said
    assert "\n" not in said


def test_clips_with_the_same_bytes_are_judged_once(tmp_path: Path) -> None:
    expanded = planned(strategies=["alm_v"])
    corpus = expanded.corpora["tiny"]
    first, second, *rest = corpus.utterances
    twins = [first, replace(second, audio_sha256=first.audio_sha256), *rest]
    expanded.corpora["tiny"] = replace(corpus, utterances=twins)
    with AnswerStore(tmp_path) as store:
        stored(expanded, store)
        made = all_of(judgements(expanded, store))
    assert len(made) == 5 * 3
    assert len({draw.key for draw in made}) == len(made)
    assert {draw.utterance_id for draw in made} == {one.id for one in (first, *rest)}


def test_another_verifier_is_asked_about_every_model_s_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambiemo.plan.expand.lacks", lambda *asked: [])
    judge = {"id": "qwen2-audio-7b", "engine": "null"}
    expanded = planned(strategies=["alm_v"], verifier=judge)
    with AnswerStore(tmp_path) as store:
        stored(expanded, store)
        (name,) = asked = judgements(expanded, store)
        made = all_of(asked)
    assert name == "qwen2-audio-7b"
    assert {draw.model for draw in made} == {"qwen2-audio-7b"}
    assert len(made) == 18


def test_without_a_verifier_nothing_is_judged(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        assert judgements(planned(strategies=["greedy", "bon"]), store) == {}


def test_a_line_that_was_changed_since_is_named_when_a_judgement_is_made(tmp_path: Path) -> None:
    expanded = planned(strategies=["alm_v"])
    with AnswerStore(tmp_path) as store:
        stored(expanded, store)
        ((lazily,),) = judgements(expanded, store).values()
        path = tmp_path / "tiny.jsonl"
        path.write_bytes(path.read_bytes().replace(b" 1 {labels}", b" 2 {labels}", 1))
        with pytest.raises(Broken, match=r"tiny\.jsonl: line 1: its checksum does not fit"):
            list(lazily)
    with AnswerFile(path) as file, pytest.raises(Broken, match="line 1"):
        file.index()
