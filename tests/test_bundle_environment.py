"""machine.json says what could explain a difference between two runs, and nothing that names a
person, a place or a path.
"""

import getpass
import json
import platform
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ambiemo import bundle
from ambiemo.bundle import environment
from ambiemo.bundle.environment import machine

SMI = """#!/bin/sh
case "$1" in
--query-gpu=name,memory.total,driver_version,compute_cap)
  echo "NVIDIA H200, 143771, 570.133.20, 9.0"
  echo "NVIDIA H200, 143771, 570.133.20, 9.0" ;;
"") echo "| NVIDIA-SMI 570.133.20    Driver Version: 570.133.20    CUDA Version: 12.8     |" ;;
*) exit 6 ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text.replace("#!/bin/sh", "#!/bin/sh\nPATH=/usr/bin:/bin"))
    (folder / name).chmod(0o755)


def test_gpus_driver_and_cuda_are_told_without_serial_numbers(programs: Path) -> None:
    program(programs, "nvidia-smi", SMI)
    told = machine()
    gpu = {
        "name": "NVIDIA H200",
        "memory_mib": "143771",
        "driver": "570.133.20",
        "compute_capability": "9.0",
    }
    assert told["gpus"] == [gpu, gpu]
    assert told["cuda_of_driver"] == "12.8"


@pytest.mark.parametrize(
    "script",
    ["#!/bin/sh\nexit 9\n", "#!/bin/sh\necho No devices were found\n", "#!/bin/sh\nsleep 60\n"],
)
def test_a_driver_that_fails_says_nothing_or_hangs_is_no_gpu(
    programs: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(environment, "PATIENCE_S", 0.5)
    program(programs, "nvidia-smi", script)
    told = machine()
    assert (told["gpus"], told["cuda_of_driver"]) == ([], None)


def test_nothing_names_a_person_a_place_or_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2hunter2")
    text = json.dumps(machine())
    for private in (
        socket.gethostname(),
        platform.node(),
        str(Path.home()),
        str(Path.cwd()),
        "hunter2hunter2",
    ):
        assert private not in text
    assert not re.search(r"[\"' ](/[a-z]+){2,}", text)
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text


def test_versions_settings_and_batch_invariance_are_told() -> None:
    told = machine(
        {"VLLM_BATCH_INVARIANT": "1", environment.IMAGE_DIGEST: "sha256:abc", "HOME": "private"}
    )
    assert told["batch_invariant"] is True
    assert told["settings"] == {"VLLM_BATCH_INVARIANT": "1"}
    assert told["image"] == "sha256:abc"
    assert {"ambiemo", "numpy", "pyyaml", "click"} <= set(told["packages"])
    assert told["python"]["version"] == platform.python_version()
    assert machine({})["batch_invariant"] is False


def test_the_source_tree_is_git_s_own_hash_of_it() -> None:
    root = Path(bundle.__file__).parents[2]
    asked = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD^{tree}"], capture_output=True, text=True
    )
    expected = f"swh:1:dir:{asked.stdout.strip()}" if asked.returncode == 0 else None
    assert machine()["source"]["tree"] == expected


def test_a_package_inside_somebody_else_s_checkout_has_no_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    (tmp_path / "lib/ambiemo").mkdir(parents=True)
    monkeypatch.setattr(environment.ambiemo, "__file__", str(tmp_path / "lib/ambiemo/__init__.py"))
    assert (machine()["source"]["tree"], machine()["source"]["clean"]) == (None, None)


def test_it_is_told_without_importing_torch() -> None:
    code = "import sys; from ambiemo.bundle.environment import machine; machine(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
