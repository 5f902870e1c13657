"""Fixtures that every test may use."""

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
STARTS_RAY = (
    *("test_cli", "test_commands", "test_container_cluster", "test_docs_tutorials"),
    *("test_end_to_end", "test_leaks", "test_makefile", "test_models_own", "test_pipeline"),
    "test_smoke",
)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist is not in every environment
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes (`make test`): a file's tests are in one of them, so that what they
    share is made once, and two runs of Ray never meet on one machine.

    The marks that pytest-xdist has for this do nothing with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            name = Path(nodeid.partition("::")[0]).stem
            return "ray" if name.startswith(STARTS_RAY) else name

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
