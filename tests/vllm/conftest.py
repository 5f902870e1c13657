"""These tests run vLLM itself, in the environment that `make test-vllm` makes; anywhere else each
of them skips and says so.

No module here imports vllm or torch while it is collected.
"""

import importlib.util
import os
from pathlib import Path

import pytest

# Read when vLLM is imported: the engine in this process (seconds to load instead of half a minute),
# and no look at the network.
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

_FOUND = importlib.util.find_spec("vllm")
INSTALLED = (
    _FOUND is not None and _FOUND.origin is not None
)  # this very folder can be taken for a package called vllm
MISSING = "vLLM is not installed here; `make test-vllm` makes its environment"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests, and skip them where vLLM is not installed."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            if not INSTALLED:
                item.add_marker(pytest.mark.skip(reason=MISSING))
