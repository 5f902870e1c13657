"""The tables for people: strategies that differ in the number of candidates alone are a table of
their own, levels stand under their warning, and nothing is lost."""

import gzip
import math
from dataclasses import replace
from pathlib import Path

import bundle_real
import pytest

from ambiemo.plan.dry_run import show
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import check
from ambiemo.results.overview import overview
from ambiemo.results.rendering import (
    LEVEL_TITLE,
    LEVEL_WARNING,
    MORE,
    NO_OTHER,
    by_level,
    from_csv,
    grouped,
    heading,
    scaling,
    unscored,
)
from ambiemo.results.study import study_of
from ambiemo.strategies.baselines import ONE_SPEAKER
from ambiemo.terminal import Table, lines_of, table

METRICS = ("js_divergence_bits", "bhattacharyya", "r2_pearson", "accuracy", "macro_f1", "ece_10")
REFERENCE = Path(__file__).parent.parent / "artifacts/reference/quick/data"
LONGEST = "label_logprobs · shuffled audio"


def cell(
    strategy: str,
    count: int,
    decoding: str = "sample",
    aggregator: str = "vote_share",
    model: str = "m",
    control: str = "none",
) -> dict:
    made_of = {"prompt": "direct", "decoding": decoding, "scorer": "", "aggregator": aggregator}
    made_of |= dict.fromkeys(("tau", "concentration", "epsilon"), math.nan)
    return {
        "corpus": "c",
        "model": model,
        "strategy": strategy,
        "control": control,
        **made_of,
        "count": count,
    }


def results(cells: list[dict]) -> list[dict]:
    """A JS of 1/N for every cell: rows of results.csv."""
    rows = []
    for one in cells:
        about = {name: one[name] for name in ("corpus", "model", "strategy", "control")}
        numbers = dict.fromkeys(METRICS, 1 / one["count"])
        numbers |= {"js_divergence_bits_low": math.nan, "js_divergence_bits_high": math.nan}
        told = {"n": 1, "failed": 0, "candidates": one["count"], "unparsed": 0, "unscored": 0}
        rows += [
            about | {"level": level} | numbers | told for level in ("all", "low", "medium", "high")
        ]
    return rows


def test_a_strategy_with_several_numbers_of_candidates_is_a_line_by_that_number() -> None:
    cells = [cell("vote", 8), cell("vote_4", 4), cell("vote_2", 2)]
    assert scaling(results(cells), cells) == [
        ["model", "strategy", "N = 2", "N = 4", "N = 8"],
        ["m on c", "vote", "0.500", "0.250", "0.125"],
    ]
    assert [line[0] for line in grouped(results(cells), cells)[("c", "m")]] == ["vote"]


def test_the_order_of_the_plan_does_not_matter() -> None:
    cells = [cell("vote_2", 2), cell("vote", 8)]
    assert scaling(results(cells), cells)[1][1] == "vote"
    assert [line[0] for line in grouped(results(cells), cells)[("c", "m")]] == ["vote"]


@pytest.mark.parametrize(
    "others",
    [
        [cell("mixture", 4, aggregator="dirichlet_mixture")],
        [cell("beams", 4, decoding="beam")],
        [cell("twin", 8)],
        [],
    ],
)
def test_strategies_that_differ_in_more_or_in_nothing_all_stay_in_the_table(
    others: list[dict],
) -> None:
    cells = [cell("vote", 8), *others]
    assert scaling(results(cells), cells) == []
    assert len(grouped(results(cells), cells)[("c", "m")]) == len(cells)


def test_a_number_that_one_strategy_lacks_is_an_empty_place() -> None:
    cells = [
        cell("vote", 8),
        cell("vote_2", 2),
        cell("best", 8, aggregator="best"),
        cell("best_4", 4, aggregator="best"),
    ]
    assert [line[2:] for line in scaling(results(cells), cells)] == [
        ["N = 2", "N = 4", "N = 8"],
        ["0.500", "", "0.125"],
        ["", "0.250", "0.125"],
    ]


def test_each_model_has_its_own_line_and_a_skipped_one_has_none() -> None:
    cells = [
        cell("vote", 8),
        cell("vote_2", 2),
        cell("vote", 8, model="other"),
        cell("vote_2", 2, model="other"),
    ]
    assert [line[0] for line in scaling(results(cells), cells)[1:]] == ["m on c", "other on c"]
    assert [line[0] for line in scaling(results(cells[:2]), cells)[1:]] == ["m on c"]


def test_a_strategy_whose_larger_sibling_was_skipped_stays_in_the_table() -> None:
    cells = [cell("vote", 8), cell("vote_4", 4), cell("vote_2", 2)]
    assert [line[0] for line in grouped(results(cells[2:]), cells)[("c", "m")]] == ["vote_2"]
    assert scaling(results(cells[2:]), cells) == []
    assert [line[0] for line in grouped(results(cells[1:]), cells)[("c", "m")]] == ["vote_4"]
    assert scaling(results(cells[1:]), cells)[0][2:] == ["N = 2", "N = 4"]


def test_the_line_of_a_control_says_so() -> None:
    cells = [
        cell(name, count, control=one)
        for name, count in (("v", 8), ("v_2", 2))
        for one in ("none", "silence")
    ]
    assert [line[1] for line in scaling(results(cells), cells)[1:]] == ["v", "v · silence"]


def test_levels_are_a_table_of_their_own_and_no_column_of_the_main_one() -> None:
    cells = [cell("vote", 8), cell("cot", 1)]
    assert by_level(results(cells)) == [
        ["model", "strategy", "JS low", "JS medium", "JS high"],
        ["m on c", "vote", "0.125", "0.125", "0.125"],
        ["m on c", "cot", "1.000", "1.000", "1.000"],
    ]
    assert not any("low" in head or "high" in head for head in heading())


def test_the_levels_stand_under_their_warning() -> None:
    shown = bundle_real.files()["tables/results.md"].decode()
    title, warning, table_of_levels = (
        shown.index(text) for text in (LEVEL_TITLE, LEVEL_WARNING, "JS medium")
    )
    assert title < warning < table_of_levels


def test_a_control_that_one_speaker_s_corpus_cannot_have_is_said_to_be_left_out() -> None:
    plan = bundle_real.plan()
    stands = bundle_real.expanded(plan, 6)
    corpus = stands.corpora["tiny"]
    alone = tuple(replace(one, speaker="", cluster="c") for one in corpus.utterances)
    stands = replace(stands, corpora={"tiny": replace(corpus, utterances=alone)})
    gathered, _ = bundle_real.answers_of(stands, mended=False)
    made = bundle_real.derived(study_of(stands), gathered)
    assert (
        f"- tiny × tiny × w_bon (shuffled_audio): {NO_OTHER}" in made["tables/results.md"].decode()
    )
    assert b",shuffled_audio," not in made["tables/results.csv"]
    assert b",silence," in made["tables/results.csv"]
    baseline = gzip.decompress(made["predictions/baselines/tiny.jsonl.gz"]).decode()
    assert ONE_SPEAKER in baseline


def test_headings_name_the_variant_of_a_metric() -> None:
    assert {"R² Pearson ↑", "ECE 10 ↓"} <= set(heading())


def test_125_columns_hold_every_strategy_and_every_number_on_one_line() -> None:
    lines = [
        [name, "0.254 [0.222, 0.287]", *["0.774"] * 5, "9600", "0", "0/76800"]
        for name in ("greedy", LONGEST)
    ]
    printed = lines_of([table("", [heading(), *lines], words=1)], width=125)
    whole = [line for line in printed if "0/76800" in line and "0.254 [0.222, 0.287]" in line]
    assert [line.count("0.774") for line in whole] == [5, 5]


def test_candidates_without_a_score_are_told_where_there_are_any() -> None:
    rows = results([cell("vote", 8), cell("alm_v", 3), cell("alm_v", 3, control="silence")])
    assert unscored(rows, "c", "m") == []
    for row in rows:
        row["unscored"] = 2 * (row["strategy"] == "alm_v")
    assert [note.partition(": ")[2] for note in unscored(rows, "c", "m")] == [
        "alm_v 2/3, alm_v · silence 2/3."
    ]


def test_the_dry_run_s_grid_has_one_row_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    fewer = {"name": "vote_fewer", "base": "majority_vote", "count": 2}
    plan = check(
        {
            "name": "p",
            "seed": 1,
            "models": [{"id": "tiny", "engine": "null"}],
            "corpora": [{"id": "tiny", "limit": 2}],
            "strategies": ["greedy", fewer, "majority_vote"],
        },
        "p",
    )
    assert show(expand(plan), as_json=False)
    shown = capsys.readouterr().out
    assert "majority_vote, N = 2, 8" in shown
    assert "fewer" not in shown
    assert shown.count("✓") == 3  # greedy, majority_vote, and the legend


def test_a_narrow_terminal_keeps_every_number_of_candidates() -> None:
    tables = {
        f"tables/{name}.csv": (REFERENCE / f"tables/{name}.csv").read_bytes()
        for name in ("results", "cells")
    }
    (whole,) = (one for one in overview(tables) if isinstance(one, Table) and one.title == MORE)
    wanted = scaling(*(from_csv(data) for data in tables.values()))
    numbers = [cell for line in wanted[1:] for cell in line[2:] if cell]
    assert len(numbers) > 10
    printed = [line for line in lines_of([whole], 60) if "[" in line]
    assert [line[line.index("0.") :].strip() for line in printed] == numbers
