"""How a verification is printed: one line a check, below a broken one what was found, expected, and
what to do.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ambiemo.bundle.folder import look
from ambiemo.bundle.signing import signature
from ambiemo.bundle.verify import Finding, Outcome, examine
from ambiemo.errors import BadInput, shown

if TYPE_CHECKING:
    from ambiemo.bundle.facts import Facts

SHOWN_A_CHECK = 10


def show(
    folder: Path, as_json: bool, signers: Path | None = None, page: Path | None = None
) -> bool:
    """Verify a bundle, print the outcome, and return whether it holds. Raises BadInput where it
    cannot be read.

    page: the bundle's page, to be checked too; by default the one next to the bundle, if one is
    there.
    """
    outcomes = examine(folder, signers=signers)
    who = signature_words(folder, signers)
    known = facts_of(folder) if holds(outcomes) else None
    if holds(outcomes):
        outcomes += page_outcome(folder, outcomes, page)
    if isinstance(
        sys.stdout, TextIOWrapper
    ):  # a terminal that knows no tick must not turn a verdict into a traceback
        sys.stdout.reconfigure(errors="backslashreplace")
    if as_json:
        print(as_object(folder, outcomes, known, who))
    else:
        as_lines(folder, outcomes, known, who)
    return holds(outcomes)


def facts_of(folder: Path) -> "Facts | None":
    """What a reader must know of a bundle that holds; imported when it is needed, as it reads
    plans.
    """
    if not (folder / "data" / "config" / "plan.yaml").is_file():
        return None
    from ambiemo.bundle.facts import facts

    return facts(folder)


def page_outcome(folder: Path, outcomes: Sequence[Outcome], page: Path | None) -> list[Outcome]:
    """The check of a page; nothing where none is named and none lies next to the bundle."""
    if page is None:
        place = folder.resolve()
        page = place.with_name(f"{place.name}.html")
        if not page.is_file():
            return []
    from ambiemo.bundle.page_check import check_page

    return [check_page(folder, page, outcomes)]


def signature_words(folder: Path, signers: Path | None) -> str:
    """Who signed, in words."""
    try:
        return signature(look(folder), signers).words()
    except BadInput as error:  # the check of signatures has a finding, or has raised it
        return f"signature not checked: {error}"


def holds(outcomes: Sequence[Outcome]) -> bool:
    """Whether no check found anything."""
    return not any(outcome.findings for outcome in outcomes)


def as_object(folder: Path, outcomes: Sequence[Outcome], known: "Facts | None", who: str) -> str:
    """The outcome as one JSON object; its keys are a contract that scripts rely on."""
    checks = [{**asdict(outcome), "holds": not outcome.findings} for outcome in outcomes]
    told = known.as_object() if known else None
    return json.dumps(
        {
            "bundle": folder.name,
            "holds": holds(outcomes),
            "checks": checks,
            "facts": told,
            "signature": who,
        },
        indent=1,
    )


def as_lines(folder: Path, outcomes: Sequence[Outcome], known: "Facts | None", who: str) -> None:
    """The outcome for people, coloured where stdout is a terminal."""
    console = Console(highlight=False, soft_wrap=True)
    good, bad = ("✓", "✗") if console.encoding.lower().startswith("utf") else ("ok", "NO")
    sizes = look(folder).files.values()
    console.print(Text(f"{shown(str(folder))}: {len(sizes)} files, {sum(sizes):,} bytes"))
    for outcome in outcomes:
        mark, style = (bad, "bold red") if outcome.findings else (good, "green")
        console.print(Text.assemble((f"{mark} ", style), outcome.title))
        for finding in outcome.findings[:SHOWN_A_CHECK]:
            console.print(detail(finding))
        if (more := len(outcome.findings) - SHOWN_A_CHECK) > 0:
            console.print(Text(f"    and {more} more; --json prints them all"))
    broken = sum(bool(outcome.findings) for outcome in outcomes)
    console.print(Text(who))
    for note in known.notes() if known else ():
        console.print(Text(note, "dim"))
    verdict = (
        f"broken: {broken} of {len(outcomes)} checks"
        if broken
        else f"holds: {known.line()}"
        if known
        else "holds"
    )
    console.print(Text(verdict, "bold red" if broken else "bold green"))


def detail(finding: Finding) -> Text:
    """One finding as an indented block."""
    rows = (("found", finding.found), ("expected", finding.expected), ("do", finding.advice))
    block = Text.assemble("    ", (finding.file, "bold"))
    for name, text in rows:
        block.append(f"\n      {name:<9}", "dim").append(text)
    return block
