"""How a verification is printed: one line per check, and below a broken one what was found, what
was expected, and what to do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ambiemo import terminal
from ambiemo.bundle.folder import look
from ambiemo.bundle.signing import signature
from ambiemo.bundle.verify import Outcome, examine
from ambiemo.errors import BadInput, shown
from ambiemo.terminal import Facts, Line, Part

if TYPE_CHECKING:
    from ambiemo.bundle.facts import Facts as Known

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
    if as_json:
        terminal.show_json(as_object(folder, outcomes, known, who))
    else:
        terminal.show(*parts(folder, outcomes, known, who))
    return holds(outcomes)


def holds_now(folder: Path) -> bool:
    """Whether a bundle holds; prints nothing."""
    return holds(examine(folder))


def facts_of(folder: Path) -> "Known | None":
    """What a reader must know of a bundle that holds; imported when it is needed, as it reads
    plans.
    """
    if not (folder / "data" / "config" / "plan.yaml").is_file():
        return None
    from ambiemo.bundle.facts import facts

    return facts(folder)


def page_outcome(folder: Path, outcomes: Sequence[Outcome], page: Path | None) -> list[Outcome]:
    """The check of a page; nothing if none is named and none lies next to the bundle."""
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


def as_object(
    folder: Path, outcomes: Sequence[Outcome], known: "Known | None", who: str
) -> dict[str, Any]:
    """The outcome as JSON values; the keys are a contract that scripts rely on."""
    checks = [{**asdict(outcome), "holds": not outcome.findings} for outcome in outcomes]
    return {
        "bundle": folder.name,
        "holds": holds(outcomes),
        "checks": checks,
        "facts": known.as_object() if known else None,
        "signature": who,
    }


def parts(
    folder: Path, outcomes: Sequence[Outcome], known: "Known | None", who: str
) -> Iterator[Part]:
    """The outcome for people: one line per check, and below a broken one what was found, what was
    expected, and what to do.
    """
    sizes = look(folder).files.values()
    yield f"{shown(str(folder))}: {len(sizes)} files, {sum(sizes):,} bytes"
    for outcome in outcomes:
        mark, style = ("✗", "bold red") if outcome.findings else ("✓", "green")
        yield Line(outcome.title, mark=mark, mark_style=style)
        for finding in outcome.findings[:SHOWN_A_CHECK]:
            yield Line(finding.file, "bold", indent=4)
            rows = (
                ("found", finding.found),
                ("expected", finding.expected),
                ("do", finding.advice),
            )
            yield Facts("", rows, indent=6)
        if (more := len(outcome.findings) - SHOWN_A_CHECK) > 0:
            yield Line(f"and {more} more; --json prints them all", indent=4)
    broken = sum(bool(outcome.findings) for outcome in outcomes)
    yield who
    for note in known.notes() if known else ():
        yield Line(note, "dim")
    if broken:
        yield Line(f"broken: {broken} of {len(outcomes)} checks", "bold red")
    else:
        yield Line(f"holds: {known.line()}" if known else "holds", "bold green")
