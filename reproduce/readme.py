"""Writes what README.md and CHANGELOG.md take from elsewhere: a table, the hash of the second
verifier.

    python reproduce/readme.py           # write both
    python reproduce/readme.py --check   # exit 1 where one is not what bundle and code say

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
NOTES = ROOT / "CHANGELOG.md"
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


def rewritten(text: str, parts: Sequence[tuple[str, str]]) -> str:
    """A file's text with its made parts, (pattern, what stands there), as they should be. Raises
    ValueError where it has no place for one.
    """
    for pattern, new in parts:
        if not re.search(pattern, text):
            raise ValueError(f"no place for {new[:60]!r}")
        text = re.sub(pattern, lambda _, new=new: new, text, count=1)  # type: ignore[misc]
    return text


def written() -> dict[Path, str]:
    """Both files as they should be. Raises ValueError naming the file that has no place for a
    part.
    """
    digest = (r"[0-9a-f]{64}  data/verify\.py", hashed())
    rows = (r"(?<=<!-- results of the bundle -->\n\n)(?:\|[^\n]*\n)*", f"{table(BUNDLE)}\n")
    texts = {}
    for file, parts in {README: (rows, digest), NOTES: (digest,)}.items():
        try:
            texts[file] = rewritten(file.read_text("utf-8"), parts)
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from error
    return texts


def stale() -> list[str]:
    """What is wrong with the made parts of both."""
    try:
        texts = written()
    except ValueError as error:
        return [str(error)]
    return [
        f"{file.name}: not what bundle and code say; run `make reference`"
        for file, text in texts.items()
        if file.read_text("utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    if "--check" in arguments:
        wrong = stale()
        print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
        return 1 if wrong else 0
    for file, text in written().items():
        write(file, text.encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
