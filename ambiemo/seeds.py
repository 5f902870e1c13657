"""Every random choice is seeded by a hash of what it is for."""

import hashlib
import json

SEED_BITS = 63
canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
).encode
"""The one JSON text of a value, in ASCII: what keys and seeds are hashes of."""


def seed(*parts: object) -> int:
    """A 63-bit seed for the thing that `parts` name.

    `parts` must be JSON values (text, numbers, lists, dicts). The same parts give the same seed on
    every machine; parts that differ anywhere give unrelated ones, so neighbouring draws never share
    a random stream.
    """
    digest = hashlib.sha256(canonical(parts).encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)
