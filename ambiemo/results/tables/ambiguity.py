"""`ambiguity.csv`: does a strategy's gain over greedy grow with ambiguity? One row per corpus,
model and strategy, with the verdict of the split-vote test (`metrics.ambiguity`).

A failed prediction, greedy's too, counts as uniform. Nothing is tested where the raters of a clip
cannot be split (acted labels, raters with several tags, shares), and nothing where the model was
not shown to hear: every control of greedy in the plan must say `heard: yes`.
"""

from collections.abc import Sequence

from ambiemo.jsonlines import Row
from ambiemo.labels import LEVELS
from ambiemo.metrics.ambiguity import (
    Ambiguity,
    Contrast,
    Reference,
    ambiguity_test,
    levels,
    tempered,
)
from ambiemo.metrics.jackknife import Estimate
from ambiemo.results.evidence import Evidence
from ambiemo.results.tables.csv_form import place
from ambiemo.results.tables.estimates import NAN, sizes, unknown
from ambiemo.results.tables.gains import GREEDY, NO_GREEDY

CONTRASTS: tuple[Contrast, ...] = ("share_removed", "gain")
AGAINST: dict[Reference, str] = {"first": "greedy", "first_tempered": "tempered"}
NO_CONTROLS = "no control of greedy in the plan, so the model was not shown to hear the audio"
NO_ROW = unknown("")


def ambiguity_rows(evidence: Evidence, heard: Sequence[Row]) -> list[Row]:
    """One row per strategy but greedy. heard: the unit's rows of `heard.csv`."""
    truths, names = evidence.truths, evidence.truths.speakers
    greedy = evidence.by_strategy.get(GREEDY)
    others = [cell for cell in evidence.cells() if cell.strategy.name != GREEDY]
    reason = NO_GREEDY if greedy is None else evidence.no_panels or not_heard(heard)
    if reason or greedy is None or not others:
        nothing = Ambiguity("NOT TESTED", reason)
        return [_row(evidence, cell.strategy.name, nothing) for cell in others]
    reference = evidence.failed_as_uniform(greedy)
    split = levels(truths.votes)
    flattened = tempered(truths.votes, reference, names) if len(set(names)) > 1 else None
    rows = []
    for cell in others:
        strategy = evidence.failed_as_uniform(evidence.by_strategy[cell.strategy.name])
        result = ambiguity_test(
            truths.votes, strategy, reference, names, split=split, flattened=flattened
        )
        rows.append(_row(evidence, cell.strategy.name, result))
    return rows


def not_heard(heard: Sequence[Row]) -> str:
    """Why the model was not shown to hear the clips; "" if it was."""
    controls = {row["control"]: row["heard"] for row in heard if row["strategy"] == GREEDY}
    if not controls:
        return NO_CONTROLS
    wrong = [f"{name}: {verdict}" for name, verdict in controls.items() if verdict != "yes"]
    text = f"the model was not shown to hear the audio (heard.csv, greedy: {', '.join(wrong)})"
    return text if wrong else ""


def _row(evidence: Evidence, strategy: str, result: Ambiguity) -> Row:
    contrasts = {(row.reference, row.contrast): row.estimate for row in result.rows}
    gains = dict(result.gains)
    shares = result.shares or (NAN,) * len(LEVELS)
    row: Row = {
        **evidence.name,
        "strategy": strategy,
        "verdict": result.verdict,
        "reason": result.reason.replace("first_tempered", "tempered greedy").replace(
            "against first", "against greedy"
        ),
        **sizes(next(iter(gains.values()), NO_ROW)) | {"n": result.n},
        **{f"share_{level}": place(share) for level, share in zip(LEVELS, shares, strict=True)},
    }
    for reference, against in AGAINST.items():
        for contrast in CONTRASTS:
            row |= _four(
                f"{contrast}_against_{against}", contrasts.get((reference, contrast), NO_ROW)
            )
        row |= _four(f"overall_gain_against_{against}", gains.get(reference, NO_ROW))
    return row


def _four(name: str, one: Estimate) -> Row:
    numbers = {"": one.value, "_low": one.low, "_high": one.high, "_p": one.p}
    return {f"{name}{end}": place(value) for end, value in numbers.items()}
