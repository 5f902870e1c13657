"""Six tools about a bundle, without a network: all say that it holds, and each can say no.

The bundles are the committed reference and, where `make quick` has run, artifacts/quick. Nothing
here imports the package: it is one of the six, called as a command.

These tools live in the environment that `make test-outside` makes; anywhere else the tests skip.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
BUNDLES = [ROOT / "artifacts" / name for name in ("reference/quick", "quick")]
TOOLS = (
    "sha256sum",
    "bagit.py",
    "rocrate-validator",
    "in-toto-attestation",
    "data/verify.py",
    "ambiemo",
)

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        importlib.util.find_spec("rocrate_validator") is None,
        reason="rocrate-validator is not installed here; `make test-outside` makes its environment",
    ),
]


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True)


def archive(bundle: Path, folder: Path) -> Path:
    """`make archive` of a copy of the bundle."""
    copy = Path(shutil.copytree(bundle, folder / "bundle"))
    done = run("make", "-s", "archive", f"BUNDLE={copy}", "SOURCE_DATE_EPOCH=1700000000")
    assert done.returncode == 0, done.stderr
    return copy.with_suffix(".tar")


def stranger(packed: Path) -> tuple[int, str]:
    done = run(ROOT / "reproduce" / "stranger.sh", packed, BIN)
    if done.returncode == 2 and "not permitted" in done.stderr:
        pytest.skip(done.stderr.strip())
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("bundle", BUNDLES, ids=["reference", "quick"])
def test_six_tools_say_that_an_archive_holds_without_a_network(
    bundle: Path, tmp_path: Path
) -> None:
    if not bundle.is_dir():
        pytest.skip(f"no {bundle.relative_to(ROOT)}; `make quick` makes it")
    code, said = stranger(archive(bundle, tmp_path))
    assert code == 0, said
    assert [line.split()[:2] for line in said.splitlines()[:-1]] == [["✓", tool] for tool in TOOLS]
    assert said.splitlines()[-1].startswith("holds: six tools of six, without a network")


def test_an_archive_whose_bundle_was_changed_is_broken_for_those_that_can_know(
    tmp_path: Path,
) -> None:
    """The crate lost its licence and the statement its type; checksums stay as they were."""
    copy = Path(shutil.copytree(BUNDLES[0], tmp_path / "changed"))
    crate, statement = (
        copy / "data" / name for name in ("ro-crate-metadata.json", "provenance/statement.json")
    )
    told = json.loads(crate.read_text())
    del told["@graph"][1]["license"]
    crate.write_text(json.dumps(told))
    told = json.loads(statement.read_text())
    told["_type"] = "a text"
    statement.write_text(json.dumps(told))
    code, said = stranger(archive(copy, tmp_path))
    assert code == 1, said
    assert [line.split()[:2] for line in said.splitlines() if line[0] in "✓✗"] == [
        ["✗", tool] for tool in TOOLS
    ]
    assert said.splitlines()[-1].startswith("broken: sha256sum bagit.py rocrate-validator")


def crate_checks(data: Path, tmp_path: Path) -> dict:
    cache = tmp_path / "cache"
    assert run(BIN / "python", ROOT / "reproduce" / "rocrate_cache.py", cache).returncode == 0
    options = ["--offline", "--cache-path", cache, "-p", "process-run-crate-0.5"]
    options += ["-l", "recommended", "--no-paging", "-f", "json", "-o", tmp_path / "report.json"]
    tool = [BIN / "rocrate-validator", "--no-interactive", "--disable-color", "validate"]
    done = run(*tool, *options, data)
    assert (tmp_path / "report.json").is_file(), done.stdout + done.stderr
    return json.loads((tmp_path / "report.json").read_text())


def without_description(told: dict) -> None:
    del told["@graph"][1]["description"]


def relative_software(told: dict) -> None:
    text = json.dumps(told).replace("https://arxiv.org/abs/2602.03873#ambiemo", "#ambiemo")
    told.update(json.loads(text))


@pytest.mark.parametrize(
    ("change", "severity"),
    [(without_description, "REQUIRED"), (relative_software, "RECOMMENDED")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_rocrate_validator_sees_a_worse_crate(
    tmp_path: Path, change: Callable[[dict], None], severity: str
) -> None:
    copy = Path(shutil.copytree(BUNDLES[0], tmp_path / "bundle"))
    crate = copy / "data" / "ro-crate-metadata.json"
    told = json.loads(crate.read_text())
    change(told)
    crate.write_text(json.dumps(told))
    report = crate_checks(copy / "data", tmp_path)
    assert severity in {issue["severity"] for issue in report["issues"]}, report["issues"]


def test_cffconvert_finds_a_valid_citation() -> None:
    done = run(BIN / "cffconvert", "--validate", "-i", ROOT / "CITATION.cff")
    assert done.returncode == 0, done.stdout + done.stderr
