"""The docs keep their promises: figures and made lines are the bundle's, links and commands exist,
answers to "where is ...?" are true, the site builds without network.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "reproduce"))

import check_docs
import figures

DOCS = ROOT / "docs"
WHERE = re.findall(
    r"^\| ([^|]+) \| `([^`|]+)` \| `([^`|]+)` \|$", (DOCS / "where.md").read_text("utf-8"), re.M
)


def test_nothing_is_wrong_with_the_docs() -> None:
    assert check_docs.findings() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("see [it](gone.md)", "link gone.md: no such file"),
        ("see [it](README.md#no-such-part)", "link README.md#no-such-part: no such heading"),
        ("see [it](../README.md)", "link ../README.md: no such file"),
        ("`ambiemo verfy BUNDLE`", "`ambiemo verfy BUNDLE`: no command 'verfy'"),
        ("```sh\nambiemo run PLAN --quick\n```", "run has no option --quick"),
        ("```console\n$ ambiemo data fetch x --to DIR\n```", "fetch has no option --to"),
        ("`make reproduct`", "the Makefile has no target reproduct"),
        ("`make verify BUNDEL=x`", "the Makefile has no variable BUNDEL"),
    ],
)
def test_what_leads_nowhere_is_found(text: str, said: str) -> None:
    found = [
        *check_docs.wrong_links(ROOT / "page.md", text),
        *check_docs.wrong_commands(text),
    ]
    assert len(found) == 1
    assert said in found[0]


def test_a_page_that_the_navigation_lacks_is_found() -> None:
    pages = [ROOT / "docs/forgotten.md", ROOT / "docs/claims.md", ROOT / "README.md"]
    assert list(check_docs.not_in_the_site(pages)) == [
        "docs/forgotten.md: not in the navigation of mkdocs.yml"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[a](README.md#three-commands) [b](https://example.org/x) [c](docs/claims.md)",
        "```\n[not a link](gone)\n```",
        "```python\nambiemo = 1\n```",
        "`ambiemo verify BUNDLE [--json]`, `ambiemo` alone, `make` alone",
        "```sh\nAMBIEMO_DATA=/x ambiemo run p.yaml --limit 3 # --not-an-option\n```",
    ],
)
def test_what_is_right_passes(text: str) -> None:
    assert not list(check_docs.wrong_links(ROOT / "page.md", text))
    assert not list(check_docs.wrong_commands(text))


def test_the_figure_shows_the_numbers_of_the_bundle() -> None:
    shown = figures.content((DOCS / "figures/quick.svg").read_bytes())
    expected = [[vars(line) for line in lines] for lines in figures.intervals(figures.BUNDLE)]
    assert isinstance(shown, list)
    assert [group["lines"] for group in shown] == expected


def test_a_figure_of_other_numbers_is_stale(tmp_path: Path) -> None:
    for name in figures.FIGURE:
        svg = (DOCS / "figures" / name).read_bytes()
        svg = re.sub(rb"0\.254\d*", b"0.154", svg, count=1)
        svg = re.sub(rb"Matplotlib v[\d.]+", b"Matplotlib v0.0", svg)
        (tmp_path / name).write_bytes(svg)
    assert [line.partition(":")[0] for line in figures.stale(tmp_path)] == [
        "docs/figures/quick.svg"
    ]


def test_the_same_figure_is_the_same_bytes() -> None:
    assert figures.svgs() == figures.svgs()


@pytest.mark.parametrize(("question", "file", "name"), WHERE)
def test_where_is(question: str, file: str, name: str) -> None:
    assert name in (ROOT / file).read_text("utf-8")


def test_there_are_questions_enough() -> None:
    assert len(WHERE) >= 10


def test_every_room_that_is_described_exists() -> None:
    rooms = (DOCS / "where.md").read_text("utf-8").partition("Outside")[0]
    for name in re.findall(r"`([\w/.]+(?:/|\.py))`", rooms):
        assert (ROOT / "ambiemo" / name).exists() or (ROOT / name).exists(), name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    asked = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_has_every_page(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file()


def test_the_site_asks_no_other_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        loaded = re.findall(
            r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?(https?:[^\s\">]+)", text
        )
        assert not loaded, page.name


def test_a_link_out_of_the_docs_leads_to_a_page_of_the_site(site: Path) -> None:
    text = (site / "claims.html").read_text("utf-8")
    (link,) = set(re.findall(r'href="?(repository/reproduce/claims\.yaml\.html)', text))
    assert "sentence" in (site / link).read_text("utf-8")
