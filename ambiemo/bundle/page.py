"""From a bundle's folder to its page and its figures.

The page lies next to the bundle, not in it: a bundle's checksums must not depend on a version of
matplotlib. It names the bundle by the SHA-256 of its tag manifest, and `page_check` checks it.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ambiemo import __version__
from ambiemo.bundle import page_audio
from ambiemo.bundle.bag import TAG_MANIFEST
from ambiemo.bundle.contents import MORE, parsed, study_from
from ambiemo.bundle.folder import Disk, in_one_line, look, payload_of
from ambiemo.bundle.page_utterances import Browsed, browsed
from ambiemo.bundle.verify import CHECKS, Finding, Outcome, examine
from ambiemo.durable import sha256, write
from ambiemo.errors import AmbiemoError, BadInput, Broken, shown
from ambiemo.jsonlines import strict
from ambiemo.limits import TEXT_FILE, TooMuch, read_regular
from ambiemo.results.report import page as pages
from ambiemo.results.report.cells import Table, read
from ambiemo.results.report.figures import FORMATS, drawings, matplotlib_version

TABLES = (
    "results", "paired", "gains", "ambiguity", "heard", "floors", "curves", "verifier", "claims",
    "levels", "draws", "cells",
)  # fmt: skip
"""The tables of a bundle, in the order of the page."""
ALL, HASHES = "all", "hashes"
"""What was checked before a page was written: everything, or all but the recomputation."""
WITHOUT_RECOMPUTATION = tuple(check for check in CHECKS if check[0] != "recomputation")
MARK = b'<meta name="ambiemo-bundle" content="'
"""Stands in every page, near its start."""


def default_place(folder: Path) -> Path:
    """The default place of a bundle's page: BUNDLE.html next to BUNDLE."""
    folder = Path(folder.resolve()) if folder.name in ("", ".", "..") else folder
    return folder.with_name(f"{folder.name}.html")


def write_page(
    folder: Path,
    out: Path | None = None,
    audio: Path | None = None,
    strict: bool = False,
    fast: bool = False,
) -> tuple[Path, Sequence[Finding]]:
    """Check a bundle, write its page, return where it lies and what the check found.

    out     the page; by default next to the bundle, where only an older page is replaced
    audio   the user's own files, to be linked
    strict  a bundle that does not verify has no page (Broken)
    fast    all checks but the recomputation of tables; the page says so
    Raises BadInput where there is no bundle, Broken where the page cannot be written.
    """
    place = out or default_place(folder)
    if out is None and place.exists() and not is_page(place):
        raise Broken(
            f"{shown(str(place))}: found a file that is not a page of ambiemo, expected none; name the page with --out"
        )
    outcomes = examine(folder, checks=WITHOUT_RECOMPUTATION if fast else CHECKS)
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    if findings and strict:
        raise Broken(
            f"{shown(str(folder))}: does not verify ({len(findings)} findings, the first in {findings[0].file}), "
            "so --strict writes no page; `ambiemo verify` prints them all"
        )
    with in_one_line(folder):
        data = page_of(folder, outcomes, HASHES if fast else ALL, place, audio)
    write(place, data)
    return place, findings


def is_page(path: Path) -> bool:
    """Whether a file is a page that this package wrote."""
    try:
        with open(path, "rb") as file:
            return MARK in file.read(4096)
    except OSError:
        return False


def page_of(
    folder: Path,
    outcomes: Sequence[Outcome],
    checked: str,
    place: Path,
    audio: Path | Mapping[str, Any] | None = None,
    matplotlib: str = "",
) -> bytes:
    """The page of a bundle as bytes: a function of its files, the outcomes and the audio.

    audio: the user's folder, or the links themselves if a page is made again.
    matplotlib: the version to name, if a page is made again to be compared without its figures.
    """
    disk = look(folder)
    files = payload_of(disk)
    lacks: list[str] = []
    tables = tables_of(files, lacks)
    seen = _browsed(files, lacks)
    rows = seen.utterances["utterances"] if seen.utterances else []
    links = page_audio.links(audio, place, rows) if isinstance(audio, Path) else dict(audio or {})
    try:
        sections, empty = pages.sections(tables, seen.reliabilities)
    except (*MORE, KeyError, TypeError, ValueError) as error:
        sections, empty = [], [f"All sections: {type(error).__name__}: {shown(str(error), 400)}"]
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    plan = _plan(files, lacks)
    name = folder.resolve().name
    return pages.render(
        pages.Page(
            name=str(plan.get("name") or name),
            title=str(plan.get("title") or plan.get("name") or name),
            digest=digest_of(disk),
            version=__version__,
            matplotlib=matplotlib or matplotlib_version(),
            checked=checked,
            checked_words=CHECKED[checked][0],
            facts=_facts(files, tables),
            findings=findings,
            outcomes=outcomes,
            lacks=[*lacks, *empty],
            sections=sections,
            tables=[one for one in tables.values() if len(one)],
            utterances=seen.utterances,
            sample=seen.sample,
            browsed_models=seen.models,
            audio=links,
            audio_words=page_audio.words(links, len(rows)) if links else "",
            check_words=[CHECKED[checked][1], *CHECK_WORDS],
        )
    )


CHECKED = {
    ALL: (
        "every check holds, tables made again from the answers",
        "When this page was written, `ambiemo verify` was run: predictions, tables and claims were made again from the answers "
        "and compared to the last byte.",
    ),
    HASHES: (
        "hashes hold; tables were not made again for this page",
        "When this page was written, checksums, the closed world and provenance were checked. Predictions and tables were not "
        "made again from the answers: `ambiemo verify` does that.",
    ),
}
CHECK_WORDS = (
    "Do not believe this page; check it. `ambiemo verify BUNDLE --report PAGE` compares every number that names a table, a row "
    "and a column with that cell, and makes the whole page again. Where another version of matplotlib is installed, it "
    "makes all but the figures again, and says so.",
    "The page asks no network: its Content-Security-Policy allows its own style and script by their hashes and nothing else.",
)


def tables_of(files: Mapping[str, bytes], lacks: list[str]) -> dict[str, Table]:
    tables = {}
    for name in TABLES:
        try:
            tables[name] = read(name, files.get(f"tables/{name}.csv", b""))
        except (AmbiemoError, ValueError, csv.Error) as error:
            lacks.append(f"tables/{name}.csv: {shown(str(error), 400)}")
            tables[name] = Table(name, (), ())
    return tables


def _browsed(files: Mapping[str, bytes], lacks: list[str]) -> Browsed:
    try:
        return browsed(files, study_from(files))
    except (AmbiemoError, *MORE, KeyError, TypeError, ValueError) as error:
        lacks.append(f"Utterances and calibration: {shown(str(error), 400)}")
        return Browsed(None, "", (), ())


def _plan(files: Mapping[str, bytes], lacks: list[str]) -> Mapping[str, Any]:
    from ambiemo.limits import parse_yaml

    try:
        plan = parsed("config/plan.yaml", files, parse_yaml)
        return plan if isinstance(plan, dict) else {}
    except AmbiemoError as error:
        lacks.append(shown(str(error), 400))
        return {}


def _facts(files: Mapping[str, bytes], tables: Mapping[str, Table]) -> list[tuple[str, str]]:
    """Pairs of words under the title: what was run, what failed, what was left out."""
    facts = []
    units = tables["results"].units
    if units:
        facts += [("models", ", ".join(dict.fromkeys(model for _, model in units)))]
        facts += [("corpora", ", ".join(dict.fromkeys(corpus for corpus, _ in units)))]
    clips = tables["levels"].of(level="all") if tables["levels"].columns else []
    if clips:
        facts.append(("utterances", ", ".join(f"{int(one['n']):,}" for one in clips)))
    speakers = {
        row["corpus"]: row["speakers"] for row in tables["results"] if row["level"] == "all"
    }
    if speakers:
        facts.append(("speakers", ", ".join(speakers.values())))
    try:
        run = parsed("config/run.json", files, strict)
        facts.append(
            ("limit", "none" if run["limit"] is None else f"{run['limit']} utterances a corpus")
        )
        missing = ", ".join(f"{one['kind']} {one['id']}" for one in run["missing"])
        facts.append(("missing", missing or "nothing"))
    except (AmbiemoError, KeyError, TypeError):
        pass  # a bundle without it does not verify, and the page says so
    return facts


def digest_of(disk: Disk) -> str:
    """SHA-256 of the tag manifest; "" where there is none."""
    return sha256(disk.read(TAG_MANIFEST)) if TAG_MANIFEST in disk.files else ""


def open_words(place: Path) -> str:
    """The line that ends a command that wrote a page."""
    return f"open {place}"


def write_figures(folder: Path, out: Path, formats: Sequence[str] = ("svg",)) -> list[Path]:
    """Every figure of a bundle into a folder, once per format; returns the files. The same bundle
    and matplotlib give the same bytes. Raises BadInput where there is no bundle, Broken where a
    table cannot be used.
    """
    for kind in formats:
        if kind not in FORMATS:
            raise BadInput(
                f"--format: found {shown(kind)!r}, expected {' or '.join(FORMATS)}, or both with a comma"
            )
    with in_one_line(folder):
        files = payload_of(look(folder))
        lacks: list[str] = []
        tables, seen = tables_of(files, lacks), _browsed(files, lacks)
        if lacks:
            raise Broken("; ".join(lacks))
        drawn = drawings(tables, seen.reliabilities)
        if not drawn:
            raise BadInput(
                f"{shown(str(folder))}: found no row in its tables, expected results to draw"
            )
        written = []
        for one in drawn:
            for kind in formats:
                place = out / f"{one.name}.{kind}"
                write(place, FORMATS[kind](one))
                written.append(place)
    return written


def read_page(path: Path) -> bytes:
    """A page's bytes. Raises BadInput where it cannot be read."""
    try:
        return read_regular(path, TEXT_FILE)
    except (OSError, TooMuch) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"{shown(str(path))}: cannot read: {why}; `ambiemo report BUNDLE` writes a page"
        ) from error
