"""Tools that are not ours, on a bundle of ours. Each is skipped where it is not installed; `make
test` installs bagit and cffconvert.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import bundle_real as real
import pytest

from ambiemo.bundle import bag

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside") / "bundle"
    bag.write(folder, real.whole(count=4), {})
    return folder


def test_sha256sum_finds_every_file_as_listed(bundle: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    command = ["sha256sum", "-c", "--strict", "--quiet", bag.MANIFEST, bag.TAG_MANIFEST]
    assert subprocess.run(command, cwd=bundle, capture_output=True).returncode == 0


def test_bagit_finds_a_valid_bag(bundle: Path) -> None:
    bagit = pytest.importorskip("bagit")
    bagit.Bag(str(bundle)).validate()


def test_cffconvert_finds_a_valid_citation() -> None:
    pytest.importorskip("cffconvert")
    command = [
        sys.executable,
        "-m",
        "cffconvert.cli.cli",
        "--validate",
        "-i",
        str(ROOT / "CITATION.cff"),
    ]
    found = shutil.which("cffconvert", path=str(Path(sys.executable).parent))
    command = [found, *command[3:]] if found else command
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_in_toto_finds_a_valid_statement(bundle: Path) -> None:
    statement = pytest.importorskip("in_toto_attestation.v1.statement")
    pb = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    from google.protobuf import json_format

    parsed = json_format.Parse(
        (bundle / "data/provenance/statement.json").read_text(), pb.Statement()
    )
    statement.Statement.copy_from_pb(parsed).validate()


def test_every_context_entity_with_a_file_or_software_has_an_absolute_uri(bundle: Path) -> None:
    """What rocrate-validator 0.13.0 recommends of a SoftwareApplication; the tool itself wants the
    network for its contexts.
    """
    graph = json.loads((bundle / "data/ro-crate-metadata.json").read_text())["@graph"]
    (software,) = [one for one in graph if one["@type"] == "SoftwareApplication"]
    assert software["@id"].startswith("https://")
    assert {"@id": software["@id"]} in [one.get("instrument") for one in graph]
