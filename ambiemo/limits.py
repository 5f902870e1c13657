"""The largest input of every kind that this package accepts, and readers that stop there.

A file may come from anybody. Whatever it is (a pipe, a gigabyte of spaces, a bomb of aliases),
reading it ends soon, in little memory, with one line that says what was found and what is allowed.
docs/bundle.md lists these limits.
"""

import errno
import io
import os
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Any, BinaryIO

import yaml

KIB, MIB, GIB = 2**10, 2**20, 2**30

PLAN = 256 * KIB
"""Bytes of a plan."""
YAML_DEPTH = 16
YAML_NODES = 10_000
DOCUMENT = 8 * MIB
"""Bytes of a JSON document in a bundle."""
JSON_DEPTH = 64
DIGITS = 30
"""Digits of a whole number in a document."""
TEXT_FILE = 64 * MIB
"""Bytes of every other file of a bundle that is read whole: tables, logs, README, manifests."""
TAG_FILE = 64 * KIB
"""Bytes of bagit.txt and bag-info.txt."""
ROWS_FILE = 4 * GIB
"""Bytes of a file that is read line by line: utterances and, packed, answers, scores,
predictions.
"""
UNPACKED = 64 * GIB
RATIO = 400
"""A gzip file may unpack to this many times its size plus FREE bytes; checked while it unpacks."""
FREE = 4 * MIB
MANIFEST_LINE = 4 * KIB
BUNDLE_FILES = 100_000
FOLDERS = 8
"""Folders inside each other in a bundle."""
CELL = 64 * KIB
"""Characters of one cell of a CSV file."""
CSV_FILE = 256 * MIB
CSV_COLUMNS = 200
CSV_ROWS = 2_000_000
TITLE = 200
NAME = 64
UTTERANCES = 2_000_000
VOTES = 1_000_000
"""For one label of one clip, in a label file."""
MOST_STRATEGIES = 200
MODELS = 64
CORPORA = 32
AUDIO_FILE = 512 * MIB
AUDIO_SAMPLES = 32_000_000
"""Samples of all channels that one clip is decoded to: 2,000 s at 16 kHz mono. A small FLAC may
hold days of silence.
"""


class TooMuch(ValueError):
    """Something is larger, deeper or stranger than this package takes; the text says what and what
    is allowed.
    """


def open_regular(path: Path | str, most: int, follow: bool = True) -> BinaryIO:
    """Open a regular file of at most `most` bytes. Never waits for a pipe, never reads a device.

    follow: whether the last part of the path may be a symbolic link. Raises OSError, and TooMuch
    for another kind of file or a larger one.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise TooMuch("is not a regular file")
        if status.st_size > most:
            raise TooMuch(f"has {status.st_size:,} bytes, expected {most:,} at most")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path | str, most: int, follow: bool = True) -> bytes:
    """Bytes of a regular file. Errors as for `open_regular`; also where it grows while it is
    read.
    """
    with open_regular(path, most, follow) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise TooMuch(f"has more than {most:,} bytes, expected {most:,} at most")
    return data


def check_unpacked(unpacked: int, packed: int) -> None:
    """Raise OSError, as a damaged file does, where `packed` bytes gave more than is allowed."""
    if unpacked > min(UNPACKED, FREE + RATIO * packed):
        raise OSError(
            f"unpacks to more than {RATIO} times its size + {FREE:,} bytes, or to more than {UNPACKED:,} bytes"
        )


class Unpacking(io.RawIOBase):
    """A gzip stream that stops when it is RATIO times larger than the file it is read from."""

    def __init__(self, unpacked: Any, raw: BinaryIO) -> None:
        super().__init__()
        self._unpacked, self._raw, self._total = unpacked, raw, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer. Raises OSError, as a damaged file does, beyond the limits."""
        data = self._unpacked.read1(len(buffer))
        self._total += len(data)
        check_unpacked(self._total, self._raw.tell())
        buffer[: len(data)] = data
        return len(data)


class _Plain(yaml.SafeLoader):
    """YAML without anchors, aliases, tags and keys that stand twice, of bounded depth and size."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes, self.depth = 0, 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node, counted."""
        event = self.peek_event()
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise TooMuch(
                f"{where}: found an anchor or an alias (& or *), expected every value written out"
            )
        if getattr(event, "tag", None) is not None:
            raise TooMuch(f"{where}: found the tag {event.tag!a:.40}, expected plain values")
        self.nodes += 1
        self.depth += 1
        if self.nodes > YAML_NODES:
            raise TooMuch(f"{where}: found more than {YAML_NODES} values")
        if self.depth > YAML_DEPTH:
            raise TooMuch(f"{where}: found values nested more than {YAML_DEPTH} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys differ."""
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name is None or key.tag == "tag:yaml.org,2002:merge":
                raise TooMuch(f"line {key.start_mark.line + 1}: found a key that is no plain text")
            if name in seen:
                raise TooMuch(
                    f"line {key.start_mark.line + 1}: found key {key.value!a:.60} twice, expected once"
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """A YAML document in plain form. Raises TooMuch (a ValueError), ValueError, yaml.YAMLError."""
    if len(text) > PLAN:
        raise TooMuch(f"found {len(text):,} characters, expected {PLAN:,} at most")
    loader = _Plain(text)
    try:
        value = loader.get_single_data()
    except RecursionError as error:
        raise TooMuch("found values nested too deeply") from error
    finally:
        loader.dispose()
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raise TooMuch for values nested deeper than JSON_DEPTH, or whole numbers of more than DIGITS
    digits.
    """
    ahead = [(value, 1)]
    largest = 10**DIGITS
    while ahead:
        one, depth = ahead.pop()
        if depth > JSON_DEPTH:
            raise TooMuch(f"found values nested more than {JSON_DEPTH} deep")
        if isinstance(one, dict):
            ahead += [(inner, depth + 1) for inner in one.values()]
        elif isinstance(one, list):
            ahead += [(inner, depth + 1) for inner in one]
        elif isinstance(one, int) and abs(one) >= largest:
            raise TooMuch(f"found a whole number of more than {DIGITS} digits")
