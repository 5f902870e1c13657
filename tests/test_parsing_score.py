"""Reading a verifier's score."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambiemo.models import parsing
from ambiemo.models.parsing import ParsedScore, parse_score


@pytest.mark.parametrize(
    ("text", "verdict", "score"),
    [
        ('{"score": 7}', "exact", 7),
        ('{"score": 0}', "exact", 0),
        ('It fits well.\n```json\n{"score": 10}\n```', "exact", 10),
        ('{"score": 3} No: {"score": 4}', "exact", 4),
        ('{"score": "7"}', "repaired", 7),
        ("{'score': 7,}", "repaired", 7),
        ('{"score": 7, "why": "bright"}', "repaired", 7),
        ('{"score": 7} is my verdict', "repaired", 7),
        ("Score: 7", "repaired", 7),
        ("The score is 7 out of 10.", "repaired", 7),
        ("score: 7/10", "repaired", 7),
        ("**Score:** 6.5", "repaired", 6.5),
        ("7", "repaired", 7),
        ("7/10.", "repaired", 7),
        ("score: 8 (out of 10)", "repaired", 8),
        ("8 (out of 10)", "repaired", 8),
        ("Score: 7\n- 2 cues fit", "repaired", 7),
    ],
)
def test_a_score_is_read(text, verdict, score):
    parsed = parse_score(text)
    assert (parsed.verdict, parsed.score) == (verdict, score)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It fits well.",
        '{"score": 11}',
        '{"score": -1}',
        '{"score": NaN}',
        '{"score": true}',
        '{"score": null}',
        '{"score": "high"}',
        '{"score": 7, "score": 8}',
        '{"score": "70%"}',
        '{"score": 1',
        "score: 7 or score: 8",
        "score: 70%",
        "score: 6-7",
        "score: 6,5",
        "4/5",
        "score 4 out of 5",
        "70%",
        "0" * 48,
        "score: 000",
        "00",
        "I give it 7 of the 8 points",
        "score: 7 to 8",
        "score: 7 or 8",
        "score: 7 – 8",
        "score: 7-8",
        "7-8",
        "7 to 8",
        "score: 8 (out of 100)",
        "score: 8 of 100",
        "8 (out of 100)",
    ],
)
def test_what_is_no_single_score_in_range_is_unparsed(text):
    parsed = parse_score(text)
    assert (parsed.verdict, parsed.score) == ("unparsed", None)
    assert parsed.detail


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                ['{"score": ', "score", ":", "7", "/10", "}", "%", "NaN", " ", "9" * 5000]
            ),
            max_size=20,
        ).map("".join),
    )
)
def test_no_text_raises_and_every_score_is_in_range(text):
    parsed = parse_score(text)
    assert parsed.score is None or 0 <= parsed.score <= 10
    assert (parsed.score is None) == (parsed.verdict == "unparsed")


@given(st.integers(0, 10))
def test_every_whole_score_is_exact(score):
    assert parse_score(f'{{"score": {score}}}').score == score


def slowly(text: str, *scale: float) -> ParsedScore:
    """The reading without the short way for plain answers."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parsing, "_PLAIN_SCORE", re.compile("(?!)"))
        return parse_score(text, *scale)


NUMBERS = st.one_of(
    st.integers(-3, 12).map(str),
    st.from_regex(r"\d{1,3}", fullmatch=True),  # digits of any script
    st.sampled_from(["07", "7.0", "7e0", "1" + "0" * 30, "-0", "NaN", "true", '"7"', "7,", ""]),
)
NEAR = st.tuples(
    st.sampled_from(["", " ", "```json\n"]),
    st.sampled_from(
        ['{"score": ', '{"score":', '{ "score": ', "{'score': ", '{"Score": ', '{"score" : ']
    ),
    NUMBERS,
    st.sampled_from(["}", " }", "}\n", "}}", "", '} {"score": 3}', ', "why": 1}']),
).map("".join)


@settings(max_examples=5 * settings.default.max_examples)
@given(st.one_of(NEAR, st.text()), st.sampled_from([(), (1, 5), (0, 100)]))
def test_a_plain_answer_is_read_as_the_slow_way_reads_it(text, scale):
    assert repr(parse_score(text, *scale)) == repr(slowly(text, *scale))


@pytest.mark.parametrize("digits", ["1٠", "１０", "1٣"])
def test_digits_of_another_script_are_no_strict_json(digits):
    text = f'{{"score": {digits}}}'
    assert parse_score(text) == slowly(text)
    assert parse_score(text).verdict != "exact"
