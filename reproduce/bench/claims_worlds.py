"""Worlds in which it is known whether the claims are true: nothing is to be found, or it was
planted.

A world has the paper's design in small: eight models, three corpora, every column that a claim
reads. An answer is the clip's true distribution, blurred; how strongly depends on the column and
on chance (drawn again for each speaker), so utterances of a speaker are dependent. `Plant` says
what is true beyond that. Nulls permute a world's columns within speakers, so everything is as
dependent as before and nothing differs:

    N1  the single answer, the strategies and the pools of a model exchanged
    N4  models exchanged, each with all of its columns
    N5  N1 in unequal clusters with skewed effects
    N2  a strategy is one of its candidates at random: worse than their pool, never better
    N3  all clips have one true distribution, fresh votes: none is more ambiguous than another

Every random number comes from a seed named after its world.

    python reproduce/bench/claims_worlds.py [--worlds 2000] [--only NULL ...] [--out FILE.json]

counts in how many worlds of each null a false claim HOLDS; the file is rewritten every 50 worlds
and a run that was ended goes on from it. About a quarter of a second per
world and null on one core.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambiemo.durable import write
from ambiemo.metrics.arithmetic import Array
from ambiemo.results.claims.deciding import Run, decide
from ambiemo.results.claims.estimators import ambiguity_contrast
from ambiemo.results.claims.evidence import CONTROL, LOSSES, Evidence, Key, Panel, Untestable
from ambiemo.results.claims.reading import POOL, claims
from ambiemo.seeds import seed

RATERS = {"iemocap": 3, "msp-podcast": 6, "crema-d": 9}
SPEAKERS = {"iemocap": 10, "msp-podcast": 30, "crema-d": 30}
LABELS = 4
Codes = NDArray[np.int_]
ONE_TRUTH = (0.6, 0.25, 0.1, 0.05)


@dataclass(frozen=True)
class Plant:
    """What is true in a world; nothing unless said.

    gains   by (model, strategy): the share of the way to the truth that the strategy goes; below 0
            to the truth of another clip. A model
            or a strategy may be "" for all
    pools   the same for the pools of candidates
    blur    by model: how strongly its answers are blurred
    """

    gains: Mapping[tuple[str, str], float] = field(default_factory=dict)
    pools: Mapping[tuple[str, str], float] = field(default_factory=dict)
    blur: Mapping[str, float] = field(default_factory=dict)
    one_truth: bool = False
    unequal: bool = False
    random_choice: bool = False  # a pool is the mean of the strategy's answer and four more like it


NOTHING = Plant()


def columns() -> list[Key]:
    """Every column that a claim about the paper reads."""
    book = claims()
    keys: dict[Key, None] = {}
    for claim in book.claims:
        for place in book.places(claim) if claim.about == "paper" else ():
            key = Key(place.corpus, place.model, place.strategy)
            keys[key] = keys[Key(place.corpus, place.model, "greedy")] = None
            if claim.reference == POOL:
                keys[key._replace(role=POOL)] = None
    return sorted(keys)


COLUMNS = columns()


def world(
    plant: Plant,
    *name: object,
    per_speaker: int = 8,
    speakers: Mapping[str, int] = SPEAKERS,
) -> Evidence:
    """A world by its name. speakers: how many, by corpus."""
    r = np.random.default_rng(seed("claims", *name))
    panels: dict[str, Panel] = {}
    truths: dict[str, tuple[Array, Codes]] = {}
    predicted: dict[Key, Array] = {}
    for corpus, many in speakers.items():
        sizes = np.full(many, per_speaker)
        if plant.unequal:
            sizes = np.maximum(2, np.round(per_speaker * np.exp(r.normal(0, 0.6, many)))).astype(
                int
            )
        clusters = np.repeat(np.arange(many), sizes)
        true = r.dirichlet(np.full(LABELS, 0.8), len(clusters)) * 0.96 + 0.01
        if plant.one_truth:
            true = np.tile(ONE_TRUTH, (len(clusters), 1))
        votes = r.multinomial(RATERS[corpus], true).astype(float)
        names = tuple(f"{corpus} {one:03}" for one in clusters)
        panels[corpus] = Panel(votes, votes / votes.sum(axis=1, keepdims=True), names)
        truths[corpus] = (true, clusters)
    for key in COLUMNS:
        true, clusters = truths[key.corpus]
        answers = _answers(r, true, clusters, plant.blur.get(key.model, 1.0), plant.unequal)
        towards = plant.pools if key.role == POOL else plant.gains
        share = next(
            (
                towards[one]
                for one in (
                    (key.model, key.strategy),
                    (key.model, ""),
                    ("", key.strategy),
                    ("", ""),
                )
                if one in towards
            ),
            0.0,
        )
        if key.role == POOL and plant.random_choice:
            more = [_answers(r, true, clusters, 1.0, plant.unequal) for _ in range(3)]
            answers = (predicted[key._replace(role="")] + answers + sum(more)) / 5
        if key.strategy != "greedy":
            goal = true if share >= 0 else r.permutation(true)
            answers = answers + abs(share) * (goal - answers)
        predicted[key] = answers
    for corpus, (true, clusters) in truths.items():
        for model in sorted({key.model for key in COLUMNS}):
            wrong = true[:, ::-1]
            predicted[Key(corpus, model, "greedy", CONTROL)] = _answers(
                r, wrong, clusters, 1.0, False
            )
    return World(panels, predicted)


class World(Evidence):
    """Evidence that is cheap to decide, with the same claims that HOLD.

    Losses are made for all columns of a corpus at once. Answers are tempered only where C1b may
    hold: it needs the three contrasts against the plain reference above 0, and seldom has them.
    """

    @cached_property
    def grows(self) -> bool:
        """Whether all three contrasts of C1b against the plain reference are above 0."""
        claim = next(one for one in claims().claims if one.id == "C1b")
        plain = Untempered(self.panels, self.predicted, _known=self._known)
        try:
            outcome = ambiguity_contrast(claims().places(claim), claim, plain)
        except Untestable:
            return True
        return all(part.low > 0 for part in outcome.parts[:3])

    def tempered_levels(self, key: Key) -> Array:
        return super().tempered_levels(key) if self.grows else self.loss(key, "levels")

    def loss(self, key: Key, name: str) -> Array:
        if (key, name) not in self._known:
            panel = self.panels[key.corpus]
            keys = [one for one in self.predicted if one.corpus == key.corpus]
            answers = np.stack([self.predicted[one] for one in keys])
            if name == "levels":
                losses = panel.split.error(answers[:, panel.split.kept])
            elif name == "unbiased":  # Brier less a number that the votes give
                noise = self.loss(key, "brier") - LOSSES[name](panel, self.predicted[key])
                losses = np.stack([self.loss(one, "brier") for one in keys]) - noise
            else:
                losses = LOSSES[name](WidePanel(panel, len(keys)), answers)
            self._known |= zip(((one, name) for one in keys), losses, strict=True)
        return super().loss(key, name)


class Untempered(World):
    """A world whose tempered reference is the reference itself."""

    def tempered_levels(self, key: Key) -> Array:
        return self.loss(key, "levels")


class WidePanel(Panel):
    """A panel as if it stood there once for each of many columns, (columns, n, K)."""

    def __init__(self, panel: Panel, columns: int) -> None:
        truth = np.broadcast_to(panel.truth, (columns, *panel.truth.shape))
        super().__init__(panel.votes, truth, panel.clusters, panel.unit)


def _answers(
    r: np.random.Generator, true: Array, clusters: Codes, blur: float, skewed: bool
) -> Array:
    many = clusters.max() + 1
    effect = (r.gamma(2, size=many) - 2) / 2 if skewed else r.standard_normal(many)
    strength = blur * np.exp(0.3 * effect)[clusters][:, None]
    noisy = true * np.exp(strength * r.standard_normal(true.shape))
    answers: Array = noisy / noisy.sum(axis=1, keepdims=True)
    return answers


def exchanged(evidence: Evidence, what: str, *name: object) -> Evidence:
    """A world's columns exchanged within speaker: `strategies` of each model, or `models`."""
    r = np.random.default_rng(seed("claims exchanged", what, *name))
    predicted = {key: answers.copy() for key, answers in evidence.predicted.items()}
    for corpus, panel in evidence.panels.items():
        own = [key for key in evidence.predicted if key.corpus == corpus and key.role != CONTROL]
        models = sorted({key.model for key in own})
        if what == "strategies":
            sets = [[[key] for key in own if key.model == model] for model in models]
        else:  # the columns that every model has: the others stay
            columns = [
                {(key.strategy, key.role) for key in own if key.model == model} for model in models
            ]
            shared = sorted(set.intersection(*columns))
            sets = [[[Key(corpus, model, *one) for one in shared] for model in models]]
        clusters = np.array(panel.clusters)
        speakers = [clusters == one for one in sorted(set(panel.clusters))]
        for members in sets:
            every = np.array([[evidence.predicted[key] for key in one] for one in members])
            mixed = every.copy()
            for rows in speakers:
                mixed[:, :, rows] = every[r.permutation(len(members))][:, :, rows]
            for to, answers in zip(members, mixed, strict=True):
                predicted |= zip(to, answers, strict=True)
    return World(evidence.panels, predicted)


RUN = Run(corpora=tuple(sorted(SPEAKERS)))
GAINING = Plant(gains={("", ""): 0.3}, pools={("", ""): 0.3})
CLOSED = ("gpt-4o", "gemini-2.0-flash", "gemini-2.5-pro")
PUBLISHED = "P."
NULLS: dict[str, tuple[Plant, str, tuple[str, ...]]] = {
    #      what is true in the world before, what is exchanged, claims that are true nevertheless
    "N1": (GAINING, "strategies", ("C4b",)),
    "N2": (Plant(random_choice=True), "", ("C4b",)),
    "N3": (Plant(one_truth=True), "", ()),
    "N3 with a gain everywhere": (replace(GAINING, one_truth=True), "", ("C1a", PUBLISHED)),
    "N4": (GAINING, "models", ("C1a", "C4b", PUBLISHED)),
    "N5": (replace(GAINING, unequal=True), "strategies", ("C4b",)),
}
PLANTS: dict[str, tuple[str, Plant]] = {
    "C1a": ("scaling gains a tenth of the way", Plant(gains={("", ""): 0.1})),
    "C1c.bon": (
        "the choice goes a fifth of the way, the pool none",
        Plant(gains={("", "bon"): 0.2}),
    ),
    "C2a": (
        "closed models go 0.4 of the way, open ones 0.1",
        Plant(gains={("", ""): 0.1} | {(model, ""): 0.4 for model in CLOSED}),
    ),
    "C2b": ("one model loses by one strategy", Plant(gains={("ultravox-v0.3", "bon"): -0.6})),
    "C3a": (
        "bon is best for one model, w_alm_v for the others",
        Plant(
            gains={
                (model, "w_alm_v"): 0.4
                for model in ("qwen2.5-omni-7b", "ultravox-v0.3", "ultravox-v0.4")
            }
            | {("qwen2-audio-7b", "bon"): 0.5}
        ),
    ),
    "C3b": (
        "plain strategies gain .9 or nothing by model, weighted ones .5 or .2: a log ratio of -1.1",
        Plant(
            gains={
                (model, strategy): share
                for model, plain, weighted in (
                    ("qwen2-audio-7b", 0.9, 0.5),
                    ("qwen2.5-omni-7b", 0.0, 0.2),
                    ("ultravox-v0.3", 0.9, 0.5),
                    ("ultravox-v0.4", 0.0, 0.2),
                )
                for strategy, share in zip(
                    ("bon", "alm_v", "w_bon", "w_alm_v"),
                    (plain, plain, weighted, weighted),
                    strict=True,
                )
            }
        ),
    ),
    "C4a": ("closed models are blurred less", Plant(blur=dict.fromkeys(CLOSED, 0.6))),
    "C4b": ("answers are blurred by nothing but the prior", Plant()),
}


def null(kind: str, number: int, speakers: Mapping[str, int] = SPEAKERS) -> set[str]:
    """The claims that HOLD in a world where they are false."""
    plant, what, true = NULLS[kind]
    one_world = world(plant, kind, number, speakers=speakers)
    one_world = exchanged(one_world, what, kind, number) if what else one_world
    return (
        {one for one in verdicts(one_world, "HOLDS") if not one.startswith(true)}
        if true
        else verdicts(one_world, "HOLDS")
    )


def verdicts(evidence: Evidence, verdict: str) -> set[str]:
    """The claims about the paper with this verdict."""
    return {one.claim.id for one in decide(claims(), evidence, RUN) if one.verdict == verdict}


OUT = Path(__file__).parent / "results" / "claims_worlds.json"
EVERY = 50


def count(worlds: int, out: Path, kinds: Sequence[str]) -> dict[str, Any]:
    """In how many worlds of each null a claim HOLDS that is false there: any, by family, by claim.

    Goes on from `out` where it has counts of fewer worlds.
    """
    families = {one.id: one.family for one in claims().claims}
    counts = json.loads(out.read_text()) if out.exists() else {}
    for kind in kinds:
        counts.setdefault(kind, {"worlds": 0, "cpu_s": 0.0, "any": 0, "families": {}, "claims": {}})
    while behind := [own for kind in kinds if (own := counts[kind])["worlds"] < worlds]:
        own = min(behind, key=lambda one: one["worlds"])
        kind = next(name for name in kinds if counts[name] is own)
        start = time.process_time()
        ahead = range(own["worlds"], min(own["worlds"] + EVERY, worlds))
        for world in ahead:
            wrong = null(kind, world)
            own["any"] += bool(wrong)
            for name, of in (("claims", wrong), ("families", {families[one] for one in wrong})):
                for one in sorted(of):
                    own[name][one] = own[name].get(one, 0) + 1
        own["worlds"] = ahead.stop
        own["cpu_s"] = round(own["cpu_s"] + time.process_time() - start, 1)
        write(out, json.dumps(counts, indent=1).encode("utf-8") + b"\n")
        print(kind, own, flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--only", nargs="*", default=tuple(NULLS), choices=NULLS, metavar="NULL")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    count(given.worlds, given.out, given.only)


if __name__ == "__main__":
    main()
