"""Checks a page against its bundle, and trusts nothing that the page says.

The page must name the bundle by the SHA-256 of its tag manifest; every number that names a table,
a row and a column must be that cell; and the page, made again from the bundle, must be the same to
the last byte. Figures are the exception: another version of matplotlib draws other bytes, so they
are made again only by the version that the page names.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ambiemo.bundle import page as pages
from ambiemo.bundle import page_audio
from ambiemo.bundle.folder import look, payload_of
from ambiemo.bundle.verify import Finding, Outcome
from ambiemo.errors import AmbiemoError, shown
from ambiemo.results.report.cells import Table, visible
from ambiemo.results.report.figures import matplotlib_version
from ambiemo.results.report.page import table_rows, without_figures

CHECK = "page"
ADVICE = "write it again: ambiemo report BUNDLE"
ATTRIBUTES = ("data-table", "data-row", "data-column")
MOST = 1000
"""Most findings about numbers that are reported."""


@dataclass
class Seen:
    """What a page says of itself: names and contents of its meta elements, numbers with the cell
    that each names, JSON by the id of its script.
    """

    meta: dict[str, str] = field(default_factory=dict)
    numbers: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    """Collects what `Seen` has. A number's element holds text and <i>, and nothing else."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen = Seen()
        self._number: tuple[str, int] | None = None
        self._texts: list[str] = []
        self._script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "meta" and attributes.get("name"):
            self.seen.meta[str(attributes["name"])] = attributes.get("content") or ""
        if tag == "script":
            self._script = attributes.get("id") or ""
            self.seen.scripts.setdefault(self._script, "")
        if self._number is not None and tag == self._number[0]:
            self._number = (tag, self._number[1] + 1)
        if any(name in attributes for name in ATTRIBUTES):
            self.seen.numbers.append(({name: attributes.get(name) for name in ATTRIBUTES}, ""))
            self._number, self._texts = (tag, 1), []

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = ""
        if self._number is not None and tag == self._number[0]:
            depth = self._number[1] - 1
            self._number = (tag, depth) if depth else None
            if not depth:
                self.seen.numbers[-1] = (self.seen.numbers[-1][0], "".join(self._texts))

    def handle_data(self, data: str) -> None:
        if self._number is not None:
            self._texts.append(data)
        if self._script:
            self.seen.scripts[self._script] += data


def check_page(folder: Path, page: Path, outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of checking a page against its bundle.

    outcomes: those of the bundle's own checks, which must have found nothing. Raises BadInput where
    the page cannot be read.
    """
    data = pages.read_page(page)
    title = f"{shown(str(page))} shows what the tables say"
    try:
        text = data.decode("utf-8")
        reader = _Reader()
        reader.feed(text)
        reader.close()
        faults = list(_wrong(folder, page, data, reader.seen, outcomes))
    except (AmbiemoError, ValueError, KeyError, TypeError, RecursionError, AssertionError) as error:
        faults = [("the page", shown(f"{type(error).__name__}: {error}", 400), "a page of ambiemo")]
        return Outcome(CHECK, title, _findings(page, faults))
    drawn = reader.seen.meta.get("ambiemo-matplotlib", "")
    if drawn != matplotlib_version():
        title += f" (figures were not made again: drawn by matplotlib {shown(drawn, 20)}, here is {matplotlib_version()})"
    return Outcome(CHECK, title, _findings(page, faults))


def _findings(page: Path, faults: Sequence[tuple[str, str, str]]) -> tuple[Finding, ...]:
    return tuple(
        Finding(CHECK, f"{shown(page.name)}, {where}", what, expected, ADVICE)
        for where, what, expected in faults[:MOST]
    )


def _wrong(
    folder: Path, page: Path, data: bytes, seen: Seen, outcomes: Sequence[Outcome]
) -> Iterator[tuple[str, str, str]]:
    disk = look(folder)
    digest = pages.digest_of(disk)
    if (named := seen.meta.get("ambiemo-bundle")) != digest:
        yield "the bundle", f"tag manifest {shown(str(named), 80)}", f"{digest} (this bundle's)"
        return
    files = payload_of(disk)
    lacks: list[str] = []
    tables = pages.tables_of(files, lacks)
    wrong = list(wrong_numbers(seen, tables))
    yield from wrong
    audio = json.loads(seen.scripts.get("audio") or "{}")
    known = json.loads(seen.scripts.get("utterances") or '{"utterances": []}')
    yield from page_audio.wrong_links(page, audio, known["utterances"])
    checked = seen.meta.get("ambiemo-checked", "")
    if checked not in pages.CHECKED:
        yield "ambiemo-checked", shown(checked), " or ".join(pages.CHECKED)
        return
    names = {check[0] for check in pages.WITHOUT_RECOMPUTATION}
    own = [one for one in outcomes if checked == pages.ALL or one.check in names]
    drawn = seen.meta.get("ambiemo-matplotlib", "")
    expected = pages.page_of(folder, own, checked, page, audio, matplotlib=drawn)
    if drawn != matplotlib_version():
        data, expected = without_figures(data), without_figures(expected)
    if not wrong and data != expected:
        yield first_change(data, expected)


def first_change(content: bytes, expected: bytes) -> tuple[str, str, str]:
    """Where two pages first differ: line and column, and some characters of each from there on."""
    one, other = content.decode("utf-8"), expected.decode("utf-8")
    at = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    line = one.count("\n", 0, at) + 1
    column = at - (one.rfind("\n", 0, at) + 1) + 1
    start = max(0, at - 20)
    excerpts = [shown(text[start : at + 60], 100) or "the end" for text in (one, other)]
    return (
        f"line {line}, column {column}",
        excerpts[0],
        f"{excerpts[1]} (made again from the bundle)",
    )


def wrong_numbers(seen: Seen, tables: Mapping[str, Table]) -> Iterator[tuple[str, str, str]]:
    """Numbers of a page that differ from the cell that they name: (where, found, expected)."""
    for cell, text in seen.numbers:
        table, row, column = (cell[name] for name in ATTRIBUTES)
        where = shown(f"{table} row {row} {column}")
        name = str(table).removesuffix(".csv")
        lines = tables[name].lines if name in tables else ()
        at = int(row) - 2 if row is not None and row.isdecimal() else -1
        if not 0 <= at < len(lines) or column not in lines[at].texts:
            yield where, shown(text), "a table, a row and a column of the bundle"
        elif text != visible(lines[at][str(column)]):
            yield where, shown(text), shown(lines[at][str(column)])
    for name, raw in seen.scripts.items():
        if name.startswith("table-"):
            table_name = name.removeprefix("table-")
            rows: Any = json.loads(raw)
            expected = table_rows(tables[table_name])
            if rows != json.loads(json.dumps(expected)):
                yield (
                    f"{table_name}.csv in All tables",
                    "other cells",
                    "the cells of the bundle's file",
                )
