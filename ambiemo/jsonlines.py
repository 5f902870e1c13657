"""JSON as the package writes it and reads it back: one canonical form, so that no reader can take a
file differently.

A JSON line is what `json.dumps` gives for the row, UTF-8, keys in their own order. `rows` accepts
no other spelling: a duplicate key, NaN, a number written differently or an extra blank is an error
that names the line.
"""

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from ambiemo.errors import Broken

Row = dict[str, Any]

LONGEST_LINE = 16 * 2**20
"""Bytes. A longer line is refused before it is read whole: a small gzip file can unpack to any
size.
"""
LEVEL = 6
"""gzip's level: 9 takes three times as long for 1 % less."""
GZIP_ERRORS = (EOFError, OSError, zlib.error)

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _one_encoder() -> Callable[[Any], str]:
    """What `_ENCODER.encode` does, without a new C encoder for every row: a third of the time.

    Where this Python has no such encoder, or another one, it is `encode` itself.
    """
    try:
        c_encoder = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
            None, _ENCODER.default, json.encoder.encode_basestring,  # type: ignore[attr-defined]
            None, ": ", ", ", False, False, False,
        )  # fmt: skip
        sample = {"a": ["é", 1, 0.1, None, True]}
        if "".join(c_encoder(sample, 0)) == _ENCODER.encode(sample):
            return lambda value: "".join(c_encoder(value, 0))
    except (AttributeError, TypeError):
        pass
    return _ENCODER.encode


encoded = _one_encoder()
"""The JSON text of a value. Raises ValueError for NaN and infinite numbers."""


def line(row: Row) -> bytes:
    """One row as a JSON line with its line feed. Raises ValueError for NaN and infinite numbers."""
    return utf8(f"{encoded(row)}\n")


def lines_of_one(rows: Sequence[Row], first: int, until: int) -> bytes:
    """JSON lines of rows that differ in the keys from `first` up to `until` alone: what is the same
    is written once, which halves the time.
    """
    if len(rows) < 2:
        return lines(rows)
    same = list(rows[0].items())
    head, tail = encoded(dict(same[:first]))[:-1], encoded(dict(same[until:]))[1:]
    own = [encoded(dict(list(row.items())[first:until]))[1:-1] for row in rows]
    return utf8("".join([f"{head}, {one}, {tail}\n" for one in own]))


def lines(rows: Iterable[Row]) -> bytes:
    """Rows as JSON lines."""
    return b"".join(map(line, rows))


def document(value: Any) -> bytes:
    """One JSON document, indented, keys sorted."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return utf8(f"{text}\n")


def utf8(text: str) -> bytes:
    """JSON text as UTF-8. A lone surrogate is written `\\ud83d`; two that make a character are that
    character, as JSON reads them.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return joined.encode("utf-8", "backslashreplace")


def packed(data: bytes) -> bytes:
    """gzip without time and name in its header: the same data and the same zlib give the same
    bytes.
    """
    return gzip.compress(data, compresslevel=LEVEL, mtime=0)


def rows(file: BinaryIO, name: str) -> Iterator[Row]:
    """Rows of an open JSON-lines file, one at a time; `name` is what errors call it.

    Raises Broken naming file and line: not UTF-8, not JSON, not an object, not in canonical form,
    too long, cut off.
    """
    number = 0
    try:
        while raw := file.readline(LONGEST_LINE + 1):
            number += 1
            yield _row(raw, name, number)
    except GZIP_ERRORS as error:
        raise Broken(
            f"{name}: line {number + 1}: cannot be unpacked: {error}; get the file again"
        ) from error


def _row(raw: bytes, name: str, number: int) -> Row:
    where = f"{name}: line {number}"
    if not raw.endswith(b"\n"):
        what = (
            f"more than {LONGEST_LINE} bytes"
            if len(raw) > LONGEST_LINE
            else "no line feed at its end"
        )
        raise Broken(
            f"{where}: found {what}, expected one JSON object per line; get the file again"
        )
    try:
        row = json.loads(raw)
        if isinstance(row, dict) and line(row) == raw:
            return row
    except (ValueError, RecursionError):
        pass  # `_fault` says which
    raise Broken(f"{where}: {_fault(raw)}; get the file again")


def _fault(raw: bytes) -> str:
    """What is wrong with a line that is not a row in canonical form."""
    try:
        value = strict(raw.decode("utf-8"))
    except ValueError as error:
        return str(error) if type(error) is ValueError else f"not JSON: {error}"
    if not isinstance(value, dict):
        return f"found a value of type {type(value).__name__}, expected one JSON object"
    return "found another spelling of the same values, expected them as `json.dumps` writes them"


def strict(text: str) -> Any:
    """A JSON value. Raises ValueError for NaN, Infinity, and a duplicate key in one object."""
    try:
        return json.loads(
            text, object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> Row:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"found key {next(key for key in keys if keys.count(key) > 1)!r} twice, expected once"
        )
    return mapping


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"found the number {text}, expected a finite one")
    return value
