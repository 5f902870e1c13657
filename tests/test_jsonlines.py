"""JSON lines: one canonical form, and every other text is refused by file and line."""

import gzip
import io
import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo import jsonlines
from ambiemo.errors import Broken
from ambiemo.jsonlines import document, line, lines, packed, rows, strict

GOOD = b'{"text": "happy", "share": 0.5}\n'


def read(data: bytes) -> list[dict]:
    return list(rows(io.BytesIO(data), "answers.jsonl"))


def refused(data: bytes) -> str:
    """The error about the second line, after a first one that is good."""
    found = rows(io.BytesIO(GOOD + data), "answers.jsonl")
    assert next(found) == {"text": "happy", "share": 0.5}
    with pytest.raises(Broken) as error:
        list(found)
    said = str(error.value)
    assert said.startswith("answers.jsonl: line 2: "), said
    assert said.endswith("get the file again"), said
    assert "\n" not in said
    return said


def test_a_line_is_json_as_dumps_writes_it_with_keys_in_their_own_order() -> None:
    row = {"b": 1, "a": [0.1, None, True], "text": "né 😀"}
    expected = '{"b": 1, "a": [0.1, null, true], "text": "né 😀"}\n'.encode()
    assert line(row) == expected
    assert lines([row, {}]) == expected + b"{}\n"
    assert read(expected) == [row]
    assert list(read(expected)[0]) == ["b", "a", "text"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        line({"share": value})
    with pytest.raises(ValueError, match="JSON compliant"):
        document([value])


@pytest.mark.parametrize(
    ("spelling", "why"),
    [
        (b'{"a": 1, "a": 1}\n', "found key 'a' twice, expected once"),
        (b'{"a": {"b": 1, "b": 2}}\n', "found key 'b' twice, expected once"),
        (b'{"a": NaN}\n', "found the number NaN, expected a finite one"),
        (b'{"a": -Infinity}\n', "found the number -Infinity"),
        (b'{"a": 1e999}\n', "found the number 1e999"),
        (b'{"a":1}\n', "another spelling of the same values"),
        (b'{"a": 1.50}\n', "another spelling"),
        (b'{"a": 1E-1}\n', "another spelling"),
        (b'{"a": 1} \n', "another spelling"),
        (b'{"a": 1}\r\n', "another spelling"),
        (b' {"a": 1}\n', "another spelling"),
        (b'{"\\u0061": 1}\n', "another spelling"),
        (b'{"a": "\\u00e9"}\n', "another spelling"),
        (b"[1]\n", "found a value of type list, expected one JSON object"),
        (b"null\n", "found a value of type NoneType, expected one JSON object"),
        (b"\n", "not JSON: "),
        (b"{'a': 1}\n", "not JSON: "),
        (b'{"a": 1} {"b": 2}\n', "not JSON: "),
        (b'{"a": "\xff"}\n', "not JSON: 'utf-8' codec can't decode"),
        (b'{"a": "\xed\xa0\x80"}\n', "can't decode"),
        (b'\xef\xbb\xbf{"a": 1}\n', "BOM"),
        (b'{"a": ' + b"[" * 100_000 + b"}\n", "nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}\n", "Exceeds the limit"),
    ],
    ids=lambda given: repr(given[:24]),
)
def test_any_other_spelling_is_refused_by_file_and_line(spelling: bytes, why: str) -> None:
    assert why in refused(spelling)


def test_utf_16_is_refused_as_well() -> None:
    with pytest.raises(Broken, match=r"answers\.jsonl: line 1: "):
        read('{"a": 1}\n'.encode("utf-16"))


@pytest.mark.parametrize("cut", range(1, len(GOOD)))
def test_a_line_that_was_cut_off_is_refused(cut: int) -> None:
    assert "found no line feed at its end" in refused(GOOD[:cut])


def test_a_line_that_is_too_long_is_refused_before_it_is_read_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jsonlines, "LONGEST_LINE", 40)
    fits = line({"a": "x" * (40 - len('{"a": ""}'))})
    assert len(fits) == 41, "40 bytes and the line feed"
    assert read(fits) == [json.loads(fits)]

    class Counted(io.BytesIO):
        taken = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            got = super().readline(size)
            self.taken += len(got)
            return got

    endless = Counted(line({"a": "x" * 100_000}))
    with pytest.raises(Broken, match="line 1: found more than 40 bytes, expected one JSON object"):
        list(rows(endless, "answers.jsonl"))
    assert endless.taken == 41


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc00\ud800", "\ud83d 😀"])
def test_a_lone_surrogate_is_written_as_an_escape_and_read_back(text: str) -> None:
    written = line({text: text})
    assert written.decode("utf-8"), "the file is UTF-8 whatever a model said"
    assert read(written) == [{text: text}]


def test_two_surrogates_that_make_a_character_are_written_as_that_character() -> None:
    assert line({"a": "\ud83d\ude00"}) == line({"a": "😀"})
    assert read(line({"a": "\ud83d\ude00"})) == [{"a": "😀"}]
    assert strict(document({"a": "\ud83d\ude00"}).decode()) == {"a": "😀"}


def test_separators_that_python_splits_lines_at_end_no_row() -> None:
    texts = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r", "\r\n", "\n"]
    told = [{"text": f"a{one}b"} for one in texts]
    assert lines(told).count(b"\n") == len(told)
    assert read(lines(told)) == told


def test_packing_the_same_data_gives_the_same_bytes() -> None:
    assert packed(GOOD) == packed(GOOD)
    assert gzip.decompress(packed(GOOD)) == GOOD
    assert packed(GOOD)[4:8] == bytes(4), "no time in the header"


def test_a_gzip_file_that_was_cut_off_is_refused_by_file_and_line() -> None:
    told = [{"place": i, "text": f"{i * 7919 % 1009:x}" * 40} for i in range(400)]
    whole = packed(lines(told))
    for size in (len(whole) // 2, len(whole) - 9, len(whole) - 1):
        found: list[dict] = []
        with (
            gzip.open(io.BytesIO(whole[:size])) as file,
            pytest.raises(Broken, match=r"a\.gz: line \d+: cannot be unpacked: .*get the file"),
        ):
            found.extend(rows(file, "a.gz"))  # type: ignore[arg-type]
        assert found == told[: len(found)]


def test_a_gzip_file_that_was_changed_is_refused_by_file_and_line() -> None:
    whole = packed(lines([{"text": f"{i * 7919 % 1009:x}"} for i in range(99)]))

    def flipped(place: int) -> bytes:
        return whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :]

    for data in (flipped(0), flipped(30), flipped(len(whole) - 5), b"not gzip at all"):
        with gzip.open(io.BytesIO(data)) as file, pytest.raises(Broken, match=r"a\.gz: line \d+: "):
            list(rows(file, "a.gz"))  # type: ignore[arg-type]


def test_what_the_consumer_raises_is_not_taken_for_a_broken_file() -> None:
    found = rows(io.BytesIO(GOOD * 2), "answers.jsonl")
    next(found)
    with pytest.raises(EOFError):
        raise_in_consumer(found)


def raise_in_consumer(found: Iterable) -> None:
    for _ in found:
        raise EOFError


TEXTS = st.text(st.characters(exclude_categories=[])).filter(
    lambda text: text == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)
ROWS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=4)


@given(ROWS)
def test_rows_that_were_written_are_read_back(told: list[dict]) -> None:
    found = read(lines(told))
    assert found == told
    assert [repr(one) for one in found] == [repr(one) for one in told], "types and signs as well"
    with gzip.open(io.BytesIO(packed(lines(told)))) as file:
        assert list(rows(file, "a.gz")) == told  # type: ignore[arg-type]


@given(ROWS.filter(bool), st.data())
def test_no_other_bytes_give_the_same_rows(told: list[dict], data: st.DataObject) -> None:
    written = bytearray(lines(told))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = read(bytes(written))
    except Broken:
        return
    assert repr(found) != repr(told)


@given(VALUES)
def test_a_document_is_read_back_and_its_keys_are_sorted(value: object) -> None:
    written = document(value)
    assert repr_sorted(strict(written.decode())) == repr_sorted(value)
    assert document(strict(written.decode())) == written


def repr_sorted(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 2}', "key 'a' twice"),
        ("NaN", "found the number NaN"),
        ('{"a": [Infinity]}', "found the number Infinity"),
        ("1e999", "found the number 1e999, expected a finite one"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "Expecting"),
    ],
)
def test_strict_json_has_each_key_once_and_finite_numbers(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        strict(text)
    assert strict(' {"a": [1.50]} ') == {"a": [1.5]}
