"""What the page shows of single utterances: a sample by hash, their votes, predictions and
candidates.

A large bundle has gigabytes of answers. Its files are walked once each, line by line, and only the
lines of the sampled utterances are parsed.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambiemo.bundle.contents import (
    answers_path,
    naming,
    predictions_path,
    scores_path,
)
from ambiemo.bundle.folder import opened
from ambiemo.jsonlines import LONGEST_LINE, Row
from ambiemo.labels import entropy_bits
from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.models.parsing import parse_candidate
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.plan.sharing import Question
from ambiemo.results.predictions import BASELINE, of_sum_1
from ambiemo.results.report.calibration import Reliability, reliability
from ambiemo.results.report.cells import visible
from ambiemo.results.study import Study, Unit
from ambiemo.results.tables.families import FAMILIES
from ambiemo.results.truths import Truths, truths_of

MOST = 120
"""Most utterances of a corpus in the sample."""
MOST_BYTES = 3 * 2**20
"""Bytes of JSON for all utterances of the page."""
LONGEST_TEXT = 600
"""Characters of a candidate's text that are shown."""
Z = 1.959963984540054
CALIBRATED = ("greedy", *(name for family in FAMILIES for place in family.places for name in place))
"""Strategies whose reliability is drawn, if the bundle has them; else the first ones it has."""
MOST_CALIBRATED = 10


@dataclass(frozen=True)
class Browsed:
    """utterances: what the browser shows, as JSON; sample: which they are, in words; models: those
    with predictions; reliabilities: of all predictions, not of the sample.
    """

    utterances: dict[str, Any] | None
    sample: str
    models: tuple[str, ...]
    reliabilities: tuple[Reliability, ...]


def browsed(files: Mapping[str, bytes], study: Study) -> Browsed:
    """The sample of a bundle's utterances, and the reliability of its strategies. Raises Broken
    naming the file that cannot be used.
    """
    truths = {corpus: truths_of(study, corpus) for corpus in sorted(study.utterances)}
    chosen = {corpus: sample(corpus, one.ids) for corpus, one in truths.items()}
    columns: dict[tuple[str, str], int] = {}
    entries: dict[tuple[str, str], Row] = {}
    for corpus, names in chosen.items():
        entries |= _utterances(study, corpus, truths[corpus], names)
    reliabilities = []
    units = [(BASELINE, corpus) for corpus in truths] + study.units
    for model, corpus in units:
        shown, calibrated = _predictions(
            files, study, (model, corpus), truths[corpus], set(chosen[corpus])
        )
        reliabilities += calibrated
        for (name, strategy, control), prediction in shown:
            column = columns.setdefault((strategy, control), len(columns))
            of_model = entries[corpus, name]["predictions"].setdefault(model, [])
            of_model.append({"column": column, **prediction})
    for question in study.questions:
        own = [entries[question.corpus, name] for name in chosen[question.corpus]]
        labels = study.labels[question.corpus]
        by_clip = _candidates(files, question, labels, {one["sha"] for one in own})
        for one in own:
            if (rows := by_clip.get(one["sha"])) is not None:
                of_model = one["candidates"].setdefault(question.model, [])
                of_model.append({"name": question.name, "rows": rows})
    kept = _within(list(entries.values()))
    total = sum(len(one.ids) for one in truths.values())
    words = (
        f"All {total:,} utterances."
        if len(kept) == total
        else f"A sample of {len(kept):,} of {total:,} utterances: those whose SHA-256 of corpus and name is smallest, so "
        "nobody chose them."
    )
    if not kept:
        return Browsed(None, words, (), tuple(reliabilities))
    page = {
        "labels": {
            corpus: [visible(one) for one in names] for corpus, names in study.labels.items()
        },
        "columns": [
            visible(strategy if control == "none" else f"{strategy} · {control.replace('_', ' ')}")
            for strategy, control in columns
        ],
        "utterances": kept,
    }
    models = tuple(dict.fromkeys(model for model, _ in study.units)) or (BASELINE,)
    return Browsed(page, words, models, tuple(reliabilities))


def sample(corpus: str, names: Sequence[str], most: int = MOST) -> list[str]:
    """The names whose SHA-256 of "corpus, line feed, name" is smallest, in that order."""

    def rank(name: str) -> bytes:
        return hashlib.sha256(f"{corpus}\n{name}".encode("utf-8", "backslashreplace")).digest()

    return sorted(names, key=rank)[:most]


def _within(entries: list[Row]) -> list[Row]:
    """As many of the utterances, by turns of the corpora, as fit the page; sorted by corpus and
    name.
    """
    by_corpus: dict[str, list[Row]] = {}
    for one in entries:
        by_corpus.setdefault(one["corpus"], []).append(one)
    turns = [
        own[place]
        for place in range(max(map(len, by_corpus.values()), default=0))
        for own in by_corpus.values()
        if place < len(own)
    ]
    kept: list[Row] = []
    size = 0
    for one in turns:
        size += len(json.dumps(one, separators=(",", ":")))
        if kept and size > MOST_BYTES:
            break
        kept.append(one)
    return sorted(kept, key=lambda one: (one["corpus"], one["id"]))


def wilson(share: float, raters: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share among this many independent raters, raters > 0.

    Source: Wilson 1927, without continuity correction.
    """
    centre = (share + Z * Z / (2 * raters)) / (1 + Z * Z / raters)
    half = (
        Z
        / (1 + Z * Z / raters)
        * math.sqrt(share * (1 - share) / raters + Z * Z / (4 * raters * raters))
    )
    return max(0.0, centre - half), min(1.0, centre + half)


def _utterances(
    study: Study, corpus: str, truths: Truths, names: Sequence[str]
) -> dict[tuple[str, str], Row]:
    """What is known of the named utterances before any answer."""
    of_corpus = study.utterances[corpus]
    seconds = of_corpus.columns.column("duration_s").to_pylist()
    known = dict(zip(of_corpus.ids, zip(of_corpus.acted, seconds, strict=True), strict=True))
    places = {name: place for place, name in enumerate(truths.ids)}
    entries: dict[tuple[str, str], Row] = {}
    for name in names:
        place, (acted, duration) = places[name], known[name]
        votes, truth = truths.votes[place], truths.truth[place]
        raters = 0.0 if acted else float(votes.sum()) / study.vote_units.get(corpus, 1)
        bounds = [wilson(float(share), raters) for share in truth] if raters >= 1 else None
        entries[corpus, name] = {
            "corpus": visible(corpus),
            "id": visible(name),
            "speaker": visible(truths.speakers[place]),
            "level": str(truths.levels[place]),
            "entropy": round(float(entropy_bits(truth)), 3),
            "seconds": None if duration is None else round(duration, 2),
            "sha": truths.clips[place],
            "votes": [int(one) for one in votes],
            "truth": _round(truth),
            "low": bounds and [round(one[0], 3) for one in bounds],
            "high": bounds and [round(one[1], 3) for one in bounds],
            "predictions": {},
            "candidates": {},
        }
    return entries


def _round(shares: Any) -> list[float]:
    return [round(float(one), 3) for one in shares]


NamedPrediction = tuple[tuple[str, str, str], Row]


def _predictions(
    files: Mapping[str, bytes], study: Study, unit: Unit, truths: Truths, wanted: set[str]
) -> tuple[list[NamedPrediction], list[Reliability]]:
    """A unit's predictions of the wanted utterances, and the reliability of its strategies that
    are drawn.
    """
    model, corpus = unit
    path = predictions_path(model, corpus)
    place = {name: number for number, name in enumerate(truths.ids)}
    predictions: list[NamedPrediction] = []
    known: list[tuple[Row, int, list[float]]] = []
    columns: dict[str, tuple[list[int], list[list[float]]]] = {}
    calibrated = [] if model == BASELINE else _calibrated(study, unit)
    with naming(path):
        for row in _rows(files, path, _of_predictions(wanted, calibrated)):
            name, strategy, control = row["utterance_id"], row["strategy"], row["control"]
            shares = row["distribution"]
            if name in wanted:
                one: Row = {"shares": None}
                predictions.append(((name, strategy, control), one))
                if shares is None:
                    one["failure"] = visible(row["failure"])
                else:
                    known.append((one, place[name], shares))
            if control == NO_CONTROL and strategy in calibrated and shares is not None:
                at, all_of = columns.setdefault(strategy, ([], []))
                at.append(place[name])
                all_of.append(shares)
        if known:
            ones, at, all_of = map(list, zip(*known, strict=True))
            sure = of_sum_1(np.array(all_of))
            losses = js_divergence_bits(truths.truth[at], sure).tolist()
            for one, answer, loss in zip(ones, sure, losses, strict=True):
                one |= {"shares": _round(answer), "js": round(loss, 4)}
        reliabilities = [
            reliability((corpus, model, name), truths.truth[at], of_sum_1(np.array(all_of)))
            for name in calibrated
            if name in columns
            for at, all_of in [columns[name]]
        ]
    return predictions, reliabilities


def _calibrated(study: Study, unit: Unit) -> list[str]:
    """The strategies of a unit whose reliability is drawn."""
    ready = [one.strategy.name for one in study.cells_of(unit) if one.control == NO_CONTROL]
    return ([one for one in CALIBRATED if one in ready] or ready)[:MOST_CALIBRATED]


Keep = Callable[[bytes], bool]
"""Whether a line of a file is to be parsed."""
CLIP = re.compile(rb'"audio_sha256": "([0-9a-f]{64})"')
HEAD = re.compile(
    rb'\{"utterance_id": "([^"\\]*)", "strategy": "([^"\\]*)", "control": "([^"\\]*)"'
)


def _of_clips(clips: Iterable[str]) -> Keep:
    """Lines of answers or scores about these clips."""
    wanted = {one.encode("ascii") for one in clips}

    def keep(raw: bytes) -> bool:
        match = CLIP.search(raw)
        return match is not None and match[1] in wanted

    return keep


def _of_predictions(names: Iterable[str], strategies: Iterable[str]) -> Keep:
    """Lines of predictions about these utterances, or of these strategies without a control. A line
    that begins otherwise, as where a name has an escape, is parsed to be sure.
    """
    wanted = {one.encode("utf-8", "surrogatepass") for one in names}
    whole = {one.encode("utf-8") for one in strategies}
    none = NO_CONTROL.encode("ascii")

    def keep(raw: bytes) -> bool:
        match = HEAD.match(raw)
        if match is None:
            return True
        name, strategy, control = match.groups()
        return name in wanted or (control == none and strategy in whole)

    return keep


def _rows(files: Mapping[str, bytes], path: str, keep: Keep) -> Iterator[Row]:
    """Some rows of a JSON-lines file. Only `verify` checks that they are in canonical form."""
    if path not in files:
        return
    with opened(files, path) as file:
        while raw := file.readline(LONGEST_LINE + 1):
            if keep(raw):
                yield json.loads(raw.decode("utf-8"))  # of bytes, it first guesses their encoding


def _candidates(
    files: Mapping[str, bytes], question: Question, labels: Sequence[str], clips: set[str]
) -> dict[str, list[list[Any]]]:
    """By clip, one line per candidate: text, verdict, log-likelihood, score, tokens, shares."""
    keep = _of_clips(clips)
    scores: dict[tuple[str, int], float | None] = {}
    if question.judged:
        path = scores_path(question)
        with naming(path):
            for row in _rows(files, path, keep):
                scores[row["audio_sha256"], row["index"]] = row.get("score")
    by_clip: dict[str, list[list[Any]]] = {}
    path = answers_path(question)
    with naming(path):
        for row in _rows(files, path, keep):
            clip = row["audio_sha256"]
            own = by_clip.setdefault(clip, [])
            if row["index"] is None:
                own.append([visible(row["failure"]), "failed", None, None, None, None])
                continue
            text = row["text"]
            shares = parse_candidate(text, labels, question.decoding.kind).distribution
            excerpt = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
            likelihood = row["log_likelihood"]
            own.append(
                [
                    visible(excerpt),
                    visible(row["verdict"]),
                    None if likelihood is None else round(likelihood, 3),
                    scores.get((clip, row["index"])),
                    row["tokens"],
                    None if shares is None else _round(shares),
                ]
            )
    return by_clip
