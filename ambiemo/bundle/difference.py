"""Where two files that should be equal first differ, as a person would look for it: line, column,
both values.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, NamedTuple

from ambiemo.errors import shown
from ambiemo.jsonlines import GZIP_ERRORS

ABSENT = "nothing"


class Difference(NamedTuple):
    """One difference: where ("line 3, column accuracy"; a table's header is line 1), the bundle's
    value, and ours.
    """

    where: str
    found: str
    expected: str


def first_difference(path: str, content: bytes, expected: bytes) -> Difference | None:
    """The first place where two versions of one file differ, None if they are the same.

    For .gz files the contents are compared: zlib and zlib-ng pack the same bytes differently, and
    the checksum covers the packed bytes.
    """
    if content == expected:
        return None
    if path.endswith(".gz"):
        try:
            content, expected = gzip.decompress(content), gzip.decompress(expected)
        except GZIP_ERRORS as error:
            return Difference("the whole file", f"no readable gzip file ({error})", "a gzip file")
        if content == expected:
            return None
        path = path.removesuffix(".gz")
    if path.endswith(".csv"):
        return in_table(content, expected) or in_text(content, expected)
    if path.endswith(".jsonl"):
        return in_records(content, expected) or in_text(content, expected)
    return in_text(content, expected)


def first_of_lines(lines: Iterable[bytes], expected: Iterable[bytes]) -> Difference | None:
    """The first difference of two files of JSON lines, read in step; None if they are the same."""
    for number, (left, right) in enumerate(zip_longest(lines, expected), start=1):
        if left != right:
            where, one, other = in_records(left or b"", right or b"") or in_text(
                left or b"", right or b""
            )
            return Difference(where.replace("line 1", f"line {number}", 1), one, other)
    return None


def in_table(content: bytes, expected: bytes) -> Difference | None:
    """First differing cell of two CSV files, by line and column name; None where only their form
    differs.
    """
    theirs, ours = rows(content), rows(expected)
    header = next(iter(ours), [])
    for number, (left, right) in enumerate(zip_longest(theirs, ours), start=1):
        if left is None or right is None:
            return Difference(f"line {number}", line_or_nothing(left), line_or_nothing(right))
        for place, (one, other) in enumerate(zip_longest(left, right)):
            if one != other:
                column = header[place] if number > 1 and place < len(header) else str(place + 1)
                return Difference(f"line {number}, column {shown(column)}", cell(one), cell(other))
    return None


def rows(data: bytes) -> list[list[str]]:
    """Rows of a CSV file; none if it cannot be read as one: then its text is compared."""
    try:
        return list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return []


def line_or_nothing(row: list[str] | None) -> str:
    return ABSENT if row is None else shown(",".join(row))


def cell(value: str | None) -> str:
    return ABSENT if value is None else shown(value) or "an empty cell"


def in_records(content: bytes, expected: bytes) -> Difference | None:
    """First differing value of two JSON Lines files, by line and key; None where only their form
    differs.
    """
    for number, (left, right) in enumerate(
        zip_longest(content.splitlines(), expected.splitlines()), start=1
    ):
        if left == right:
            continue
        theirs, ours = record(left), record(right)
        if theirs is None or ours is None:
            return Difference(f"line {number}", line_text(left), line_text(right))
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            if theirs.get(key, ABSENT) != ours.get(key, ABSENT):
                return Difference(
                    f"line {number}, {shown(key)}", value(theirs, key), value(ours, key)
                )
    return None


def record(line: bytes | None) -> dict[str, Any] | None:
    """A line as a JSON object, None if it is not one."""
    try:
        parsed = json.loads(line or b"", parse_constant=str)  # NaN must equal NaN here
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def value(parsed: dict[str, Any], key: str) -> str:
    return shown(json.dumps(parsed[key], ensure_ascii=False)) if key in parsed else ABSENT


def in_text(content: bytes, expected: bytes) -> Difference:
    """First differing line of two files that are different."""
    pairs = zip_longest(content.split(b"\n"), expected.split(b"\n"))
    number, left, right = next((n, a, b) for n, (a, b) in enumerate(pairs, start=1) if a != b)
    return Difference(f"line {number}", line_text(left), line_text(right))


def line_text(line: bytes | None) -> str:
    return (
        ABSENT
        if line is None
        else shown(line.decode("utf-8", "backslashreplace")) or "an empty line"
    )
