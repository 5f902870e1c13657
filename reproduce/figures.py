"""Draws the two figures of README.md, as SVG into docs/figures/.

    python reproduce/figures.py           # write them
    python reproduce/figures.py --check   # exit 1 where a figure is not what the bundle says

`way.svg` is the way of a clip through the package. `quick.svg` is `results.csv` of the committed
bundle `artifacts/reference/quick` as intervals. The numbers that it shows stand in it as JSON (the
element `desc`), so that it can be compared with the bundle also where another version of matplotlib
draws other bytes. The same version draws the same bytes: no date, a fixed salt, letters as paths.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ambiemo.durable import write

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"
BUNDLE = ROOT / "artifacts" / "reference" / "quick"
LOOK: dict[Any, Any] = {
    "svg.hashsalt": "ambiemo",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}
INK, QUIET, GRID = "#1f2328", "#59636e", "#d8dee4"
BLUE, ORANGE, GREY, RED = "#0b6bcb", "#b35900", "#6e7781", "#c1272d"


@dataclass(frozen=True)
class Interval:
    """One line of quick.svg: a strategy (under a control), its JS in bits with the interval, and
    the number of speakers behind it.
    """

    name: str
    value: float
    low: float
    high: float
    speakers: int


@dataclass(frozen=True)
class Group:
    """Lines of one kind: their title, their colour, and (strategy, control) of each."""

    title: str
    colour: str
    members: tuple[tuple[str, str], ...]


GROUPS = (
    Group(
        "hear nothing",
        GREY,
        (("uniform", "none"), ("prior", "none"), ("prior_without_speaker", "none")),
    ),
    Group("greedy, without its clip", RED, (("greedy", "shuffled_audio"), ("greedy", "silence"))),
    Group("one answer", INK, (("greedy", "none"), ("cot", "none"))),
    Group(
        "several candidates",
        BLUE,
        tuple(
            (name, "none")
            for name in (
                "bon", "w_bon", "alm_v", "w_alm_v", "majority_vote", "self_consistency",
            )
        ),
    ),
    Group("plain mean of the candidates", ORANGE, (("linear_pool", "none"),)),
)  # fmt: skip
"""What quick.svg shows, from top to bottom. Variants are left out: `results.csv` has them."""


def intervals(bundle: Path) -> list[list[Interval]]:
    """The lines of quick.svg by group, from a bundle's results.csv at level `all`."""
    with (bundle / "data/tables/results.csv").open(encoding="utf-8") as file:
        rows = {
            (row["strategy"], row["control"]): row
            for row in csv.DictReader(file)
            if row["level"] == "all"
        }
    groups = []
    for group in GROUPS:
        lines = []
        for name, control in group.members:
            row = rows[name, control]
            label = name if control == "none" else control.replace("_", " ")
            value, low, high = (
                float(row[f"js_divergence_bits{end}"] or "nan") for end in ("", "_low", "_high")
            )
            lines.append(Interval(label, value, low, high, int(row["speakers"])))
        groups.append(lines)
    return groups


def quick() -> bytes:
    """The result of the reference bundle as intervals."""
    groups = intervals(BUNDLE)
    plan = yaml.safe_load((BUNDLE / "data/config/plan.yaml").read_text("utf-8"))
    level = plan["bootstrap"]["level"]
    figure, axes = plt.subplots(figsize=(8.2, 5.1))
    place, ticks = 0.0, []
    for group, lines in zip(GROUPS, groups, strict=True):
        axes.text(
            0.775, place, group.title, color=group.colour, ha="right", va="center", weight="bold"
        )
        for line in lines:
            axes.plot(
                [line.low, line.high], [place, place], color=group.colour, lw=2.4,
                solid_capstyle="round",
            )  # fmt: skip
            axes.plot([line.value], [place], "o", color=group.colour, ms=6)
            axes.text(
                line.high + 0.006, place, f"{line.value:.3f}", color=QUIET, va="center", size=8.5
            )
            ticks.append((place, line.name))
            place += 1
        place += 0.55
    greedy = next(line for lines in groups for line in lines if line.name == "greedy")
    axes.axvline(greedy.value, color=GRID, lw=1.2, zorder=0)
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], color=INK)
    axes.set_xlim(0.17, 0.778)
    axes.set_xticks([0.2, 0.3, 0.4, 0.5, 0.6])
    axes.set_ylim(place - 0.2, -0.8)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors=QUIET)
    axes.grid(axis="x", color=GRID, lw=0.5, alpha=0.7)
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_color(GRID)
    axes.set_xlabel(
        "Jensen-Shannon divergence to the raters, bits: less is better "
        f"({level:.0%} interval, {greedy.speakers} speakers)",
        color=QUIET,
    )
    figure.suptitle(
        "Our toy: a model of 1.8 million parameters, synthetic speech, simulated raters",
        color=INK, weight="bold", size=11, x=0.02, ha="left",
    )  # fmt: skip
    figure.text(
        0.02, 0.905, "It shows what the package measures, and nothing about the paper's models.",
        color=QUIET, ha="left",
    )  # fmt: skip
    figure.subplots_adjust(left=0.2, right=0.98, top=0.87, bottom=0.105)
    numbers = [
        {"group": group.title, "lines": [vars(line) for line in lines]}
        for group, lines in zip(GROUPS, groups, strict=True)
    ]
    return _svg(figure, "Result of artifacts/reference/quick as intervals", json.dumps(numbers))


WAY = (
    ("clip + votes", "corpora/", "the owner's folder\nto one table"),
    ("draws", "pipeline/ engines/", "ask each question\nonce, keep answers"),
    ("candidates", "models/", "texts parsed to\ndistributions"),
    ("predictions", "strategies/", "score, weigh,\naggregate"),
    ("tables", "metrics/ results/", "13 metrics,\nintervals, tests"),
    ("bundle", "bundle/", "answers, tables,\nclaims, checksums"),
)
"""The stations of way.svg: what there is, which rooms make it, and how."""


def way() -> bytes:
    """The way of a clip through the package, and the way back of whoever checks it."""
    figure, axes = plt.subplots(figsize=(9.6, 2.75))
    axes.set_axis_off()
    step, wide, high = 1.62, 1.38, 1.02
    for number, (title, rooms, says) in enumerate(WAY):
        left = number * step
        last = number == len(WAY) - 1
        _box(axes, (left, 0), (wide, high), BLUE if last else "#f0f4f9", BLUE)
        middle = left + wide / 2
        axes.text(
            middle, 0.78, title, ha="center", va="center", weight="bold", size=10,
            color="white" if last else INK,
        )  # fmt: skip
        axes.text(
            middle, 0.36, says, ha="center", va="center", size=8, linespacing=1.35,
            color="white" if last else INK,
        )  # fmt: skip
        axes.text(middle, 1.2, rooms, ha="center", va="center", size=8, color=QUIET, style="italic")
        if not last:
            _arrow(axes, (left + wide + 0.03, 0.5), (left + step - 0.03, 0.5), BLUE)
    end, start = (len(WAY) - 1) * step + wide / 2, step + wide / 2
    axes.plot([end, end], [-0.06, -0.45], color=ORANGE, lw=1.6)
    axes.plot([end, start], [-0.45, -0.45], color=ORANGE, lw=1.6)
    _arrow(axes, (start, -0.45), (start, -0.05), ORANGE)
    axes.text(
        (start + end) / 2, -0.68,
        "ambiemo verify, and verify.py inside the bundle: predictions, tables and claims again, from the answers",
        ha="center", va="center", size=8.5, color=ORANGE,
    )  # fmt: skip
    axes.set_xlim(-0.06, (len(WAY) - 1) * step + wide + 0.06)
    axes.set_ylim(-0.85, 1.36)
    figure.subplots_adjust(left=0.005, right=0.995, top=0.99, bottom=0.01)
    return _svg(figure, "The way of a clip through ambiemo", json.dumps(WAY))


def _box(
    axes: Axes, corner: tuple[float, float], size: tuple[float, float], fill: str, edge: str
) -> None:
    shape = "round,pad=0,rounding_size=0.09"
    axes.add_patch(
        FancyBboxPatch(corner, *size, boxstyle=shape, facecolor=fill, edgecolor=edge, lw=1.2)
    )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    axes.annotate(
        "", xy=end, xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.6, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip


def _svg(figure: Figure, title: str, numbers: str) -> bytes:
    """A figure as SVG that says what it shows: `title` in words, `desc` its content as JSON."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, facecolor="white")
    plt.close(figure)
    text = re.sub(r"[ \t]+\n", "\n", file.getvalue())
    head = f"\n <title>{escape(title)}</title>\n <desc>{escape(numbers)}</desc>"
    return re.sub(r"(<svg [^>]*>)", lambda match: match[1] + head, text, count=1).encode("utf-8")


def content(svg: bytes) -> object:
    """What a figure says it shows."""
    match = re.search(r"<desc>(.*?)</desc>", svg.decode("utf-8"), re.DOTALL)
    return json.loads(unescape(match[1])) if match else None


def drawn_by(svg: bytes) -> str:
    """The version of matplotlib that drew a figure."""
    match = re.search(r"Matplotlib v([\d.]+)", svg.decode("utf-8"))
    return match[1] if match else ""


FIGURE: dict[str, Callable[[], bytes]] = {"way.svg": way, "quick.svg": quick}


def svgs() -> dict[str, bytes]:
    """Both figures."""
    with matplotlib.rc_context(LOOK):
        return {name: draw() for name, draw in FIGURE.items()}


def stale(there: Path = FIGURES) -> list[str]:
    """The figures that are not what the bundle says."""
    wrong = []
    for name, new in svgs().items():
        file = there / name
        old = file.read_bytes() if file.is_file() else b""
        same = old == new if drawn_by(old) == drawn_by(new) else content(old) == content(new)
        if not same:
            wrong.append(f"docs/figures/{name}: not what the bundle says; run `make reference`")
    return wrong


def main(arguments: Sequence[str]) -> int:
    if "--check" in arguments:
        wrong = stale()
        print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
        return 1 if wrong else 0
    for name, svg in svgs().items():
        write(FIGURES / name, svg)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
