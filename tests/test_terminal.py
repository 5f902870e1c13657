"""The one way to print: numbers stay whole at every width, a narrow terminal shows fewer columns
and says which, and nothing but text reaches a file."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pseudo_terminal import COLOUR, KEPT, piped, printed
from rich.cells import cell_len

from ambiemo.terminal import (
    PIECE,
    Column,
    Facts,
    Line,
    Table,
    as_json,
    layout,
    lines_of,
    table,
    wrapped,
)

BUNDLE = "artifacts/reference/quick"
WIDTHS = (60, 80, 120, 200)
COMMANDS = {
    "tables": ["tables", BUNDLE],
    "strategies": ["strategies"],
    "models": ["models"],
    "plan": ["plan", "reproduce/quick.yaml"],
    "plan of the paper": ["plan", "reproduce/paper.yaml"],
    "compare": ["compare", BUNDLE, BUNDLE],
    "corpora": ["corpora"],
    "score": ["score", "VOTES", "FIRST", "SECOND", "--clusters", "CLUSTERS", "--by-ambiguity"],
}
NUMBER = re.compile(r"(?<![\w.,])[-+]?\d(?:[\d,]*\d)?(?:\.\d+)?(?![\w.]*\w)")
INTERVAL = re.compile(r"-?\d\.\d+ \[-?\d\.\d+, -?\d\.\d+\]")


JSON = {
    "plan": COMMANDS["plan"],
    "verify": ["verify", BUNDLE],
    "compare": COMMANDS["compare"],
    "trace": ["trace", BUNDLE, "results", "2", "n"],
    "tables": COMMANDS["tables"],
    "score": ["score", "VOTES", "FIRST"],
    "strategies": ["strategies"],
    "models": ["models"],
    "corpora": ["corpora"],
}
Seen = dict[tuple[str, int], str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Votes, two files of predictions and clusters of 40 utterances."""
    folder = tmp_path_factory.mktemp("scored")
    ids = range(40)
    head = "utterance_id,happy,sad,fear"
    texts = {
        "VOTES": [head, *(f"u{i},{i % 4 + 1},{i % 3},{i % 2}" for i in ids)],
        "FIRST": [head, *(f"u{i},0.5,0.25,0.25" for i in ids)],
        "SECOND": [head, *(f"u{i},0.6,0.3,0.1" for i in ids)],
        "CLUSTERS": ["utterance_id,cluster", *(f"u{i},s{i % 8}" for i in ids)],
    }
    for name, lines in texts.items():
        (folder / f"{name.lower()}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return {name: str(folder / f"{name.lower()}.csv") for name in texts}


def filled(words: list[str], files: dict[str, str]) -> list[str]:
    return [files.get(word, word) for word in words]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for the processes below: where they keep the tables that they share."""
    return {KEPT: str(tmp_path_factory.mktemp("kept") / "tables")}


@pytest.fixture(scope="module")
def seen(files: dict[str, str], kept: dict[str, str]) -> Seen:
    """Every command at every width in one terminal, and with --json at 60 columns (width 0)."""
    names = [(name, width) for name in COMMANDS for width in WIDTHS]
    asked = [(width, filled(COMMANDS[name], files)) for name, width in names]
    asked += [(60, [*filled(words, files), "--json"]) for words in JSON.values()]
    told = [text for _, text in printed(asked, **kept)]
    return dict(zip([*names, *((name, 0) for name in JSON)], told, strict=True))


@pytest.fixture(scope="module")
def whole(files: dict[str, str], kept: dict[str, str]) -> dict[str, str]:
    """Every command's output where stdout is a file."""
    told = piped([(0, filled(words, files)) for words in COMMANDS.values()], **kept)
    return {name: text for name, (_, text) in zip(COMMANDS, told, strict=True)}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_in_a_terminal_every_number_is_whole_and_no_line_is_wider(
    name: str, width: int, seen: Seen, whole: dict[str, str], files: dict[str, str]
) -> None:
    text = COLOUR.sub("", seen[name, width])
    lines = text.splitlines()
    assert len(lines) > 5, text
    wide = [line for line in lines if cell_len(line) > width]
    assert [line for line in wide if len(line.split()) > 1 and "/tmp" not in line] == []
    numbers = NUMBER.findall(re.sub(r"left out: .*? or \d+ columns\)", "", " ".join(text.split())))
    assert set(numbers) - set(NUMBER.findall(whole[name])) == set()
    assert not re.search(r"\d…|…\d", text)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_strategy_s_interval_stands_on_one_line_at_every_width(
    width: int, seen: Seen, whole: dict[str, str]
) -> None:
    (greedy,) = re.findall(r"^greedy {3,}0\.254.*", seen["tables", width], re.M)
    assert "0.254 [0.216, 0.292]" in greedy
    every = set(INTERVAL.findall(whole["tables"].split("\n\n")[0]))
    assert len(every) > 15
    assert every <= set(INTERVAL.findall(seen["tables", width]))


def test_a_wider_terminal_shows_more_columns_and_a_narrow_one_names_the_others(seen: Seen) -> None:
    heads = ("JS bits", "accuracy", "BC", "macro", "Pearson", "ECE")
    first = {width: COLOUR.sub("", seen["tables", width]).split("\n\n")[0] for width in WIDTHS}
    above = {width: re.split("─", text)[0] for width, text in first.items()}
    counts = [sum(head in above[width] for head in heads) for width in WIDTHS]
    assert counts[0] < counts[1] < counts[2] == counts[3] == len(heads)
    for width in (60, 80):
        note = " ".join(re.split("─+", first[width])[1].split()).partition("left out")[2]
        assert all((head in above[width]) != (head in note) for head in heads), note
        assert "tables/results.csv" in note
    assert "left out" not in first[120]


def test_a_file_gets_no_colour_and_every_column(whole: dict[str, str], seen: Seen) -> None:
    for name, told in whole.items():
        assert "\x1b" not in told, name
        assert "\nleft out: " not in told, name
        assert not [line for line in told.splitlines() if line != line.rstrip()], name
    assert "\x1b[1m" in seen["tables", 80]


def test_no_color_is_obeyed_in_a_terminal() -> None:
    ((_, coloured),) = printed([(80, ["verify", "no-such-bundle"]), (80, ["strategies"])])[1:]
    ((_, plain),) = printed([(80, ["strategies"])], NO_COLOR="1")
    assert COLOUR.findall(coloured)
    assert not re.search(r"\x1b\[(?:\d+;)*[349]\d", plain)


def test_an_ascii_terminal_gets_ascii() -> None:
    ((_, told),) = piped([(0, ["plan", "reproduce/quick.yaml"])], PYTHONIOENCODING="ascii")
    assert told.isascii()
    assert "cells: ok can be filled here" in told


ROW = st.lists(
    st.floats(-1000, 1000).map(lambda value: f"{value:.3f} [{value - 1:.3f}, {value + 1:.3f}]"),
    min_size=4,
    max_size=4,
)


@given(
    st.lists(st.tuples(st.text("abc_ -", min_size=1, max_size=30), ROW), min_size=1, max_size=5),
    st.integers(40, 200),
)
def test_numbers_stay_whole_at_any_width(rows: list[tuple[str, list[str]]], width: int) -> None:
    lines = [["name", "a", "b", "c", "d"], *([name, *numbers] for name, numbers in rows)]
    made = table("", lines, words=1)
    told = lines_of([made], width)
    fits = layout(made, width)
    for _, numbers in rows:
        for place in fits.shown[1:]:
            assert any(numbers[place - 1] in line for line in told)
    assert fits.shown[:2] == (0, 1)


def test_the_least_important_column_goes_first_and_one_that_never_changes_before_it() -> None:
    columns = (Column("who", "key"), *(Column(name, "number", rank) for name, rank in RANKS))
    made = Table("", columns, (("a", "1111", "2222", "96"), ("b", "3333", "4444", "96")), "there")
    assert lines_of([made], 200)[0].split() == ["who", "first", "last", "n"]
    narrow = lines_of([made], 16)
    assert narrow[0].split() == ["who", "first", "last"][: len(narrow[0].split())]
    assert "the same in every row: n 96" in " ".join(narrow)
    assert "left out: last (see there" in " ".join(lines_of([made], 12))


RANKS = (("first", 0), ("last", 2), ("n", 1))


@given(st.lists(ROW, min_size=2, max_size=5))
def test_the_width_that_the_note_names_shows_everything_and_one_less_does_not(
    rows: list[list[str]],
) -> None:
    made = table("", [["name", *"abcd"], *([f"r{i}", *row] for i, row in enumerate(rows))], words=1)
    wide = layout(made, 60).whole
    assert not layout(made, wide).left_out
    assert layout(made, wide - 1).left_out


def test_a_name_breaks_before_a_word_and_a_number_nowhere() -> None:
    assert wrapped("w_bon_sampled_2 on crema-d", 12, PIECE) == ["w_bon_", "sampled_2 on", "crema-d"]
    assert wrapped("https://one.org/two", 12) == ["https://one.org/two"]
    assert wrapped("gain 0.254 [0.216, 0.292] of 9", 12) == ["gain", "0.254 [0.216, 0.292]", "of 9"]
    assert wrapped("a hash " + "0" * 64, 20)[-1] == "0" * 64


def test_no_escape_sequence_and_no_second_line_comes_out_of_a_name() -> None:
    odd = "a\x1b[31mred\x1b]0;title\x07\nsecond\u202eline"
    made = [table(odd, [[odd, "n"], [odd, "1"]], words=1), Line(odd), Facts(odd, ((odd[:1], odd),))]
    for width in (None, 60, 200):
        text = "\n".join(lines_of(made, width))
        assert all(c.isprintable() or c == "\n" for c in text)
        assert r"\x1b" in text


def test_facts_stand_in_a_column_and_their_words_wrap_inside_it() -> None:
    told = lines_of([Facts("tiny", (("licence", "free " * 20), ("n", "96")))], 40)
    assert told[0] == "tiny"
    assert {line[:11] for line in told[2:-1]} == {" " * 11}
    assert told[-1] == "  n        96"


@pytest.mark.parametrize("name", JSON)
def test_json_is_one_object_without_colour_even_in_a_narrow_terminal(name: str, seen: Seen) -> None:
    assert "\x1b" not in seen[name, 0]
    assert isinstance(json.loads(seen[name, 0], parse_constant=pytest.fail), dict)


def test_json_has_null_where_there_is_no_number() -> None:
    found = json.loads(as_json({"a": [float("nan"), {"b": (float("inf"), 1.5)}], "c": True}))
    assert found == {"a": [None, {"b": [None, 1.5]}], "c": True}


def test_the_tables_as_json_are_those_of_the_bundle(seen: Seen) -> None:
    found = json.loads(seen["tables", 0])["tables"]
    assert {"results", "claims", "gains", "heard"} <= set(found)
    (greedy,) = (
        row
        for row in found["results"]
        if (row["strategy"], row["control"], row["level"]) == ("greedy", "none", "all")
    )
    assert f"{greedy['js_divergence_bits']:.3f}" == "0.254"
