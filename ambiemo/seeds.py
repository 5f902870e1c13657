"""Every random choice is seeded by a hash of what it is for."""

import hashlib
import json
from collections.abc import Iterable

SEED_BITS = 63
canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
).encode
"""The one JSON text of a value, in ASCII: what keys and seeds are hashes of."""


text = json.encoder.encode_basestring_ascii
"""`canonical` of a text."""


def list_of(parts: Iterable[str]) -> bytes:
    """`canonical` of a list, from the texts of its parts."""
    return f"[{','.join(parts)}]".encode("ascii")


def seed(*parts: object) -> int:
    """A 63-bit seed for the thing that `parts` name.

    `parts` must be JSON values (text, numbers, lists, dicts). The same parts give the same seed on
    every machine; parts that differ anywhere give unrelated ones, so neighbouring draws never share
    a random stream.
    """
    return seed_of(canonical(parts).encode("ascii"))


def seed_of(parts: bytes) -> int:
    """`seed` of parts that are a list in canonical form already."""
    digest = hashlib.sha256(parts).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)
