"""The figures of a bundle: each a function of its tables, drawn by matplotlib.

A figure has a name (its file's, for a paper), a title, a description for readers who cannot see
it, and a function that draws it. `svg` and `pdf` give the same bytes each time: ids come from a
fixed salt and no file has a date. Names are drawn as plain text, never as mathematics.
"""

import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ambiemo.errors import shown
from ambiemo.results.report.calibration import BINS, Reliability
from ambiemo.results.report.cells import Cell, Line, Reckoned, Table, visible
from ambiemo.results.tables.families import EXPLORATORY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1b1f24", "#5b6470", "#d9dee4", "#ffffff"
ONE, TWO, THREE, FOUR = "#2563a8", "#b0500a", "#1d7a53", "#8a4aa3"
GOOD, BAD = "#1a7f4b", "#b3261e"
HUES = {"linear_pool": ONE, "vote": TWO, "best_by_likelihood": THREE, "best_by_verifier": FOUR}
SIZE = 9
"""Points of every text: 12 CSS pixels on the page."""
WIDE, NARROW, SMALL = 7.6, 3.55, 1.72
"""Inches: a figure of its own, one of two side by side, one of several."""
POINTS_WIDE, POINTS_SMALL = 6.0, 2.0
"""Inches from which a figure stands alone, and up to which it is one of several."""
ROW = 0.215
LONGEST_NAME = 34
GAP = "\u00a0" * 8
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "ambiemo",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": ["DejaVu Sans"],
    "font.size": SIZE,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": SIZE,
    "axes.titlesize": SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": SIZE - 1,
    "ytick.labelsize": SIZE,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "path.simplify": False,
}


@dataclass(frozen=True)
class Drawing:
    """One figure. unit: corpus and model, "" for those that a figure is not about alone; size in
    inches; least: CSS pixels below which the page scrolls it; kind: which section it is of; caption:
    what the page says above it.
    """

    name: str
    kind: str
    unit: tuple[str, str]
    title: str
    alt: str
    size: tuple[float, float]
    draw: Callable[["Figure"], None]
    least: int = 0
    caption: tuple[str | Cell | Reckoned, ...] = ()


def svg(drawing: Drawing) -> bytes:
    """The figure as SVG, for a paper: texts are texts."""
    return _saved(drawing, "svg", {"Date": None, "Creator": None})


def pdf(drawing: Drawing) -> bytes:
    """The figure as PDF, for a paper: fonts are embedded."""
    return _saved(drawing, "pdf", {"CreationDate": None, "Creator": None, "Producer": None})


FORMATS: dict[str, Callable[[Drawing], bytes]] = {"svg": svg, "pdf": pdf}


def matplotlib_version() -> str:
    """The version that would draw here."""
    import matplotlib

    return matplotlib.__version__


def _saved(drawing: Drawing, kind: str, metadata: dict[str, None]) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # a reader's own matplotlibrc must not change a byte
        matplotlib.rcParams.update(SETTINGS)
        warnings.filterwarnings("ignore", message=r"Glyph \d+")  # a name in another script
        figure = Figure(figsize=drawing.size)
        drawing.draw(figure)
        data = io.BytesIO()
        figure.savefig(data, format=kind, metadata=metadata)
    return data.getvalue()


def drawings(
    tables: Mapping[str, Table], reliabilities: Sequence[Reliability] = ()
) -> list[Drawing]:
    """Every figure that the tables have rows for, in the order of the page."""
    units = tables["results"].units
    figures: list[Drawing | None] = []
    for unit in units:
        figures += [differences(tables["paired"], unit), levels(tables["results"], unit)]
        figures += [gains(tables["gains"], unit)]
        figures += curves(tables["curves"], unit)
        figures += [pareto(tables["curves"], unit), ambiguity(tables["ambiguity"], unit)]
        figures += [heard(tables["heard"], unit)]
        figures += [
            calibration(one, tables["results"])
            for one in reliabilities
            if (one.corpus, one.model) == unit
        ]
    for corpus in dict.fromkeys(corpus for corpus, _ in units):
        figures.append(floors(tables["floors"], tables["results"], corpus))
    return [one for one in figures if one is not None]


def where(unit: tuple[str, str]) -> str:
    """A unit in words."""
    corpus, model = unit
    return f"{name_of(model)} on {name_of(corpus)}" if model else name_of(corpus)


def name_of(text: str) -> str:
    """A name from a table as a figure shows it."""
    return shown(visible(text), LONGEST_NAME)


def _file(kind: str, *parts: str) -> str:
    return "-".join([kind, *(_plain(part) for part in parts)])


def _plain(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in text)[:60]


# Forests: one row per name, values with intervals


@dataclass(frozen=True)
class Mark:
    """A value with its interval in a row of a forest; NaN bounds: a value alone."""

    value: float
    low: float
    high: float
    colour: str = INK
    filled: bool = True
    offset: float = 0.0
    reach: float = math.nan


@dataclass(frozen=True)
class Panel:
    """One column of a forest: its heading, below it what the axis means, the marks by row."""

    heading: str
    axis: str
    marks: Mapping[str, Sequence[Mark]]
    zero: bool = True
    limits: tuple[float, float] | None = None


def _forest(
    names: Sequence[str],
    panels: Sequence[Panel],
    gaps: Sequence[int] = (),
    notes: Mapping[str, str] | None = None,
    width: float = WIDE,
) -> tuple[tuple[float, float], Callable[["Figure"], None]]:
    """Size and drawing of a forest. gaps: rows before which a line is left empty; notes: a word at
    the right end of a row.
    """
    places: dict[str, float] = {}
    at = 0.0
    for index, name in enumerate(names):
        at += 0.6 if index in gaps else 0
        places[name] = at
        at += 1
    head, foot = 0.34, 0.5
    height = head + foot + at * ROW
    left = 0.1 + 0.072 * max(len(name_of(one)) for one in names)
    right = 0.1 + (0.078 * max(map(len, notes.values())) if notes else 0)
    between = 0.22

    def draw(figure: "Figure") -> None:
        inside = width - left - right - between * (len(panels) - 1)
        wide = inside / len(panels)
        start = left
        for number, panel in enumerate(panels):
            axes = figure.add_axes((start / width, foot / height, wide / width, at * ROW / height))
            start += wide + between
            if panel.limits is not None:
                axes.set_xlim(panel.limits)
            _rows(axes, places, panel)
            axes.set_ylim(at - 0.5, -0.5)
            axes.set_yticks(
                list(places.values()), [name_of(one) for one in places] if number == 0 else []
            )
            axes.tick_params(axis="y", length=0, pad=6, labelcolor=INK)
            axes.spines["left"].set_visible(False)
            axes.set_title(panel.heading, loc="left", fontweight="bold", pad=8)
            axes.set_xlabel(panel.axis, labelpad=4)
            _few_ticks(axes, 5 if len(panels) == 1 else 4 if len(panels) == 2 else 3)
        for name, note in (notes or {}).items():
            axes.annotate(
                note,
                (1, places[name]),
                xytext=(6, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                color=MUTED,
            )

    return (width, height), draw


def _rows(axes: "Axes", places: Mapping[str, float], panel: Panel) -> None:
    """The marks of a panel; marks of one look are one artist, as there may be hundreds."""
    axes.hlines(list(places.values()), 0, 1, transform=axes.get_yaxis_transform(), color=RULE, linewidth=0.5, zorder=0)  # fmt: skip
    if panel.zero:
        axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    low, high = panel.limits or (-math.inf, math.inf)
    reaches: list[tuple[float, float]] = []
    lines: dict[str, list[tuple[float, float, float]]] = {}
    dots: dict[tuple[str, bool, str], list[tuple[float, float]]] = {}
    for name, marks in panel.marks.items():
        for mark in marks:
            place = places[name] + mark.offset
            if math.isfinite(mark.reach):
                reaches.append((place, mark.reach))
            if not math.isfinite(mark.value):
                continue
            if not low <= mark.value <= high:
                beyond = mark.value > high
                look = (mark.colour, True, ">" if beyond else "<")
                dots.setdefault(look, []).append((high if beyond else low, place))
                continue
            if math.isfinite(mark.low) and math.isfinite(mark.high):
                lines.setdefault(mark.colour, []).append((place, mark.low, mark.high))
            dots.setdefault((mark.colour, mark.filled, "o"), []).append((mark.value, place))
    if reaches:
        at, reach = zip(*reaches, strict=True)
        axes.barh(at, [2 * one for one in reach], left=[-one for one in reach], height=0.62, color=RULE, zorder=0.5)  # fmt: skip
    for colour, ranges in lines.items():
        at, start, end = zip(*ranges, strict=True)
        axes.hlines(at, start, end, color=colour, linewidth=1.3, zorder=2)
    for (colour, filled, marker), points in dots.items():
        x, y = zip(*points, strict=True)
        axes.plot(
            x,
            y,
            linestyle="none",
            marker=marker,
            markersize=5,
            color=colour,
            markerfacecolor=colour if filled else PAPER,
            markeredgewidth=1.1,
            clip_on=False,
            zorder=3,
        )


BEYOND = 2.0
"""A row whose marks reach so many times as far as the next row's lies beyond the axis, and an arrow
says so: it would press all others together.
"""


def _limits(marks: Sequence[Sequence[Mark]]) -> tuple[float, float] | None:
    """One scale for several panels, by rows of marks, without the rows that lie far beyond the
    others; None where there is nothing to scale.
    """
    reach = sorted(
        (ends for row in marks if (ends := _ends(row)) is not None),
        key=lambda ends: max(map(abs, ends)),
    )
    while len(reach) > 2 and _far(reach[-1]) > BEYOND * _far(reach[-2]):
        reach.pop()
    if not reach:
        return None
    low, high = min(0.0, *(ends[0] for ends in reach)), max(0.0, *(ends[1] for ends in reach))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _ends(row: Sequence[Mark]) -> tuple[float, float] | None:
    ends = [one for mark in row for one in (mark.value, mark.low, mark.high) if math.isfinite(one)]
    return (min(ends), max(ends)) if ends else None


def _far(ends: tuple[float, float]) -> float:
    return max(map(abs, ends))


def _few_ticks(axes: "Axes", most: int = 5) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p {value:.{3 if value < 0.01 else 2}f}"


def differences(paired: Table, unit: tuple[str, str]) -> Drawing | None:
    """Each strategy against the single answer, paired on the same clips."""
    corpus, model = unit
    rows = [
        row
        for row in paired
        if row.unit == unit
        and (row["b"], row["a_control"], row["b_control"]) == ("greedy", "none", "none")
        and (row["level"], row["metric"]) == ("all", "js_divergence_bits")
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: row["family"] == EXPLORATORY)
    marks = {row["a"]: [_difference(row)] for row in rows}
    first_other = sum(row["family"] != EXPLORATORY for row in rows)
    notes = {
        row["a"]: _p(row.number("p_holm")) for row in rows if not math.isnan(row.number("p_holm"))
    }
    size, draw = _forest(
        list(marks),
        [
            Panel(
                "Change of JS against greedy, bits",
                f"← closer to the raters{GAP}farther from them →",
                marks,
                limits=_limits(
                    [[*own, Mark(-own[0].reach, own[0].reach, math.nan)] for own in marks.values()]
                ),
            )
        ],
        gaps=[first_other] if 0 < first_other < len(rows) else [],
        notes=notes,
    )
    return Drawing(
        _file("differences", corpus, model),
        "differences",
        unit,
        f"Each strategy against the single answer: {where(unit)}",
        f"Difference of Jensen-Shannon divergence from greedy with its interval, {len(rows)} strategies. "
        "The table below has the numbers.",
        size,
        draw,
        480,
    )


def _difference(row: Line) -> Mark:
    value, low, high = (row.number(name) for name in ("difference", "low", "high"))
    named = row["family"] != EXPLORATORY
    called = named and row.number("p_holm") < 0.05
    colour = (GOOD if value < 0 else BAD) if called else INK if named else MUTED
    return Mark(value, low, high, colour, filled=named, reach=row.number("detectable"))


def levels(results: Table, unit: tuple[str, str]) -> Drawing | None:
    """How far from the raters: JS and Brier of everything in the table."""
    corpus, model = unit
    rows = [
        row
        for row in results
        if row["corpus"] == corpus
        and row["model"] in ("baselines", model)
        and row["level"] == "all"
    ]
    if not rows:
        return None
    groups = [
        [row for row in rows if row["model"] == "baselines"],
        [row for row in rows if row["model"] == model and row["control"] == "none"],
        [row for row in rows if row["model"] == model and row["control"] != "none"],
    ]
    named = {
        (
            row["strategy"] if row["control"] == "none" else f"{row['strategy']}, {row['control']}"
        ): row
        for group in groups
        for row in group
    }
    colours = dict(zip(("baselines", "none"), (MUTED, INK), strict=True))

    def marks(metric: str) -> dict[str, list[Mark]]:
        return {
            name: [
                Mark(
                    *row.interval(metric),
                    colours.get(row["model"], colours.get(row["control"], TWO)),
                    filled=row["model"] != "baselines",
                )
            ]
            for name, row in named.items()
        }

    ends = [len(groups[0]), len(groups[0]) + len(groups[1])]
    size, draw = _forest(
        list(named),
        [
            Panel(
                "JS divergence, bits", "← closer to the raters", marks("js_divergence_bits"), False
            ),
            Panel("Brier score", "← closer", marks("brier"), False),
        ],
        gaps=[end for end in ends if 0 < end < len(named)],
    )
    return Drawing(
        _file("levels", corpus, model),
        "levels",
        unit,
        f"How far from the raters: {where(unit)}",
        f"Jensen-Shannon divergence and Brier score with intervals: {len(groups[0])} baselines, "
        f"{len(groups[1])} strategies, {len(groups[2])} controls. The table has the numbers.",
        size,
        draw,
        560,
    )


def gains(table: Table, unit: tuple[str, str]) -> Drawing | None:
    """What the gain consists of: decoding + averaging + choice = total."""
    rows = [row for row in table if row.unit == unit]
    if not rows:
        return None
    parts = ("decoding", "averaging", "choice", "total")

    def mark(row: Line, part: str) -> Mark:
        value, low, high = row.interval(part)
        colour = INK if part == "total" else MUTED
        if part != "averaging" and row.sure(part):
            colour = GOOD if value < 0 else BAD
        return Mark(value, low, high, colour)

    limits = _limits([[mark(row, part) for part in parts] for row in rows])
    size, draw = _forest(
        [row["strategy"] for row in rows],
        [
            Panel(
                part, "JS bits", {row["strategy"]: [mark(row, part)] for row in rows}, limits=limits
            )
            for part in parts
        ],
    )
    return Drawing(
        _file("gains", *unit),
        "gains",
        unit,
        f"What the gain consists of: {where(unit)}",
        f"Decoding, averaging, choice and total of {len(rows)} strategies with intervals, negative is better. "
        "The table has the numbers.",
        size,
        draw,
        600,
    )


def ambiguity(table: Table, unit: tuple[str, str]) -> Drawing | None:
    """High minus low ambiguity, against greedy (filled) and tempered greedy (hollow)."""
    rows = [
        row
        for row in table
        if row.unit == unit and not math.isnan(row.number("gain_against_greedy"))
    ]
    if not rows:
        return None
    panels = [
        Panel(
            title,
            axis,
            {
                row["strategy"]: [
                    Mark(*row.interval(f"{name}_against_greedy"), INK, True, -0.18),
                    Mark(*row.interval(f"{name}_against_tempered"), TWO, False, 0.18),
                ]
                for row in rows
            },
        )
        for name, title, axis in (
            ("share_removed", "Share removed", "high − low"),
            ("gain", "Gain, JS bits", "high − low"),
            ("overall_gain", "Overall gain, JS bits", "all clips"),
        )
    ]
    size, draw = _forest([row["strategy"] for row in rows], panels)
    return Drawing(
        _file("ambiguity", *unit),
        "ambiguity",
        unit,
        f"Does the gain grow with ambiguity? {where(unit)}",
        f"Three contrasts of {len(rows)} strategies with intervals, each against greedy and against tempered greedy. "
        "The table has the numbers.",
        size,
        draw,
        600,
    )


def heard(table: Table, unit: tuple[str, str]) -> Drawing | None:
    """JS with the clip, and under each control."""
    rows = [row for row in table if row.unit == unit]
    if not rows:
        return None
    names = [f"{row['strategy']}, {row['control'].replace('_', ' ')}" for row in rows]
    shift = {
        name: [
            Mark(
                row.number("difference"),
                row.number("low"),
                row.number("high"),
                {"yes": GOOD, "no": BAD}.get(row["heard"], INK),
            )
        ]
        for name, row in zip(names, rows, strict=True)
    }
    size, draw = _forest(
        names,
        [
            Panel(
                "What the control costs, JS bits",
                f"no effect at 0{GAP}farther from the raters →",
                shift,
            )
        ],
        notes={name: row["heard"] for name, row in zip(names, rows, strict=True)},
    )
    return Drawing(
        _file("heard", *unit),
        "heard",
        unit,
        f"Was it heard? {where(unit)}",
        f"JS under {len(rows)} controls minus JS with the clip, with intervals. The table has the numbers.",
        size,
        draw,
        480,
    )


# Lines


def _axes(
    figure: "Figure", size: tuple[float, float], room: tuple[float, float, float, float]
) -> "Axes":
    left, bottom, right, top = room
    width, height = size
    return figure.add_axes(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - bottom - top) / height,
        )
    )


def _apart(wanted: Sequence[float], least: float) -> list[float]:
    """The places of labels, moved so that neighbours are at least so far apart; order is kept."""
    order = sorted(range(len(wanted)), key=lambda one: wanted[one])
    placed = [wanted[one] for one in order]
    for _ in range(60):
        moved = False
        for low, high in zip(range(len(placed)), range(1, len(placed)), strict=False):
            lack = least - (placed[high] - placed[low])
            if lack > 1e-9:
                placed[low] -= lack / 2
                placed[high] += lack / 2
                moved = True
        if not moved:
            break
    places = [0.0] * len(wanted)
    for place, one in zip(placed, order, strict=True):
        places[one] = place
    return places


def _labels(
    axes: "Axes", x: float, labels: Sequence[tuple[float, str, str]], height: float
) -> None:
    """Names at the right end of lines: (y, name, colour). They never overlap."""
    low, high = axes.get_ylim()
    least = abs(high - low) * (SIZE * 1.15 / 72) / height
    for (_, name, colour), place in zip(
        labels, _apart([y for y, *_ in labels], least), strict=True
    ):
        axes.annotate(
            name, (x, place), xytext=(6, 0), textcoords="offset points", va="center", color=colour,
            annotation_clip=False,
        )  # fmt: skip


def curves(table: Table, unit: tuple[str, str]) -> list[Drawing]:
    """JS by number of samples, one figure per question, with the limit of the linear pool."""
    own = [row for row in table if row.unit == unit]
    greedy = {
        row["question"].partition(".")[0]: row.number("js_divergence_bits")
        for row in own
        if row["method"] == "greedy"
    }
    figures = []
    for question in dict.fromkeys(row["question"] for row in own if row["method"] != "greedy"):
        rows = [row for row in own if row["question"] == question]
        figures.append(
            _curve(unit, question, rows, greedy.get(question.partition(".")[0], math.nan))
        )
    return figures


def _curve(unit: tuple[str, str], question: str, rows: Sequence[Line], greedy: float) -> Drawing:
    size = (NARROW, 2.75)
    methods = list(dict.fromkeys(row["method"] for row in rows))

    def draw(figure: "Figure") -> None:
        axes = _axes(figure, size, (0.62, 0.42, 1.0, 0.16))
        ends: list[tuple[float, str, str]] = []
        most = max(float(row["k"]) for row in rows if row["k"] != "inf")
        for method in methods:
            colour = HUES.get(method, MUTED)
            points = [row for row in rows if row["method"] == method and row["k"] != "inf"]
            k = [float(row["k"]) for row in points]
            value, low, high = (
                [row.number(f"js_divergence_bits{end}") for row in points]
                for end in ("", "_low", "_high")
            )
            axes.fill_between(k, low, high, color=colour, alpha=0.12, linewidth=0)
            axes.plot(k, value, color=colour, linewidth=1.6, marker="o", markersize=3)
            ends.append((value[-1], METHODS.get(method, name_of(method)), colour))
            for row in rows:
                if row["method"] == method and row["k"] == "inf":
                    limit = row.number("js_divergence_bits")
                    axes.axhline(limit, color=colour, linewidth=1, linestyle=(0, (2, 2)))
                    ends.append((limit, "its limit", colour))
        if math.isfinite(greedy):
            axes.axhline(greedy, color=MUTED, linewidth=0.9)
            ends.append((greedy, "greedy", MUTED))
        axes.set_xlim(0.8, most + 0.2)
        axes.set_xticks([k for k in (1, 2, 4, 8, 16, 32, 64) if k <= most])
        axes.set_xlabel("samples k")
        axes.set_ylabel("JS divergence, bits")
        _labels(axes, most + 0.2, ends, size[1] - 0.58)

    return Drawing(
        _file("curve", *unit, question),
        "curves",
        unit,
        f"{name_of(question)}: {where(unit)}",
        f"JS by the number of samples for {', '.join(METHODS.get(one, one) for one in methods)}, with intervals. "
        "The table has the numbers.",
        size,
        draw,
        caption=(name_of(question),),
    )


METHODS = {
    "linear_pool": "plain mean",
    "vote": "vote",
    "best_by_likelihood": "likeliest",
    "best_by_verifier": "by verifier",
}


def pareto(table: Table, unit: tuple[str, str]) -> Drawing | None:
    """Tokens and JS, and the front of fewest tokens and least JS."""
    rows = [
        row
        for row in table
        if row.unit == unit
        and row["k"] != "inf"
        and row.number("tokens") > 0
        and not math.isnan(row.number("js_divergence_bits"))
    ]
    if not rows:
        return None
    size = (WIDE, 3.1)
    front = sorted(
        (row for row in rows if row["pareto"] == "yes"), key=lambda row: row.number("tokens")
    )

    def draw(figure: "Figure") -> None:
        axes = _axes(figure, size, (0.6, 0.45, 1.6, 0.12))
        axes.set_xscale("log", base=2)
        for method in dict.fromkeys(row["method"] for row in rows):
            own = [row for row in rows if row["method"] == method]
            axes.plot(
                [row.number("tokens") for row in own],
                [row.number("js_divergence_bits") for row in own],
                linestyle="none",
                marker="o",
                markersize=4,
                color=HUES.get(method, INK),
                markerfacecolor=PAPER,
                markeredgewidth=1,
            )
        axes.plot(
            [row.number("tokens") for row in front],
            [row.number("js_divergence_bits") for row in front],
            color=INK,
            linewidth=1.1,
            drawstyle="steps-post",
            zorder=1,
        )
        for row in front:
            axes.plot(
                [row.number("tokens")],
                [row.number("js_divergence_bits")],
                marker="o",
                markersize=5.5,
                color=HUES.get(row["method"], INK),
            )
        low = min(row.number("js_divergence_bits") for row in rows)
        most = _largest(rows)
        span = (most - low) or 0.1  # one value alone still has an axis
        axes.set_ylim(low - 0.08 * span, most + 0.04 * span)
        axes.set_xlabel("tokens per clip, without the prompt")
        axes.set_ylabel("JS divergence, bits")
        from matplotlib.ticker import FuncFormatter, NullLocator

        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        named = {row["method"]: row for row in sorted(rows, key=lambda row: row.number("tokens"))}
        ends = [
            (
                row.number("js_divergence_bits"),
                METHODS.get(method, name_of(method)),
                HUES.get(method, INK),
            )
            for method, row in named.items()
        ]
        _labels(axes, axes.get_xlim()[1], ends, size[1] - 0.57)

    return Drawing(
        _file("pareto", *unit),
        "pareto",
        unit,
        f"What an answer costs: {where(unit)}",
        f"{len(rows)} points of tokens per clip and JS divergence; {len(front)} are on the front. "
        "The table has the numbers.",
        size,
        draw,
        480,
    )


def _largest(rows: Sequence[Line]) -> float:
    return max(row.number("js_divergence_bits") for row in rows)


def floors(table: Table, results: Table, corpus: str) -> Drawing | None:
    """What the raters themselves score: JS of a second panel, by its size."""
    rows = [
        row
        for row in table
        if row["corpus"] == corpus and row["quantity"] == "second_panel_js_bits" and row["raters"]
    ]
    rows = [row for row in rows if not math.isnan(row.number("value"))]
    if not rows:
        return None
    size = (NARROW, 2.75)
    seen = [
        row
        for row in results
        if row["corpus"] == corpus
        and row["level"] == "all"
        and row["control"] == "none"
        and row["strategy"] in ("greedy", "uniform")
    ]

    def draw(figure: "Figure") -> None:
        axes = _axes(figure, size, (0.62, 0.42, 1.2, 0.16))
        k = [row.number("raters") for row in rows]
        value, low, high = ([row.number(name) for row in rows] for name in ("value", "low", "high"))
        axes.fill_between(k, low, high, color=ONE, alpha=0.12, linewidth=0)
        axes.plot(k, value, color=ONE, linewidth=1.6, marker="o", markersize=4)
        ends = [(value[-1], "a second panel", ONE)]
        for row in seen[:6]:
            js = row.number("js_divergence_bits")
            axes.axhline(js, color=MUTED, linewidth=0.9)
            name = row["strategy"] if row["model"] == "baselines" else f"greedy, {row['model']}"
            ends.append((js, shown(name_of(name), 18), MUTED))
        axes.set_xlim(min(k) - 0.2, max(k) + 0.2)
        axes.set_xticks(k if len(k) <= 10 else k[:: len(k) // 8])
        axes.set_xlabel("raters in the second panel")
        axes.set_ylabel("JS divergence, bits")
        _labels(axes, max(k) + 0.2, ends, size[1] - 0.58)

    return Drawing(
        _file("floors", corpus),
        "floors",
        (corpus, ""),
        f"What the raters themselves score: {name_of(corpus)}",
        f"JS of a second panel of 1 to {len(rows)} raters against the first. The table has the numbers.",
        size,
        draw,
        caption=(name_of(corpus),),
    )


def calibration(one: Reliability, results: Table) -> Drawing:
    """Reliability of one strategy: is it right as often as it is sure?"""
    size = (SMALL, 1.72)
    (line,) = results.of(
        corpus=one.corpus, model=one.model, strategy=one.strategy, control="none", level="all"
    )

    def draw(figure: "Figure") -> None:
        axes = _axes(figure, size, (0.36, 0.36, 0.08, 0.08))
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1, zorder=0)
        most = max(one.counts) or 1
        for place, count in enumerate(one.counts):
            axes.bar(
                (place + 0.5) / BINS, 0.25 * count / most, width=0.9 / BINS, color=RULE, zorder=0.5
            )
        there = [place for place in range(BINS) if one.counts[place]]
        axes.plot(
            [one.confidence[place] for place in there],
            [one.correct[place] for place in there],
            color=ONE,
            marker="o",
            markersize=4,
            linewidth=1.2,
            clip_on=False,
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.tick_params(labelsize=SIZE - 1)
        axes.set_xlabel("how sure", labelpad=1, fontsize=SIZE - 1)
        axes.set_ylabel("right", labelpad=1, fontsize=SIZE - 1)

    return Drawing(
        _file("calibration", one.corpus, one.model, one.strategy),
        "calibration",
        (one.corpus, one.model),
        f"{name_of(one.strategy)}: {where((one.corpus, one.model))}",
        f"Mean correctness by {BINS} bins of confidence; bars are how many clips. The table has the numbers.",
        size,
        draw,
        caption=(
            name_of(one.strategy),
            "ECE ",
            line.cell("ece_10"),
            ", by chance ",
            Reckoned(f"{one.by_chance:.3f}", "made for this page from data/predictions"),
        ),
    )
