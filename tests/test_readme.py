"""The README keeps its promises: its numbers are those of the committed bundle, its commands and
links exist.
"""

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT

from ambiemo.bundle.folder import payload
from ambiemo.bundle.recomputing import tables_again
from ambiemo.cli import main
from ambiemo.results.rendering import from_csv, grouped, heading, scaling

README = (ROOT / "README.md").read_text("utf-8")
REFERENCE = ROOT / "artifacts" / "reference" / "quick"
SHOWN = ("strategy", "JS bits ↓", "BC ↑", "accuracy ↑", "unparsed")


def results_and_cells(bundle: Path) -> list[list[dict]]:
    return [
        from_csv((bundle / f"data/tables/{name}.csv").read_bytes()) for name in ("results", "cells")
    ]


def table_of(bundle: Path) -> list[str]:
    """The README's table, made from a bundle's results."""
    (lines,) = grouped(*results_and_cells(bundle)).values()
    places = [heading().index(title) for title in SHOWN]
    return [f"| {' | '.join(line[place] for place in places)} |" for line in [heading(), *lines]]


def test_the_table_is_the_committed_bundle_s() -> None:
    for line in table_of(REFERENCE):
        assert line in README, f"README.md lacks or changed: {line}"


def test_the_table_of_more_candidates_is_the_committed_bundle_s() -> None:
    for line in scaling(*results_and_cells(REFERENCE)):
        assert f"| {' | '.join(line)} |" in README


def test_the_committed_bundle_holds() -> None:
    from ambiemo.bundle.verify import verify

    assert verify(REFERENCE) == []
    assert (
        tables_again(payload(REFERENCE))["tables/results.csv"]
        == (REFERENCE / "data/tables/results.csv").read_bytes()
    )


def test_the_sharing_it_tells_is_the_plan_s() -> None:
    from ambiemo.plan.expand import expand
    from ambiemo.plan.schema import read
    from ambiemo.plan.sharing import count_draws

    counts = count_draws(expand(read(ROOT / "reproduce/quick.yaml")))
    assert (
        f"{counts.alone} draws if each strategy made its own, {counts.shared} after sharing"
        in README
    )


def measured(name: str) -> dict:
    return json.loads((ROOT / "reproduce/bench/results" / f"{name}.json").read_text("utf-8"))


def speeds() -> list[str]:
    """The last column of the README's table of speeds, made from the benchmarks' own files."""
    sharing, utterances, parity = (
        measured("sharing"),
        measured("utterances"),
        measured("parity")["questions"],
    )
    transformers, vllm = (
        measured(f"overhead-{engine}")["over_plain"] for engine in ("transformers", "vllm")
    )
    return [
        f"{transformers['pool']:.2f}",
        f"{transformers['one actor']:.2f}",
        f"{vllm['one actor']:.2f}",
        f"{sharing['eight_samples_over_one']:.2f}",
        f"{sharing['quick_grid']['own_draws_over_shared']:.2f}",
        f"{utterances['sizes'][-1]['utterances_per_second']:,}",
        f"{utterances['resident_largest_over_smallest']:.2f}",
        ", ".join(f"{parity[name]['same_texts_in_order']:.0%}" for name in ("greedy", "beam(5)")),
    ]


def test_the_speeds_are_those_of_the_benchmarks_files() -> None:
    rows = re.findall(
        r"^\| .* \| ([^|]*) \|$",
        README.partition("## How fast")[2].partition("\n## ")[0],
        re.MULTILINE,
    )
    assert rows[2:] == speeds()


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_command_it_shows_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for command in set(re.findall(r"^ambiemo ([a-z]+)|`ambiemo ([a-z]+)", README, re.MULTILINE)):
        assert "".join(command) in main.commands, f"ambiemo {command}"


if __name__ == "__main__":  # python tests/test_readme.py prints the table to paste
    rows = table_of(REFERENCE)
    print("\n".join([rows[0], "| --- |" + " ---: |" * (len(SHOWN) - 1), *rows[1:]]))
