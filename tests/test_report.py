"""The page of a bundle: every number is a table's, a forged one is found, nothing in it runs, and it
says what it lacks.
"""

import csv
import html
import io
import json
import os
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import report_bundles as bundles
from click.testing import CliRunner, Result
from report_bundles import HELD, REFERENCE
from scipy.stats import binomtest

from ambiemo.bundle import page as pages
from ambiemo.bundle import page_check, page_utterances
from ambiemo.bundle.folder import payload
from ambiemo.bundle.page_check import check_page
from ambiemo.bundle.verify import CHECKS
from ambiemo.cli import main
from ambiemo.durable import sha256
from ambiemo.pipeline import run as running
from ambiemo.results.report import cells, figures, svg, words
from ambiemo.results.report import page as rendering
from ambiemo.results.report.calibration import reliability


def ambiemo(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def small() -> dict[str, bytes]:
    return bundles.small()


@pytest.fixture
def figures_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles.figures_drawn_once(monkeypatch)


@pytest.fixture(scope="module")
def bundle(small: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("report") / "real", small)


@pytest.fixture(scope="module")
def page(bundle: Path) -> Path:
    """The page of the small bundle, as `ambiemo report` writes it."""
    place, findings = pages.write_page(bundle)
    assert findings == []
    return place


def forged(page: Path, folder: Path, change: Callable[[str], str]) -> Path:
    text = page.read_text("utf-8")
    changed = change(text)
    assert changed != text
    place = folder / "forged.html"
    place.write_text(changed, "utf-8")
    return place


def findings_of(bundle: Path, page: Path) -> list[str]:
    return [f"{one.file}: {one.found}" for one in check_page(bundle, page, HELD).findings]


# Every number is a table's


def test_every_number_names_the_cell_that_it_is(bundle: Path, page: Path) -> None:
    reader = page_check._Reader()
    reader.feed(page.read_text("utf-8"))
    assert len(reader.seen.numbers) > 500
    tables = {
        path.name: list(csv.reader(io.StringIO(path.read_text("utf-8"), newline="")))
        for path in (bundle / "data/tables").glob("*.csv")
    }
    for told, text in reader.seen.numbers:
        rows = tables[str(told["data-table"])]
        row = rows[int(str(told["data-row"])) - 1]
        assert text == row[rows[0].index(str(told["data-column"]))]


def test_a_row_has_the_number_that_trace_knows_it_by(bundle: Path) -> None:
    table = cells.read("results", (bundle / "data/tables/results.csv").read_bytes())
    line = table.of(strategy="greedy", level="all", control="none")[0]
    done = ambiemo("trace", bundle, "results", line.row, "js_divergence_bits")
    assert done.stdout.startswith(f"js_divergence_bits = {line['js_divergence_bits']}")


def test_dimmed_digits_are_still_the_text() -> None:
    assert re.sub("<.*?>", "", rendering.digits("0.254007")) == "0.254007"
    assert "<i>007</i>" in rendering.digits("0.254007")
    assert rendering.digits("0.000488") == "0.000488", "a small p keeps its digits"
    assert rendering.digits("<b>") == "&lt;b&gt;"


def test_the_same_bundle_gives_the_same_page(bundle: Path, page: Path) -> None:
    assert pages.page_of(bundle, HELD, pages.ALL, page) == page.read_bytes()


def test_a_page_of_the_reference_bundle_is_under_5_mib() -> None:
    data = bundles.reference_page()
    assert len(data) < 5 * 2**20
    text = data.decode()
    assert "All 96 utterances." in text
    assert "1 HOLDS, 3 NOT REPRODUCED, 4 NOT SHOWN" in text
    assert "<!--figure--><svg" in text
    assert not re.search(r"https?://(?!www\.w3\.org/)", text), "a page asks no network"
    assert "style=" not in text.replace("page.style", ""), "the policy allows no style attribute"


# A forged page is found


def test_a_page_holds_against_its_bundle(bundle: Path, page: Path) -> None:
    outcome = check_page(bundle, page, HELD)
    assert (outcome.findings, outcome.check) == ((), "page")
    assert "not made again" not in outcome.title


def test_a_forged_number_is_found_by_its_cell(bundle: Path, page: Path, tmp_path: Path) -> None:
    pattern = re.compile(
        r'(data-table="results.csv" data-row="(\d+)" data-column="js_divergence_bits">)\d\.\d+(<i>\d+</i>)?<'
    )
    row = pattern.search(page.read_text("utf-8"))[2]
    other = forged(
        page, tmp_path, lambda text: pattern.sub(r"\g<1>0.000<i>001</i><", text, count=1)
    )
    assert findings_of(bundle, other)[0] == (
        f"forged.html, results.csv row {row} js_divergence_bits: 0.000001"
    )


FORGERIES: dict[str, Callable[[str], str]] = {
    "a sentence": lambda text: text.replace("claims about the paper", "claims beyond the paper", 1),
    "a verdict": lambda text: re.sub(r'<span class="chip \w*">[\w ]+<', '<span class="chip good">HOLDS THIS<', text, count=1),
    "a column's head": lambda text: text.replace("JS bits ↓", "JS bits ↑", 1),
    "a number's source": lambda text: text.replace('data-row="2"', 'data-row="3"', 1),
    "a row that is not there": lambda text: text.replace('data-row="2"', 'data-row="9999"', 1),
    "a table that is not there": lambda text: text.replace('data-table="results.csv"', 'data-table="other.csv"', 1),
    "a figure": lambda text: re.sub(r'(<!--figure-->.*?d="M )\d', r"\g<1>9", text, count=1, flags=re.S),
    "a whole table": lambda text: re.sub(r'(id="table-results">.*?)0\.1', r"\g<1>0.2", text, count=1, flags=re.S),
    "an utterance": lambda text: text.replace('"speaker":"speaker0"', '"speaker":"speaker9"', 1),
    "the policy": lambda text: text.replace("default-src &#39;none&#39;", "default-src *", 1),
    "a script": lambda text: text.replace("</body>", "<script src=//example.org/x.js></script></body>", 1),
    "what was checked": lambda text: text.replace('"ambiemo-checked" content="all"', '"ambiemo-checked" content="some"', 1),
    "the end": lambda text: text[:-8],
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_page_is_found(
    name: str, bundle: Path, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = page.read_bytes()
    # the page made again is the same each time (a test above), so it need not be drawn for each forgery
    monkeypatch.setattr(pages, "page_of", lambda *_, **__: again)
    assert findings_of(bundle, forged(page, tmp_path, FORGERIES[name]))


def test_a_page_of_another_bundle_is_found(
    page: Path, small: dict[str, bytes], tmp_path: Path
) -> None:
    other = bundles.write(tmp_path / "real", {**small, "log/run.log": b"{}\n"})
    (found,) = findings_of(other, page)
    assert "the bundle: tag manifest" in found


def test_with_another_matplotlib_all_but_the_figures_is_made_again(
    bundle: Path, page: Path, tmp_path: Path
) -> None:
    version = f'"ambiemo-matplotlib" content="{figures.matplotlib_version()}"'

    def older(text: str) -> str:
        told = text.replace(version, '"ambiemo-matplotlib" content="3.9.0"')
        told = told.replace(f"matplotlib {figures.matplotlib_version()}.", "matplotlib 3.9.0.")
        return FORGERIES["a figure"](told)

    outcome = check_page(bundle, forged(page, tmp_path, older), HELD)
    assert outcome.findings == ()
    assert "figures were not made again: drawn by matplotlib 3.9.0" in outcome.title
    other = forged(page, tmp_path, lambda text: FORGERIES["a sentence"](older(text)))
    assert findings_of(bundle, other)


def test_verify_checks_the_page_next_to_the_bundle(
    bundle: Path, page: Path, tmp_path: Path
) -> None:
    done = ambiemo("verify", bundle)
    assert (done.exit_code, done.stdout.count("✓")) == (0, len(CHECKS) + 1)
    assert f"✓ {page} shows what the tables say" in done.stdout
    other = forged(page, tmp_path, FORGERIES["a number's source"])
    done = ambiemo("verify", bundle, "--report", other, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["holds"], told["checks"][-1]["check"]) == (1, False, "page")
    done = ambiemo("verify", bundle, "--report", tmp_path / "none.html")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


@pytest.mark.usefixtures("figures_drawn_once")
def test_a_file_that_is_no_page_is_found_and_sets_nothing_off(bundle: Path, tmp_path: Path) -> None:
    for data in (b"", b"\xff\xfe", b"<html>", b"<meta name=ambiemo-bundle>" * 10, b"<" * 10000):
        place = tmp_path / "other.html"
        place.write_bytes(data)
        assert findings_of(bundle, place)


# A bundle that does not verify, or lacks something


@pytest.mark.usefixtures("figures_drawn_once")
def test_a_broken_bundle_is_said_on_top_and_strict_writes_nothing(
    small: dict[str, bytes], tmp_path: Path
) -> None:
    table = small["tables/results.csv"].replace(b"0.", b"0.0", 40)
    broken = bundles.write(tmp_path / "real", {**small, "tables/results.csv": table})
    strict = ambiemo("report", broken, "--strict")
    assert (strict.exit_code, strict.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "real.html").exists()
    done = ambiemo("report", broken)
    assert (done.exit_code, "does not verify" in done.stderr) == (0, True)
    text = (tmp_path / "real.html").read_text("utf-8")
    top = text[text.index("<header") : text.index("<main")]
    assert 'class="alarm" role="alert"' in top
    assert "tables/results.csv" in top
    assert "every check holds" not in text


def test_what_is_no_bundle_is_one_line_and_exit_2(tmp_path: Path) -> None:
    done = ambiemo("report", tmp_path)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    done = ambiemo("figures", tmp_path, "--out", tmp_path / "figures")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.usefixtures("figures_drawn_once")
def test_without_claims_the_page_says_so(small: dict[str, bytes], tmp_path: Path) -> None:
    files = {path: data for path, data in small.items() if path != "tables/claims.csv"}
    data = pages.page_of(bundles.write(tmp_path / "real", files), HELD, pages.ALL, tmp_path / "x")
    assert "This bundle has no claims." in data.decode()


@pytest.mark.usefixtures("figures_drawn_once")
@pytest.mark.parametrize(
    "lost", ["tables/results.csv", "config/plan.yaml", "inputs/utterances.jsonl"]
)
def test_a_file_that_is_gone_leaves_a_page_that_says_what_is_missing(
    lost: str, small: dict[str, bytes], tmp_path: Path
) -> None:
    files = {path: data for path, data in small.items() if path != lost}
    bundle = bundles.write(tmp_path / "real", files)
    text = pages.page_of(bundle, HELD, pages.ALL, tmp_path / "x").decode()
    assert "Not on this page:" in text
    assert text.endswith("</html>\n")


def test_one_utterance_and_one_strategy_is_a_page_too(tmp_path: Path) -> None:
    files = bundles.files(1, strategies=["greedy"], controls=[])
    bundle = bundles.write(tmp_path / "real", files)
    text = pages.page_of(bundle, HELD, pages.ALL, tmp_path / "x").decode()
    assert "All 1 utterances." in text
    assert html.escape(rendering.LACKS["heard"]) in text


# Nothing in it runs


def test_hostile_names_are_shown_as_text(small: dict[str, bytes], tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "real", bundles.hostile(small))
    text = pages.page_of(bundle, HELD, pages.ALL, tmp_path / "x").decode()
    assert bundles.MARKUP not in text
    assert bundles.CLOSING not in text
    assert "&lt;img src=x onerror=" in text, "shown, escaped"
    assert not {"\x1b", "\u202e"} & set(text)
    assert r"\x1b[31mred\u202egnp.exe" in text, "control characters and marks are shown"
    assert text.count("<script>") == 1


def test_only_the_page_s_own_script_and_style_may_run() -> None:
    told = rendering.policy("a{}", "b()", False)
    assert told.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in told
    assert "media-src" not in told, "no audio, no media"


def test_json_in_the_page_cannot_end_its_element() -> None:
    told = rendering.as_json({"a": "</script><!--<script>&"})
    assert not set("<>&") & set(told)
    assert json.loads(told) == {"a": "</script><!--<script>&"}


# Figures


def test_figures_are_the_same_bytes_each_time(bundle: Path, tmp_path: Path) -> None:
    for name, formats in (("one", "svg,pdf"), ("two", "svg")):
        done = ambiemo("figures", bundle, "--out", tmp_path / name, "--format", formats)
        assert done.exit_code == 0, done.output
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert len(one) >= 12
    assert sorted(one) == sorted([*two, *(f"{name[:-4]}.pdf" for name in two)])
    assert {name: one[name] for name in two} == two
    assert not any(b"20" in re.findall(rb"<dc:date>(..)", data) for data in one.values())
    # a PDF's date and producer are those of every PDF, so one that is drawn again tells of all
    first = figures.drawings(pages.tables_of(payload(bundle), []))[0]
    assert figures.pdf(first) == one[f"{first.name}.pdf"]


def test_a_format_that_is_none_is_one_line(bundle: Path, tmp_path: Path) -> None:
    done = ambiemo("figures", bundle, "--out", tmp_path / "x", "--format", "png")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "x").exists()


def test_a_figure_in_the_page_has_classes_in_place_of_colours_and_ids_of_its_own() -> None:
    data = (
        b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 10">'
        b'<defs><path id="m" d="M0 0"/></defs><use xlink:href="#m" id="u" style="fill: #1b1f24; stroke: none"/></svg>'
    )
    told = svg.inline(data, "f1-", "A <title>", "An alt")
    assert 'class="fill-ink"' in told
    assert 'href="#f1-m"' in told
    assert 'id="f1-m"' in told
    assert 'id="u"' not in told, "an id that nobody refers to"
    assert "style=" not in told
    assert "A &lt;title&gt;" in told
    with pytest.raises(svg.Unfit, match="#123456"):
        svg.inline(data.replace(b"#1b1f24", b"#123456"), "f1-", "", "")


def test_a_row_far_beyond_the_others_does_not_press_them_together() -> None:
    def mark(value: float) -> list[figures.Mark]:
        return [figures.Mark(value, value - 0.01, value + 0.01)]

    low, high = figures._limits([mark(0.1), mark(0.2), mark(9.0)])
    assert low < 0 < 0.2 < high < 1


def test_labels_at_the_end_of_lines_never_lie_over_one_another() -> None:
    placed = figures._apart([0.5, 0.5, 0.51, 0.1], 0.2)
    ordered = sorted(placed)
    assert all(b - a > 0.2 - 1e-6 for a, b in pairwise(ordered))
    assert np.argsort(placed, kind="stable").tolist() == [3, 0, 1, 2]


# Words, calibration, sample, audio


def table(name: str, rows: list[dict[str, str]]) -> cells.Table:
    lines = tuple(cells.Line(name, place + 2, row) for place, row in enumerate(rows))
    return cells.Table(name, tuple(rows[0]), lines)


PAIR = {
    "corpus": "c", "model": "m", "a": "w_bon", "b": "greedy", "family": "named", "level": "all",
    "metric": "js_divergence_bits", "difference": "-0.020000", "low": "-0.030000", "high": "-0.010000",
    "p_holm": "0.010000", "detectable_family": "0.015000",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said", "tone"),
    [
        ({}, "w_bon is shown to be better than greedy", "good"),
        (
            {"difference": "0.020000", "low": "0.010000", "high": "0.030000"},
            "shown to be worse",
            "bad",
        ),
        ({"p_holm": "0.060000"}, "None of the 1 strategies", "open"),
        ({"p_holm": "0.060000"}, "a difference of 0.015000 bits in four of five", "open"),
        (
            {"p_holm": "0.060000", "detectable_family": ""},
            "With so few speakers this run could call no difference.",
            "open",
        ),
    ],
)
def test_only_what_holm_calls_is_called_better(
    change: dict[str, str], said: str, tone: str
) -> None:
    sentence = words.against_greedy_sentence(table("paired", [PAIR | change]))
    assert said in "".join(one if isinstance(one, str) else one.text for one in sentence.parts)
    assert sentence.tone == tone


def test_an_exploratory_difference_is_never_in_the_summary() -> None:
    assert (
        words.against_greedy_sentence(table("paired", [PAIR | {"family": "exploratory"}])) is None
    )


def test_the_bins_have_the_ece_of_the_table() -> None:
    study = pages.study_from(payload(REFERENCE))
    results = cells.read("results", (REFERENCE / "data/tables/results.csv").read_bytes())
    found = page_utterances.browsed(payload(REFERENCE), study).reliabilities
    assert len(found) == page_utterances.MOST_CALIBRATED
    for one in found:
        (line,) = results.of(model=one.model, strategy=one.strategy, control="none", level="all")
        assert f"{one.ece:.6f}" == line["ece_10"]
        assert sum(one.counts) == int(line["n"])


def test_a_calibrated_model_has_about_the_ece_by_chance() -> None:
    chance = np.random.default_rng(7)
    found = []
    for _ in range(60):
        sure = chance.uniform(0.5, 1, 400)
        predicted = np.stack([sure, 1 - sure], axis=1)
        right = chance.uniform(size=400) < sure
        truth = np.stack([right, ~right], axis=1).astype(float)
        found.append(reliability(("c", "m", "s"), truth, predicted))
    ratio = np.mean([one.ece for one in found]) / np.mean([one.by_chance for one in found])
    assert 0.93 < ratio < 1.07


@pytest.mark.parametrize(("votes", "raters"), [(0, 9), (6, 9), (9, 9), (1, 1)])
def test_the_interval_of_a_share_is_wilson_s(votes: int, raters: int) -> None:
    expected = binomtest(votes, raters).proportion_ci(0.95, "wilson")
    assert page_utterances.wilson(votes / raters, raters) == pytest.approx(
        tuple(expected), abs=1e-9
    )


def test_a_large_bundle_is_sampled_by_hash_and_says_so(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"u{place}" for place in range(1000)]
    chosen = page_utterances.sample("c", names, 50)
    assert chosen == page_utterances.sample("c", names[::-1], 50)
    assert chosen != names[:50]
    assert page_utterances.sample("other", names, 50) != chosen
    monkeypatch.setattr(page_utterances, "MOST_BYTES", 9000)
    files = payload(bundle)
    found = page_utterances.browsed(files, pages.study_from(files))
    assert 1 <= len(found.utterances["utterances"]) < 12
    assert "of 12 utterances" in found.sample


def clip(bundle: Path, folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)


def test_audio_is_linked_by_hash_alone(tmp_path: Path) -> None:
    from ambiemo.bundle.page_audio import links, words, wrong_links

    right, other = b"the clip", b"another clip"
    rows = [{"id": name, "sha": sha256(right + name.encode())} for name in ("u1", "u2", "u3")]
    folder = tmp_path / "my audio"
    clip(tmp_path, folder, "u1.wav", right + b"u1")
    clip(tmp_path, folder, "u2.wav", other)
    clip(tmp_path, folder, "renamed.flac", right + b"u3")
    clip(tmp_path, folder, "u1.txt", b"not audio")
    told = links(folder, tmp_path / "page.html", rows)
    assert told["u1"] == {"href": "my%20audio/u1.wav"}
    assert told["u3"] == {"href": "my%20audio/renamed.flac"}
    assert "u2.wav is not this clip" in told["u2"]["why"]
    assert words(told, 3).startswith("Your own audio: 2 of 3 clips are linked")
    assert wrong_links(tmp_path / "page.html", told, rows) == []
    clip(tmp_path, folder, "u1.wav", other)
    assert [one[0] for one in wrong_links(tmp_path / "page.html", told, rows)] == ["audio of u1"]
    javascript = {"u1": {"href": "javascript:alert(1)"}}
    assert wrong_links(tmp_path / "page.html", javascript, rows)


@pytest.mark.usefixtures("figures_drawn_once")
def test_a_page_with_audio_is_checked_like_any_other(bundle: Path, tmp_path: Path) -> None:
    clip(bundle, tmp_path / "audio", "u001.wav", b"not the clip")
    place, _ = pages.write_page(bundle, tmp_path / "page.html", tmp_path / "audio", fast=True)
    text = place.read_text("utf-8")
    assert "u001.wav is not this clip" in text
    assert b"not the clip".hex() not in text
    assert "tables were not made again for this page" in text
    assert check_page(bundle, place, HELD).findings == ()


# Where it lies


@pytest.mark.usefixtures("figures_drawn_once")
def test_only_an_older_page_is_replaced_next_to_a_bundle(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles.write(tmp_path / "real", small)
    (tmp_path / "real.html").write_text("my notes")
    done = ambiemo("report", bundle)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert (tmp_path / "real.html").read_text() == "my notes"
    (tmp_path / "real.html").unlink()
    monkeypatch.chdir(tmp_path)
    assert ambiemo("report", "real", "--fast").stdout == "open real.html\n"
    assert ambiemo("report", "real", "--fast").exit_code == 0, "an older page is replaced"


def test_a_run_whose_page_cannot_be_drawn_ends_with_its_bundle_and_one_line(
    small: dict[str, bytes], tmp_path: Path
) -> None:
    bundle = bundles.write(tmp_path / "real", small)
    notes = tmp_path / "real.html"
    notes.write_text("my notes")
    said = running.paged(bundle, fast=True)
    assert said == (
        f"no page: {notes}: found a file that is not a page of ambiemo, expected none; "
        f"name the page with --out; `ambiemo report {bundle}` tries again"
    )
    assert notes.read_text() == "my notes"
    notes.unlink()
    assert running.paged(bundle, fast=True) == f"open {notes}"
    assert b"ambiemo-bundle" in notes.read_bytes()


def test_a_fault_in_drawing_the_page_is_one_line_too(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text('raise RuntimeError("no\\nfont")\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    said = running.paged(bundle, fast=True)
    assert said.startswith("no page: ")
    assert "RuntimeError: no\\nfont" in said
    assert said.endswith(f"; `ambiemo report {bundle}` tries again")


def test_a_sentence_names_the_strategies_that_lose_most_and_counts_the_others() -> None:
    header = "corpus,model,strategy,choice,choice_low,choice_high"
    rows = [f"c,m,s{place},0.{place},0.0{place},0.9" for place in range(1, 9)]
    table = cells.read("gains", "\n".join([header, *rows, ""]).encode())
    sentence = words.choice_sentence(table)
    assert sentence is not None
    text = "".join(one if isinstance(one, str) else one.text for one in sentence.parts)
    assert text == (
        "Choosing among the candidates adds to their plain mean for no strategy; it costs for "
        "s8 0.8, s7 0.7, s6 0.6, s5 0.5, s4 0.4 and less for 3 others (bits; intervals, not "
        "corrected for the number of strategies)."
    )


def test_a_sentence_says_why_nothing_of_the_ambiguity_test_was_tested() -> None:
    rows = b"corpus,model,strategy,verdict,reason\nc,m,bon,NOT TESTED,one speaker\n"
    sentence = words.ambiguity_sentence(cells.read("ambiguity", rows))
    assert sentence is not None
    assert sentence.parts == ("By split votes, of 1 strategies: 1 NOT TESTED: one speaker.",)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0.25, "p 0.25"),
        (0.01, "p 0.01"),
        (0.0052, "p 0.005"),
        (0.00035, "p < 0.001"),
        (1, "p 1.00"),
    ],
)
def test_a_small_p_is_not_drawn_as_0(value: float, label: str) -> None:
    assert figures._p(value) == label
