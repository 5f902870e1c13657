"""Reading an answer: one parser for the distribution, one for the verifier's score. They never
raise and never guess.

The verdict says how the distribution was found:

exact     the last answer is one strict JSON object whose keys are the labels, each once and as spelled, with
          numbers >= 0 that add up to 1 within what rounding to two decimals can do (0.005 a label); it may stand
          in a code fence, and reasoning may stand before it (the chain-of-thought prompt asks for some); nothing
          but white space follows it.
repaired  every label has one number, but something had to be repaired: near-JSON or "happy: 0.7, sad: 30%",
          one object per label, percentages or a sum that is not 1 (the shares are divided by their sum), another
          case or a documented alias of a label, a repeated equal value, text after the answer.
partial   as exact or repaired, but a label is missing (its share is 0) or a label that is not in the set was
          given a number (it is dropped); the rest is divided by its sum.
unparsed  no distribution: nothing there, a value that is NaN, infinite, negative or no plain number ("~0.7",
          "60-80%", "0,7", "high"), all shares 0, two values for one label, percentages mixed with numbers of 1 or
          more, an answer cut off by the end of the text, a later answer that differs, or two readings that differ.

The *last complete* answer (one that names every label) is the answer; if none is complete, the last
JSON-like object, else all that the prose says. Objects with nothing but commas, brackets or bullets
between them are one object if they name different labels.

Once an answer is chosen it is read or unparsed: an earlier draft never stands in for a bad final
answer. What stands before the chosen answer is reasoning and does no harm. What stands after it may
repeat its values, all or some; if it gives a label another one ("label: value", a percentage or an
object), the answer is unparsed. Where all of the prose is the answer, a label that stands there as
"label:" without a number is not missing: the answer is unparsed. An answer that the text's end cut
off is read only if its shares already add up to 1.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["exact", "repaired", "partial", "unparsed"]
VERDICTS: tuple[Verdict, ...] = ("exact", "repaired", "partial", "unparsed")

# Word forms of one emotion, in any case. Nothing wider: "joy", "calm" or "frustrated" are other
# labels, not these.
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
_PERCENT = r"(?:\s{0,3}(?P<percent>%|per\s?cent\b))"
# A number is no share of its own where it is a piece of a decimal comma, a fraction, "7 of 10",
# "2nd" or a range.
_NOT_A_PIECE = r"(?![.,/]?\d|[^\W\d_]|[ \t]{0,3}(?:out[ \t])?of[ \t]\d)"
_TO = r"(?:[-–—=]>|[-–—~→±…/]|\+/-|\.{2,3}|to|or|and)"
_NO_RANGE = rf"(?![ \t]{{0,3}}{_TO}[ \t]{{0,3}}[~+]?\.?\d)"
_FROM = rf"{_NUMBER}\s{{0,3}}%?+\s{{0,3}}{_TO}\s{{0,3}}"
_ABOUT = (
    r"(?:[~≈<>≤≥±]|about|around|approx\w{0,9}\.?|roughly|nearly|almost|circa|between|over|under|up\sto"
    r"|at\s(?:least|most)|(?:less|more)\sthan)"
)
_VALUE = rf"(?P<number>{_NUMBER}){_NOT_A_PIECE}{_PERCENT}?+{_NO_RANGE}|(?P<word>[-+]?(?:nan|inf(?:inity)?)\b)"
_VAGUE = rf"(?P<vague>(?:{_ABOUT}\s{{0,3}}){{0,2}}[-+]?\.?\d)"  # a number, but not one that could be read
_QUOTE = r"[\"'`“”‘’*_]{0,3}+"
_KEY = r"(?<![\w-])(?P<key>[^\W\d][\w-]{0,40}+)"
_SEPARATOR = r"(?:[-=]>|[:=|(→])"
_PAIR = re.compile(
    rf"{_KEY}{_QUOTE}(?P<separator>\s{{0,5}}+(?:{_SEPARATOR}|[-–—](?=\s))\s{{0,5}}+|[ \t]{{1,5}}+)"
    rf"{_QUOTE}\s{{0,3}}+(?:{_VALUE}|{_VAGUE}){_QUOTE}\)?",
    re.IGNORECASE,
)
_PERCENT_FIRST = re.compile(
    rf"(?<![\w.,/-])(?P<vague>{_ABOUT}\s{{0,3}}(?:{_FROM})?|{_FROM})?"
    rf"(?P<number>{_NUMBER}){_PERCENT}\s{{1,3}}(?:of\s)?{_QUOTE}{_KEY}",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(rf"{_KEY}{_QUOTE}\s{{0,5}}+{_SEPARATOR}")
_LIST_NUMBER = re.compile(rf"\d{{1,3}}[.)]{_QUOTE}[ \t]{{0,3}}{_QUOTE}[^\W\d]")  # "2. sad"
_NEGATED = re.compile(rf"(?:\b(?:not|no|non|never)|n['’]t)[ \t]{{1,3}}{_QUOTE}$", re.IGNORECASE)
_CUT_NUMBER = re.compile(r"[\d.]$")
_CUT_PROSE = re.compile(r"(?<!\d)0\.$|,\s{0,3}$")
_BETWEEN = re.compile(r"[\s,;\[\]*•·-]*+")
_OBJECT = re.compile(r"\{[^{}]*+(?:\}|$)")
_FENCE = re.compile(r"\s*(?:```)?\s*")
_GAP = re.compile(r"(?:[\s,;.:|&*•·\-–—\"'`{}()\[\]>#]|\band\b)*+", re.IGNORECASE)


@dataclass(frozen=True)
class Parsed:
    """A distribution over the labels, in their order, adding up to 1; None if unparsed: `detail`
    then says why.
    """

    verdict: Verdict
    distribution: tuple[float, ...] | None
    detail: str = ""


@dataclass(frozen=True)
class ParsedScore:
    """A verifier's score; None if unparsed, and then `detail` says why. A score is never
    partial.
    """

    verdict: Verdict
    score: float | None
    detail: str = ""


@dataclass(frozen=True)
class _Pair:
    """One `label: share`. value is NaN where no finite number stands there; unit is "%", '"',
    "text" or "".

    In prose `at` is where its value begins, and a bare pair ("happy 3") has neither a separator nor
    a %.
    """

    key: str
    value: float
    unit: str = ""
    at: int = 0
    bare: bool = False

    @property
    def share(self) -> float:
        return self.value / 100 if self.unit == "%" else self.value


@dataclass(frozen=True)
class _Block:
    """One answer in the text: its pairs, where it stands, whether it is a JSON-like object, a
    strict one, an unclosed one.
    """

    pairs: tuple[_Pair, ...]
    start: int
    end: int
    is_object: bool = False
    strict: bool = False
    unclosed: bool = False
    fault: str = ""


def parse_candidate(text: str, labels: Sequence[str], decoding: str) -> Parsed:
    """A candidate's distribution: a forced label is that label with certainty, whatever was
    generated is read by `parse_distribution`.
    """
    if decoding != "forced":
        return parse_distribution(text, labels)
    if text not in labels:
        return _unparsed(f"forced '{text[:40]}', which is no label")
    return Parsed("exact", tuple(float(label == text) for label in labels))


def parse_distribution(text: str, labels: Sequence[str]) -> Parsed:
    """Read the shares of `labels` out of a model's answer. The module's head defines the verdicts;
    no text raises.
    """
    return _plain_object(text, labels) or _any_form(text, labels)


_pairs_of = json.JSONDecoder(object_pairs_hook=list).decode
"""`json.loads` with a hook makes a decoder for each text."""


def _plain_object(text: str, labels: Sequence[str]) -> Parsed | None:
    """The reading of a text that is one strict JSON object and nothing else, if it is exact; None
    leaves it to `_any_form`.

    Nearly all answers are so, and this is twenty times faster. Both give the same reading (a test
    compares them).
    """
    if text[:1] != "{" or text[-1:] != "}" or len(text) > LONGEST or text.count("{") > 1:
        return None
    try:
        pairs = _pairs_of(text)
    except (ValueError, RecursionError):
        return None
    shares = dict(pairs)
    if len(pairs) != len(labels) or len(shares) != len(labels):
        return None
    values = []
    for label in labels:
        value = shares.get(label)
        if not isinstance(value, float | int) or isinstance(value, bool) or not 0 <= value <= 2:
            return None
        values.append(float(value))
    total = math.fsum(values)
    if not _adds_up(total, len(labels)):
        return None
    return Parsed("exact", tuple([value / total for value in values]))


def _any_form(text: str, labels: Sequence[str]) -> Parsed:
    if len(text) > LONGEST:
        return _unparsed(f"the answer is longer than {LONGEST} characters")
    names = _names(labels)
    objects = _joined(_objects(text), text, names)
    plain = _outside_objects(text)
    after, before = _blocks(plain, _PAIR, names), _blocks(plain, _PERCENT_FIRST, names)
    prose, clash = _one_reading(after, before, names)
    if clash and not objects:
        return _unparsed(clash)
    every = sorted([*objects, *prose], key=lambda answer: answer.end)
    complete = [
        answer
        for answer in every
        if _is_complete(answer, names) and not _cut_off(answer, text, names)
    ]
    if complete or objects:
        answer = (complete or objects)[-1]
        parsed = _read(
            answer, text, labels, names, unfinished=bool(complete) and every[-1] is not answer
        )
        if parsed.distribution is None:
            return parsed
        shares = dict(zip(labels, parsed.distribution, strict=True))
        if _contradicted(answer, shares, objects, [*after, *before], text, names):
            return _unparsed(
                f"a later answer differs from the {'complete one' if complete else 'last object'}"
            )
        return parsed
    if not any(
        math.isfinite(pair.value)
        for answer in prose
        for pair in answer.pairs
        if pair.key.casefold() in names
    ):
        return _unparsed("no share of any label")
    merged = _Block(
        tuple(pair for answer in prose for pair in answer.pairs), prose[0].start, prose[-1].end
    )
    announced = {names.get(match["key"].casefold()) for match in _ANNOUNCED.finditer(plain)}
    for label in labels:
        if label in announced and label not in _named(merged.pairs, names):
            return _unparsed(f"{label}: its value cannot be read")
    return _read(merged, text, labels, names)


def parse_score(text: str, low: float = 0, high: float = 10) -> ParsedScore:
    """Read a verifier's score in [low, high].

    exact: the last thing is a strict JSON object whose only key is "score", with a number.
    repaired: near-JSON, other keys next to it, text after it, "score: 7", "7/10", "7 (out of 10)" or
    a bare number as the whole answer. unparsed: no score, two that differ (in one object, or in
    prose), a range ("7 to 8"), a percentage, another scale, a run of zeros, or one out of range. Of
    several JSON objects with a score the last one counts.
    """
    if len(text) > LONGEST:
        return ParsedScore("unparsed", None, f"the answer is longer than {LONGEST} characters")
    if (plain := _PLAIN_SCORE.fullmatch(text)) and low <= float(plain[1]) <= high:
        return ParsedScore("exact", float(plain[1]))
    for answer in reversed(list(_objects(text))):
        values = {pair.value for pair in answer.pairs if pair.key.casefold() == "score"}
        units = {pair.unit for pair in answer.pairs if pair.key.casefold() == "score"}
        if not values:
            continue
        if answer.fault or (answer.unclosed and _CUT_NUMBER.search(text[-2:])):
            return ParsedScore("unparsed", None, answer.fault or "cut off by the end of the text")
        if len(values) > 1 or "%" in units:
            return ParsedScore(
                "unparsed",
                None,
                "two scores in one answer" if len(values) > 1 else "the score is a percentage",
            )
        exact = (
            answer.strict
            and len(answer.pairs) == 1
            and units == {""}
            and _is_last(text, answer.end)
        )
        return _score(values.pop(), low, high, "exact" if exact else "repaired")
    return _score_in_prose(text, low, high)


def parse_scores(
    text: str, count: int, place: int, low: float = 0, high: float = 10
) -> ParsedScore:
    """Read the score at `place` (0 is the first) of a list of `count` scores in [low, high].

    exact: the answer ends in a strict JSON object, in a code fence or not, whose only key is
    "scores", with a list of so many numbers in range. Everything else is unparsed: a list that is
    too short or too long does not say which score is whose.
    """
    if len(text) > LONGEST:
        return ParsedScore("unparsed", None, f"the answer is longer than {LONGEST} characters")
    body = text.rstrip().removesuffix("```").rstrip()
    try:
        pairs = json.loads(body[body.rfind("{") :], object_pairs_hook=list)
    except (ValueError, RecursionError):
        return ParsedScore("unparsed", None, "no JSON object ends the answer")
    if not isinstance(pairs, list) or [pair[0] for pair in pairs] != ["scores"]:
        return ParsedScore("unparsed", None, 'an object with other keys than "scores"')
    scores = pairs[0][1]
    if not isinstance(scores, list) or len(scores) != count:
        return ParsedScore("unparsed", None, f"not a list of {count} scores")
    if not all(type(one) in (int, float) and low <= one <= high for one in scores):
        return ParsedScore("unparsed", None, f"a score that is not from {low:g} to {high:g}")
    return ParsedScore("exact", float(scores[place]))


_SCALE = r"(?P<scale>\s{0,3}\(?\s{0,3}(?:/|(?:out\s{1,3})?of\b)\s{0,3}(?P<top>\d++)\)?)?+"  # "/10", "(out of 10)"
_SCORE = re.compile(
    rf"\bscore\b{_QUOTE}\s{{0,3}}+(?:is|of|[:=-])?+\s{{0,3}}+{_QUOTE}\s{{0,3}}+(?P<number>{_NUMBER}){_SCALE}"
    rf"(?P<bad>[.,/]?\d|\s?%|[ \t]{{0,3}}{_TO}[ \t]{{0,3}}[~+]?\.?\d)?",
    re.IGNORECASE,
)
_PLAIN_SCORE = re.compile(r'\{"score": (0|[1-9][0-9]{0,8})\}')
_ZEROS = re.compile(r"[-+]?00")  # what a model that has lost its thread writes to the end
_BARE = re.compile(rf"\s*{_QUOTE}(?P<number>{_NUMBER}){_SCALE}{_QUOTE}\.?\s*", re.IGNORECASE)


def _score_in_prose(text: str, low: float, high: float) -> ParsedScore:
    bare = _BARE.fullmatch(text)
    matches = [bare] if bare else list(_SCORE.finditer(text))
    if any(match.groupdict().get("bad") for match in matches):
        return ParsedScore("unparsed", None, "a score that is no plain number")
    if any(_ZEROS.match(match["number"]) for match in matches):
        return ParsedScore("unparsed", None, "a run of zeros, which is no score")
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
    """Every accepted spelling, casefolded, to its label. An alias counts only where it means one
    label of this set.
    """
    names = {label.casefold(): label for label in labels}
    for forms in ALIASES:
        owners = [label for label in labels if label.casefold() in forms]
        if len(owners) == 1:
            names |= dict.fromkeys(forms, owners[0])
    return names


def _named(pairs: Iterable[_Pair], names: Mapping[str, str]) -> set[str]:
    return set(_shares(pairs, names))


def _shares(pairs: Iterable[_Pair], names: Mapping[str, str]) -> dict[str, float]:
    return {
        names[pair.key.casefold()]: pair.share for pair in pairs if pair.key.casefold() in names
    }


def _is_complete(answer: _Block, names: Mapping[str, str]) -> bool:
    return len(_named(answer.pairs, names)) == len(set(names.values()))


def _adds_up(total: float, labels: int, whole: float = 1) -> bool:
    return abs(total - whole) <= whole * (ROUNDING * labels + 1e-9)


def _cut_off(answer: _Block, text: str, names: Mapping[str, str]) -> bool:
    """Did the text end before the answer did? Not if its shares add up, unless labels are missing
    and a number ends the text.
    """
    shares, labels = _shares(answer.pairs, names), len(set(names.values()))
    whole = any(_adds_up(sum(shares.values()), labels, total) for total in (1, 100))
    if not answer.is_object:
        return (
            not whole
            and _CUT_PROSE.search(text[-5:]) is not None
            and not text[answer.end :].strip(" \t\n,")
        )
    if not answer.unclosed:
        return False
    in_number = _CUT_NUMBER.search(text[-2:]) is not None
    if len(shares) == labels:
        return in_number and not whole
    return in_number or not whole


def _contradicted(
    answer: _Block,
    shares: Mapping[str, float],
    objects: Sequence[_Block],
    prose: Sequence[_Block],
    text: str,
    names: Mapping[str, str],
) -> bool:
    """Does anything after the answer give a label another share, as a number of the answer's own
    scale or of a sum of 1?
    """
    own_shares = _shares(answer.pairs, names)

    def differs(pair: _Pair) -> bool:
        label = names.get(pair.key.casefold())
        if label is None or pair.bare:
            return False
        same = (
            math.isclose(pair.share, value, rel_tol=1e-6, abs_tol=1e-9)
            for value in (own_shares.get(label, 0), shares[label])
        )
        return not any(same)

    for other in objects:
        cut = other.unclosed and _CUT_NUMBER.search(text[-2:])  # its last number may go on
        if other.start >= answer.end and (
            any(map(differs, other.pairs[:-1] if cut else other.pairs))
            or (other.fault and not other.unclosed)
        ):
            return True
    # "70% happy 5% sad": a number that may belong to either of two labels differs only if it
    # differs from both.
    by_number: dict[int, list[_Pair]] = {}
    for pair in (pair for block in prose for pair in block.pairs if pair.at >= answer.end):
        if not (text.startswith("0.", pair.at) and pair.at + 2 == len(text)):  # cut off as well
            by_number.setdefault(pair.at, []).append(pair)
    return any(all(map(differs, pairs)) for pairs in by_number.values())


def _objects(text: str) -> Iterable[_Block]:
    """Innermost {…} of the text in order, the last one perhaps unclosed."""
    for match in _OBJECT.finditer(text):
        closed = match[0].endswith("}")
        strict = _strict(match[0]) if closed else None
        if strict is not None:
            yield _Block(strict, match.start(), match.end(), is_object=True, strict=True)
            continue
        pairs, fault = _scan(match[0][1:].removesuffix("}"), closed)
        yield _Block(
            pairs, match.start(), match.end(), is_object=True, unclosed=not closed, fault=fault
        )


def _joined(objects: Iterable[_Block], text: str, names: Mapping[str, str]) -> list[_Block]:
    """The objects that name a label; neighbours are one answer, but one that names all the labels
    of those before it is a new one.
    """
    every = set(names.values())
    groups: list[list[_Block]] = []
    seen: set[str] = set()
    for one in objects:
        named = _named(one.pairs, names)
        near = bool(groups) and _BETWEEN.fullmatch(text, groups[-1][-1].end, one.start) is not None
        if near and seen != every and not named >= seen:
            groups[-1].append(one)
            seen |= named
        elif named:
            groups.append([one])
            seen = set(named)
    return [group[0] if len(group) == 1 else _one_object(group) for group in groups]


def _one_object(group: Sequence[_Block]) -> _Block:
    pairs = tuple(pair for one in group for pair in one.pairs)
    fault = next((one.fault for one in group if one.fault), "")
    return _Block(
        pairs,
        group[0].start,
        group[-1].end,
        is_object=True,
        unclosed=group[-1].unclosed,
        fault=fault,
    )


def _strict(body: str) -> tuple[_Pair, ...] | None:
    """Pairs of a strict JSON object, repeated keys kept; None if it is not one. Values that
    are not numbers become NaN.
    """
    try:
        items = json.loads(body, object_pairs_hook=list, parse_constant=lambda _: math.nan)
    except (ValueError, RecursionError):
        return None
    return tuple(_json_pair(key, value) for key, value in items)


def _json_pair(key: str, value: object) -> _Pair:
    if isinstance(value, str):
        match = re.fullmatch(rf"\s*({_NUMBER})\s*(%?)\s*", value)
        return (
            _Pair(key, _float(match[1]), match[2] or '"') if match else _Pair(key, math.nan, "text")
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _Pair(key, math.nan)
    return _Pair(key, _float(value))


_LOOSE = re.compile(
    rf"(?:(?P<quote>[\"'`“‘])(?P<quoted>[^\"'`“”‘’{{}}]{{1,60}})[\"'`”’]|(?P<plain>[^\W\d][\w -]{{0,40}}))"
    rf"\s{{0,9}}+[:=]\s{{0,9}}+(?:{_QUOTE}(?:{_VALUE}){_QUOTE}|(?P<text>\"[^\"]*+\"|'[^']*+'|[^,;\n{{}}]*+))",
    re.IGNORECASE,
)


def _scan(body: str, closed: bool) -> tuple[tuple[_Pair, ...], str]:
    """Pairs of a near-JSON object's inside, and what makes it unreadable: a number that belongs to
    no pair.
    """
    pairs, rest, last = [], [], 0
    for match in _LOOSE.finditer(body):
        rest.append(body[last : match.start()])
        last = match.end()
        key = (match["quoted"] or match["plain"]).strip()
        if (
            not closed
            and last == len(body)
            and match["text"] is not None
            and not match["text"].strip("\"' ")
        ):
            continue  # the text ended before the value
        if match["text"] is not None:
            pairs.append(_Pair(key, math.nan, "text" if match["text"][:1] in ("'", '"') else ""))
        else:
            pairs.append(
                _Pair(key, _float(match["number"] or "nan"), "%" if match["percent"] else "")
            )
    rest.append(body[last:])
    stray = any(re.search(r"\d", gap) for gap in rest)
    return tuple(pairs), "a number that belongs to no label" if stray and pairs else ""


def _outside_objects(text: str) -> str:
    """The text with every {…} blotted out, as long as before."""
    return _OBJECT.sub(lambda match: "\0" * len(match[0]), text)


def _one_reading(
    after: list[_Block], before: list[_Block], names: Mapping[str, str]
) -> tuple[list[_Block], str]:
    """The prose's answers with the number after or before its label, and the clash if "happy 30%
    sad" can be read two ways.
    """
    if not before or not after:
        return after or before, ""
    whole = [
        reading
        for reading in (after, before)
        if any(_is_complete(block, names) for block in reading)
    ]
    if len(whole) == 1:
        return whole[0], ""
    return [], "the shares can be read two ways (number before or after its label)"


def _blocks(text: str, pattern: re.Pattern[str], names: Mapping[str, str]) -> list[_Block]:
    """Runs of pairs with nothing but separators between them; a run that names no label is no
    answer.
    """
    matches = [
        (match, pair) for match in pattern.finditer(text) if (pair := _prose_pair(match, names))
    ]
    # "1. happy 2. sad": the next item's number is no share, and where there is one, "sad 3" may be
    # one, too.
    numbered = any(pair.bare and _LIST_NUMBER.match(text, pair.at) for _, pair in matches)
    runs: list[list[_Pair]] = []
    spans: list[tuple[int, int]] = []
    for match, pair in matches:
        if numbered and pair.bare and pair.value.is_integer():
            continue
        if spans and _GAP.fullmatch(text, spans[-1][1], match.start()):
            runs[-1].append(pair)
            spans[-1] = (spans[-1][0], match.end())
        else:
            runs.append([pair])
            spans.append(match.span())
    blocks = [_Block(tuple(run), *span) for run, span in zip(runs, spans, strict=True)]
    return [block for block in blocks if _named(block.pairs, names)]


def _prose_pair(match: re.Match[str], names: Mapping[str, str]) -> _Pair | None:
    """The pair of a match of _PAIR or _PERCENT_FIRST; None where it is negated or no pair but words
    of a sentence.
    """
    fields = {"separator": ":", "word": None} | match.groupdict()
    vague, spaced = fields["vague"] or "", not (fields["separator"] or "").strip()
    if _NEGATED.search(match.string, max(0, match.start() - 12), match.start()):
        return None
    if match["key"].casefold() not in names and (
        spaced or vague
    ):  # "pitch 220", "pitch: about 220"
        return None
    if spaced and vague[:1].isalpha():  # "happy about 2 things"
        return None
    at = match.start("vague" if vague else "number" if fields["number"] else "word")
    if "\n" in match.string[match.start() : at] and _LIST_NUMBER.match(
        match.string, at
    ):  # "happy:\n2. sad"
        return None
    value = math.nan if vague else _float(fields["number"] or "nan")
    unit = "%" if fields["percent"] else ""
    return _Pair(match["key"], value, unit, at, bare=spaced and not unit)


def _read(
    answer: _Block,
    text: str,
    labels: Sequence[str],
    names: Mapping[str, str],
    unfinished: bool = False,
) -> Parsed:
    shares: dict[str, float] = {}
    repairs = [] if answer.strict else ["near-JSON" if answer.is_object else "prose"]
    unknown: list[str] = []
    percent = {pair.unit == "%" for pair in answer.pairs if pair.key.casefold() in names}
    if percent == {True, False} and any(
        pair.value >= 1 and pair.unit != "%"
        for pair in answer.pairs
        if pair.key.casefold() in names
    ):
        return _unparsed("percentages mixed with numbers of 1 or more")
    for pair in answer.pairs:
        label = names.get(pair.key.casefold())
        value = pair.share
        if label is None:
            if pair.unit == "text":
                repairs.append(f"a remark '{pair.key[:30]}'")
            else:
                unknown.append(pair.key[:30])
            continue
        if not math.isfinite(value) or value < 0:
            return _unparsed(f"{label}: not a finite number >= 0")
        if label in shares and shares[label] != value:
            return _unparsed(f"{label}: two values that differ")
        repairs += [f"{label} repeated"] * (label in shares) + [f"'{pair.key}' read as {label}"] * (
            pair.key != label
        )
        repairs += ["numbers in quotes"] * (pair.unit == '"') + ["percentages"] * (pair.unit == "%")
        shares[label] = value
    values = [shares.get(label, 0.0) for label in labels]
    top = max(values)
    if top <= 0:
        return _unparsed("all shares are 0")
    if top > HUGE:  # their sum could overflow
        values = [value / top for value in values]
    total = math.fsum(values)
    one = top <= HUGE and _adds_up(total, len(labels))
    if answer.fault or _cut_off(answer, text, names):
        return _unparsed(answer.fault or "cut off by the end of the text")
    repairs += ["the sum was not 1"] * (not one)
    repairs += ["text after the answer"] * (answer.is_object and not _is_last(text, answer.end))
    repairs += ["an unfinished answer follows"] * unfinished
    missing = [label for label in labels if label not in shares]
    detail = "; ".join(
        [f"missing: {', '.join(missing)}"] * bool(missing)
        + [f"not in the set: {', '.join(unknown)}"] * bool(unknown)
        + list(dict.fromkeys(repairs))
    )
    verdict: Verdict = "partial" if missing or unknown else "repaired" if repairs else "exact"
    return Parsed(verdict, tuple(value / total for value in values), detail)


def _is_last(text: str, end: int) -> bool:
    return _FENCE.fullmatch(text, end) is not None


def _float(number: str | float) -> float:
    """A Python float; NaN if the text is not a number, or the number is too large for a float."""
    try:
        return float(number)
    except (ValueError, OverflowError):
        return math.nan
