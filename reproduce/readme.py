"""Writes what README.md takes from elsewhere: its table, and the hash of the second verifier.

    python reproduce/readme.py           # write README.md
    python reproduce/readme.py --check   # exit 1 where it is not what bundle and code say

The table is `results.csv` of the committed bundle `artifacts/reference/quick`. The hash is the
SHA-256 of `ambiemo/bundle/shipped/verify.py`, which every bundle carries as `data/verify.py`.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ambiemo.durable import sha256_file, write
from ambiemo.results.rendering import from_csv, grouped, heading

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BUNDLE = ROOT / "artifacts" / "reference" / "quick"
VERIFIER = ROOT / "ambiemo" / "bundle" / "shipped" / "verify.py"
SHOWN = ("strategy", "JS bits ↓", "accuracy ↑", "unparsed")
ROWS = ("uniform", "greedy · shuffled audio", "greedy", "w_bon", "self_consistency", "linear_pool")


def table(bundle: Path) -> str:
    """README's table, from a bundle's results: SHOWN of ROWS."""
    results, cells = (
        from_csv((bundle / f"data/tables/{name}.csv").read_bytes()) for name in ("results", "cells")
    )
    (lines,) = grouped(results, cells).values()
    by_name = {line[0]: line for line in lines}
    places = [heading().index(title) for title in SHOWN]
    rows = [heading(), *(by_name[name] for name in ROWS)]
    shown = [f"| {' | '.join(row[place] for place in places)} |" for row in rows]
    return "\n".join([shown[0], "| --- |" + " ---: |" * (len(SHOWN) - 1), *shown[1:]])


def hashed() -> str:
    """The line that a stranger gives to `sha256sum -c`."""
    return f"{sha256_file(VERIFIER)}  data/verify.py"


def rewritten(text: str) -> str:
    """README with its table and its hash as they should be. Raises ValueError where it has no place
    for one.
    """
    parts = (
        (r"(?<=<!-- results of the bundle -->\n\n)(?:\|[^\n]*\n)*", f"{table(BUNDLE)}\n"),
        (r"[0-9a-f]{64}  data/verify\.py", hashed()),
    )
    for pattern, new in parts:
        if not re.search(pattern, text):
            raise ValueError(f"README.md: no place for {new[:60]!r}")
        text = re.sub(pattern, lambda _, new=new: new, text, count=1)  # type: ignore[misc]
    return text


def stale() -> list[str]:
    """What is wrong with README's made lines."""
    text = README.read_text("utf-8")
    try:
        same = rewritten(text) == text
    except ValueError as error:
        return [str(error)]
    return [] if same else ["README.md: not what bundle and code say; run `make reference`"]


def main(arguments: Sequence[str]) -> int:
    if "--check" in arguments:
        wrong = stale()
        print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
        return 1 if wrong else 0
    write(README, rewritten(README.read_text("utf-8")).encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
