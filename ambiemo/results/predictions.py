"""From answers and scores to predictions: pure, a cell at a time, so that Ray maps over the cells and `verify` loops over them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambiemo import labels as votes_to
from ambiemo.models.parsing import parse_candidate, parse_score
from ambiemo.plan.expand import NO_CONTROL, Cell
from ambiemo.plan.sharing import heard, shared_decoding
from ambiemo.results.evidence import Evidence, Row
from ambiemo.strategies.baselines import BASELINES
from ambiemo.strategies.predict import Heard, Weighting, predict

DIGITS = 9
"""Significant digits kept of a predicted share: libraries' logarithms differ in the last bits between processors, tables must not.

Digits and not places, so that a share above 0 stays above 0 however small it is: `kl_nats` is infinite only where a model said 0.
"""
PLACES = 9
"""Places kept of an entropy in bits. Differences of entropies have no digits to keep where they cancel: there they are dust."""
BASELINE = "baselines"


@dataclass(frozen=True)
class Work:
    """One cell with the candidates of every utterance: all that its predictions depend on.

    candidates: (utterance id, id of the utterance whose clip is heard, [(text, log-likelihood, tokens, score text or None)], failure of the
    draw or "").
    """

    cell: Cell
    labels: tuple[str, ...]
    weighting: Weighting
    candidates: tuple[tuple[str, str, tuple[tuple[str, float | None, int, str | None], ...], str], ...]


def work(evidence: Evidence) -> Iterator[Work]:
    """Every ready cell of the evidence with its candidates."""
    plan = evidence.plan
    weighting = Weighting(plan.weights.tau, plan.dirichlet.concentration, plan.dirichlet.epsilon)
    for (model, corpus), rows in sorted(evidence.answers.items()):
        by_question = _by_question(rows)
        scored = {row["about"]: row for row in evidence.scores.get((model, corpus), ())}
        ids = [utterance.id for utterance in evidence.utterances[corpus]]
        clips = {utterance.id: utterance.audio_sha256 for utterance in evidence.utterances[corpus]}
        for cell in evidence.cells:
            if cell.skipped or (cell.model, cell.corpus) != (model, corpus):
                continue
            decoding = shared_decoding(plan, evidence.cells, cell, len(evidence.labels[corpus]))
            audio = "silence" if cell.control == "silence" else "clip"
            drawn = by_question.get((cell.strategy.prompt, decoding.kind, decoding.count, audio), {})
            listens = heard(ids, cell.control, plan.seed, corpus)
            items = tuple(
                (one, listens[one], *_candidates(drawn.get(clips[listens[one]], []), cell, scored))
                for one in ids
                if one in listens
            )
            yield Work(cell, evidence.labels[corpus], weighting, items)


def _by_question(rows: Iterable[Row]) -> dict[tuple, dict[str, list[Row]]]:
    """Rows by question (prompt, decoding, count, audio), then by the clip that was heard: clips of equal bytes share one draw."""
    found: dict[tuple, dict[str, list[Row]]] = {}
    for row in rows:
        question = (row["prompt_id"], row["decoding"]["kind"], row["decoding"]["count"], row["audio"])
        found.setdefault(question, {}).setdefault(row["audio_sha256"], []).append(row)
    return found


def _candidates(rows: list[Row], cell: Cell, scored: dict[str, Row]) -> tuple[tuple, str]:
    failure = next((row["failure"] for row in rows if row.get("failure")), "" if rows else "not drawn")
    kept = sorted((row for row in rows if row["index"] is not None), key=lambda row: row["index"])[
        : cell.strategy.count or None
    ]
    told = []
    for row in kept:
        about = scored.get(f"{row['draw']}#{row['index']}", {}) if cell.strategy.verified else {}
        told.append((row["text"], row["log_likelihood"], row["tokens"], about.get("text")))
    return tuple(told), failure


def predict_cell(work: Work) -> list[Row]:
    """The predictions of one cell, a row an utterance, in the order of their ids."""
    rows = []
    for utterance_id, heard_id, candidates, failure in work.candidates:
        heard_of = [
            Heard(
                parse_candidate(text, work.labels, work.cell.strategy.decoding).distribution,
                likelihood,
                tokens,
                parse_score(score).score if score is not None else None,
            )
            for text, likelihood, tokens, score in candidates
        ]
        made = predict(work.cell.strategy, heard_of, len(work.labels), work.weighting)
        rows.append(
            {
                "model": work.cell.model,
                "corpus": work.cell.corpus,
                "strategy": work.cell.strategy.name,
                "control": work.cell.control,
                "utterance_id": utterance_id,
                "heard": heard_id,
                "distribution": None if made.distribution is None else [kept(share) for share in made.distribution],
                "candidates": made.candidates,
                "unparsed": made.unparsed,
                "unscored": made.unscored,
                "failure": failure or made.failure,
                "expected_bits": _round(made.expected_bits),
                "spread_bits": _round(made.spread_bits),
                "disagreement_bits": _round(made.disagreement_bits),
            }
        )
    return rows


def baseline_rows(evidence: Evidence) -> list[Row]:
    """The predictions of the plan's baselines, which hear nothing, for every corpus."""
    rows: list[Row] = []
    for corpus, utterances in sorted(evidence.utterances.items()):
        truth = votes_to.truth(np.array([utterance.votes for utterance in utterances]))
        for name in evidence.plan.baselines:
            for utterance, distribution in zip(utterances, BASELINES[name](truth).tolist(), strict=True):
                rows.append(
                    {
                        "model": BASELINE,
                        "corpus": corpus,
                        "strategy": name,
                        "control": NO_CONTROL,
                        "utterance_id": utterance.id,
                        "heard": "",
                        "distribution": [kept(share) for share in distribution],
                        "candidates": 0,
                        "unparsed": 0,
                        "unscored": 0,
                        "failure": "",
                        "expected_bits": None,
                        "spread_bits": None,
                        "disagreement_bits": None,
                    }
                )
    return rows


def in_order(rows: Iterable[Row], evidence: Evidence) -> list[Row]:
    """Predictions sorted for people: model, corpus, then strategies as the plan names them, then utterance."""
    strategies = [*(entry.name for entry in evidence.plan.strategies), *evidence.plan.baselines]
    controls = [NO_CONTROL, *(control.name for control in evidence.plan.controls)]
    models = [BASELINE, *(entry.id for entry in evidence.plan.models)]

    def place(row: Row) -> tuple[Any, ...]:
        return (
            models.index(row["model"]),
            row["corpus"],
            controls.index(row["control"]),
            strategies.index(row["strategy"]),
            row["utterance_id"],
        )

    return sorted(rows, key=place)


def kept(share: float) -> float:
    """The share to DIGITS significant digits: 0 only if it is 0, and rounding twice is rounding once."""
    return float(f"{share:.{DIGITS}g}")


def _round(bits: float | None) -> float | None:
    return None if bits is None else round(bits, PLACES)
