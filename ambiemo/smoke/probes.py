"""Which draws the checks need, as one table: the same question about the same clips in several ways."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ambiemo import models
from ambiemo.corpora.utterances import Utterance
from ambiemo.draws import Answer, Decoding, Draw
from ambiemo.plan import sharing
from ambiemo.plan.expand import Expanded
from ambiemo.strategies import Decode

FEW, MANY, BEAMS = 2, 8, 3
MANY_PAID = 3
"""Samples where each costs money."""


@dataclass(frozen=True)
class Probe:
    """One way to ask.

    audio    "clip" or "silence"
    once     a mark in the draw's key, so that the question is asked again and not looked up
    alone    one clip at a time, and not as a batch
    needs    what the model must be able to do
    """

    name: str
    decode: Decode
    audio: sharing.Audio = "clip"
    once: bool = False
    alone: bool = False
    needs: str = ""


PROBES = (
    Probe("greedy", Decode("greedy", 1)),
    Probe("silence", Decode("greedy", 1), audio="silence"),
    Probe("again", Decode("greedy", 1), once=True),
    Probe("alone", Decode("greedy", 1), once=True, alone=True),
    Probe("few", Decode("sample", FEW), needs="sampling"),
    Probe("many", Decode("sample", MANY), needs="sampling"),
    Probe("beams", Decode("beam", BEAMS), needs="beam"),
    Probe("forced", Decode("forced", 0), needs="label_logprobs"),
)
NAMED = {probe.name: probe for probe in PROBES}

Ask = Callable[[Sequence[Draw]], list[Answer]]
"""What answers draws: an engine in an actor or in this process."""


def draws_of(
    probe: Probe,
    expanded: Expanded,
    model: str,
    corpus: str,
    clips: Sequence[Utterance],
    many: int = MANY,
) -> list[Draw]:
    """One draw per clip. many: how many samples the probe `many` takes."""
    plan, labels = expanded.plan, expanded.corpora[corpus].labels
    prompt = "label" if probe.decode.kind == "forced" else "direct"
    count = min(probe.decode.count, many) or len(labels)
    sampling = probe.decode.kind == "sample"
    decoding = Decoding(
        probe.decode.kind,
        count,
        temperature=plan.sampling.temperature if sampling else 0.0,
        top_p=plan.sampling.top_p if sampling else 1.0,
        max_tokens=0 if probe.decode.kind == "forced" else plan.max_tokens.direct,
    )
    question = sharing.Question(model, corpus, prompt, decoding, probe.audio, serves=())
    ask = sharing.asking(expanded, question)
    about = f"smoke: {probe.name}" if probe.once else ""
    return [replace(ask(one), about=about) if about else ask(one) for one in clips]


def asked(
    ask: Ask,
    names: Sequence[str],
    expanded: Expanded,
    model: str,
    corpus: str,
    clips: Sequence[Utterance],
    many: int = MANY,
) -> dict[str, list[Answer]]:
    """The answers to some probes, by name; probes that the model cannot answer are left out."""
    able = expanded.specs[model].can(expanded.engine(model))
    by_probe: dict[str, list[Answer]] = {}
    for name in names:
        probe = NAMED[name]
        if probe.needs and probe.needs not in able:
            continue
        draws = draws_of(probe, expanded, model, corpus, clips, many)
        by_probe[name] = (
            [answer for draw in draws for answer in ask([draw])] if probe.alone else ask(draws)
        )
    return by_probe


def judgements(
    ask: Ask,
    answers: Sequence[Answer],
    expanded: Expanded,
    judge: str,
    corpus: str,
    clips: Sequence[Utterance],
    model: str = "",
) -> list[Answer]:
    """What a verifier says of the first candidate of each answer to the probe `greedy` of `model`
    (default: its own).
    """
    draws = draws_of(NAMED["greedy"], expanded, model or judge, corpus, clips)
    spec = expanded.specs[judge]
    judging = sharing.judge_of(
        judge,
        revision=spec.revision or "",
        engine=expanded.engine(judge),
        prompt_id="verifier",
        prompt=models.prompt(spec, "verifier"),
        labels=expanded.corpora[corpus].labels,
        max_tokens=expanded.plan.max_tokens.verifier,
    )
    requests = [
        judging(draw, 0, [answer.candidates[0].text])
        for draw, answer in zip(draws, answers, strict=True)
        if answer.candidates
    ]
    return ask(requests) if requests else []
