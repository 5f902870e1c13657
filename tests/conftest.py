"""Fixtures that every test may use."""

import os
from pathlib import Path
from typing import Any

import pytest

try:
    from hypothesis import settings
except ImportError:  # it is not in every environment
    pass
else:
    # Each run tries other examples, so few are enough for each. A busy machine is no failure.
    settings.register_profile("few", deadline=None, max_examples=25)
    settings.register_profile("many", deadline=None, max_examples=100)  # make test-slow
    settings.load_profile("few")

ROOT = Path(__file__).resolve().parent.parent
STARTS_RAY = ("test_end_to_end",)
STARTS_RAY_WHERE_SLOW = (
    *("test_cli", "test_commands", "test_container_cluster", "test_docs_tutorials"),
    *("test_leaks", "test_makefile", "test_models_own", "test_pipeline", "test_smoke"),
)

TOGETHER = {
    **dict.fromkeys(("test_report", "test_report_browser"), "page"),
    **dict.fromkeys(
        (
            *("test_engine_encoder", "test_engine_transformers", "test_engine_ultravox"),
            *("test_models_families", "test_smoke", "test_tiny_checkpoint"),
        ),
        "alm",
    ),
}
"""Files for one process: they share a page, or import transformers, which takes longer than most
files of tests."""

LONGEST_FIRST = (
    *("alm", "page", "test_bundle_shipped_conclusions", "test_bundle_forgery_matrix"),
    *("test_bundle_shipped_verify", "test_bundle_forgery"),
)
"""After those that start Ray: a long file at the end would leave the other process idle."""


def scope(nodeid: str, with_slow: bool) -> str:
    """What one process runs alone: a file, or all files that start Ray, or that share much."""
    name = Path(nodeid.partition("::")[0]).stem
    starts_ray = STARTS_RAY + STARTS_RAY_WHERE_SLOW * with_slow
    return "ray" if name.startswith(starts_ray) else TOGETHER.get(name, name)


def with_slow(config: pytest.Config) -> bool:
    """Whether slow tests run too, many of which start Ray."""
    return config.option.markexpr != "not slow"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several processes: the longest files first."""
    if not hasattr(config, "workerinput"):
        return
    order = ("ray", *LONGEST_FIRST)
    ranks = {name: rank for rank, name in enumerate(order)}
    slow = with_slow(config)
    items.sort(key=lambda item: ranks.get(scope(item.nodeid, slow), len(order)))


@pytest.hookimpl(optionalhook=True)  # pytest-xdist is not in every environment
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes (`make test`): a file's tests are in one of them, so that what they
    share is made once, and two runs of Ray never meet on one machine.

    The marks that pytest-xdist has for this do nothing with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid, with_slow(config))

    config.option.loadscopereorder = False  # it would put the files with the most tests first
    return ByFile(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real speech and real votes; skips where it is not there (it is licensed: the
    project never ships it).
    """
    named = os.environ.get("AMBIEMO_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "crema_d").is_dir():
        pytest.skip(
            f"no real data: {folder}/crema_d is missing; set AMBIEMO_DATA to a folder that holds crema_d/"
        )
    return folder
