"""Reading an answer: one parser for the distribution, one for the verifier's score. They never raise and never guess.

The verdict says how the distribution was found:

exact     the last answer is one strict JSON object whose keys are the labels, each once and as spelled, with
          numbers >= 0 that add up to 1 within what rounding to two decimals can do (0.005 a label); it may stand
          in a code fence, and reasoning may stand before it (the chain-of-thought prompt asks for some); nothing
          but white space follows it.
repaired  every label has one number, but something had to be mended: near-JSON or "happy: 0.7, sad: 30%",
          percentages or a sum that is not 1 (the shares are divided by their sum), another case or a documented
          alias of a label, a repeated equal value, text after the answer.
partial   as exact or repaired, but a label is missing (its share is 0) or a label that is not in the set was
          given a number (it is dropped); the rest is divided by its sum.
unparsed  no distribution: nothing there, a number that is NaN, infinite, negative or no number, all shares 0,
          two values for one label, percentages mixed with numbers above 1, a number cut off by the end of the
          text, or two readings that differ.

The *last complete* answer (one that names every label) is the answer; if none is complete, the last JSON-like
object, else what the prose says. Once an answer is chosen it is read or unparsed: an earlier draft never stands in
for a bad final answer.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["exact", "repaired", "partial", "unparsed"]
VERDICTS: tuple[Verdict, ...] = ("exact", "repaired", "partial", "unparsed")

# Word forms of one emotion, in any case. Nothing wider: "joy", "calm" or "frustrated" are other labels, not these.
ALIASES: tuple[frozenset[str], ...] = (
    frozenset({"anger", "angry"}),
    frozenset({"disgust", "disgusted"}),
    frozenset({"fear", "fearful"}),
    frozenset({"happy", "happiness"}),
    frozenset({"sad", "sadness"}),
    frozenset({"surprise", "surprised"}),
    frozenset({"neutral", "neutrality"}),
)

ROUNDING = 0.005
LONGEST = 100_000
HUGE = 1e300

_NUMBER = r"[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d++)?+"
_NOT_A_PIECE = r"(?![.,/]?\d)(?!\s{0,3}[-–—]\s{0,3}\.?\d)"  # of a decimal comma, a fraction or a range
_VALUE = rf"(?P<number>{_NUMBER}){_NOT_A_PIECE}(?:\s{{0,3}}(?P<percent>%))?+|(?P<word>[-+]?(?:nan|inf(?:inity)?)\b)"
_QUOTE = r"[\"'`“”‘’*_]{0,3}+"
_KEY = r"(?<![\w-])(?P<key>[^\W\d][\w-]{0,40}+)"
_PAIR = re.compile(
    rf"{_KEY}{_QUOTE}(?P<separator>\s{{0,5}}+(?:[:=|(→]|[-–—](?=\s))\s{{0,5}}+|[ \t]{{1,5}}+)"
    rf"{_QUOTE}\s{{0,3}}+(?:{_VALUE}){_QUOTE}\)?",
    re.IGNORECASE,
)
_PERCENT_FIRST = re.compile(
    rf"(?<![\w.,/-])(?P<number>{_NUMBER})\s{{0,3}}(?P<percent>%)\s{{1,3}}(?:of\s)?{_QUOTE}{_KEY}", re.IGNORECASE
)
_NEGATED = re.compile(r"\b(?:not|no|non|never)[\s-]{1,3}$", re.IGNORECASE)
_OBJECT = re.compile(r"\{[^{}]*+(?:\}|$)")
_FENCE = re.compile(r"\s*(?:```)?\s*")
_GAP = re.compile(r"(?:[\s,;.:|&*•·\-–—\"'`{}()\[\]>#]|\band\b)*+", re.IGNORECASE)


@dataclass(frozen=True)
class Parsed:
    """A distribution over the labels, in their order, adding up to 1; None if unparsed: `detail` then says why."""

    verdict: Verdict
    distribution: tuple[float, ...] | None
    detail: str = ""


@dataclass(frozen=True)
class ParsedScore:
    """A verifier's score; None if unparsed, and then `detail` says why. A score is never partial."""

    verdict: Verdict
    score: float | None
    detail: str = ""


@dataclass(frozen=True)
class _Pair:
    """One `label: share`. value is NaN where no finite number stands there; unit is "%" or ""."""

    key: str
    value: float
    unit: str = ""


@dataclass(frozen=True)
class _Found:
    """One answer in the text: its pairs, where it ends, whether it is a JSON-like object and a strict one."""

    pairs: tuple[_Pair, ...]
    end: int
    is_object: bool
    strict: bool
    fault: str = ""


def parse_candidate(text: str, labels: Sequence[str], decoding: str) -> Parsed:
    """A candidate's distribution: a forced label is that label with certainty, whatever was generated is read by `parse_distribution`."""
    if decoding != "forced":
        return parse_distribution(text, labels)
    if text not in labels:
        return _unparsed(f"forced '{text[:40]}', which is no label")
    return Parsed("exact", tuple(float(label == text) for label in labels))


def parse_distribution(text: str, labels: Sequence[str]) -> Parsed:
    """Read the shares of `labels` out of a model's answer. The module's head defines the verdicts; no text raises."""
    if len(text) > LONGEST:
        return _unparsed(f"the answer is longer than {LONGEST} characters")
    names = _names(labels)
    found = [answer for answer in _objects(text) if _named(answer.pairs, names)]
    inside = [(match.start(), match.end()) for match in _OBJECT.finditer(text)]
    prose, clash = _prose(text, inside, names)
    if clash and not found:
        return _unparsed(clash)
    every = sorted([*found, *prose], key=lambda answer: answer.end)
    if not every:
        return _unparsed("no share of any label")
    complete = [answer for answer in every if len(_named(answer.pairs, names)) == len(labels)]
    if complete:
        return _read(complete[-1], text, labels, names, unfinished=every[-1] is not complete[-1])
    if found:
        return _read(found[-1], text, labels, names)
    merged = _Found(tuple(pair for answer in prose for pair in answer.pairs), prose[-1].end, False, False)
    return _read(merged, text, labels, names)


def parse_score(text: str, low: float = 0, high: float = 10) -> ParsedScore:
    """Read a verifier's score in [low, high].

    exact: the last thing is a strict JSON object whose only key is "score", with a number. repaired: near-JSON,
    other keys beside it, text after it, "score: 7", "7/10", "7 out of 10" or a bare number as the whole answer.
    unparsed: no score, two that differ (in one object, or in prose), a percentage, or one out of range. Of several
    JSON objects with a score the last one counts.
    """
    if len(text) > LONGEST:
        return ParsedScore("unparsed", None, f"the answer is longer than {LONGEST} characters")
    for answer in reversed(list(_objects(text))):
        values = {pair.value for pair in answer.pairs if pair.key.casefold() == "score"}
        units = {pair.unit for pair in answer.pairs if pair.key.casefold() == "score"}
        if not values:
            continue
        if answer.fault:
            return ParsedScore("unparsed", None, answer.fault)
        if len(values) > 1 or "%" in units:
            return ParsedScore(
                "unparsed", None, "two scores in one answer" if len(values) > 1 else "the score is a percentage"
            )
        exact = answer.strict and len(answer.pairs) == 1 and units == {""} and _is_last(text, answer.end)
        return _score(values.pop(), low, high, "exact" if exact else "repaired")
    return _score_in_prose(text, low, high)


_SCORE = re.compile(
    rf"\bscore\b{_QUOTE}\s{{0,3}}+(?:is|of|[:=-])?+\s{{0,3}}+{_QUOTE}\s{{0,3}}+(?P<number>{_NUMBER})(?P<scale>\s{{0,3}}(?:/|out\s{{1,3}}of)\s{{0,3}}(?P<top>\d+))?+(?P<bad>[.,/]?\d|\s?%|\s?[-–]\s?\d)?",
    re.IGNORECASE,
)
_BARE = re.compile(
    rf"\s*{_QUOTE}(?P<number>{_NUMBER})(?P<scale>\s{{0,3}}(?:/|out\s{{1,3}}of)\s{{0,3}}(?P<top>\d+))?+{_QUOTE}\.?\s*",
    re.IGNORECASE,
)


def _score_in_prose(text: str, low: float, high: float) -> ParsedScore:
    bare = _BARE.fullmatch(text)
    matches = [bare] if bare else list(_SCORE.finditer(text))
    if any(match.groupdict().get("bad") for match in matches):
        return ParsedScore("unparsed", None, "a score that is no plain number")
    if any(match["scale"] and float(match["top"]) != high for match in matches):
        return ParsedScore("unparsed", None, f"a score on another scale than {high:g}")
    values = {_float(match["number"]) for match in matches}
    if not values:
        return ParsedScore("unparsed", None, "no score")
    if len(values) > 1:
        return ParsedScore("unparsed", None, "two scores that differ")
    return _score(values.pop(), low, high, "repaired")


def _score(value: float, low: float, high: float, verdict: Verdict) -> ParsedScore:
    if not low <= value <= high:
        return ParsedScore("unparsed", None, f"the score is not a number from {low:g} to {high:g}")
    return ParsedScore(verdict, float(value))


def _unparsed(detail: str) -> Parsed:
    return Parsed("unparsed", None, detail)


def _names(labels: Sequence[str]) -> dict[str, str]:
    """Every accepted spelling, casefolded, to its label. An alias counts only where it means one label of this set."""
    names = {label.casefold(): label for label in labels}
    for forms in ALIASES:
        owners = [label for label in labels if label.casefold() in forms]
        if len(owners) == 1:
            names |= dict.fromkeys(forms, owners[0])
    return names


def _named(pairs: Iterable[_Pair], names: dict[str, str]) -> set[str]:
    return {names[pair.key.casefold()] for pair in pairs if pair.key.casefold() in names}


def _objects(text: str) -> Iterable[_Found]:
    """Innermost {…} of the text in order, the last one perhaps unclosed."""
    for match in _OBJECT.finditer(text):
        closed = match[0].endswith("}")
        strict = _strict(match[0]) if closed else None
        if strict is not None:
            yield _Found(strict, match.end(), True, True)
            continue
        pairs, fault = _scan(match[0][1:].removesuffix("}"))
        cut = not closed and bool(re.search(r"[\d.]$", text))
        yield _Found(pairs, match.end(), True, False, fault or ("cut off in the middle of a number" if cut else ""))


def _strict(body: str) -> tuple[_Pair, ...] | None:
    """Pairs of a strict JSON object, repeated keys kept; None if it is not one. What is no number becomes NaN."""
    try:
        items = json.loads(body, object_pairs_hook=list, parse_constant=lambda _: math.nan)
    except (ValueError, RecursionError):
        return None
    return tuple(_json_pair(key, value) for key, value in items)


def _json_pair(key: str, value: object) -> _Pair:
    if isinstance(value, str):
        match = re.fullmatch(rf"\s*({_NUMBER})\s*(%?)\s*", value)
        return _Pair(key, _float(match[1]), match[2] or '"') if match else _Pair(key, math.nan, "text")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _Pair(key, math.nan)
    return _Pair(key, _float(value))


_LOOSE = re.compile(
    rf"(?:(?P<quote>[\"'`“‘])(?P<quoted>[^\"'`“”‘’{{}}]{{1,60}})[\"'`”’]|(?P<plain>[^\W\d][\w -]{{0,40}}))"
    rf"\s{{0,9}}+[:=]\s{{0,9}}+(?:{_QUOTE}(?:{_VALUE}){_QUOTE}|(?P<text>\"[^\"]*+\"|'[^']*+'|[^,;\n{{}}]*+))",
    re.IGNORECASE,
)


def _scan(body: str) -> tuple[tuple[_Pair, ...], str]:
    """Pairs of a near-JSON object's inside, and what makes it unreadable: a number that belongs to no pair."""
    pairs, rest, last = [], [], 0
    for match in _LOOSE.finditer(body):
        rest.append(body[last : match.start()])
        last = match.end()
        key = (match["quoted"] or match["plain"]).strip()
        if match["text"] is not None:
            pairs.append(_Pair(key, math.nan, "text" if match["text"][:1] in ("'", '"') else ""))
        else:
            pairs.append(_Pair(key, _float(match["number"] or "nan"), match["percent"] or ""))
    rest.append(body[last:])
    stray = any(re.search(r"\d", gap) for gap in rest)
    return tuple(pairs), "a number that belongs to no label" if stray and pairs else ""


def _prose(text: str, inside: list[tuple[int, int]], names: dict[str, str]) -> tuple[list[_Found], str]:
    """Runs of `label: share` outside every {…}, and the clash if "happy 30% sad" can be read two ways."""
    outside = list(text)
    for start, end in inside:
        outside[start:end] = "{" * (end - start)
    plain = "".join(outside)
    after = _blocks(plain, _PAIR, names)
    before = _blocks(plain, _PERCENT_FIRST, names)
    if not before:
        return after, ""
    if not after:
        return before, ""
    every = len(set(names.values()))
    whole = [
        reading for reading in (after, before) if any(len(_named(block.pairs, names)) == every for block in reading)
    ]
    if len(whole) == 1:
        return whole[0], ""
    return [], "the shares can be read two ways (number before or after its label)"


def _blocks(text: str, pattern: re.Pattern[str], names: dict[str, str]) -> list[_Found]:
    """Runs of pairs with nothing but separators between them; a run that names no label is no answer."""
    runs: list[list[_Pair]] = []
    ends: list[int] = []
    for match in pattern.finditer(text):
        known = match["key"].casefold() in names
        negated = bool(_NEGATED.search(text, max(0, match.start() - 12), match.start()))
        fields = match.groupdict()
        spaced = not (fields.get("separator") or ":").strip()  # "pitch 220": without a separator only a label counts
        if negated or (spaced and not known):
            continue
        pair = _Pair(match["key"], _float(fields["number"] or "nan"), fields["percent"] or "")
        joined = bool(ends) and _GAP.fullmatch(text, ends[-1], match.start()) is not None
        if joined:
            runs[-1].append(pair)
            ends[-1] = match.end()
        else:
            runs.append([pair])
            ends.append(match.end())
    found = [_Found(tuple(run), end, False, False) for run, end in zip(runs, ends, strict=True)]
    return [block for block in found if _named(block.pairs, names)]


def _read(answer: _Found, text: str, labels: Sequence[str], names: dict[str, str], unfinished: bool = False) -> Parsed:
    shares: dict[str, float] = {}
    mended = [] if answer.strict else ["near-JSON" if answer.is_object else "prose"]
    unknown: list[str] = []
    percent = {pair.unit == "%" for pair in answer.pairs if pair.key.casefold() in names}
    if percent == {True, False} and any(
        pair.value > 1 and pair.unit != "%" for pair in answer.pairs if pair.key.casefold() in names
    ):
        return _unparsed("percentages mixed with numbers above 1")
    for pair in answer.pairs:
        label = names.get(pair.key.casefold())
        value = pair.value / 100 if pair.unit == "%" else pair.value
        if label is None:
            if pair.unit == "text":
                mended.append(f"a remark '{pair.key[:30]}'")
            else:
                unknown.append(pair.key[:30])
            continue
        if not math.isfinite(value) or value < 0:
            return _unparsed(f"{label}: not a finite number >= 0")
        if label in shares and shares[label] != value:
            return _unparsed(f"{label}: two values that differ")
        mended += [f"{label} repeated"] * (label in shares) + [f"'{pair.key}' read as {label}"] * (pair.key != label)
        mended += ["numbers in quotes"] * (pair.unit == '"') + ["percentages"] * (pair.unit == "%")
        shares[label] = value
    values = [shares.get(label, 0.0) for label in labels]
    top = max(values)
    if top <= 0:
        return _unparsed("all shares are 0")
    if top > HUGE:  # their sum could overflow
        values = [value / top for value in values]
    total = math.fsum(values)
    one = top <= HUGE and abs(total - 1) <= ROUNDING * len(labels) + 1e-9
    if answer.fault and not (answer.fault.startswith("cut off") and one and len(shares) == len(labels)):
        return _unparsed(answer.fault)
    mended += ["the sum was not 1"] * (not one)
    mended += ["text after the answer"] * (answer.is_object and not _is_last(text, answer.end))
    mended += ["an unfinished answer follows"] * unfinished
    missing = [label for label in labels if label not in shares]
    detail = "; ".join(
        [f"missing: {', '.join(missing)}"] * bool(missing)
        + [f"not in the set: {', '.join(unknown)}"] * bool(unknown)
        + list(dict.fromkeys(mended))
    )
    verdict: Verdict = "partial" if missing or unknown else "repaired" if mended else "exact"
    return Parsed(verdict, tuple(value / total for value in values), detail)


def _is_last(text: str, end: int) -> bool:
    return _FENCE.fullmatch(text, end) is not None


def _float(number: str | float) -> float:
    """A Python float; NaN where the number is none or too large for one."""
    try:
        return float(number)
    except (ValueError, OverflowError):
        return math.nan
