"""From evidence to verdicts: the rules, Holm within families, and the rows of tables/claims.csv.

HOLDS             shown, after Holm over the claim's family
WITHIN TOLERANCE  a published level is as near as the data can tell, and no more is shown
NOT REPRODUCED    shown to be otherwise, or smaller than matters
NOT SHOWN         tested, and neither shown nor refuted
NOT TESTED        the run or the data cannot answer; the reason says why

The words of each rule stand in claims.yaml, its code here, under the same name.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ambiemo.jsonlines import Row
from ambiemo.metrics.inference import holm
from ambiemo.results.claims.estimators import ESTIMATORS, Outcome
from ambiemo.results.claims.evidence import ALPHA, Evidence, Key, Untestable
from ambiemo.results.claims.reading import EMBEDDED, POOL, REFERENCE, Claim, Claims, Place

HOLDS, WITHIN, NOT_REPRODUCED = "HOLDS", "WITHIN TOLERANCE", "NOT REPRODUCED"
NOT_SHOWN, NOT_TESTED = "NOT SHOWN", "NOT TESTED"
VERDICTS = (HOLDS, WITHIN, NOT_REPRODUCED, NOT_SHOWN, NOT_TESTED)
PLACES = 6

Verdict = tuple[str, str]
"""A verdict and the reason for it in words."""
Rule = Callable[[Claim, Outcome, float], Verdict]
"""(claim, outcome, p after Holm) -> verdict."""


@dataclass(frozen=True)
class Run:
    """What of a run decides whether it may speak of the paper.

    partial    why it is not a whole run ("" if it is): a limit, or something that was missing
    corpora    the corpora that were read
    stand_ins  models that an engine without a model answered for
    renamed    strategies that are not what claims.yaml says under that name
    """

    partial: str = ""
    corpora: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """A claim and everything its row says."""

    claim: Claim
    places: tuple[Place, ...]
    verdict: str
    reason: str
    outcome: Outcome | None = None
    p_holm: float = math.nan
    missing: int = 0
    failed: int = 0


# Rules


def gain(claim: Claim, outcome: Outcome, p_holm: float) -> Verdict:
    """HOLDS above 0 if Brier does not say the contrary; NOT REPRODUCED where the upper end is below
    δ.
    """
    one = outcome.main
    if one.high < claim.tolerance:
        return NOT_REPRODUCED, f"the upper end is below δ = {claim.tolerance:g}"
    if not one.low > 0:
        return NOT_SHOWN, "the interval contains 0"
    if not p_holm < ALPHA:
        return NOT_SHOWN, "the interval is above 0, but not after Holm over the family"
    if any(guard.high < 0 for guard in outcome.guards):
        return NOT_SHOWN, "by JS above 0, by the Brier score below 0"
    return HOLDS, "above 0"


def sign(claim: Claim, outcome: Outcome, p_holm: float) -> Verdict:
    """HOLDS where the interval has the claim's sign, NOT REPRODUCED where it has the other one."""
    one = outcome.main
    near, far = (one.low, one.high) if claim.sign > 0 else (-one.high, -one.low)
    if far < 0:
        return NOT_REPRODUCED, f"shown to be {'below' if claim.sign > 0 else 'above'} 0"
    if not near > 0:
        return NOT_SHOWN, "the interval contains 0"
    if not p_holm < ALPHA:
        return NOT_SHOWN, f"the interval is {claim.direction} 0, but not after Holm over the family"
    return HOLDS, f"{claim.direction} 0"


def everywhere(claim: Claim, outcome: Outcome, p_holm: float) -> Verdict:
    """HOLDS where every part has the claim's sign, NOT REPRODUCED where one has the other."""
    near = [one.low if claim.sign > 0 else -one.high for one in outcome.parts]
    far = [one.high if claim.sign > 0 else -one.low for one in outcome.parts]
    if min(far) < 0:
        return (
            NOT_REPRODUCED,
            f"{sum(one < 0 for one in far)} of {len(far)} are shown to have the other sign",
        )
    if not min(near) > 0:
        return (
            NOT_SHOWN,
            f"{sum(one > 0 for one in near)} of {len(near)} are shown to be {claim.direction} 0",
        )
    if not p_holm < ALPHA:
        return NOT_SHOWN, f"all are {claim.direction} 0, but not after Holm over the family"
    return HOLDS, f"all {len(near)} are {claim.direction} 0"


def somewhere_worse(claim: Claim, outcome: Outcome, p_holm: float) -> Verdict:
    """HOLDS where some cell loses, NOT REPRODUCED where every lower end is above -δ."""
    if p_holm < ALPHA:
        return HOLDS, outcome.note
    if all(one.low > -claim.tolerance for one in outcome.parts):
        return NOT_REPRODUCED, f"no cell loses δ = {claim.tolerance:g} or more"
    return NOT_SHOWN, f"no cell is shown to lose, and some may; {outcome.note}"


def nobody_everywhere(claim: Claim, outcome: Outcome, p_holm: float) -> Verdict:
    """HOLDS where no strategy is in every set, NOT REPRODUCED where one beats all others
    everywhere.
    """
    if outcome.main.value == 0 and p_holm < ALPHA:
        return HOLDS, outcome.note
    if any(one.low > 0 for one in outcome.parts):
        return NOT_REPRODUCED, f"one strategy beats all others in every cell; {outcome.note}"
    if outcome.main.value == 0:
        return NOT_SHOWN, "no strategy is in every set, but not after Holm over the family"
    return NOT_SHOWN, f"not shown to be worse anywhere; {outcome.note}"


def ambiguity(claim: Claim, outcome: Outcome, p_holm: float) -> Verdict:
    """HOLDS where all six contrasts are above 0; NOT REPRODUCED where both F contrasts are below
    0.
    """
    names = [
        f"{what} against {side}"
        for side in ("greedy", "greedy tempered")
        for what in ("share", "gain", "overall")
    ]
    wanting = [name for name, one in zip(names, outcome.parts, strict=True) if not one.low > 0]
    if outcome.parts[0].high < 0 and outcome.parts[3].high < 0:
        return NOT_REPRODUCED, "the share removed is smaller at 'high' than at 'low'"
    if wanting:
        return NOT_SHOWN, f"not shown to be above 0: {', '.join(wanting)}"
    if not p_holm < ALPHA:
        return NOT_SHOWN, "all six are above 0, but not after Holm over the family"
    return HOLDS, "all four contrasts and both overall gains are above 0"


def published_gain(claim: Claim, outcome: Outcome, p_holm: float) -> Verdict:
    """HOLDS where our interval excludes 0, contains the published gain, and is narrow enough to
    tell.
    """
    one, published = outcome.main, claim.published or 0.0
    inside = one.low <= published <= one.high
    narrow = (one.high - one.low) / 2 <= abs(published) / 2
    if not narrow:
        return (
            NOT_SHOWN,
            f"too wide to tell: half the interval is {(one.high - one.low) / 2:.4g}, half the gain {abs(published) / 2:.4g}",
        )
    if not inside:
        return NOT_REPRODUCED, f"the published {published:.4g} is outside our interval"
    if not (one.low > 0 or one.high < 0):
        return NOT_SHOWN, "the interval contains the published gain and 0"
    if not p_holm < ALPHA:
        return (
            NOT_SHOWN,
            "the interval contains the published gain, but differs from 0 not after Holm over the family",
        )
    return HOLDS, f"the published {published:.4g} is in our interval, which excludes 0"


def published_level(claim: Claim, outcome: Outcome, p_holm: float) -> Verdict:
    """WITHIN TOLERANCE at best: NOT REPRODUCED where our whole interval is farther than the
    tolerance.
    """
    one, published, allowed = outcome.main, claim.published or 0.0, claim.tolerance
    if one.low > published + allowed or one.high < published - allowed:
        return (
            NOT_REPRODUCED,
            f"our whole interval is more than {allowed:g} from the published {published:.4g}",
        )
    if (one.high - one.low) / 2 > allowed:
        return NOT_SHOWN, f"too wide to tell: half the interval is {(one.high - one.low) / 2:.4g}"
    if abs(one.value - published) > allowed:
        return (
            NOT_SHOWN,
            f"{abs(one.value - published):.4g} from the published {published:.4g}; {allowed:g} is allowed",
        )
    return (
        WITHIN,
        f"{abs(one.value - published):.4g} from the published {published:.4g}; {allowed:g} is allowed",
    )


RULES: dict[str, Rule] = {
    "gain": gain,
    "sign": sign,
    "everywhere": everywhere,
    "somewhere_worse": somewhere_worse,
    "nobody_everywhere": nobody_everywhere,
    "ambiguity": ambiguity,
    "published_gain": published_gain,
    "published_level": published_level,
}


# Deciding


def decide(book: Claims, evidence: Evidence, run: Run) -> list[Decision]:
    """Every claim of the book, in its order. Claims about the embedded corpus only where a run has
    it.
    """
    listed = [one for one in book.claims if one.about == "paper" or EMBEDDED in run.corpora]
    estimated = [_estimated(book, claim, evidence, run) for claim in listed]
    p_holm = adjusted(estimated)
    return [
        replace(one, p_holm=p, verdict=verdict, reason=reason)
        for one, p in zip(estimated, p_holm, strict=True)
        for verdict, reason in [_verdict(one, p)]
    ]


def adjusted(estimated: Sequence[Decision]) -> list[float]:
    """Each claim's p after Holm over its family. What was not tested still counts in the family."""
    p_holm = [math.nan] * len(estimated)
    families: dict[str, list[int]] = {}
    for place, one in enumerate(estimated):
        families.setdefault(one.claim.family, []).append(place)
    for places in families.values():
        ps = [outcome.p if (outcome := estimated[at].outcome) else math.nan for at in places]
        for at, p in zip(places, holm(ps).tolist(), strict=True):
            p_holm[at] = p
    return p_holm


def _verdict(one: Decision, p_holm: float) -> Verdict:
    if one.outcome is None:
        return NOT_TESTED, one.reason
    return RULES[one.claim.rule](one.claim, one.outcome, p_holm)


def _estimated(book: Claims, claim: Claim, evidence: Evidence, run: Run) -> Decision:
    places = tuple(book.places(claim))
    missing = [
        place
        for place in places
        if any(key not in evidence.predicted for key in needed(place, claim))
    ]
    failed = sum(
        evidence.failed.get(key, 0) for place in places for key in needed(place, claim)[:1]
    )
    open_ = Decision(claim, places, NOT_TESTED, "", missing=len(missing), failed=failed)
    if reason := _refused(claim, places, missing, evidence, run):
        return replace(open_, reason=reason)
    try:
        outcome = ESTIMATORS[claim.estimator](places, claim, evidence)
    except Untestable as error:
        return replace(open_, reason=str(error))
    return replace(open_, outcome=outcome)


def needed(place: Place, claim: Claim) -> list[Key]:
    """The columns that a cell of a claim reads; its strategy's own first."""
    own = Key(place.corpus, place.model, place.strategy)
    reference = {
        "greedy": [Key(place.corpus, place.model, REFERENCE)],
        "pool": [own._replace(role=POOL)],
        "none": [],
    }
    return [own, *reference[claim.reference]]


def _refused(
    claim: Claim, places: Sequence[Place], missing: Sequence[Place], evidence: Evidence, run: Run
) -> str:
    """Why the run may not decide the claim, "" if it may."""
    if claim.about == "paper" and set(run.corpora) == {EMBEDDED}:
        return "this run has the embedded corpus only, which says nothing about the paper's models"
    if run.partial:
        return f"not a whole run: {run.partial}"
    if claim.untested:
        return claim.untested
    models, strategies = {one.model for one in places}, {one.strategy for one in places}
    if invented := sorted(models.intersection(run.stand_ins)):
        return f"no model answered for {', '.join(invented)}: the engine null did"
    if other := sorted(strategies.intersection(run.renamed)):
        return f"{', '.join(other)}: the plan has another strategy under this name"
    if missing:
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"{len(missing)} of {len(places)} cells are missing: {missing[0]}{rest}"
    deaf = sorted(
        {(one.corpus, one.model) for one in places if evidence.heard[one.corpus, one.model]}
    )
    if claim.gate == "heard" and deaf:
        rest = f" and {len(deaf) - 1} more" if len(deaf) > 1 else ""
        return f"{deaf[0][1]} on {deaf[0][0]}{rest}: {evidence.heard[deaf[0]]}"
    return ""


def claim_rows(book: Claims, evidence: Evidence, run: Run) -> list[Row]:
    """The rows of tables/claims.csv."""
    from ambiemo.results.claims.flips import flips

    decided = decide(book, evidence, run)
    return [_row(book, one, *flips(decided, at, evidence)) for at, one in enumerate(decided)]


def _row(book: Claims, one: Decision, least: float, kind: str) -> Row:
    claim, outcome, text = one.claim, one.outcome, book.rules[one.claim.rule]
    nan = math.nan
    value, low, high = (
        (outcome.main.value, outcome.main.low, outcome.main.high) if outcome else (nan, nan, nan)
    )
    return {
        "id": claim.id,
        "about": claim.about,
        "sentence": claim.sentence,
        "grade": claim.grade,
        "verdict": one.verdict,
        "estimate": _place(value),
        "low": _place(low),
        "high": _place(high),
        "p": _place(outcome.p) if outcome else nan,
        "p_holm": _place(one.p_holm),
        "family": claim.family,
        "n": outcome.main.n if outcome else 0,
        "clusters": outcome.main.clusters if outcome else 0,
        "g_eff": _place(outcome.main.effective) if outcome else nan,
        "published": nan if claim.published is None else claim.published,
        "tolerance": claim.tolerance,
        "flips": least,
        "flips_kind": kind,
        "estimator": claim.estimator,
        "rule": one_line(text),
        "reason": "; ".join(filter(None, (one.reason, _note(one)))),
        "cells_tested": len(one.places) - one.missing if outcome else 0,
        "cells_missing": one.missing,
        "failed_as_uniform": one.failed,
    }


def _note(one: Decision) -> str:
    return (
        one.outcome.note
        if one.outcome and one.outcome.note and one.outcome.note not in one.reason
        else ""
    )


def one_line(text: object) -> str:
    """A rule in one line."""
    words = {"holds": HOLDS, "within_tolerance": WITHIN, "not_reproduced": NOT_REPRODUCED}
    return "; ".join(
        f"{word}: {getattr(text, name)}" for name, word in words.items() if getattr(text, name)
    )


def _place(value: float) -> float:
    return round(value, PLACES) + 0.0 if math.isfinite(value) else math.nan


def tally(rows: Sequence[Mapping[str, object]]) -> str:
    """How many claims have which verdict, in one line."""
    verdicts = [str(row["verdict"]) for row in rows]
    return ", ".join(f"{verdicts.count(one)} {one}" for one in VERDICTS if one in verdicts)
