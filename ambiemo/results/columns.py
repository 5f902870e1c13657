"""Every column of every table: its name, its kind and what it means. One place owns them.

docs/reference/columns.md is made from here. A test holds each table's header to its rows here, so a
new column without a meaning fails. The writers (`results.tables`, a module for each table) own the
numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ambiemo.labels import LEVELS
from ambiemo.metrics import METRICS
from ambiemo.strategies import OWN, PARTS

Kind = Literal["text", "count", "number", "list", "object", "flag"]
"""text as it stands; count a whole number; number with six decimals in a table, empty where not
estimable. Only rows of JSON have lists, objects and flags (true or false).
"""


@dataclass(frozen=True)
class Column:
    """One column of a table, or one key of a row."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True)
class Table:
    """One CSV file of `data/tables/`.

    rows      what one row is
    note      what a reader must know before the numbers; may be empty
    """

    name: str
    rows: str
    columns: tuple[Column, ...]
    note: str = ""


def text(name: str, meaning: str) -> Column:
    return Column(name, "text", meaning)


def count(name: str, meaning: str) -> Column:
    return Column(name, "count", meaning)


def number(name: str, meaning: str) -> Column:
    return Column(name, "number", meaning)


def interval(name: str, meaning: str) -> tuple[Column, ...]:
    """A value with the two ends of its interval."""
    return (
        number(name, meaning),
        number(f"{name}_low", f"lower end of the interval of `{name}`"),
        number(f"{name}_high", f"upper end of the interval of `{name}`"),
    )


def interval_and_p(name: str, meaning: str) -> tuple[Column, ...]:
    return (
        *interval(name, meaning),
        number(f"{name}_p", f"p of `{name}` (jackknife t), not corrected"),
    )


CORPUS = text("corpus", "id of the corpus")
MODEL = text("model", "id of the model; `baselines` for predictions that hear nothing")
STRATEGY = text("strategy", "name of the strategy")
CONTROL = text("control", "`none`, `shuffled_audio` or `silence`")
LEVEL = text("level", "level of ambiguity: `all`, `low`, `medium`, `high`, or `clear-cut`")
SPEAKERS = count("speakers", "clusters behind the number: speakers, or what stands in for them")
G_EFF = number(
    "g_eff", "effective number of speakers: how many of one size would weigh as much (Kish)"
)
REASON = text("reason", "which numbers have no value or no interval, and why")
VALUE = (
    number("value", "the quantity"),
    number("low", "lower end of its interval"),
    number("high", "upper end of its interval"),
)

PART_MEANINGS = {
    "prompt": "id of the prompt: `direct`, `cot` or `label`",
    "decoding": "`greedy`, `beam`, `sample` or `forced`",
    "scorer": "what gives a candidate its score; empty without one",
    "aggregator": "what makes one prediction of the candidates",
}
OWN_MEANINGS = {
    "tau": "temperature of the softmax over scores, where the strategy has its own",
    "concentration": "c of the Dirichlet components, where the strategy has its own",
    "epsilon": "ε of the Dirichlet components, where the strategy has its own",
}
PREDICTED = count("n", "utterances with a prediction")

AMBIGUITY = Table(
    "ambiguity",
    "one strategy of a model on a corpus: does its gain over greedy grow with ambiguity?",
    (
        CORPUS,
        MODEL,
        STRATEGY,
        text("verdict", "HOLDS, NOT REPRODUCED, NOT SHOWN or NOT TESTED"),
        text("reason", "why the verdict is NOT TESTED, or which contrast decides"),
        count("n", "clips whose raters could be split"),
        SPEAKERS,
        G_EFF,
        *(number(f"share_{level}", f"share of all splits at level {level}") for level in LEVELS),
        *(
            column
            for against, who in (("greedy", "greedy"), ("tempered", "tempered greedy"))
            for column in (
                *interval_and_p(
                    f"share_removed_against_{against}",
                    f"share of {who}'s unbiased error that the strategy removes, high − low",
                ),
                *interval_and_p(
                    f"gain_against_{against}", f"gain over {who} (unbiased Brier), high − low"
                ),
                *interval_and_p(
                    f"overall_gain_against_{against}", f"gain over {who} over all levels"
                ),
            )
        ),
    ),
    'The split-vote test: docs/metrics.md, section "Does the gain grow with ambiguity?". A failed '
    "prediction counts as uniform. NOT TESTED, without numbers, where raters cannot be split (acted "
    "labels, raters with several tags, shares), and where `heard.csv` does not say `yes` of every "
    "control of greedy: a plan without one has not shown that the model hears.",
)

CELLS = Table(
    "cells",
    "one cell of the plan, filled or skipped",
    (
        CORPUS,
        MODEL,
        STRATEGY,
        CONTROL,
        *(text(name, PART_MEANINGS[name]) for name in PARTS),
        count("count", "candidates of one utterance; 0 for one per label"),
        *(number(name, OWN_MEANINGS[name]) for name in OWN),
        text("skipped", "why the cell was skipped; empty if it was filled"),
    ),
)

CLAIMS = Table(
    "claims",
    "one claim of `config/claims.yaml`",
    (
        text("id", "name of the claim; those that begin with E are about the embedded corpus"),
        text("about", "`paper` or `embedded`"),
        text("sentence", "the claim in words"),
        text("grade", "how surely the sentence is the paper's: P of a summary, S or I"),
        text("verdict", "HOLDS, WITHIN TOLERANCE, NOT REPRODUCED, NOT SHOWN or NOT TESTED"),
        number("estimate", "what the estimator gives; its unit is the estimator's"),
        number("low", "lower end of its interval"),
        number("high", "upper end of its interval"),
        number("p", "two-sided p; 1 if the sign is not the claimed one"),
        number("p_holm", "p after Holm over the claim's family"),
        text("family", "the claims that are corrected together"),
        count("n", "utterances behind the estimate"),
        count("clusters", "speakers behind the estimate"),
        number("g_eff", "effective number of speakers; Satterthwaite's degrees plus one"),
        number("published", "the published number, where the claim has one"),
        number("tolerance", "the distance that does not matter, as the rule uses it"),
        count("flips", "answers that would have to change for another verdict"),
        text("flips_kind", "`exact`, `bound` (so many suffice) or `never`"),
        text("estimator", "name of the estimator (`results/claims/estimators.py`)"),
        text("rule", "when the claim HOLDS and when it is NOT REPRODUCED"),
        text("reason", "why the verdict is what it is"),
        count("cells_tested", "cells that the claim looked at"),
        count("cells_missing", "cells that it needs and the run has not"),
        count("failed_as_uniform", "failed predictions that were taken as uniform"),
    ),
    "docs/claims.md says how each claim is decided.",
)

CURVES = Table(
    "curves",
    "one question, method and number k of samples",
    (
        CORPUS,
        MODEL,
        text("question", "name of the question, such as `direct.sample-8`"),
        text(
            "method",
            "`greedy`, `linear_pool`, `vote`, `best_by_likelihood` or `best_by_verifier`",
        ),
        text("k", "number of samples; `inf` for the limit of infinitely many"),
        number("draws", "answers and judgements of one clip"),
        number("tokens", "tokens of these, of one clip"),
        number("dollars_per_1000_clips", "their price; empty for a model without one"),
        count("n", "utterances behind the number; the same for every k"),
        SPEAKERS,
        G_EFF,
        text("same_draws_k", "k of the linear pool with as many draws"),
        *interval("js_divergence_bits", "mean JS over all subsets of k samples, bits"),
        *interval("brier", "mean Brier score over all subsets of k samples"),
        *interval("same_draws", "JS minus that of the linear pool with as many draws"),
        REASON,
        text("pareto", "`yes` if no row of the model and corpus has fewer tokens and less JS"),
    ),
    'Means over all subsets of k samples, not over "the first k". Seconds are not here: they belong '
    "to a machine.",
)

DRAWS = Table(
    "draws",
    "one question, or all that one verifier was asked: what came back",
    (
        CORPUS,
        MODEL,
        text("purpose", "`answer`, or `score by JUDGE`"),
        text("prompt", "id of the prompt"),
        text("decoding", "the decoding with its number of candidates"),
        text("audio", "`clip` or `silence`"),
        count("draws", "requests that were made"),
        count("failed", "draws without an answer"),
        count("candidates", "answers that came back"),
        count("tokens", "tokens of all candidates"),
        count("exact", "candidates read as exact"),
        count("repaired", "complete after a repair"),
        count("partial", "with a label missing, or a foreign one dropped"),
        count("unparsed", "not readable without a guess"),
        count("cut_at_max_tokens", "candidates that the token limit cut off"),
        count("clips_truncated", "draws whose clip was longer than the model hears"),
    ),
    "docs/models.md has the four verdicts of the parser.",
)

FLOORS = Table(
    "floors",
    "one quantity of a strategy, or of the corpus itself",
    (
        CORPUS,
        MODEL,
        text("strategy", "name of the strategy; empty for the corpus' own"),
        text("quantity", 'name of the quantity; docs/metrics.md, section "Floors"'),
        text("raters", "raters of the second panel; empty for other quantities"),
        *VALUE,
        count("n", "utterances with a prediction that have raters enough"),
        SPEAKERS,
        G_EFF,
        text("reason", "why there is no value or no interval"),
    ),
    "How good a number can look, and numbers that do not depend on the number of raters. Model "
    "`baselines` without a strategy has the corpus' own: `second_panel_js_bits` by the number of "
    "raters, `leave_one_rater_out_accuracy`, `best_accuracy`. The embedded corpus also has "
    "`brier_to_true` and `js_divergence_bits_to_true`, against what made its votes, and the "
    "strategy `true_distribution`: a perfect model.",
)

GAINS = Table(
    "gains",
    "one strategy with several candidates: what its gain over greedy consists of",
    (
        CORPUS,
        MODEL,
        STRATEGY,
        count("candidates", "candidates of one utterance"),
        count("n", "utterances with a greedy answer, a parsed candidate and a prediction"),
        SPEAKERS,
        G_EFF,
        count("left_out", "the other utterances"),
        *interval("decoding", "mean loss of the candidates − loss of greedy"),
        *interval("averaging", "loss of their plain mean − mean loss of the candidates"),
        *interval("choice", "loss of the strategy − loss of the plain mean"),
        *interval("total", "decoding + averaging + choice: the strategy − greedy"),
        *interval("mean_single", "mean loss of the single candidates"),
        *interval("linear_pool", "loss of the plain mean of the candidates"),
        *interval("oracle", "least loss of a candidate"),
        *interval("regret", "loss of the strategy − that of the oracle"),
        *interval("realised", "share of what choosing could win that the strategy wins"),
        *interval("effective_candidates", "(Σ w)² / Σ w² of the weights"),
        *interval("ties", "share of utterances in which the largest weight is shared"),
        REASON,
    ),
    "Losses are JS in bits; negative parts are better.",
)

HEARD = Table(
    "heard",
    "one control of a strategy: was the clip heard?",
    (
        CORPUS,
        MODEL,
        STRATEGY,
        CONTROL,
        count("n", "utterances that have both answers"),
        count("failed_clip", "utterances without an answer with the clip"),
        count("failed_control", "utterances without an answer under the control"),
        SPEAKERS,
        G_EFF,
        number("js_bits_with_clip", "JS with the clip"),
        number("js_bits_under_control", "JS under the control"),
        number("difference", "under the control − with the clip; above 0 the clip helped"),
        number("low", "lower end of its interval"),
        number("high", "upper end of its interval"),
        text("method", "method of the interval"),
        number("p", "p of the difference"),
        text("p_method", "method of p"),
        number("p_holm", "p after Holm over the model's controls on the corpus"),
        number("detectable", "smallest difference that is called with 80 % power"),
        number("unchanged", "share of answers that the control did not change"),
        text(
            "heard",
            "`yes`: the difference is above 0, `p_holm` below .05 and the interval, if there is "
            "one, above 0; `no`: no answer changed and none failed on one side only; else "
            "`not shown`",
        ),
        text(
            "reason", "why there is no interval, or that with so few speakers no p is small enough"
        ),
    ),
    "Only where the plan has controls.",
)

LEVEL_TABLE = Table(
    "levels",
    "one level of ambiguity of a corpus",
    (
        CORPUS,
        LEVEL,
        text("rule", "the rule that makes the levels; docs/corpora.md"),
        count("n", "utterances at the level"),
        number("votes", "their votes; whole unless a vote is shared between labels"),
        number("entropy_bits", "mean entropy of their votes"),
        number("entropy_bits_miller_madow", "the same, corrected for few raters"),
    ),
    "Levels and truth share their votes, so the levels are a description.",
)

PAIRED = Table(
    "paired",
    "one difference a − b on the same utterances, at one level and by one metric",
    (
        CORPUS,
        MODEL,
        text("a", "the strategy"),
        text("a_control", "its control"),
        text("b", "what it is compared with: greedy, a baseline, or itself under a control"),
        text("b_control", "the control of b"),
        LEVEL,
        text("metric", "name of the metric"),
        text("better", "`lower` or `higher`: which values of the metric are better"),
        text("family", "the comparisons that are corrected together, or `exploratory`"),
        count("n", "utterances where both have a prediction"),
        count("failed_a", "utterances without a prediction of a"),
        count("failed_b", "utterances without a prediction of b"),
        SPEAKERS,
        G_EFF,
        number("difference", "value of a − value of b"),
        number("low", "lower end of its interval"),
        number("high", "upper end of its interval"),
        text("method", "method of the interval"),
        number("p", "p of the difference, not corrected"),
        text("p_method", "method of p: sign flip, or jackknife t above 1,000 speakers"),
        number("p_holm", "p after Holm; in a family only"),
        number("detectable", "smallest difference that is called with 80 % power, alone"),
        number("detectable_family", "the same after the correction of the family"),
        text("reason", "why there is no interval"),
    ),
)

RESULTS = Table(
    "results",
    "one strategy of a model on a corpus, under one control, at one level",
    (
        CORPUS,
        MODEL,
        STRATEGY,
        CONTROL,
        LEVEL,
        PREDICTED,
        count("failed", "utterances without one; they are in no metric"),
        count("candidates", "candidates of these utterances"),
        count("unparsed", "candidates that do not parse"),
        count("unscored", "candidates that parse and have no score (verifier or likelihood)"),
        SPEAKERS,
        G_EFF,
        count("r2_pearson_n", "utterances on which `r2_pearson` exists"),
        *(column for one in METRICS for column in interval(one.name, one.meaning)),
        *interval(
            "js_divergence_bits_failed_as_uniform", "JS with every failed prediction as uniform"
        ),
        text("by_bootstrap", "the metrics whose bounds are a bootstrap's"),
        REASON,
    ),
    "docs/metrics.md defines the metrics and their intervals.",
)

VERIFIER = Table(
    "verifier",
    "one quantity of a verifier's scores of one question",
    (
        CORPUS,
        MODEL,
        text("judge", "the model that gave the scores"),
        text("question", "name of the question"),
        text("quantity", 'name of the quantity; docs/metrics.md, "The verifier\'s quality"'),
        text(
            "candidate",
            "number of the candidate, for `mean_score`, or of the place, for `mean_score_at_place`; 1 is the first",
        ),
        *VALUE,
        count("n", "utterances that have the quantity"),
        SPEAKERS,
        G_EFF,
        text("reason", "why there is no value or no interval"),
    ),
    "Only where a verifier judges.",
)

TABLES: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for table in (
            RESULTS, PAIRED, HEARD, CLAIMS, GAINS, CURVES, AMBIGUITY, FLOORS, VERIFIER, LEVEL_TABLE,
            DRAWS, CELLS,
        )
    }
)  # fmt: skip
"""Every CSV file of `data/tables/`, by its name without the ending."""


def names(columns: Sequence[Column]) -> list[str]:
    """The header of a table."""
    return [column.name for column in columns]
