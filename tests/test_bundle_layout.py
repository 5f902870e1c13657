"""Which files a bundle has below data/, and that nothing else can lie there and be believed."""

import pytest
from bundle_real import whole

from ambiemo.bundle.layout import MUST, check
from ambiemo.errors import Broken


@pytest.fixture(scope="module")
def paths() -> set[str]:
    return set(whole())


def test_what_a_run_writes_is_what_a_bundle_has(paths: set[str]) -> None:
    check(paths)


@pytest.mark.parametrize("path", MUST)
def test_a_bundle_without_one_of_its_files_is_broken(paths: set[str], path: str) -> None:
    with pytest.raises(Broken, match=f"data/{path}: no such file"):
        check(paths - {path})


@pytest.mark.parametrize(
    "path",
    [
        "claims.json",
        "figures/x.svg",
        "verif\u0443.py",
        "tables/results.html",
        "answers/tiny/tiny/../x.jsonl.gz",
        "answers/tiny/tiny.jsonl.gz",
        "notes.md",
    ],
)
def test_a_file_that_no_bundle_has_is_refused(paths: set[str], path: str) -> None:
    with pytest.raises(Broken, match="no bundle has"):
        check({*paths, path})
