"""What a model's answers must show, as one table. Every check is a pure function of drawn answers.

A check reads the answers of some probes (`smoke.probes`) and says ok, failed or skipped, with one
line. A skip has its reason: what the model or its engine cannot do, or that nothing was drawn.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from ambiemo.draws import Answer, Candidate
from ambiemo.models.parsing import parse_candidate, parse_score

Verdict = Literal["ok", "failed", "skipped"]
HALF = 0.5
"""The share that must agree or parse. Batch mates move logits by rounding, so a near tie may fall
otherwise."""
SAME_NATS = 1e-3
"""Two log-likelihoods of one text that differ by less are the same."""
BOUND_NATS = 0.05
"""How far two engines' log-likelihoods of one text may be apart, per token."""
SPOKEN = ("greedy", "silence", "again", "alone", "few", "many", "beams")
"""Probes whose answers are distributions in words."""


@dataclass(frozen=True)
class Finding:
    """What a check says."""

    verdict: Verdict
    said: str


@dataclass(frozen=True)
class Evidence:
    """What a model was asked and what it answered.

    labels        of the corpus that the clips are from
    able          what the model can do through this engine
    takes_seed    whether its samples can be repeated at all
    labels_of     by corpus, for answers to questions of the plan ("plan:CORPUS:QUESTION")
    answers       by probe, one per clip, in the clips' order
    """

    engine: str
    labels: tuple[str, ...]
    able: frozenset[str]
    takes_seed: bool = True
    labels_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One row: what it asks, the capability and the probes that it needs, and what decides it."""

    name: str
    asks: str
    needs: str
    probes: tuple[str, ...]
    judge: Callable[[Evidence], Finding]


def judged(check: Check, evidence: Evidence) -> Finding:
    """What a check says, or why it was skipped."""
    if check.needs and check.needs not in evidence.able:
        return Finding("skipped", f"the model cannot: {check.needs}")
    if lacking := [name for name in check.probes if not evidence.answers.get(name)]:
        return Finding("skipped", f"nothing was drawn: {', '.join(lacking)}")
    return check.judge(evidence)


# --- the checks ---


def answered(evidence: Evidence) -> Finding:
    """Every draw brought an answer."""
    every = [answer for answers in evidence.answers.values() for answer in answers]
    reasons = Counter(" ".join(one.failure.split()) for one in every if one.failure)
    if reasons:
        reason, _ = reasons.most_common(1)[0]
        return Finding("failed", f"{reasons.total()} of {len(every)} draws failed: {reason}")
    return Finding("ok", f"{len(every)} draws")


def hears(evidence: Evidence) -> Finding:
    """The clip, silence and another clip do not all get the same answer."""
    if evidence.engine == "null":
        return Finding("skipped", "engine null hears nothing")
    pairs = _pairs(evidence, "greedy", "silence")
    clips, silent = [one for one, _ in pairs], [other for _, other in pairs]
    if not pairs:
        return Finding("skipped", "no clip has both answers")
    as_silence = sum(_same(one, other) for one, other in pairs)
    next_clip = [*clips[1:], clips[0]]
    as_next = sum(_same(one, other) for one, other in zip(clips, next_clip, strict=True))
    if as_silence == len(silent) or (as_next == len(clips) and len(clips) > 1):
        to = [
            "silence" if as_silence == len(silent) else "",
            "another clip" if as_next == len(clips) and len(clips) > 1 else "",
        ]
        return Finding(
            "failed",
            f"does not hear: the same answer to the clip and to {' and to '.join(filter(None, to))} ({len(clips)} of {len(clips)} clips)",
        )
    return Finding(
        "ok",
        f"another answer to silence for {len(silent) - as_silence} of {len(silent)} clips, to another clip for {len(clips) - as_next}",
    )


def parses(evidence: Evidence) -> Finding:
    """At least half of the answers in words can be read as a distribution."""
    texts = [
        (
            one.text,
            evidence.labels_of.get(name.split(":")[1], evidence.labels)
            if ":" in name
            else evidence.labels,
        )
        for name, answers in evidence.answers.items()
        if name in SPOKEN or name.startswith("plan:")
        for answer in answers
        if not answer.failure and answer.decoding.kind != "forced"
        for one in answer.candidates
    ]
    if not texts:
        return Finding("skipped", "no answer came")
    lost = [
        text
        for text, labels in texts
        if parse_candidate(text, labels, "greedy").verdict == "unparsed"
    ]
    summary = f"{len(texts) - len(lost)} of {len(texts)} answers are read as a distribution"
    if len(texts) - len(lost) >= HALF * len(texts):
        return Finding("ok", summary)
    return Finding(
        "failed", f"{summary}, expected half at least; one that is not: {lost[0][:80]!a}"
    )


def nested(evidence: Evidence) -> Finding:
    """The few samples are the first of the many."""
    if not evidence.takes_seed:
        return Finding("skipped", "the server takes no seed, so samples differ from run to run")
    pairs = _pairs(evidence, "few", "many")
    if not pairs:
        return Finding("skipped", "no clip has both answers")
    few, many = (len(one.candidates) for one in pairs[0])
    same = sum(_texts(one) == _texts(other)[:few] for one, other in pairs)
    if same >= HALF * len(pairs):
        return Finding(
            "ok", f"the first {few} of {many} samples are the {few}: {same} of {len(pairs)} clips"
        )
    return Finding(
        "failed",
        f"the first {few} of {many} samples are not the {few} samples ({len(pairs) - same} of {len(pairs)} clips): "
        "its seeds have no effect, and a smaller N would need draws of its own",
    )


def repeats(evidence: Evidence) -> Finding:
    """Greedy decoding says the same again."""
    return _as_before(evidence, "greedy", "again", "asked twice")


def together(evidence: Evidence) -> Finding:
    """A batch answers as its members do alone."""
    return _as_before(evidence, "greedy", "alone", "in a batch and alone")


def likelihoods(evidence: Evidence) -> Finding:
    """Every candidate has a finite log-likelihood, 0 at most."""
    values = [
        one.log_likelihood
        for name in ("greedy", "few", "beams")
        for answer in evidence.answers.get(name, ())
        for one in answer.candidates
    ]
    wrong = [one for one in values if one is None or not math.isfinite(one) or one > SAME_NATS]
    if not values:
        return Finding("skipped", "no answer came")
    if wrong:
        return Finding(
            "failed",
            f"{len(wrong)} of {len(values)} candidates have no log-likelihood, or one above 0: {wrong[0]}",
        )
    return Finding("ok", f"{len(values)} candidates, {min(values):.1f} to {max(values):.1f} nats")  # type: ignore[type-var,str-format]


def sorted_beams(evidence: Evidence) -> Finding:
    """As many beams as asked for, the likeliest first, no two alike."""
    for answer in _came(evidence, "beams"):
        each = [one.log_likelihood or 0.0 for one in answer.candidates]
        if len(each) != answer.decoding.count:
            return Finding("failed", f"{len(each)} beams, expected {answer.decoding.count}")
        if any(one < other - SAME_NATS for one, other in pairwise(each)):
            return Finding("failed", f"beams are not sorted by log-likelihood: {each}")
    came = _came(evidence, "beams")
    return (
        Finding("ok", f"{came[0].decoding.count} beams, the likeliest first")
        if came
        else Finding("skipped", "no answer came")
    )


def forces(evidence: Evidence) -> Finding:
    """Every label has its log-probability, in the labels' order."""
    for answer in _came(evidence, "forced"):
        if tuple(_texts(answer)) != evidence.labels:
            return Finding("failed", f"labels {_texts(answer)}, expected {list(evidence.labels)}")
        if not all(math.isfinite(one.log_likelihood or 0.0) for one in answer.candidates):
            return Finding("failed", "a label has a log-probability that is not finite")
    return Finding("ok", f"{len(evidence.labels)} labels")


def judges(evidence: Evidence) -> Finding:
    """At least half of the verifier's answers can be read as a score."""
    texts = [one.text for answer in _came(evidence, "judged") for one in answer.candidates]
    if not texts:
        return Finding("skipped", "no answer came")
    scores = [parse_score(text).score for text in texts]
    read = [one for one in scores if one is not None]
    summary = f"{len(read)} of {len(texts)} answers are read as a score"
    if len(read) < HALF * len(texts):
        return Finding("failed", f"{summary}; one that is not: {texts[scores.index(None)][:80]!a}")
    return Finding("ok", summary)


# fmt: off
CHECKS = (
    Check("answers",     "every draw brings an answer",              "",               (),                    answered),
    Check("hears",       "clip, silence and another clip differ",    "",               ("greedy", "silence"), hears),
    Check("parses",      "half of the answers are distributions",    "",               ("greedy",),           parses),
    Check("nested",      "few samples are the first of many",        "sampling",       ("few", "many"),       nested),
    Check("repeats",     "greedy says the same again",               "",               ("greedy", "again"),   repeats),
    Check("batch",       "a batch answers as its members do alone",  "",               ("greedy", "alone"),   together),
    Check("likelihoods", "every candidate has a log-likelihood",     "likelihood",     ("greedy",),           likelihoods),
    Check("beams",       "the likeliest beam comes first",           "beam",           ("beams",),            sorted_beams),
    Check("labels",      "every label has its log-probability",      "label_logprobs", ("forced",),           forces),
    Check("judges",      "half of the verdicts are scores",          "verifier",       ("judged",),           judges),
)
# fmt: on
BY_NAME = {check.name: check for check in CHECKS}


def agree(ours: Mapping[str, Sequence[Answer]], theirs: Mapping[str, Sequence[Answer]]) -> Finding:
    """Whether two engines answer alike: at least half of the best candidates are the same text, and
    equal texts have log-likelihoods within BOUND_NATS per token.
    """
    texts = same = 0
    apart = 0.0
    for name in ours:
        for one, other in zip(ours[name], theirs.get(name, ()), strict=True):
            if one.failure or other.failure:
                return Finding("failed", f"{name}: {one.failure or other.failure}")
            by_text = {candidate.text: candidate for candidate in other.candidates}
            if name != "forced":
                texts, same = texts + 1, same + (_texts(one)[0] == _texts(other)[0])
            for candidate in one.candidates:
                if twin := by_text.get(candidate.text):
                    apart = max(apart, _apart(candidate, twin))
    summary = f"the same text for {same} of {texts} answers, log-likelihoods within {apart:.2g} nat per token"
    if same < HALF * texts or apart > BOUND_NATS:
        return Finding(
            "failed", f"differs from engine transformers: {summary}; {BOUND_NATS:g} is allowed"
        )
    return Finding("ok", summary)


def all_of(findings: Iterable[Finding]) -> Finding:
    """Several findings as one: failed where one failed, with its line; else what the good ones
    saw.
    """
    every = list(findings)
    if failed := [one.said for one in every if one.verdict == "failed"]:
        return Finding("failed", "; ".join(failed))
    good = [one.said for one in every if one.verdict == "ok"]
    if not good:
        return Finding("skipped", "; ".join(dict.fromkeys(one.said for one in every)))
    return Finding("ok", "; ".join(good))


# --- what the checks look at ---


def _came(evidence: Evidence, name: str) -> list[Answer]:
    return [one for one in evidence.answers.get(name, ()) if not one.failure and one.candidates]


def _pairs(evidence: Evidence, first: str, second: str) -> list[tuple[Answer, Answer]]:
    """The clips that have both answers."""
    both = zip(evidence.answers[first], evidence.answers[second], strict=False)
    return [(one, other) for one, other in both if one.candidates and other.candidates]


def _texts(answer: Answer) -> list[str]:
    return [one.text for one in answer.candidates]


def _same(one: Answer, other: Answer) -> bool:
    a, b = one.candidates[0], other.candidates[0]
    if a.log_likelihood is None or b.log_likelihood is None:
        return a.text == b.text
    return a.text == b.text and abs(a.log_likelihood - b.log_likelihood) < SAME_NATS


def _apart(one: Candidate, other: Candidate) -> float:
    if one.log_likelihood is None or other.log_likelihood is None:
        return 0.0
    return abs(one.log_likelihood - other.log_likelihood) / max(one.tokens, other.tokens, 1)


def _as_before(evidence: Evidence, first: str, second: str, how: str) -> Finding:
    if evidence.engine == "null":
        return Finding("skipped", "engine null answers by the draw's seed alone")
    pairs = _pairs(evidence, first, second)
    if not pairs:
        return Finding("skipped", "no clip has both answers")
    same = sum(_texts(one) == _texts(other) for one, other in pairs)
    summary = f"the same answer {how} for {same} of {len(pairs)} clips"
    return Finding("ok" if same >= HALF * len(pairs) else "failed", summary)
