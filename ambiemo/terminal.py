"""What a person sees: the one way to print a line, a table, a list of facts, and JSON.

A command makes parts (`Line`, `Facts`, `Table`), which are data; `show` prints them. The rule for a
narrow terminal: words wrap, then columns are left out, the least important first; a number never
wraps and never loses a digit. A line below the table names what was left out and where it stands.
Where stdout is not a terminal, every column is printed and no sentence is wrapped, so that `grep`
and `diff` see the same text on every machine. Colour: on a terminal only, and not under NO_COLOR
(https://no-color.org).
"""

import io
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from ambiemo.errors import shown

if TYPE_CHECKING:
    from rich.text import Text

GAP = 2
"""Blanks between two columns."""
LEAST_WORDS = 24
"""A column of words is not made narrower than this; another column is left out instead."""
WORDS_OF_A_FILE = 72
"""Widest column of words where stdout is not a terminal."""
LONGEST = 4000
"""Characters of one cell or line: what a file says may be of any length."""
GLUE = "\u00a0"
"""A blank at which nothing is broken. `shown` escapes it in text of unknown origin."""
BLANK = re.compile(" ")
PIECE = re.compile(r" |(?<=[A-Za-z][-_/])(?=[A-Za-z])|(?<=[a-z])(?=\()")
"""Where a cell may be broken: at a blank, and in a name such as w_bon_sampled between words."""
TOGETHER = re.compile(
    r"(?<=[\d.]) (?=\[[-\d])|(?<=\d,) (?=-?[\d.]+\])|(?<=[±≤≥=<>]) (?=[-\d])|(?<=\d) (?=[%±×])"
    r"| (?=[↑↓])"
)
"""Blanks inside a number with its interval or sign, and before an arrow."""
ASCII = str.maketrans(
    {
        "✓": "ok",
        "✗": "NO",
        "○": "o",
        "–": "-",
        "−": "-",
        "…": "...",
        "≤": "<=",
        "·": "/",
        "∞": "inf",
    }
)
"""For a terminal that does not know these characters."""

Kind = Literal["key", "words", "number"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    kind   "key" names the row and stays; "words" may wrap; "number" never wraps
    rank   0 always stays; of the others the largest is left out first
    """

    head: str
    kind: Kind = "number"
    rank: int = 0


@dataclass(frozen=True)
class Table:
    """A table: one row of cells for each line, as many cells as columns.

    title   what stands above it, "" for nothing
    see     where all columns can be read when some are left out
    caveat  what a reader must know before the numbers, below the title
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    see: str = "--json"
    caveat: str = ""


@dataclass(frozen=True)
class Line:
    """One line of text; `mark` stands before it in its own style. `indent` blanks lead it."""

    text: str
    style: str = ""
    mark: str = ""
    mark_style: str = ""
    indent: int = 0


@dataclass(frozen=True)
class Facts:
    """Names with a text each, aligned; `title` above them."""

    title: str
    facts: tuple[tuple[str, str], ...]
    indent: int = 2


Part = str | Line | Facts | Table


@dataclass(frozen=True)
class Layout:
    """How a table fits a width: the columns that are shown, their widths, and the others."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]
    left_out: tuple[int, ...] = ()
    same: Mapping[int, str] = field(default_factory=dict)
    """Of those left out, the ones that say the same in every row, with what they say."""
    whole: int = 0
    """The width that shows every column."""


def columns(heads: Sequence[str], words: int) -> tuple[Column, ...]:
    """Columns of which the first `words` are keys and the others numbers, in order of
    importance; the first number always stays.
    """
    return tuple(
        Column(head, "key", 0 if place == 0 else 1)
        if place < words
        else Column(head, "number", place - words)
        for place, head in enumerate(heads)
    )


def table(title: str, lines: Sequence[Sequence[str]], words: int, see: str = "--json") -> Table:
    """A table of heads, then lines; the first `words` columns name the row, the others are
    numbers.
    """
    return Table(title, columns(lines[0], words), tuple(tuple(line) for line in lines[1:]), see)


def layout(grid: Table, width: int | None) -> Layout:
    """Which columns of a table are shown in `width` blanks, and how wide; None for no limit.

    Columns that stay: rank 0, and keys, unless a key says the same in every row. Words shrink to
    LEAST_WORDS before a column goes; keys wrap only where the columns that stay do not fit. Numbers
    are as wide as the widest, so the result may be wider than `width` if it is smaller than what
    stays needs.
    """
    from rich.cells import cell_len

    cells = [[row[place] for row in grid.rows] for place in range(len(grid.columns))]
    natural = [
        max([*(cell_len(cell) for cell in cells[place]), _longest_piece(column.head)])
        for place, column in enumerate(grid.columns)
    ]
    most = [
        _head_in_two_lines(column.head, size)
        if column.kind == "number"
        else min(size, WORDS_OF_A_FILE if column.kind == "words" and width is None else size)
        for size, column in zip(natural, grid.columns, strict=True)
    ]
    everything = tuple(range(len(most)))
    if width is None:
        return Layout(everything, tuple(most))
    least = [
        max(min(size, LEAST_WORDS), *map(_longest_piece, (*cells[place], "")))
        if grid.columns[place].kind == "words"
        else size
        for place, size in enumerate(natural)
    ]
    whole = sum(least) + GAP * (len(least) - 1)
    same = {
        place: cells[place][0]
        for place, column in enumerate(grid.columns)
        if column.rank and len(grid.rows) > 1 and len(set(cells[place])) == 1
    }
    stays = [
        place
        for place, column in enumerate(grid.columns)
        if not column.rank or (column.kind == "key" and place not in same)
    ]
    chosen = set(stays)
    if sum(least[place] + GAP for place in stays) - GAP > width:  # keys must wrap
        for place in stays:
            if grid.columns[place].kind != "number":
                pieces = [
                    _longest_piece(text) for text in (*cells[place], grid.columns[place].head)
                ]
                least[place] = min(least[place], max(pieces))
    else:
        for place in sorted(
            set(everything) - chosen, key=lambda place: (place in same, grid.columns[place].rank)
        ):
            if sum(least[one] + GAP for one in (*chosen, place)) - GAP <= width:
                chosen.add(place)
    places = tuple(sorted(chosen))
    widths = _spread([least[one] for one in places], [most[one] for one in places], width)
    left_out = tuple(place for place in everything if place not in chosen)
    hidden = {one: same[one] for one in left_out if one in same}
    return Layout(places, widths, left_out, hidden, whole)


def _spread(least: Sequence[int], most: Sequence[int], width: int) -> tuple[int, ...]:
    """Widths between least and most: what is left of `width` goes to the narrowest that want it."""
    sizes = list(least)
    free = width - sum(sizes) - GAP * (len(sizes) - 1)
    while free > 0 and (wanting := [i for i, size in enumerate(sizes) if size < most[i]]):
        narrowest = min(wanting, key=lambda i: sizes[i])
        sizes[narrowest] += 1
        free -= 1
    return tuple(sizes)


def _head_in_two_lines(head: str, size: int) -> int:
    """The smallest width, not below `size`, in which a head takes two lines at most."""
    while len(wrapped(head, size, PIECE)) > 2:
        size += 1
    return size


def _longest_piece(text: str) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, PIECE.split(TOGETHER.sub(GLUE, text))))


def wrapped(text: str, width: int, at: re.Pattern[str] = BLANK) -> list[str]:
    """Text in lines of `width` columns, broken between words; a word or number that is longer stays
    whole, so that a path or an address can be copied. `at` says where else to break.
    """
    from rich.cells import cell_len

    glued = TOGETHER.sub(GLUE, text)
    lines = [""]
    start = 0
    for match in [*at.finditer(glued), None]:
        end = match.start() if match else len(glued)
        piece = glued[start:end]
        blank = start > 0 and glued[start - 1] == " " and bool(lines[-1])
        if lines[-1] and cell_len(lines[-1]) + blank + cell_len(piece) > width:
            lines.append(piece)
        else:
            lines[-1] += " " * blank + piece
        start = match.end() if match else end
    return [line.replace(GLUE, " ") for line in lines]


def _clean(text: str) -> str:
    """Text of unknown origin as one printable line: no escape sequence reaches the terminal."""
    return shown(text, LONGEST)


def _cleaned(grid: Table) -> Table:
    return replace(
        grid,
        title=_clean(grid.title),
        caveat=_clean(grid.caveat),
        columns=tuple(replace(column, head=_clean(column.head)) for column in grid.columns),
        rows=tuple(tuple(map(_clean, row)) for row in grid.rows),
    )


def note_of(grid: Table, fits: Layout) -> list[str]:
    """The sentences below a table that was too wide: what is the same in every row, what was left
    out, and where to read it.
    """
    sentences = []
    if fits.same:
        same = [f"{_head(grid, one)} {text}" for one, text in fits.same.items() if text]
        sentences += [f"the same in every row: {', '.join(same)}"] * bool(same)
    if lost := [_head(grid, one) for one in fits.left_out if one not in fits.same]:
        where = f"see {grid.see}, or {fits.whole} columns"
        sentences.append(f"left out: {', '.join(lost)} ({where})")
    return sentences


def _head(grid: Table, place: int) -> str:
    return grid.columns[place].head.rstrip(" ↑↓")


class Screen:
    """Where parts are printed: a terminal of some width, or a file without one.

    file   default stdout
    width  of the terminal; None for a file: all columns, no sentence wrapped
    """

    def __init__(self, file: Any = None, width: int | None = None) -> None:
        from rich.console import Console

        out = sys.stdout if file is None else file
        if isinstance(out, io.TextIOWrapper):  # a name may have characters that its encoding lacks
            out.reconfigure(errors="backslashreplace")
        self.console: Console = Console(file=out, highlight=False, markup=False, emoji=False)
        self.width = width or (self.console.width if self.console.is_terminal else None)
        self.blank = False
        self.plain = not self.console.encoding.lower().startswith("utf")

    def show(self, *parts: Part) -> None:
        """Print parts, one below the other; a blank line stands around a table."""
        for place, part in enumerate(parts):
            if isinstance(part, Table):
                if place and not isinstance(parts[place - 1], Table):
                    self._put("")
                for line in self._table(part):
                    self._put(line)
                self._put("")
            elif isinstance(part, Facts):
                for text in self._facts(part):
                    self._put(text)
            else:
                for text in self._line(Line(part) if isinstance(part, str) else part):
                    self._put(text)

    def _put(self, text: "Text | str") -> None:
        from rich.text import Text

        line = Text(text) if isinstance(text, str) else text
        line.rstrip()
        if not line.plain and self.blank:
            return
        self.blank = not line.plain
        self.console.print(
            Text(line.plain.translate(ASCII)) if self.plain else line, soft_wrap=True
        )

    def _line(self, line: Line) -> Iterator["Text"]:
        from rich.text import Text

        first = " " * line.indent + (f"{line.mark} " if line.mark else "")
        hang = " " * (line.indent + (len(line.mark) + 1 if line.mark else 0))
        body = _clean(line.text)
        lead = len(body) - len(body.lstrip(" "))
        body, first, hang = body.lstrip(" "), first + " " * lead, hang + " " * lead
        room = None if self.width is None else self.width - len(hang)
        lines = [body] if room is None else wrapped(body, max(room, 20))
        for place, text in enumerate(lines):
            start = Text(hang if place else first, line.mark_style)
            yield Text().append_text(start).append(text, line.style or None)

    def _facts(self, part: Facts) -> Iterator["Text"]:
        from rich.text import Text

        for line in wrapped(_clean(part.title), self.width or LONGEST) if part.title else ():
            yield Text(line, "bold")
        wide = max((len(name) for name, _ in part.facts), default=0)
        hang = part.indent + wide + GAP
        for name, text in part.facts:
            body = _clean(text)
            lines = [body] if self.width is None else wrapped(body, max(self.width - hang, 20))
            for place, one in enumerate(lines):
                lead = " " * hang if place else " " * part.indent + name.ljust(wide + GAP)
                yield Text().append(lead, "dim").append(one)

    def _table(self, grid: Table) -> Iterator["Text"]:
        from rich.text import Text

        grid = _cleaned(grid)
        fits = layout(grid, self.width)
        if grid.title:
            for line in wrapped(grid.title, self.width or LONGEST):
                yield Text(line, "bold")
        for line in wrapped(grid.caveat, self.width or LONGEST) if grid.caveat else ():
            yield Text(line)
        shown_columns = [grid.columns[place] for place in fits.shown]
        yield from _row(
            [c.head for c in shown_columns], shown_columns, fits.widths, "bold", bottom=True
        )
        yield Text("─" * (sum(fits.widths) + GAP * (len(fits.widths) - 1)), "dim")
        for row in grid.rows:
            yield from _row(
                [_clean(row[place]) for place in fits.shown], shown_columns, fits.widths, ""
            )
        for note in note_of(grid, fits):
            for line in wrapped(note, self.width or LONGEST):
                yield Text(line, "dim italic")


def _row(
    cells: Sequence[str],
    heads: Sequence[Column],
    widths: Sequence[int],
    style: str,
    bottom: bool = False,
) -> Iterator["Text"]:
    """One row as lines of text; short cells stand at the top, or at the bottom."""
    from rich.cells import cell_len
    from rich.text import Text

    stacks = [
        [cell] if column.kind == "number" and not bottom else wrapped(cell, width, PIECE)
        for cell, column, width in zip(cells, heads, widths, strict=True)
    ]
    tall = max(map(len, stacks))
    filled = [
        [""] * (tall - len(stack)) + stack if bottom else stack + [""] * (tall - len(stack))
        for stack in stacks
    ]
    for line in zip(*filled, strict=True):
        placed = [
            " " * (width - cell_len(text)) + text
            if column.kind == "number"
            else text + " " * (width - cell_len(text))
            for text, column, width in zip(line, heads, widths, strict=True)
        ]
        yield Text((" " * GAP).join(placed), style)


def show(*parts: Part, file: Any = None) -> None:
    """Print parts on stdout, or on `file`."""
    Screen(file).show(*parts)


def as_json(value: Any) -> str:
    """One JSON object as every command prints it: indented, keys in the order given, null for what
    is not a number (not estimable, infinite).
    """
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def show_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    print(as_json(value))


def lines_of(parts: Iterable[Part], width: int | None = None) -> list[str]:
    """The parts as lines of text without colour, at most `width` columns wide."""
    file = io.StringIO()
    Screen(file, width).show(*parts)
    return file.getvalue().splitlines()
