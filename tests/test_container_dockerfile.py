"""The images can be rebuilt as they were: bases by digest, packages by hash; and the check that
says so can fail.
"""

import hashlib
import re
import runpy
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
CHECK = runpy.run_path(str(ROOT / "reproduce" / "check_dockerfile.py"))
findings, unpinned = CHECK["findings"], CHECK["unpinned"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
DIGESTS = re.findall(r"@sha256:([0-9a-f]{64})", DOCKERFILE)
HASHED = ("verify.txt", "reproduce.txt", "outside.txt")


def pins(lock: str) -> dict[str, str]:
    """Name -> version of a lock (the first where markers give several)."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;\\]+)", lock, re.M):
        found.setdefault(name.lower().replace("_", "-"), version)
    return found


def test_our_dockerfile_has_no_findings() -> None:
    assert findings(DOCKERFILE) == []


@given(st.binary())
def test_a_real_digest_is_never_called_a_placeholder(content: bytes) -> None:
    assert unpinned(f"image:tag@sha256:{hashlib.sha256(content).hexdigest()}") == ""


@pytest.mark.parametrize(
    "digest",
    [
        "0" * 64,
        "f" * 64,
        "deadbeef" * 8,
        "0123456789abcdef" * 4,
        "<digest>",
        "abc123",
        "PLACEHOLDER",
    ],
)
@pytest.mark.parametrize("place", range(2))
def test_a_placeholder_digest_is_found(digest: str, place: int) -> None:
    assert any("digest" in line for line in findings(DOCKERFILE.replace(DIGESTS[place], digest)))


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ("@sha256:" + DIGESTS[0], "", "not pinned"),
        ("USER 10001:10001", "", "root"),
        ("--require-hashes ", "", "--require-hashes"),
        ("COPY pyproject.toml", "COPY --link pyproject.toml", "--link"),
        ("CMD [", "RUN cat <<EOF\nEOF\nCMD [", "heredoc"),
        ("FROM ${BASE_IMAGE}", "FROM ${OTHER_IMAGE}", "not pinned"),
    ],
)
def test_each_departure_is_found(before: str, after: str, word: str) -> None:
    assert before in DOCKERFILE
    assert any(word in line for line in findings(DOCKERFILE.replace(before, after)))


def test_the_base_is_an_argument_before_the_first_stage() -> None:
    assert re.search(
        r"^ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE.split("\nFROM ")[0], re.M
    )


def test_there_is_one_stage_for_each_image() -> None:
    assert re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.M) == [
        "verify",
        "stranger",
        "reproduce",
    ]


def test_what_is_copied_is_there_and_let_through_by_dockerignore() -> None:
    let_in = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line[:1] == "!"
    }
    for call in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M):
        for source in call.split():
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in let_in, source


def test_what_a_run_writes_lies_under_a_mounted_folder_or_tmp() -> None:
    """So that the container holds with `--read-only --tmpfs /tmp`, and a second run finds its
    compiled kernels.
    """
    stage = DOCKERFILE.split("AS reproduce")[1]
    written = dict(re.findall(r"^\s+(\w*(?:HF_HOME|CACHE\w*|CONFIGDIR))=(/\S+)", stage, re.M))
    assert {
        "HF_HOME",
        "XDG_CACHE_HOME",
        "TRITON_CACHE_DIR",
        "TORCHINDUCTOR_CACHE_DIR",
        "MPLCONFIGDIR",
    } <= written.keys()
    assert all(place.startswith(("/home/ambiemo/models", "/tmp")) for place in written.values())


def test_each_image_says_what_it_is() -> None:
    titles = re.findall(r'org\.opencontainers\.image\.title="ambiemo (\w+)"', DOCKERFILE)
    assert titles == ["verify", "stranger", "reproduce"]


@pytest.mark.parametrize("name", HASHED)
def test_every_locked_package_has_a_hash(name: str) -> None:
    text = (ROOT / "locks" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert lines
    assert [line for line in lines if "--hash=sha256:" not in line] == []


@pytest.mark.parametrize("path", sorted((ROOT / "locks").iterdir()), ids=lambda path: path.name)
def test_no_lock_names_a_place_on_a_machine_or_an_index(path: Path) -> None:
    assert not re.search(
        r"https?://|file:|--index|--find-links|/opt/|/home/|/root/",
        path.read_text(encoding="utf-8"),
    )


def test_the_verify_image_holds_neither_torch_nor_ray() -> None:
    names = pins((ROOT / "locks" / "verify.txt").read_text(encoding="utf-8"))
    assert not {"torch", "ray", "transformers", "vllm"} & set(names)
    assert {"numpy", "pydantic", "click", "setuptools"} <= set(names)


def test_the_reproduce_image_holds_the_engines_at_the_projects_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = pins("\n".join(extras["ray"] + extras["vllm"]))
    locked = pins((ROOT / "locks" / "reproduce.txt").read_text(encoding="utf-8"))
    assert asked.keys() >= {"ray", "vllm"}
    assert {name: locked[name] for name in asked} == asked
    assert {"torch", "transformers", "openai"} <= locked.keys()


def test_every_dependency_has_its_constraint() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *extras["dev"],
        *extras["ray"],
        *extras["transformers"],
        *extras["openai"],
    ]
    names = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in wanted} - {"ambiemo"}
    held = pins((ROOT / "locks" / "constraints.txt").read_text(encoding="utf-8"))
    assert names - held.keys() == set(), "run `make lock`"
