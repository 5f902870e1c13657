"""From candidates to predictions: pure, one unit (a model and a corpus) at a time, in the run and
in `verify` alike.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ambiemo.jsonlines import encoded, utf8
from ambiemo.plan.expand import NO_CONTROL
from ambiemo.plan.sharing import clip_owners
from ambiemo.results.study import Study, Unit
from ambiemo.results.truths import Truths
from ambiemo.strategies.baselines import BASELINES, ONE_SPEAKER
from ambiemo.strategies.candidates import Candidates, Floats
from ambiemo.strategies.predict import Predictions, Settings, predict

DIGITS = 9
"""Significant digits kept of a predicted share: libraries' logarithms differ in the last bits
between processors, tables must not.

Digits and not places, so that a share above 0 stays above 0 however small it is: `kl_nats` is
infinite only where a model said 0.
"""
PLACES = 9
"""Places kept of an entropy in bits. Not significant digits: where two entropies cancel,
their difference is only rounding noise.
"""
BASELINE = "baselines"
BITS = ("expected_bits", "spread_bits", "disagreement_bits")


@dataclass(frozen=True)
class Column:
    """The predictions of one (corpus, model, strategy, control), rows as the corpus' truths.

    shares      (n, K), rounded as the predictions file has them; a NaN row where there is no prediction
    candidates  (n,), also unparsed and unscored: counts of candidates
    bits        (n, 3), BITS of a Dirichlet mixture, rounded; NaN elsewhere
    failures    (n,), why there is no prediction; clip_of: whose clip the model was given
    """

    corpus: str
    model: str
    strategy: str
    control: str
    shares: Floats
    candidates: NDArray[np.int64]
    unparsed: NDArray[np.int64]
    unscored: NDArray[np.int64]
    bits: Floats
    failures: NDArray[np.object_]
    clip_of: tuple[str, ...]

    @property
    def name(self) -> tuple[str, str, str, str]:
        return (self.corpus, self.model, self.strategy, self.control)

    @cached_property
    def predicted(self) -> Floats:
        """The predictions, (n, K), rows sum to 1: rounded shares need not add up to 1."""
        return of_sum_1(self.shares)

    @cached_property
    def has_prediction(self) -> NDArray[np.bool_]:
        """Which utterances have a prediction, (n,)."""
        return np.asarray(~np.isnan(self.shares).any(axis=1))


def unit_columns(
    study: Study, unit: Unit, truths: Truths, candidates: Mapping[str, Candidates]
) -> list[Column]:
    """The predictions of every ready cell of a unit. candidates: by question, one row per distinct
    clip as `clip_rows` numbers them.
    """
    rows = clip_rows(truths)
    place = {one: index for index, one in enumerate(truths.ids)}
    settings = settings_of(study)
    columns = []
    for cell in study.cells_of(unit):
        owners = clip_owners(truths.ids, truths.speakers, cell.control, study.plan.seed, unit[1])
        if not owners:
            continue  # a corpus of one speaker has no other's clip
        clip_of = tuple(owners[one] for one in truths.ids)
        asked = candidates[study.question_of[cell.name]]
        predictions = predict(
            cell.strategy, asked.first(cell.strategy.count or asked.there.shape[1]), settings
        )
        columns.append(
            _column(
                (unit[1], unit[0], cell.strategy.name, cell.control),
                predictions,
                rows[[place[one] for one in clip_of]],
                clip_of,
            )
        )
    return columns


def clip_rows(truths: Truths) -> NDArray[np.int64]:
    """The row of each utterance's clip among the distinct clips, (n,): clips of equal bytes are
    drawn once, for the first of them.
    """
    first: dict[str, int] = {}
    return np.array([first.setdefault(clip, len(first)) for clip in truths.clips], dtype=np.int64)


def settings_of(study: Study) -> Settings:
    """The plan's τ, c and ε."""
    plan = study.plan
    return Settings(plan.weights.tau, plan.dirichlet.concentration, plan.dirichlet.epsilon)


def _column(
    name: tuple[str, str, str, str],
    predictions: Predictions,
    rows: NDArray[np.int64],
    clip_of: tuple[str, ...],
) -> Column:
    return Column(
        *name,
        shares=rounded(predictions.distributions)[rows],
        candidates=predictions.candidates[rows],
        unparsed=predictions.unparsed[rows],
        unscored=predictions.unscored[rows],
        bits=np.round(predictions.bits, PLACES)[rows] + 0.0,
        failures=predictions.failures[rows],
        clip_of=clip_of,
    )


def baseline_columns(study: Study, corpus: str, truths: Truths) -> list[Column]:
    """The predictions of the plan's baselines, which are given no clip."""
    nothing = np.zeros(len(truths.ids), dtype=np.int64)
    columns = []
    for name in study.plan.baselines:
        shares = rounded(BASELINES[name](truths.truth, truths.speakers))
        lost = np.isnan(shares).any(axis=1)
        columns.append(
            Column(
                corpus=corpus,
                model=BASELINE,
                strategy=name,
                control=NO_CONTROL,
                shares=shares,
                candidates=nothing,
                unparsed=nothing,
                unscored=nothing,
                bits=np.full((len(nothing), len(BITS)), np.nan),
                failures=np.where(lost, ONE_SPEAKER, "").astype(object),
                clip_of=("",) * len(nothing),
            )
        )
    return columns


def prediction_lines(truths: Truths, columns: Sequence[Column]) -> Iterator[bytes]:
    """The JSON lines of a predictions file: utterance by utterance, within each the columns in
    their order.
    """
    texts = [_texts(column) for column in columns]
    for utterance in truths.ids:
        head = f'{{"utterance_id": {encoded(utterance)}, '
        for one in texts:
            yield utf8(head + next(one))


def _texts(column: Column) -> Iterator[str]:
    """What a line says after its utterance, by utterance. A paper's run has millions, so what is
    the same in all of them is encoded once.
    """
    head = f'"strategy": {encoded(column.strategy)}, "control": {encoded(column.control)}'
    known = column.has_prediction.tolist()
    of_mixture = np.asarray(~np.isnan(column.bits).all(axis=1))
    counts = [one.tolist() for one in (column.candidates, column.unparsed, column.unscored)]
    no_bits = _bits([math.nan] * len(BITS))
    for place, (candidates, unparsed, unscored) in enumerate(zip(*counts, strict=True)):
        shares = encoded(column.shares[place].tolist()) if known[place] else "null"
        bits = _bits(column.bits[place].tolist()) if of_mixture[place] else no_bits
        yield (
            f'{head}, "clip_of": {encoded(column.clip_of[place])}, "distribution": {shares}, '
            f'"candidates": {candidates}, "unparsed": {unparsed}, "unscored": {unscored}, '
            f'"failure": {encoded(column.failures[place])}, {bits}}}\n'
        )


def _bits(values: Sequence[float]) -> str:
    named = zip(BITS, values, strict=True)
    return encoded({name: None if one != one else one for name, one in named})[1:-1]


def of_sum_1(shares: Floats) -> Floats:
    """Shares (n, K), each row over its sum: rounded ones need not add up to 1."""
    totals = [math.fsum(row) for row in shares.tolist()]
    return shares / np.array(totals).reshape(-1, 1)


def rounded(shares: Floats) -> Floats:
    """Shares to DIGITS significant digits: 0 only if they are 0, and rounding twice is rounding
    once.
    """
    # by their bits, each once: a corpus has few different shares
    some, places = np.unique(np.ascontiguousarray(shares).view(np.int64), return_inverse=True)
    each = [float(f"{share:.{DIGITS}g}") for share in some.view(np.float64).tolist()]
    return np.array(each, dtype=np.float64)[places].reshape(shares.shape)
