"""The page as a reader meets it: in a real browser (Debian's chromium), opened from the disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_bundles as bundles
import soundfile
from report_bundles import HELD, REFERENCE

from ambiemo.bundle import page as pages
from ambiemo.durable import sha256

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip("no /usr/bin/chromium: install Debian's package chromium", allow_module_level=True)

READY = "html[data-ready=yes]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the reference bundle."""
    place = tmp_path_factory.mktemp("quick") / "quick.html"
    place.write_bytes(bundles.reference_page())
    return place


@contextmanager
def opened(browser: Any, place: Path, silent: bool = True, **options: Any) -> Iterator[Any]:
    """A page opened from the disk. At its end nothing was said on the console and nothing but the
    file was asked for.
    """
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append("a dialog"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(place.as_uri())
    if options.get("java_script_enabled", True):
        page.wait_for_selector(READY)
    yield page
    assert said == []
    if silent:
        assert asked == [place.as_uri()]
    context.close()


@pytest.fixture(scope="module")
def small() -> dict[str, bytes]:
    return bundles.small()


@pytest.fixture
def page(browser: Any, quick: Path) -> Iterator[Any]:
    with opened(browser, quick) as one:
        yield one


def texts(page: Any, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def test_the_page_opens_at_its_top(page: Any) -> None:
    page.wait_for_timeout(200)
    assert page.evaluate("window.scrollY") == 0


def test_every_figure_is_drawn(page: Any, quick: Path) -> None:
    boxes = page.eval_on_selector_all(
        "figure svg",
        "all => all.map(one => { const box = one.getBoundingClientRect(); return [box.width, box.height, one.querySelectorAll('path').length]; })",
    )
    assert len(boxes) == quick.read_text("utf-8").count("<!--figure-->") > 10
    assert all(width > 100 and height > 60 and paths > 3 for width, height, paths in boxes)


def test_every_figure_has_a_name_a_description_and_a_table_behind_it(page: Any) -> None:
    for one in page.locator("figure svg").all():
        ids = one.get_attribute("aria-labelledby").split()
        assert all(page.locator(f"[id='{id_}']").text_content() for id_ in ids)
    sections = page.locator("main section:has(figure)")
    assert sections.count() >= 8
    for section in sections.all():
        assert section.locator("details table.grid").count() >= 1


def column(table: Any, place: int) -> list[str]:
    cells = table.locator(f"tbody tr td:nth-child({place})").all_text_contents()
    return [cell.split("[")[0].strip() for cell in cells]


def test_a_click_on_a_head_sorts_by_number_and_a_second_one_turns_it(page: Any) -> None:
    page.locator("#levels details summary").first.click()
    table = page.locator("#levels table.grid").first
    head = table.locator("thead th.num").first
    place = [one.get_attribute("class") for one in table.locator("thead th").all()].index("num") + 1
    before = [float(one) for one in column(table, place)]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(one) for one in column(table, place)] == sorted(before) != before
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(one) for one in column(table, place)] == sorted(before, reverse=True)


def test_what_has_no_value_stays_last_whichever_way_it_is_sorted(page: Any) -> None:
    page.locator("#differences details summary").click()
    table = page.locator("#differences table.grid")
    heads = table.locator("thead th").all_inner_texts()
    place = next(number for number, text in enumerate(heads, 1) if text.startswith("p (Holm)"))
    for _ in range(2):
        table.locator(f"thead th:nth-child({place}) button").click()
        told = column(table, place)
        empty = [one == "" for one in told]
        assert any(empty)
        assert empty == sorted(empty)


def test_a_filter_leaves_the_rows_with_its_words(page: Any) -> None:
    page.locator("#gains details summary").click()
    box = page.locator("#gains .gridbox").first
    box.locator("input[type=search]").fill("bon sampled")
    seen = [row for row in box.locator("tbody tr").all() if row.is_visible()]
    assert len(seen) == 6
    assert all("bon_sampled" in row.inner_text() for row in seen)
    assert box.locator(".count").inner_text() == f"6 of {box.locator('tbody tr').count()} rows"


def test_a_number_tells_its_table_row_and_column(page: Any) -> None:
    number = page.locator("#short .n").first
    table, row, name = (number.get_attribute(f"data-{one}") for one in ("table", "row", "column"))
    assert number.get_attribute("title") == f"{table} row {row} {name}"
    number.hover()
    assert page.locator("#source").inner_text().startswith(f"{table} row {row} {name} = ")


def test_arrow_keys_walk_from_number_to_number(page: Any) -> None:
    box = page.locator("#claims .scroll").first
    box.focus()
    page.keyboard.press("ArrowDown")
    first = page.locator("#source").inner_text()
    page.keyboard.press("ArrowDown")
    second = page.locator("#source").inner_text()
    page.keyboard.press("ArrowRight")
    third = page.locator("#source").inner_text()
    assert len({first, second, third}) == 3
    assert all(one.startswith("claims.csv row ") for one in (first, second, third))
    page.keyboard.press("Escape")
    assert not page.locator("#source").is_visible()


def test_all_tables_are_there_whole(page: Any) -> None:
    page.locator("#raw").scroll_into_view_if_needed()
    page.wait_for_selector("#raw table")
    assert page.locator("#raw tbody tr").count() == 120
    cell = page.locator("#raw tbody tr:first-child td:nth-child(14) .n")
    lines = (REFERENCE / "data/tables/results.csv").read_text("utf-8").splitlines()
    assert cell.inner_text() == lines[1].split(",")[13]
    assert cell.get_attribute("title") == f"results.csv row 2 {lines[0].split(',')[13]}"
    page.select_option("#table-pick", "paired")
    assert page.locator("#raw tbody tr").count() == 200
    page.locator("#raw > button").click()
    assert page.locator("#raw tbody tr").count() == 400
    page.locator("#raw input[type=search]").fill("self_consistency shuffled")
    assert page.locator("#raw .count").inner_text().startswith("0 of 0")
    page.locator("#raw input[type=search]").fill("strategies against greedy")
    assert page.locator("#raw tbody tr").count() == 7


def test_the_browser_is_driven_by_keys(page: Any) -> None:
    chosen = "#browse li[aria-selected=true] span"
    names = texts(page, "#browse li span")
    assert len(names) == 96
    page.locator("h1").click()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "list"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for key, place in (
        ("j", 1),
        ("ArrowDown", 2),
        ("k", 1),
        ("ArrowUp", 0),
        ("ArrowUp", 0),
        ("End", 95),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert page.locator(chosen).inner_text() == names[place], key
        assert page.locator("#browse .detail h3").inner_text() == names[place]
    page.keyboard.press("/")
    page.keyboard.type("00042")
    assert texts(page, "#browse li span") == ["tiny-test-00042"]
    page.keyboard.press("Escape")
    assert page.locator("#browse li").count() == 96
    page.keyboard.press("/")
    page.keyboard.type("no such utterance")
    assert "No utterance" in page.locator("#browse .detail").inner_text()


def test_an_utterance_shows_truth_predictions_and_candidates(page: Any) -> None:
    detail = page.locator("#browse .detail")
    first = pages.payload_of(pages.look(REFERENCE))["inputs/utterances.jsonl"].splitlines()[0]
    assert b'"votes": [6, 1, 0, 0, 2, 0]' in first
    assert detail.locator(".truth tbody tr").all_inner_texts()[0].split() == ["anger", "6", "·", "0.67", "[0.35,", "0.88]"]  # fmt: skip
    assert detail.locator(".share").count() == 24 + 2 + 4
    heights = (
        detail.locator(".share")
        .first.locator("rect")
        .evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    )
    assert len(heights) == 6
    assert np.argmax(heights) == 0
    question = detail.locator("details", has_text="direct.beam-3")
    question.locator("summary").click()
    assert question.locator("tbody tr").count() == 3
    assert question.locator("tbody tr").first.locator("td").nth(3).inner_text() == "8"
    assert '"anger": 0.65' in question.locator("tbody tr").first.inner_text()
    page.select_option("#sorting", "entropy")
    entropies = [float(one.split(" · ")[0]) for one in texts(page, "#browse li small")]
    assert entropies == sorted(entropies, reverse=True)


def brightness(page: Any) -> float:
    colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return sum(int(part) for part in colour[4:-1].split(",")) / 765


def test_dark_follows_the_reader_and_the_button_turns_it(browser: Any, quick: Path) -> None:
    with opened(browser, quick, color_scheme="dark") as page:
        assert brightness(page) < 0.2
        ink = "getComputedStyle(document.querySelector('figure svg text')).fill"
        dark = page.evaluate(ink)
        page.locator("#theme").click()
        assert brightness(page) > 0.9
        assert page.evaluate(ink) != dark, "the figures turn too"
        assert page.locator("#theme").inner_text() == "Dark"
    with opened(browser, quick, color_scheme="light") as page:
        assert brightness(page) > 0.9


def test_it_prints(page: Any, tmp_path: Path) -> None:
    data = page.pdf(format="A4")
    assert data.startswith(b"%PDF")
    pages_of = data.count(b"/Type /Page\n") or data.count(b"/Type/Page")
    assert 3 <= pages_of <= 25
    page.emulate_media(media="print", color_scheme="dark")
    assert brightness(page) > 0.9, "never dark on paper"
    assert not page.locator("nav.contents").is_visible()
    assert not page.locator("#browse").is_visible()
    assert page.locator("#claims thead th").first.inner_text() == "claim"
    assert page.locator("#claims thead th button").first.is_visible(), "heads are there"


def test_it_fits_a_phone(browser: Any, quick: Path) -> None:
    with opened(browser, quick, viewport={"width": 390, "height": 844}, is_mobile=True) as page:
        for summary in page.locator("main > section details > summary").all():
            summary.evaluate("one => one.parentElement.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("document.documentElement.clientWidth") == 390


def serious(page: Any) -> list[str]:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_axe_finds_nothing_serious(
    browser: Any, small: dict[str, bytes], tmp_path: Path, everything: bool
) -> None:
    """On the page as it opens; with all tables open axe takes minutes."""
    place, findings = pages.write_page(bundles.write(tmp_path / "real", small), fast=True)
    assert not findings
    for scheme in ("light", "dark"):
        with opened(browser, place, color_scheme=scheme) as page:
            if everything:
                open_all(page)
            assert serious(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_whole_reference_page(
    browser: Any, quick: Path, scheme: str
) -> None:
    with opened(browser, quick, color_scheme=scheme) as page:
        open_all(page)
        assert serious(page) == []


def open_all(page: Any) -> None:
    """Show the raw tables, and all that is folded."""
    page.locator("#raw").scroll_into_view_if_needed()
    page.wait_for_selector("#raw table")
    for one in page.locator("main details > summary").all():
        one.evaluate("one => one.parentElement.open = true")


def test_without_javascript_all_but_the_browser_is_there(browser: Any, quick: Path) -> None:
    with opened(browser, quick, java_script_enabled=False) as page:
        assert page.locator("#claims table").first.is_visible()
        assert page.locator("figure svg").first.is_visible()
        assert not page.locator("#theme").is_visible()
        assert "needs JavaScript" in page.locator("#browser noscript").inner_text()


def test_hostile_names_never_run(browser: Any, small: dict[str, bytes], tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "real", bundles.hostile(small))
    place, findings = pages.write_page(bundle, fast=True)
    del findings  # the bundle does not verify; here the page is looked at
    with opened(browser, place) as page:
        title = page.evaluate("document.title")
        page.locator("#raw").scroll_into_view_if_needed()
        page.wait_for_selector("#raw table")
        for one in page.locator("details > summary").all():
            one.evaluate("one => one.parentElement.open = true")
        page.wait_for_timeout(300)
        assert page.evaluate("document.title") == title != "run"
        assert page.locator("img").count() == 0
        assert page.locator("script:not([type])").count() == 1
        shown = page.locator("main").inner_text()
        assert "<img src=x onerror=" in shown
        assert "</script><script>" in shown
        assert "\u202e" not in shown
        assert "\x1b" not in shown


def test_a_broken_bundle_is_red_on_top(
    browser: Any, small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles.write(tmp_path / "real", small)
    (bundle / "data/tables/results.csv").write_bytes(small["tables/results.csv"] + b"\n")
    bundles.figures_drawn_once(monkeypatch)
    place, findings = pages.write_page(bundle, fast=True)
    assert findings
    with opened(browser, place) as page:
        alarm = page.locator(".alarm")
        assert "does not verify" in alarm.inner_text()
        assert alarm.bounding_box()["y"] < page.locator("main").bounding_box()["y"]
        red, green, blue = (
            int(part)
            for part in alarm.locator("h2")
            .evaluate("one => getComputedStyle(one).color")[4:-1]
            .split(",")
        )
        assert red > 2 * max(green, blue)
        assert serious(page) == []


def test_of_several_models_and_corpora_one_is_shown_at_a_time(browser: Any, tmp_path: Path) -> None:
    made = bundles.files(corpora=["tiny", "crema-d"], strategies=["greedy", "bon"])
    bundle = bundles.write(tmp_path / "real", made)
    place = tmp_path / "page.html"
    place.write_bytes(pages.page_of(bundle, HELD, pages.ALL, place))
    with opened(browser, place) as page:
        visible: Callable[[], int] = lambda: sum(  # noqa: E731
            one.is_visible() for one in page.locator("#levels figure").all()
        )
        assert texts(page, "#unit option") == ["tiny on crema-d", "tiny on tiny", "everything"]
        assert visible() == 1
        shown = [one.inner_text() for one in page.locator("#short dt").all() if one.is_visible()]
        heads = [one for one in shown if "on" in one.split()]
        assert heads
        assert all("on crema-d" in one for one in heads)
        page.select_option("#unit", "")
        assert visible() == 2
        corpora = {one.split(" · ")[0] for one in texts(page, "#browse .detail p.small")}
        assert corpora & {"tiny", "crema-d"}


def test_the_user_s_own_clip_plays_from_its_own_place(
    browser: Any, small: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    soundfile.write(folder / "any name.wav", np.zeros(1600), 16000)
    bundle = bundles.write(tmp_path / "real", small)
    place = tmp_path / "page.html"
    digest = sha256((folder / "any name.wav").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        bundles.figures_drawn_once(patch)
        # the invented utterances have no clips: this one is given the hash of a clip that is there
        own = pages.page_audio.links
        patch.setattr(
            pages.page_audio,
            "links",
            lambda where, page, rows: own(where, page, [rows[0] | {"sha": digest}]),
        )
        place.write_bytes(pages.page_of(bundle, HELD, pages.ALL, place, folder))
    with opened(browser, place, silent=False) as page:
        player = page.locator("#browse audio").first
        assert player.get_attribute("src") == "clips/any%20name.wav"
        seconds = player.evaluate(
            """one => new Promise((done, fail) => {
                one.onloadedmetadata = () => done(one.duration);
                one.onerror = () => fail(one.error.message);
                one.load();
                one.play().catch(() => 0);
            })"""
        )
        assert seconds == pytest.approx(0.1, abs=0.01)
