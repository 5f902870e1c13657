"""These tests run tools that are not ours, in the environment that `make test-outside` makes;
anywhere else each of them skips and says so.
"""

import importlib.util

import pytest

MISSING = "rocrate-validator is not installed here; `make test-outside` makes its environment"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("rocrate_validator") is None:
        for item in items:
            if "outside" in item.path.parent.name:
                item.add_marker(pytest.mark.skip(reason=MISSING))
