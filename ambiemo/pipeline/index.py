"""Where the answers of a store's file are: 24 bytes a draw, as two sorted columns.

A run holds an index for every model that it draws, all at once. At the paper's size a dict of them
took six times as much memory, and was most of what a run needed more for every further model.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIGITS = 64
"""Of a draw's key, a SHA-256 in hexadecimal."""
BYTES = 16
"""Of a key that are kept: 128 bits, so that no two of any number of draws are taken for each other.
Whoever reads an answer compares the whole key.
"""
KEYS = f"S{BYTES}"


@dataclass(frozen=True)
class Places:
    """A place in a file for each of some keys.

    keys    (n,) the last BYTES of each key, ascending, no two the same
    places  (n,) int64
    """

    keys: NDArray[np.bytes_]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, key: str) -> int | None:
        """The place of one key (64 hexadecimal digits), None if it is not here."""
        digest = bytes.fromhex(key)[-BYTES:]
        at = int(self.keys.searchsorted(digest))
        # numpy gives a text back without the zeros at its end
        if at < len(self) and self.keys[at] == digest.rstrip(b"\0"):
            return int(self.places[at])
        return None

    def of(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """The place of each key (64 hexadecimal digits), (m,) int64; -1 for one that is not here."""
        ends = [key[-2 * BYTES :] for key in keys]
        wanted = np.frombuffer(bytes.fromhex("".join(ends)), dtype=KEYS)
        if not len(self) or not len(wanted):
            return np.full(len(wanted), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self) - 1)
        return np.where(self.keys[at] == wanted, self.places[at], -1)


class PlacesRead:
    """Places as a file brings them, one key after another, a key perhaps several times."""

    def __init__(self) -> None:
        self._keys, self._places = bytearray(), array("q")

    def add(self, key: str, place: int) -> None:
        """Note one place. Raises ValueError for what is no key."""
        digest = bytes.fromhex(key)
        if 2 * len(digest) != DIGITS:
            raise ValueError(f"found key {key[:80]!a}, expected {DIGITS} hexadecimal digits")
        self._keys += digest[-BYTES:]
        self._places.append(place)

    def first(self) -> Places:
        """The place at which each key came first."""
        return self._sorted(np.frombuffer(self._keys, KEYS), np.frombuffer(self._places, np.int64))

    def last(self) -> Places:
        """The place at which each key came last."""
        keys, places = np.frombuffer(self._keys, KEYS), np.frombuffer(self._places, np.int64)
        return self._sorted(keys[::-1], places[::-1])

    @staticmethod
    def _sorted(keys: NDArray[np.bytes_], places: NDArray[np.int64]) -> Places:
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        new = np.ones(len(keys), dtype=bool)
        new[1:] = keys[1:] != keys[:-1]
        if new.all():  # without another copy
            return Places(keys, places[order])
        return Places(keys[new], places[order[new]])


@dataclass(frozen=True)
class Index:
    """Where the answers of one file are: for each key the byte offset of its line and its place in
    the group, as one number.

    answered: the first answer of each key. failed: the last failure of each key.
    """

    answered: Places
    failed: Places

    def find(self, key: str) -> int | None:
        """Place of the answer under a key, else of its last failure, else None."""
        place = self.answered.find(key)
        return self.failed.find(key) if place is None else place

    def of(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """`find` of many keys at once, (m,) int64; -1 for one that is not here."""
        places = self.answered.of(keys)
        lost = np.flatnonzero(places < 0)
        if len(lost):
            places[lost] = self.failed.of([keys[at] for at in lost.tolist()])
        return places

    def has(self, key: str) -> bool:
        """True if there is an answer (not a failure) under this key."""
        return self.answered.find(key) is not None
