"""Reading distributions: what each verdict means, and that no text raises or is guessed at."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambiemo.labels import FOUR, SIX
from ambiemo.models.parsing import (
    LONGEST,
    VERDICTS,
    Parsed,
    _any_form,
    _plain_object,
    parse_candidate,
    parse_distribution,
)

GOOD = (0.1, 0.7, 0.15, 0.05)  # neutral, happy, angry, sad
OBJECT = '{"neutral": 0.1, "happy": 0.7, "angry": 0.15, "sad": 0.05}'


@pytest.mark.parametrize(
    "text",
    [
        OBJECT,
        f"  {OBJECT}\n",
        f"```json\n{OBJECT}\n```",
        f"The pitch is high and the pace is quick.\n{OBJECT}",
        f"A first thought: happy: 0.2, sad: 0.3. Then again:\n{OBJECT}",
        f'{{"neutral": 1, "happy": 0, "angry": 0, "sad": 0}} is too sure. {OBJECT}',
        '{"sad": 0.05, "angry": 0.15, "neutral": 0.1, "happy": 0.7}',
        '{"neutral": 1e-1, "happy": 7.0E-1, "angry": 0.15, "sad": 0.05}',
    ],
)
def test_a_strict_object_at_the_end_is_exact(text):
    parsed = parse_distribution(text, FOUR)
    assert (parsed.verdict, parsed.detail) == ("exact", "")
    assert parsed.distribution == pytest.approx(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        "{'neutral': 0.1, 'happy': 0.7, 'angry': 0.15, 'sad': 0.05,}",
        "{neutral: 0.1, happy: 0.7, angry: 0.15, sad: 0.05}",
        '"neutral": 0.1, "happy": 0.7, "angry": 0.15, "sad": 0.05}',
        '{"neutral": 0.1, "happy": 0.7, "angry": 0.15, "sad": 0.05',
        '{"neutral": 0.1 "happy": 0.7 "angry": 0.15 "sad": 0.05}',
        '{"neutral": 0.1; "happy": 0.7; "angry": 0.15; "sad": 0.05}',
        '{"neutral": "0.1", "happy": "0.7", "angry": "15%", "sad": "5%"}',
        '{"neutral": 10, "happy": 70, "angry": 15, "sad": 5}',
        '{"neutral": "10%", "happy": "70%", "angry": "15%", "sad": "5%"}',
        '{"Neutral": 0.1, "HAPPY": 0.7, "Angry": 0.15, "sad": 0.05}',
        '{"neutral": 0.1, "happiness": 0.7, "anger": 0.15, "sadness": 0.05}',
        '{"neutral": 0.1, "happy": 0.7, "happy": 0.7, "angry": 0.15, "sad": 0.05}',
        '{"distribution": {"neutral": 0.1, "happy": 0.7, "angry": 0.15, "sad": 0.05}}',
        '{"why": "bright", "neutral": 0.1, "happy": 0.7, "angry": 0.15, "sad": 0.05}',
        f"{OBJECT} I hope this helps!",
        "neutral: 0.1, happy: 0.7, angry: 0.15, sad: 5%",
        "Neutral: 10%\nHappy: 70%\nAngry: 15%\nSad: 5%",
        "- **Neutral**: 0.1\n- **Happy**: 0.7\n- **Angry**: 0.15\n- **Sad**: 0.05",
        "1. **Neutral:** 0.1\n2. **Happy:** 0.7\n3. **Angry:** 0.15\n4. **Sad:** 0.05",
        "| emotion | share |\n|---|---|\n| neutral | 0.1 |\n| happy | 0.7 |\n| angry | 0.15 |\n| sad | 0.05 |",
        "neutral = 0.1; happy = 0.7; angry = 0.15 and sad = 0.05.",
        "10% neutral, 70% happy, 15% angry and 5% sad",
        "neutral 10% happy 70% angry 15% sad 5%",
        "Neutral (10%), happy (70%), angry (15%), sad (5%).",
        "neutral -> 0.1, happy -> 0.7, angry => 0.15, sad → 0.05",
        "neutral: 10 percent, happy: 70 percent, angry: 0.15, sad: 0.05",
        "1. Neutral 10 2. Happy 70 3. Angry 15 4. Sad 5",
        '[{"neutral": 0.1}, {"happy": 0.7}, {"angry": 0.15}, {"sad": 0.05}]',
        '{"neutral": 0.1}\n{"happy": 0.7}\n{"angry": 0.15}\n{"sad": 0.05}\n',
        '- {"neutral": 0.1}\n- {"happy": 0.7}\n- {"angry": 0.15}\n- {"sad": 0.05}',
        '{"shares": [{"neutral": 0.1, "happy": 0.7}, {"angry": 0.15, "sad": 0.05}]}',
        '{"neutral": 0.1, "happy": 0.7}, {"angry": 0.15, "happy": 0.7, "sad": 0.05}',
    ],
)
def test_what_can_be_mended_without_a_guess_is_repaired(text):
    parsed = parse_distribution(text, FOUR)
    assert parsed.verdict == "repaired", parsed
    assert parsed.distribution == pytest.approx(GOOD)
    assert parsed.detail


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ('{"happy": 0.75, "sad": 0.25}', (0, 0.75, 0, 0.25)),
        ('{"happy": 0.6, "sad": 0.2, "surprise": 0.2}', (0, 0.75, 0, 0.25)),
        (
            '{"neutral": 0.1, "happy": 0.5, "angry": 0.1, "sad": 0.1, "bored": 0.2}',
            (0.125, 0.625, 0.125, 0.125),
        ),
        ("happy: 0.7, sad: 30%", (0, 0.7, 0, 0.3)),
        ("Happy: 70% of 10 listeners, sad: 30% of 10 listeners", (0, 0.7, 0, 0.3)),
        ("Angry? No\nHappy: 0.7\nSad: 0.3", (0, 0.7, 0, 0.3)),
        ("- Angry? No\n- Happy: 0.7\n- Sad: 0.3", (0, 0.7, 0, 0.3)),
        ("not **happy**: 0.3, happy: 0.6, sad: 0.4", (0, 0.6, 0, 0.4)),
        ("1. happy 2. sad 3. angry 4. neutral\nhappy: 0.7, sad: 0.3", (0, 0.7, 0, 0.3)),
        ("Happy:\n0.7\nSad:\n0.3", (0, 0.7, 0, 0.3)),
        ('{"happy": 0.7}, {"sad": 0.3}', (0, 0.7, 0, 0.3)),
        ('{"happy": 0.6, "sad": 0.4}\n{"happy": 0.7, "sad": 0.3}', (0, 0.7, 0, 0.3)),
        ('{"happy": 0.7, "sad": 0.3,', (0, 0.7, 0, 0.3)),
        ('{"happy": 70, "sad": 30, "ang', (0, 0.7, 0, 0.3)),
        ('{"happy": 0.7, "sad": 0.3, "angry": ', (0, 0.7, 0, 0.3)),
        ("happy: 1, sad: 0.", (0, 1, 0, 0)),
    ],
)
def test_missing_and_unknown_labels_make_an_answer_partial(text, shares):
    parsed = parse_distribution(text, FOUR)
    assert parsed.verdict == "partial"
    assert parsed.distribution == pytest.approx(shares)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no share"),
        ("The speaker sounds happy.", "no share"),
        ("[0.1, 0.7, 0.15, 0.05]", "no share"),
        ('{"share": 0.7}', "no share"),
        ("unhappy: 0.3", "no share"),
        ("not happy: 0.3", "no share"),
        ("happy: 0,7; sad: 0,3", "no share"),
        ("happy: 7/10, sad: 3/10", "no share"),
        ("happy: 0.6-0.7", "no share"),
        ('{"happy": NaN, "sad": 0.5}', "not a finite"),
        ('{"happy": Infinity, "sad": 0.5}', "not a finite"),
        ('{"happy": -0.5, "sad": 0.5}', "not a finite"),
        ('{"happy": 1e999, "sad": 0.5}', "not a finite"),
        ('{"happy": null, "sad": 0.5}', "not a finite"),
        ('{"happy": true, "sad": 0.5}', "not a finite"),
        ('{"happy": "high", "sad": 0.5}', "not a finite"),
        ("{happy: high, sad: 0.5}", "not a finite"),
        ("happy: nan, sad: 0.5", "not a finite"),
        ('{"neutral": 0, "happy": 0, "angry": 0, "sad": 0}', "all shares are 0"),
        ('{"happy": 0.5, "happy": 0.6, "sad": 0.1}', "two values"),
        ('{"happy": 0.5, "happiness": 0.2, "sad": 0.3}', "two values"),
        ("happy: 0.2. No, wait. happy: 0.6", "two values"),
        ("happy: 70, sad: 30%", "mixed"),
        ('{"neutral": 0.1, "happy": 0.7, "angry": 0.15, "sad": 0.0', "cut off"),
        ('{"neutral": 0.1, "happy": 0.7, "angry": 0.1', "cut off"),
        ('{"happy": 0.7 (0.6), "sad": 0.3}', "belongs to no label"),
        ("70% happy 30% sad", "two ways"),
        ('{"happy": {"p": 0.7}, "sad": 0.3, "neutral": 0, "angry": 0}', "happy: "),
        ("- Angry: No\n- Happy: 0.7\n- Sad: 0.3", "angry: "),
        ("Angry: No Happy: 0.7 Sad: 0.3", "happy: "),
        ("not happy: 0.3, sad: 0.7", "happy: "),
        ("1. Happy:\n2. Sad: 0.6\n3. Angry: 0.4", "happy: "),
        ("Happy (joy): 0.7, sad: 0.3", "happy: "),
        ("happy: 7 of 10, sad: 1 of 2", "no share"),
        ("1. happy 2. sad 3. angry 4. neutral", "no share"),
        ("1) happy 2) sad 3) angry 4) neutral", "no share"),
        ("Ranking: 1. **Happy** 2. **Sad** 3. **Angry** 4. **Neutral**", "no share"),
        ("1. happy \n2. sad \n3. angry ", "no share"),
        ("happy 1. sad 2. angry 3. neutral 4.", "no share"),
        ("60%-80% happy, 30% sad", "happy: "),
        ("60% to 80% happy, 30% sad", "happy: "),
        ("between 60% and 80% happy, 30% sad", "happy: "),
        ("about 70% happy, 30% sad", "happy: "),
        ('{"happy": 0.6 to 0.8, "sad": 0.3}', "not a finite"),
        ('{"happy": "60%-80%", "sad": 0.3}', "not a finite"),
        ('{"happy": 0.7, "sad": 0.3}\n{"sad": 0.4}', "two values"),
        ('{"neutral": "10%", "happy": "60%", "angry": 1, "sad": "29%"}', "mixed"),
        ("happy: 60%, sad: 1, angry: 30%, neutral: 9%", "mixed"),
        ('{"neutral": 0.1, "hap', "cut off"),
        ('{"neutral": 0.1,', "cut off"),
        ('{"neutral": 0.1, "happy": ', "cut off"),
        ('{"happy": 0.7, "sad": 0.3', "cut off"),
        ('{"neutral": 0.1}, {"hap', "cut off"),
        ("neutral: 0.1, happy: 0.7, angry: 0.15, sad: 0.", "cut off"),
        ("neutral: 0.1, happy: 0.", "cut off"),
        ("neutral: 0.1, happy: 0.3,", "cut off"),
        ("neutral: 0.1, happy:", "happy: "),
    ],
)
def test_what_would_be_a_guess_is_unparsed(text, reason):
    parsed = parse_distribution(text, FOUR)
    assert (parsed.verdict, parsed.distribution) == ("unparsed", None)
    assert reason in parsed.detail


@pytest.mark.parametrize("label", FOUR)
@pytest.mark.parametrize(
    "value",
    [
        "~0.7", "about 70%", "approximately 0.7", "<5%", "60-80%", "60%-80%", "60% to 80%", "60 – 80%", "0.2 to 0.3", "0.2...0.3",
        "0.7 or 0.6", "0.7 → 0.6", "0.7 ± 0.1", "between 0.2 and 0.3", "0,7", "1,000", "7/10", "7 / 10", "7 out of 10", "2nd",
        "high", "No", "most listeners (0.7)", "[0.7]", '{"p": 0.7}', "-", "?",
    ],
)  # fmt: skip
def test_a_label_whose_value_cannot_be_read_is_not_a_missing_label(label, value):
    shares = dict(zip(FOUR, map(str, GOOD), strict=True)) | {label: value}
    parsed = parse_distribution(", ".join(f"{key}: {share}" for key, share in shares.items()), FOUR)
    assert parsed.verdict == "unparsed", parsed
    assert label in parsed.detail


@pytest.mark.parametrize("separator", [":", " =", " |", " →", " (", " ->"])
def test_every_explicit_separator_announces_a_value(separator):
    assert (
        parse_distribution(f"sad: 0.3, happy{separator} high", FOUR).detail
        == "happy: its value cannot be read"
    )


@pytest.mark.parametrize(
    "thought",
    ["Angry: the voice is tense.", "Happy: about 50%, sad: high.", "1. happy 2. sad 3. angry."],
)
@pytest.mark.parametrize("answer", [OBJECT, "So neutral: 0.1, happy: 0.7, angry: 0.15, sad: 0.05"])
def test_reasoning_before_a_complete_answer_does_no_harm(thought, answer):
    parsed = parse_distribution(f"{thought}\n{answer}", FOUR)
    assert parsed.verdict == ("exact" if answer == OBJECT else "repaired")
    assert parsed.distribution == pytest.approx(GOOD)


COMPLETE = pytest.mark.parametrize(
    "complete", [OBJECT, "neutral: .1, happy: .7, angry: .15, sad: .05."]
)


def test_the_last_complete_answer_counts_not_the_last_text():
    draft = '{"neutral": 1, "happy": 0, "angry": 0, "sad": 0}'
    assert parse_distribution(f"{draft} or rather {OBJECT}", FOUR).distribution == pytest.approx(
        GOOD
    )
    cut = parse_distribution(f'{OBJECT} or rather {{"neutral": 0.1, "hap', FOUR)
    assert (cut.verdict, cut.distribution) == ("repaired", pytest.approx(GOOD))
    assert "unfinished" in cut.detail


@COMPLETE
@pytest.mark.parametrize(
    "later",
    [
        'Final answer: {"happy": 0.7}',
        'Final answer: {"happy": "70%", "sad": "5%"}',
        "So happy: 0.7, sad: 5%.",
        "So 70% happy, 5% sad.",
        "So 70% happy 5% sad.",
        "I heard happy 3 times.",
        "Happy: the pitch of 220 Hz. Sad: no sign.",
        "But not sad: 0.9.",
        'Or rather {"neutral": 0.1, "happy": 0.',
        'Or rather {"neutral": 0.1, "happy": 0.9',
        'Or rather {"neutral": 0.1, "happy": ',
        'Or rather {"neutral": 0.1, "happy": "',
        'Or rather {"neutral": 0.1, "happy": 0.7, "angry": 0.15, "sad": 0.0',
        "Or rather neutral: 0.1, happy: 0.",
    ],
)
def test_a_later_answer_that_says_the_same_does_no_harm(complete, later):
    parsed = parse_distribution(f"{complete} {later}", FOUR)
    assert parsed.verdict == "repaired", parsed
    assert parsed.distribution == pytest.approx(GOOD)


@COMPLETE
@pytest.mark.parametrize(
    "later",
    [
        '{"sad": 1.0}',
        'Final answer: {"sad": 1.0}',
        'Final answer: {"happy": 0.1, "sad": 0.9}',
        'Final answer: {"happy": 0.7} {"sad": 0.1}',
        'Final answer: {"happy": null}',
        'Final answer: {"happy": 0.7 0.2}',
        'Final answer: {"sad": 0.9, "hap',
        'Final answer: {"sad": 0.9, "happy": 0.',
        "On reflection, happy: 0.2, sad: 0.55.",
        "On reflection, happy: 20%",
        "On reflection, happy: about 0.2",
        "On reflection, happy: 0.6-0.8",
        "On reflection, happy 20%",
        "On reflection 20% happy, 80% sad",
        "On reflection 20% happy 80% sad",
    ],
)
def test_a_later_answer_that_differs_from_the_complete_one_leaves_none(complete, later):
    parsed = parse_distribution(f"Draft {complete} {later}", FOUR)
    assert (parsed.verdict, parsed.detail) == (
        "unparsed",
        "a later answer differs from the complete one",
    )


def test_a_later_answer_may_repeat_a_value_as_given_or_as_a_share():
    whole = '{"neutral": 10, "happy": 70, "angry": 15, "sad": 5}'
    for later in ("happy: 70", "happy: 0.7", "happy: 70%"):
        assert parse_distribution(f"{whole} That is {later}.", FOUR).distribution == pytest.approx(
            GOOD
        )
    assert parse_distribution(f"{whole} That is happy: 7.", FOUR).verdict == "unparsed"


def test_prose_that_differs_from_the_last_object_leaves_none():
    parsed = parse_distribution(
        '{"happy": 0.7, "sad": 0.3} On reflection, happy: 0.2, sad: 0.8', FOUR
    )
    assert (parsed.verdict, parsed.detail) == (
        "unparsed",
        "a later answer differs from the last object",
    )


@given(
    st.dictionaries(
        st.sampled_from(FOUR), st.sampled_from([0.1, 0.7, 0.15, 0.05, 0.2]), min_size=1, max_size=3
    )
)
def test_only_the_same_values_may_follow_a_complete_answer(later):
    good = dict(zip(FOUR, GOOD, strict=True))
    parsed = parse_distribution(f"{OBJECT} Final answer: {json.dumps(later)}", FOUR)
    assert parsed.verdict == ("repaired" if later.items() <= good.items() else "unparsed")


def test_a_draft_never_stands_in_for_a_bad_final_answer():
    assert (
        parse_distribution(
            f'{OBJECT} No: {{"neutral": 2, "happy": NaN, "angry": 0, "sad": 0}}', FOUR
        ).verdict
        == "unparsed"
    )


def test_an_alias_is_a_label_only_where_it_means_one():
    both = ("anger", "angry", "sad")
    assert parse_distribution(
        '{"anger": 0.5, "angry": 0.3, "sad": 0.2}', both
    ).distribution == pytest.approx((0.5, 0.3, 0.2))
    assert parse_distribution('{"joy": 0.5, "sad": 0.5}', FOUR).verdict == "partial"


def test_rounding_to_two_decimals_is_still_exact():
    third = dict.fromkeys(SIX[:3], 0.33) | dict.fromkeys(SIX[3:], 0.0)
    parsed = parse_distribution(json.dumps(third), SIX)
    assert parsed.verdict == "exact"
    assert math.fsum(parsed.distribution) == pytest.approx(1, abs=1e-12)


def test_an_unparsed_answer_is_never_neutral():
    assert parse_distribution("I cannot tell.", FOUR).distribution is None


SCRAPS = st.sampled_from(
    [
        "{", "}", '"', "'", ":", ",", "[", "]", "\n", " ", "%", "-", ".", "0", "1", "0.5", "1e9", "NaN", "Infinity", "9" * 5000,
        "neutral", "happy", "angry", "sad", "Happiness", "not ", "```json\n", "**", "|", "and", "/", "∞", "\ud800", "\x00",
        '{"happy": 0.5, "sad": 0.5}', "<think>", "70% happy",
        '{"happy": 0.5}', '{"neutral": 0.1, "hap', "~", " to ", "about ", "1. ", "→", "happy: 1e308 ",
    ]
)  # fmt: skip


@given(
    st.one_of(st.text(), st.lists(SCRAPS, max_size=40).map("".join)), st.sampled_from([FOUR, SIX])
)
def test_no_text_raises_and_every_distribution_is_one(text, labels):
    parsed = parse_distribution(text, labels)
    assert parsed.verdict in VERDICTS
    assert (parsed.distribution is None) == (parsed.verdict == "unparsed")
    if parsed.distribution is None:
        assert parsed.detail
    else:
        assert len(parsed.distribution) == len(labels)
        assert all(0 <= share <= 1 for share in parsed.distribution)
        assert math.fsum(parsed.distribution) == pytest.approx(1, abs=1e-9)


@given(
    st.lists(st.floats(0, 1), min_size=6, max_size=6).filter(lambda v: sum(v) > 1e-6),
    st.permutations(range(6)),
    st.text(),
)
def test_whatever_a_model_reasons_its_final_object_is_what_counts(shares, order, reasoning):
    total = math.fsum(shares)
    shares = [share / total for share in shares]
    answer = json.dumps({SIX[i]: shares[i] for i in order})
    parsed = parse_distribution(reasoning.replace("{", "(") + "\n" + answer, SIX)
    assert parsed.verdict == "exact"
    assert parsed.distribution == pytest.approx(shares, abs=1e-9)


# --- the fast path: the same reading, sooner ---

LABELS = st.sampled_from([FOUR, SIX, ("anger", "angry", "sad"), ("happy", "sad")])
SHARE = st.one_of(
    st.sampled_from(
        [
            "0", "1", "0.5", "0.25", "0.7", "0.1", "0.15", "0.05", "0.33", "-0", "-0.0", "1e-1", "5E-1", "0.50", "2", "1.0",
            "1e-400", "1e999", "NaN", "-Infinity", "-0.1", "true", "null", '"0.5"', '"50%"', "[0.5]", "{}", "50", "0,5", ".5", "",
        ]
    ),
    st.floats(0, 1).map(repr),
)  # fmt: skip


@st.composite
def near_objects(draw, labels):
    """An answer that is, or nearly is, one strict JSON object of the labels."""
    shares = draw(st.lists(st.integers(0, 20), min_size=len(labels), max_size=len(labels)))
    numbers = [
        f"{share / max(sum(shares), 1):.{draw(st.sampled_from([1, 2, 3, 17]))}g}"
        for share in shares
    ]
    pairs = draw(st.permutations(list(zip(labels, numbers, strict=True))))
    for _ in range(
        draw(st.sampled_from([0, 0, 1, 2]))
    ):  # another value, key, or a pair more or less
        at = draw(st.integers(0, len(pairs) - 1))
        key = draw(
            st.sampled_from(
                [*labels, "Happy", "sadness", "joy", "h\\u0061ppy", "ang}ry", "a{b", ""]
            )
        )
        spoilt = draw(
            st.sampled_from(
                [[(pairs[at][0], draw(SHARE))], [(key, pairs[at][1])], [], [pairs[at]] * 2]
            )
        )
        pairs = [*pairs[:at], *spoilt, *pairs[at + 1 :]] or [("sad", "1")]
    comma, colon = draw(
        st.sampled_from(
            [(", ", ": "), (",", ":"), (" ,\n", "\t:\r\n"), ("; ", ": "), (", ", " = ")]
        )
    )
    text = "{" + comma.join(f'"{key}"{colon}{value}' for key, value in pairs) + "}"
    if draw(st.integers(0, 3)) == 0:  # one character changed
        at = draw(st.integers(0, len(text) - 1))
        text = (
            text[:at]
            + draw(st.sampled_from(["", " ", "{", "}", "'", "9", "\x00", "é", "\n"]))
            + text[at + 1 :]
        )
    return text


TEXTS = st.one_of(
    st.text(),
    st.lists(SCRAPS, max_size=20).map("".join),
    st.text().map(lambda text: "{" + text + "}"),
)


@settings(max_examples=4 * settings.default.max_examples)
@given(
    LABELS.flatmap(
        lambda labels: st.tuples(
            st.just(labels), st.one_of(near_objects(labels), near_objects(labels), TEXTS)
        )
    )
)
def test_the_fast_path_reads_what_the_slow_one_reads_or_leaves_it_alone(asked):
    labels, text = asked
    plain, slow = _plain_object(text, labels), _any_form(text, labels)
    assert plain in (None, slow)
    assert repr(parse_distribution(text, labels)) == repr(slow)


@pytest.mark.parametrize("labels", [FOUR, SIX])
def test_an_answer_as_the_prompt_asks_for_it_takes_the_fast_path(labels):
    shares = {label: round(1 / len(labels), 2) for label in labels}
    for text in (
        json.dumps(shares),
        json.dumps(shares, indent=1),
        json.dumps(shares, separators=(",", ":")),
    ):
        assert _plain_object(text, labels) == _any_form(text, labels)
        assert _plain_object(text, labels).verdict == "exact"


@pytest.mark.parametrize(
    "text",
    [
        f" {OBJECT}",
        f"{OBJECT}\n",
        f"Well. {OBJECT}",
        OBJECT.replace("0.7", "0.8"),
        OBJECT.replace("happy", "Happy"),
        OBJECT.replace("0.7", '"0.7"'),
        '{"neutral": 0, "happy": true, "angry": 0, "sad": false}',
        '{"neutral": 0.5, "happy": 0.5, "angry": -0.5, "sad": 0.5}',
        OBJECT.replace("0.7", "NaN"),
        OBJECT.replace('"sad"', '"joy"'),
        OBJECT.replace("}", ', "sad": 0.05}'),
        OBJECT + " " * LONGEST + "}",
        "[" + OBJECT + "]",
    ],
)
def test_the_fast_path_leaves_everything_else_to_the_slow_one(text):
    assert _plain_object(text, FOUR) is None


def test_a_forced_label_is_certain_and_what_is_no_label_is_unparsed():
    assert parse_candidate("happy", FOUR, "forced") == Parsed("exact", (0.0, 1.0, 0.0, 0.0))
    wrong = parse_candidate("joy", FOUR, "forced")
    assert (wrong.verdict, wrong.detail) == ("unparsed", "forced 'joy', which is no label")
    assert parse_candidate(OBJECT, FOUR, "beam") == parse_distribution(OBJECT, FOUR)


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "[",
        '{"happy":',
        "happy: 0.5 ",
        "happy:",
        " ",
        '"',
        "9",
        "70% happy ",
        "- ",
        "happy\t",
        "{happy ",
        '{"happy": 1}',
        '{"happy": 1}{"zz": 2}{"sad": 1}',
        "60% to ",
        "about ",
        "happy: ~",
        "1. happy 2. sad ",
        f"{OBJECT} ",
        "happy (",
    ],
)
def test_a_long_repetition_is_read_in_reasonable_time(piece):
    assert parse_distribution(piece * (60_000 // len(piece)), FOUR).verdict in VERDICTS
    assert parse_distribution("x" * 200_000, FOUR).verdict == "unparsed"
