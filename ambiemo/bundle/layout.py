"""What lies below a bundle's `data/`: every file it must have and every kind it may have, so that
no other is trusted.
"""

import re
from collections.abc import Iterable

from ambiemo.errors import Broken

MUST = (
    "README.md",
    "config/cells.jsonl",
    "config/claims.yaml",
    "config/plan.yaml",
    "config/questions.jsonl",
    "config/run.json",
    "env/machine.json",
    "inputs/corpora.json",
    "inputs/judges.json",
    "inputs/labels.json",
    "inputs/models.json",
    "inputs/utterances.jsonl",
    "inputs/vote_units.json",
    "log/failures.csv",
    "log/run.log",
    "provenance/statement.json",
    "ro-crate-metadata.json",
    "verify.py",
)
MAY = re.compile(
    r"(?:answers|scores)/[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*\.jsonl\.gz"
    r"|predictions/[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*\.jsonl\.gz"
    r"|config/prompts/[a-z0-9][a-z0-9._-]*/[a-z]+\.txt"
    r"|tables/[a-z]+\.(?:csv|md)"  # which of them, the answers say
)


def check(paths: Iterable[str]) -> None:
    """Raise Broken, naming the file, if one is missing or is not one that a bundle has."""
    there = set(paths)
    for path in MUST:
        if path not in there:
            raise Broken(f"data/{path}: no such file, expected in every bundle")
    for path in sorted(there.difference(MUST)):
        if not MAY.fullmatch(path):
            raise Broken(
                f"data/{path!a}: a file that no bundle has; nothing vouches for what it says"
            )
