"""All of a bundle's page in one file, as bytes: a function of what it is given, so it can be made
again and compared.

Texts come from strangers. jinja2 escapes each; control characters and marks that turn the direction
of writing are shown, not obeyed; JSON inside the page has no "<"; scripts and styles run by their
hash alone (Content-Security-Policy), so what slips through stays text.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ambiemo.results.claims.deciding import HOLDS, NOT_REPRODUCED, NOT_SHOWN, WITHIN
from ambiemo.results.report.calibration import Reliability
from ambiemo.results.report.cells import Reckoned, Table, visible
from ambiemo.results.report.figures import POINTS_SMALL, POINTS_WIDE, Drawing, drawings, svg, where
from ambiemo.results.report.grids import Grid, grids, reliability_grid
from ambiemo.results.report.svg import inline
from ambiemo.results.report.words import Part, Sentence, summary
from ambiemo.results.sections import SECTIONS

TONES = {
    HOLDS: "good",
    WITHIN: "good",
    "yes": "good",
    NOT_REPRODUCED: "bad",
    "no": "bad",
    NOT_SHOWN: "open",
    "not shown": "open",
}
FIGURE = re.compile(r"<!--figure-->.*?<!--/figure-->", re.S)


@dataclass(frozen=True)
class Shown:
    """A figure in the page. sized: a class of its width; least: CSS pixels below which it scrolls."""

    unit: tuple[str, str]
    title: str
    caption: tuple[Part | Reckoned, ...]
    svg: Markup
    sized: str
    least: int


@dataclass(frozen=True)
class Behind:
    """A table of a section, under its title; open, or to be unfolded."""

    title: str
    grid: Grid
    open: bool = False


@dataclass(frozen=True)
class Section:
    """One section of the page. short: its name in the contents."""

    name: str
    short: str
    title: str
    caveat: str = ""
    sentences: Sequence[Sentence] = ()
    figures: Sequence[Shown] = ()
    grids: Sequence[Behind] = ()


@dataclass(frozen=True)
class Page:
    """What a page says.

    name, title      of the bundle
    digest           SHA-256 of its tag manifest
    version          of the package; matplotlib: of the library that drew
    checked          "all", or "hashes" where tables were not made again; checked_words says it
    facts            pairs of words under the title
    findings, outcomes   of the verification
    lacks            what is not on the page, and why
    sections         the page, without utterances and whole tables
    tables           the whole tables
    utterances       what the browser shows (JSON), None where there is none; sample says which;
                     browsed_models has the models in it
    audio            by utterance: where the user's own file lies, or why it is not linked
    """

    name: str
    title: str
    digest: str
    version: str
    matplotlib: str
    checked: str
    checked_words: str
    facts: Sequence[tuple[str, str]]
    findings: Sequence[Any]
    outcomes: Sequence[Any]
    lacks: Sequence[str]
    sections: Sequence[Section]
    tables: Sequence[Table]
    utterances: Mapping[str, Any] | None = None
    sample: str = ""
    browsed_models: Sequence[str] = ()
    audio: Mapping[str, Any] = field(default_factory=dict)
    audio_words: str = ""
    check_words: Sequence[str] = ()

    @property
    def units(self) -> list[tuple[str, str]]:
        """Corpus and model of everything that has results."""
        return next((one.units for one in self.tables if one.name == "results"), [])


# name, words in the contents, title, which kind of figure, and the grids behind: name, title, open
LAYOUT: tuple[tuple[str, str, str, str, tuple[tuple[str, str, bool], ...]], ...] = (
    (
        "claims",
        "Claims",
        "Claims, decided by rules that were written before the run",
        "",
        (
            ("claims", "Claims that were tested", True),
            ("untested", "Claims that were not tested, and why", False),
        ),
    ),
    (
        "differences",
        "Against one answer",
        "Is any strategy better than the single answer?",
        "differences",
        (("differences", "The numbers behind the figure", False),),
    ),
    (
        "gains",
        "What a gain is made of",
        SECTIONS["gains"].title,
        "gains",
        (("gains", "The numbers behind the figure", False),),
    ),
    (
        "heard",
        "Was it heard?",
        "Was it heard?",
        "heard",
        (("heard", "The numbers behind the figure", False),),
    ),
    (
        "ambiguity",
        "Ambiguity",
        SECTIONS["ambiguity"].title,
        "ambiguity",
        (("ambiguity", "The numbers behind the figure", False),),
    ),
    (
        "levels",
        "Distance from the raters",
        "How far is each from the raters?",
        "levels",
        (
            ("levels", "The numbers behind the figure, and more metrics", False),
            ("by_level", "By level of ambiguity: a description", False),
        ),
    ),
    (
        "floors",
        "Floors",
        SECTIONS["floors of a corpus"].title,
        "floors",
        (
            ("raters", "The numbers behind the figure", False),
            ("corrected", "Every strategy, corrected for the number of raters", False),
        ),
    ),
    (
        "curves",
        "More samples",
        SECTIONS["curves"].title,
        "curves",
        (("curves", "The numbers behind the figures", False),),
    ),
    (
        "pareto",
        "Cost",
        "What does an answer cost?",
        "pareto",
        (("pareto", "The numbers on the front", False),),
    ),
    (
        "calibration",
        "Calibration",
        "Is it right as often as it is sure?",
        "calibration",
        (("calibration", "The numbers behind the figures", False),),
    ),
    (
        "verifier",
        "The verifier",
        SECTIONS["verifier"].title,
        "",
        (("verifier", "The verifier's quality", True),),
    ),
)
CAVEATS = {
    "claims": "HOLDS: shown, after Holm over the claim's family. NOT REPRODUCED: shown to be otherwise, or smaller than "
    "matters. NOT SHOWN: tested, and neither. So many answers, changed to the best or worst there is, flip the verdict; "
    "fewer may. Rules: data/config/claims.yaml.",
    "differences": "Paired on the same clips; intervals by a jackknife over speakers. Filled: the family that is corrected "
    "together by Holm, with its p; coloured where it is called. Hollow: exploratory, no claim rests on it. Grey bars: a "
    "smaller difference than this the run could not have been expected to find.",
    "gains": SECTIONS["gains"].caveat
    + " One scale for all four; an arrow lies beyond it. Colour: the interval excludes 0.",
    "heard": "JS under a control minus JS with the clip. A model whose answers do not get worse without the clip did not "
    "use it, and no number of this page would then say anything about hearing.",
    "ambiguity": SECTIONS["ambiguity"].caveat
    + " Filled: against greedy. Hollow: against greedy, tempered.",
    "levels": "Levels, not comparisons: intervals that overlap decide nothing, the paired differences above do. Hollow: "
    "baselines. Orange: the model without its clip. prior and prior_one_hot are made from the very votes they are scored on.",
    "floors": SECTIONS["floors of a corpus"].caveat,
    "curves": "Over all subsets of k samples; bands are intervals over speakers. The limit is the a of a + b / k for the "
    "plain mean, which needs no scores. A scorer is worth its cost where its line lies below the plain mean of as many draws.",
    "pareto": "Tokens are of answers and judgements per clip, without prompts. The line is the front of fewest tokens and "
    "least JS; it is of the values, so a difference smaller than its interval puts a point on it or off it.",
    "calibration": "Made for this page from data/predictions, since the tables have the expected calibration error (ECE) but "
    "not its bins. Line: mean correctness by mean confidence, ties of the raters shared; grey bars: how many clips. ECE is "
    "never negative, so with few clips it is above 0 by chance alone: “by chance” is about what a perfectly calibrated "
    "model with these confidences would have, if clips were independent. An ECE near it says nothing against the model.",
    "verifier": SECTIONS["verifier"].caveat,
}


def sections(
    tables: Mapping[str, Table], reliabilities: Sequence[Reliability]
) -> tuple[list[Section], list[str]]:
    """The sections that have rows, and a line for each that has none."""
    drawn: dict[str, list[Shown]] = {}
    for number, one in enumerate(drawings(tables, reliabilities)):
        drawn.setdefault(one.kind, []).append(
            _shown(one, f"f{number}-", len(tables["results"].units) > 1)
        )
    by_name = grids(tables)
    if reliabilities:
        by_name["calibration"] = reliability_grid(reliabilities, tables["results"])
    blocks = [Section("short", "In short", "In short", sentences=summary(tables))]
    lacks = []
    for name, short, title, kind, behind in LAYOUT:
        figures = drawn.get(kind, [])
        own = [
            Behind(words, by_name[grid], opened)
            for grid, words, opened in behind
            if grid in by_name
        ]
        if figures or own:
            blocks.append(Section(name, short, title, CAVEATS[name], (), figures, own))
        else:
            lacks.append(f"{title} {LACKS[name]}")
    return blocks, lacks


LACKS = {
    "claims": "This bundle has no claims.csv.",
    "differences": "No strategy stands next to greedy in paired.csv.",
    "gains": "No strategy has several candidates and greedy next to it.",
    "heard": "The plan has no controls, so whether the model hears was not asked.",
    "ambiguity": "ambiguity.csv has no row: the plan lacks greedy, or the votes are not counts.",
    "levels": "results.csv has no row.",
    "floors": "floors.csv has no row: the raters are too few.",
    "curves": "No question has samples.",
    "pareto": "No row of curves.csv has tokens.",
    "calibration": "No strategy has predictions.",
    "verifier": "No verifier judges here.",
}


def _shown(one: Drawing, prefix: str, several: bool) -> Shown:
    svg_text = inline(svg(one), prefix, one.title, one.alt, one.least)
    sized = "wide" if one.size[0] >= POINTS_WIDE else "small" if one.size[0] <= POINTS_SMALL else ""
    caption = one.caption
    if several and one.unit[1]:
        caption = (where(one.unit), *caption)
    return Shown(one.unit, one.title, caption, Markup(svg_text), sized, one.least)


def render(page: Page) -> bytes:
    """The page as one HTML file in UTF-8."""
    css, js = (_text(name) for name in ("page.css", "page.js"))
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        keep_trailing_newline=True,
    )
    template = environment.from_string(_text("page.html.jinja"))
    html = template.render(
        page=page,
        css=Markup(css),
        js=Markup(js),
        policy=policy(css, js, bool(page.audio)),
        digits=digits,
        coded=coded,
        tone=lambda text: TONES.get(text, ""),
        unit_key=lambda unit: "" if unit[1] in ("", "baselines") else f"{unit[1]} on {unit[0]}",
        json=as_json,
        rows=table_rows,
    )
    return html.encode("utf-8")


def table_rows(table: Table) -> dict[str, Any]:
    """A whole table as the page's JSON has it."""
    return {
        "columns": table.columns,
        "rows": [[visible(text) for text in line.texts.values()] for line in table],
    }


def _text(name: str) -> str:
    return resources.files("ambiemo.results.report").joinpath(name).read_text("utf-8")


def _finalize(value: Any) -> Any:
    """Every text that is put into the page, made visible."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def policy(css: str, js: str, audio: bool) -> str:
    """The Content-Security-Policy: this style, this script, and nothing else; no network, ever."""
    parts = [
        "default-src 'none'",
        f"style-src {_hash(css)}",
        f"script-src {_hash(js)}",
        *(["media-src file:"] if audio else []),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(parts)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def as_json(value: Any) -> Markup:
    """JSON for a <script type="application/json">: no "<", ">", "&", so no text can end the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for one in "<>&":
        text = text.replace(one, f"\\u{ord(one):04x}")
    return Markup(text)


def coded(text: str) -> Markup:
    """A text of ours with `code` in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(visible(text)))))


DECIMALS = re.compile(r"(-?\d+\.\d{3})(\d+)")
SMALL = 0.01


def digits(text: str) -> Markup:
    """A number with all its digits; those after the third decimal are dimmed, unless it is small."""
    match = DECIMALS.fullmatch(text)
    if match and abs(float(text)) >= SMALL:
        return Markup(f"{match[1]}<i>{match[2]}</i>")
    return escape(visible(text))


def without_figures(data: bytes) -> bytes:
    """A page without its drawings: what must be the same with any matplotlib."""
    return FIGURE.sub("<!--figure--><!--/figure-->", data.decode("utf-8")).encode("utf-8")
