"""The checks of smoke and conform: each fails on answers that show its fault, and on nothing else."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from ambiemo.draws import Answer, Candidate, Decoding
from ambiemo.models.spec import CAPABILITIES
from ambiemo.smoke import reckoning
from ambiemo.smoke.advice import advised
from ambiemo.smoke.checks import CHECKS, Evidence, agree, all_of, judged
from ambiemo.smoke.reckoning import Measured, Whole, whole

LABELS = ("happy", "sad")
CLIPS = 4
Answers = dict[str, list[Answer]]


def said(share: float) -> str:
    return json.dumps({"happy": round(share, 3), "sad": round(1 - share, 3)})


def answer(decoding: Decoding, *texts: str, first: float = -1.0) -> Answer:
    each = [Candidate(text, 8, first - place, "stop") for place, text in enumerate(texts)]
    return Answer("a" * 64, tuple(each), decoding)


def good() -> Answers:
    """What a model says that hears, parses, honours seeds and sorts its beams."""
    greedy, places = Decoding("greedy"), range(CLIPS)
    clip = [answer(greedy, said(0.1 + 0.2 * place)) for place in places]
    sampled = [[said(0.01 * (8 * place + k)) for k in range(8)] for place in places]
    forced = Answer(
        "a" * 64, tuple(Candidate(one, 1, -2.0, "forced") for one in LABELS), Decoding("forced", 2)
    )
    return {
        "greedy": clip,
        "silence": [answer(greedy, said(0.5))] * CLIPS,
        "again": clip,
        "alone": clip,
        "few": [answer(Decoding("sample", 2, 1.0), *texts[:2]) for texts in sampled],
        "many": [answer(Decoding("sample", 8, 1.0), *texts) for texts in sampled],
        "beams": [answer(Decoding("beam", 3), *texts[:3]) for texts in sampled],
        "forced": [forced] * CLIPS,
        "judged": [answer(greedy, '{"score": 7}')] * CLIPS,
    }


def told(said_: Answers, **changes: object) -> Evidence:
    return replace(
        Evidence("vllm", LABELS, frozenset(CAPABILITIES), answers=said_),
        **changes,  # type: ignore[arg-type]
    )


def failing(seen: Evidence) -> dict[str, str]:
    found = {check.name: judged(check, seen) for check in CHECKS}
    return {name: one.said for name, one in found.items() if one.verdict == "failed"}


def each(name: str, change: Callable[[Answer], Answer]) -> Callable[[Answers], Answers]:
    return lambda answers: {**answers, name: [change(one) for one in answers[name]]}


def as_text(*texts: str) -> Callable[[Answer], Answer]:
    return lambda one: answer(one.decoding, *texts)


def unlikely(one: Answer) -> Answer:
    return replace(one, candidates=tuple(replace(c, log_likelihood=None) for c in one.candidates))


def turned(one: Answer) -> Answer:
    return replace(one, candidates=one.candidates[::-1])


def babbled(answers: Answers) -> Answers:
    """The same answers without a number in them."""

    def one(told: Answer) -> Answer:
        texts = [
            "What a voice" + "!" * round(100 * json.loads(c.text)["happy"]) for c in told.candidates
        ]
        return replace(
            told,
            candidates=tuple(
                replace(c, text=t) for c, t in zip(told.candidates, texts, strict=True)
            ),
        )

    spoken = {
        name: [one(told) for told in each]
        for name, each in answers.items()
        if name not in ("forced", "judged")
    }
    return answers | spoken


FAULTS: Sequence[tuple[str, Callable[[Answers], Answers], str]] = (
    ("answers", each("few", lambda one: replace(one, candidates=(), failure="engine: dead")), "4 of 36 draws failed: engine: dead"),
    ("hears", lambda all_: {**all_, "silence": all_["greedy"]}, "to the clip and to silence (4 of 4 clips)"),
    ("hears", lambda all_: {**all_, **dict.fromkeys(("greedy", "again", "alone"), [all_["greedy"][0]] * CLIPS)}, "to another clip"),
    ("parses", babbled, "expected half at least; one that is not: 'What a voice"),
    ("nested", each("few", turned), "the first 2 of 8 samples are not the 2 samples (4 of 4 clips)"),
    ("repeats", each("again", as_text(said(0.99))), "the same answer asked twice for 0 of 4 clips"),
    ("batch", each("alone", as_text(said(0.99))), "in a batch and alone for 0 of 4 clips"),
    ("likelihoods", each("few", unlikely), "8 of 24 candidates have no log-likelihood"),
    ("beams", each("beams", turned), "beams are not sorted"),
    ("beams", each("beams", lambda one: replace(one, candidates=one.candidates[:2])), "2 beams, expected 3"),
    ("labels", each("forced", turned), "labels ['sad', 'happy'], expected ['happy', 'sad']"),
    ("judges", each("judged", as_text("fine")), "0 of 4 answers are read as a score"),
)  # fmt: skip


def test_good_answers_fail_no_check() -> None:
    seen = told(good())
    assert not failing(seen)
    assert {judged(check, seen).verdict for check in CHECKS} == {"ok"}


@pytest.mark.parametrize(
    ("name", "fault", "words"), FAULTS, ids=[f"{one[0]}-{at}" for at, one in enumerate(FAULTS)]
)
def test_a_planted_fault_fails_its_check_alone(
    name: str, fault: Callable[[Answers], Answers], words: str
) -> None:
    found = failing(told(fault(good())))
    assert list(found) == [name]
    assert words in found[name]


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"able": frozenset()}, "beams", "the model cannot: beam"),
        ({"takes_seed": False}, "nested", "takes no seed"),
        ({"engine": "null"}, "hears", "engine null hears nothing"),
        ({"answers": {}}, "repeats", "nothing was drawn: greedy, again"),
    ],
)
def test_a_skipped_check_says_why(changes: dict, name: str, words: str) -> None:
    check = next(one for one in CHECKS if one.name == name)
    found = judged(check, told(good(), **changes))
    assert found.verdict == "skipped"
    assert words in found.said


def test_one_failure_among_several_findings_is_the_one_that_is_told() -> None:
    bad = told({**good(), "silence": good()["greedy"]})
    found = all_of(judged(check, bad) for check in CHECKS)
    assert found.verdict == "failed"
    assert found.said.startswith("does not hear")


def test_engines_agree_within_the_bound_and_not_beyond() -> None:
    ours = {name: good()[name] for name in ("greedy", "beams", "forced")}
    assert agree(ours, ours).verdict == "ok"

    def moved(nats: float) -> Answers:
        shift = [
            replace(
                one,
                candidates=tuple(
                    replace(c, log_likelihood=c.log_likelihood + nats) for c in one.candidates
                ),
            )
            for one in ours["greedy"]
        ]
        return {**ours, "greedy": shift}

    assert agree(ours, moved(8 * 0.04)).verdict == "ok"
    assert "within 0.06 nat" in agree(ours, moved(8 * 0.06)).said
    assert agree(ours, moved(8 * 0.06)).verdict == "failed"
    other = {
        **ours,
        "greedy": good()["again"][::-1],
        "beams": [turned(one) for one in ours["beams"]],
    }
    assert agree(ours, other).verdict == "failed"


def test_too_little_room_is_said_with_both_numbers() -> None:
    assert reckoning.room("disk", 5.0, 1.5).verdict == "failed"
    assert reckoning.room("disk", 5.0, 1.5).said == "disk: 5 GiB needed, 1.5 GiB free"
    assert reckoning.room("memory of the driver", 1.5, 5.0).verdict == "ok"
    assert reckoning.room("memory", 1.5, None).verdict == "skipped"


def test_a_ceiling_that_ends_a_model_early_is_said_beforehand() -> None:
    found = reckoning.ceiling(200.0, 50.0)
    assert found is not None
    assert "end it after 25% of the draws" in found.said
    assert reckoning.ceiling(20.0, 50.0) is None
    assert reckoning.ceiling(200.0, None) is None


def test_the_whole_is_what_the_few_took_times_their_number() -> None:
    few = {"a": Measured(8, 4.0, 100, 800), "b": Measured(8, 8.0, 100, 1600)}
    assert whole(few, {"a": 80, "b": 40}) == Whole(80.0, 0.0, 16000.0)
    assert whole(few, {"a": 80, "b": 40}, faster=2, at_once=4).seconds == 10.0
    assert whole(few, {"new": 16}).seconds == pytest.approx(12.0)  # the mean of the others
    assert whole(few, {"a": 10}, dollars_per_draw=0.5).dollars == 5.0
    both = reckoning.total([Whole(10, 1.0, 5), Whole(30, None, 5)])
    assert both == Whole(30, None, 10)


def test_advice_follows_a_reason_that_has_none() -> None:
    assert "accepts: {seed: false}" in advised('HTTP 400: Unknown name "seed"')
    assert advised("a clip cannot be opened") == "a clip cannot be opened"
