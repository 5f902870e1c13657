"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
