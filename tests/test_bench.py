"""The benchmarks' own inputs: a plan that a benchmark writes must be one that `ambiemo` reads."""

import sys
from pathlib import Path

import pytest
from conftest import ROOT

from ambiemo.plan.schema import read


@pytest.fixture
def paper_scale(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "reproduce" / "bench"), *sys.path])
    import paper_scale

    return paper_scale


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_plan_of_paper_scale_can_be_read_for_any_number_of_models(
    paper_scale, tmp_path: Path, count: int
) -> None:
    paper_scale.make_corpus(tmp_path / "corpus", 3)
    names = list(paper_scale.MODELS)[:count]
    paper_scale.make_plan(tmp_path / "plan.yaml", tmp_path / "corpus", names)
    assert [entry.id for entry in read(tmp_path / "plan.yaml").models] == names
