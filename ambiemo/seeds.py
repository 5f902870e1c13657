"""Every random choice is seeded by a hash of what it is for."""

import hashlib
import json

SEED_BITS = 63


def seed(*parts: object) -> int:
    """A 63-bit seed for the thing that `parts` name.

    `parts` must be JSON values (text, numbers, lists, dicts). The same parts give the same seed on
    every machine; parts that differ anywhere give unrelated ones, so neighbouring draws never share
    a random stream.
    """
    canonical = json.dumps(
        parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return int.from_bytes(hashlib.sha256(canonical.encode("ascii")).digest()[:8], "big") >> (
        64 - SEED_BITS
    )
