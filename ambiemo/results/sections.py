"""The tables about gains, floors, ambiguity, verifiers and curves for people: Markdown, and lines
for the terminal.

Each section opens with what its numbers cannot say. A number without an interval stands next to its
reason: in the notes below its table.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from ambiemo.jsonlines import Row
from ambiemo.results.rendering import markdown_row
from ambiemo.results.tables.csv_form import rows_from
from ambiemo.results.tables.estimates import reasons

Line = list[str]


class Section:
    """One table for people.

    title, caveat  what stands above it
    heads, words   its heads; so many of them are words, the others numbers
    line           a row of the CSV file as a line, None for one that is not shown
    noted          the note below the table for a row with this line; "" for none
    shape          makes the rows that are shown of the CSV file's
    table          name of the CSV file, if it is not the section's own
    """

    def __init__(
        self,
        title: str,
        caveat: str,
        heads: Line,
        words: int,
        line: Callable[[Row], Line | None],
        noted: Callable[[Row], str] = itemgetter("reason"),
        shape: Callable[[Sequence[Row]], Sequence[Row]] = list,
        table: str = "",
    ) -> None:
        self.noted, self.shape, self.table = noted, shape, table
        self.title, self.caveat, self.heads, self.words, self.line = (
            title,
            caveat,
            heads,
            words,
            line,
        )

    def lines(self, rows: Sequence[Row]) -> list[Line]:
        """Heads, then one line per row that is shown."""
        return [
            self.heads,
            *(line for row in self.shape(rows) if (line := self.line(row)) is not None),
        ]

    def notes(self, rows: Sequence[Row]) -> list[str]:
        """The reasons of the rows that are shown, each once."""
        by_reason: dict[str, list[Line]] = {}
        for row in self.shape(rows):
            if (line := self.line(row)) is not None and (reason := self.noted(row)):
                by_reason.setdefault(reason, []).append(line)
        same = len({line[0] for lines in by_reason.values() for line in lines}) == 1
        return [
            f"{', '.join(dict.fromkeys(' '.join(line[same : self.words]) for line in lines))}: {reason}."
            for reason, lines in by_reason.items()
        ]

    def markdown(self, rows: Sequence[Row]) -> list[str]:
        """The section, or nothing where no row is shown."""
        lines = self.lines(rows)
        if len(lines) == 1:
            return []
        numbers = ["---:"] * (len(self.heads) - self.words)
        notes = [f"- {note}" for note in self.notes(rows)]
        return [
            f"## {self.title}",
            "",
            self.caveat,
            "",
            *map(markdown_row, [lines[0], ["---"] * self.words + numbers, *lines[1:]]),
            "",
            *(["No value, or no interval:", "", *notes, ""] if notes else []),
        ]


def markdown_sections(rows: Mapping[str, Sequence[Row]]) -> str:
    """All sections that have rows, by the name of their CSV file; to be put below the results."""
    parts = [
        line
        for name, one in SECTIONS.items()
        for line in one.markdown(rows.get(one.table or name, ()))
    ]
    return "\n" + "\n".join(parts) if parts else ""


def read_csv(data: bytes) -> list[Row]:
    """Rows of one of these tables: numbers as numbers, "" as NaN except in columns of words."""
    return rows_from(data, WORDS)


WORDS = frozenset(
    {
        "corpus",
        "model",
        "strategy",
        "reason",
        "verdict",
        "quantity",
        "raters",
        "judge",
        "question",
        "candidate",
    }
)


def with_interval(row: Row, name: str, places: int = 3) -> str:
    """VALUE [LOW, HIGH]; without the bounds where there are none, "–" where there is no value."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if math.isnan(value):
        return "–"
    bounds = "" if math.isnan(low) else f" [{_signed(low, places)}, {_signed(high, places)}]"
    return _signed(value, places) + bounds


def short_gains(rows: Sequence[Row]) -> dict[tuple[str, str], list[Line]]:
    """`gains.csv` for the terminal by corpus and model: VALUE ± half of the interval, or the value
    with "no interval"."""

    def short(row: Row, name: str) -> str:
        value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
        if math.isnan(value):
            return "–"
        sure = "no interval" if math.isnan(low) else f"± {(high - low) / 2:.3f}"
        return f"{_signed(value, 3)} {sure}"

    heads = ["strategy", "N", *GAIN_PARTS, "effective N", "ties"]
    by_unit: dict[tuple[str, str], list[Line]] = {}
    for row in rows:
        line = [
            row["strategy"],
            f"{row['candidates']:.0f}",
            *(short(row, name) for name in GAIN_PARTS),
        ]
        line += [
            with_interval(row, name, 2).split(" ")[0] for name in ("effective_candidates", "ties")
        ]
        by_unit.setdefault((row["corpus"], row["model"]), [heads]).append(line)
    return by_unit


def _signed(value: float, places: int) -> str:
    return f"{round(value, places) + 0.0:.{places}f}"


def _where(row: Row) -> str:
    return f"{row['model']} on {row['corpus']}"


GAIN_PARTS = ("decoding", "averaging", "choice", "total")


def _gain(row: Row) -> Line:
    return [
        _where(row),
        row["strategy"],
        f"{row['candidates']:.0f}",
        *(with_interval(row, name) for name in GAIN_PARTS),
        with_interval(row, "effective_candidates", 2),
        with_interval(row, "ties", 2),
    ]


def _ambiguity(row: Row) -> Line:
    names = ("share_removed", "gain", "overall_gain")
    intervals = [
        with_interval(row, f"{name}_against_{against}")
        for against in ("greedy", "tempered")
        for name in names
    ]
    return [_where(row), row["strategy"], row["verdict"], *intervals, f"{row['n']:.0f}"]


def _untold(row: Row) -> str:
    """The reason of a verdict whose numbers do not say it by themselves."""
    bare = any(math.isnan(value) for value in row.values() if isinstance(value, float))
    return row["reason"] if bare else ""


FLOORS = ("brier_unbiased", "skill", "js_divergence_bits_vote_jackknife", "brier_to_true")


def _by_strategy(rows: Sequence[Row]) -> list[Row]:
    """Rows with one quantity each as one row per strategy; the corpus' own are left out."""
    by_strategy: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        if row["strategy"] and row["quantity"] in FLOORS:
            name = (row["corpus"], row["model"], row["strategy"])
            by_strategy.setdefault(name, {})[row["quantity"]] = row
    wide = []
    for (corpus, model, strategy), one in by_strategy.items():
        wide_row: Row = {"corpus": corpus, "model": model, "strategy": strategy}
        for quantity in FLOORS:
            for end, column in (("", "value"), ("_low", "low"), ("_high", "high")):
                wide_row[quantity + end] = one[quantity][column] if quantity in one else math.nan
        why = reasons({name: row["reason"] for name, row in one.items()})
        wide.append(wide_row | {"reason": why})
    return wide


def _floor(row: Row) -> Line:
    return [_where(row), row["strategy"], *(with_interval(row, name) for name in FLOORS)]


def _floor_of_corpus(row: Row) -> Line | None:
    if row["strategy"]:
        return None
    bounds = {"value": row["value"], "value_low": row["low"], "value_high": row["high"]}
    raters = str(row["raters"])
    return [
        row["corpus"],
        row["quantity"],
        raters,
        with_interval(bounds, "value"),
        f"{row['n']:.0f}",
    ]


def _verifier(row: Row) -> Line | None:
    if row["quantity"].startswith("mean_score"):
        return None  # by candidate or place: in the CSV file; here the slope stands for it
    bounds = {"value": row["value"], "value_low": row["low"], "value_high": row["high"]}
    words = [_where(row), row["question"], row["judge"], row["quantity"]]
    return [*words, with_interval(bounds, "value"), f"{row['n']:.0f}"]


def _curve(row: Row) -> Line | None:
    if row["question"].split(".")[1] == "greedy" or _is_power_of_two(str(row["k"])):
        numbers = [
            with_interval(row, "js_divergence_bits"),
            with_interval(row, "brier"),
            "" if math.isnan(row["tokens"]) else f"{row['tokens']:.0f}",
            with_interval(row, "same_draws"),
        ]
        words = [
            _where(row),
            row["question"],
            row["method"],
            "∞" if row["k"] == "inf" else str(row["k"]),
        ]
        return [*words, *numbers, row["pareto"]]
    return None


def _is_power_of_two(k: str) -> bool:
    return k == "inf" or int(k) & (int(k) - 1) == 0


def _unknown_curve(row: Row) -> str:
    """The reason, where it is not that the method or the limit has nothing to be compared with."""
    bare = any(math.isnan(row[f"{name}_low"]) for name in ("js_divergence_bits", "brier"))
    return row["reason"] if bare else ""


SECTIONS: dict[str, Section] = {
    "ambiguity": Section(
        "Does the gain over greedy grow with ambiguity?",
        "Split votes: half of a clip's raters set its level, the others score. Share removed and "
        "gain are high − low. HOLDS only if all six numbers are above 0. A verdict is "
        "about its strategy alone: among many strategies some contrast is above 0 by chance.",
        [
            *("model", "strategy", "verdict"),
            *("share removed", "gain", "overall gain"),
            *("share removed, tempered greedy", "gain, tempered", "overall gain, tempered", "n"),
        ],
        3,
        _ambiguity,
        _untold,
    ),
    "floors of a corpus": Section(
        "How good can a number look?",
        "JS of a second panel of so many raters against the first, and the accuracy of one rater "
        "against the others: what the raters themselves score. A larger panel is the mean over "
        "fewer clips. One rater is no ceiling: as a distribution one vote is worse than uniform.",
        ["corpus", "quantity", "raters", "value", "n"],
        2,
        _floor_of_corpus,
        table="floors",
    ),
    "floors": Section(
        "Corrected for the number of raters",
        "Unbiased Brier: the squared distance to the true distribution, of one corpus comparable "
        "with another's; a perfect model has 0, and may be below it by chance. Skill: 1 knows the true "
        "distribution, 0 is the mean of the other speakers. The corrected JS still has some of the "
        "bias of few raters. To the true distribution: only where that is known, on the embedded corpus.",
        [
            "model",
            "strategy",
            "unbiased Brier ↓",
            "skill ↑",
            "JS, corrected ↓",
            "Brier to the true ↓",
        ],
        2,
        _floor,
        shape=_by_strategy,
    ),
    "curves": Section(
        "What more samples give",
        "Over all subsets of k samples (every k is in the CSV file). ∞ is the limit a of a + b / k. Tokens are of "
        "answers and judgements per clip, without prompts. The last difference is JS minus that of "
        "the linear pool with as many draws, where a judgement is a draw (– for the pool itself). The Pareto front is of "
        "the values: a difference smaller than its interval puts a row on it or off it.",
        [
            *("model", "question", "method", "k"),
            *("JS bits ↓", "Brier ↓", "tokens", "JS − pool's", "on the front"),
        ],
        4,
        _curve,
        _unknown_curve,
    ),
    "verifier": Section(
        "Does the verifier know which candidate is better?",
        "Within one clip, against JS to the raters. Concordance .5 and tau-b 0 are a coin; tied scores "
        "count half. A slope over the order of samples is chance or a fault; beams are in order of "
        "likelihood, so read it next to that of −JS. The places of a list are drawn by chance: a slope "
        "over them is what the place does to the score. Self-preference needs a judge of several models.",
        ["model", "question", "judge", "quantity", "value", "n"],
        4,
        _verifier,
    ),
    "gains": Section(
        "What the gain consists of",
        "JS in bits against `greedy`, negative is better: decoding + averaging + choice = total. "
        "Averaging needs no scores and is never above 0, so a total below 0 alone says nothing "
        "about a scorer: read `choice`. With a Dirichlet mixture it contains the smoothing by c "
        "and ε, with votes the step from a distribution to its largest label.",
        [
            "model",
            "strategy",
            "N",
            "decoding",
            "averaging",
            "choice",
            "total",
            "effective N",
            "ties",
        ],
        2,
        _gain,
    ),
}
"""By the name of the CSV file, in the order of results.md."""
