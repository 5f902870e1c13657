"""Not signed; signed by a key that nobody vouches for; signed by a name of the reader's list: three
states, in words.
"""

import json
import shutil
import subprocess
from pathlib import Path

import bundle_sample as sample
import pytest
from click.testing import CliRunner, Result

from ambiemo.bundle import verify as verifying
from ambiemo.cli import main

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(verifying, "from_results", sample.recompute)
    return sample.write(tmp_path / "sample")


def new_key(path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@my-laptop", "-f", str(path)],
        check=True,
    )
    return path


def listed(path: Path, name: str, key: Path) -> Path:
    path.write_text(f"{name} {key.with_suffix('.pub').read_text()}")
    return path


def fingerprint(key: Path) -> str:
    return subprocess.run(
        ["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True
    ).stdout.split()[1]


def ambiemo(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lines(done: Result) -> list[str]:
    return done.stdout.splitlines()


def test_not_signed_is_said(bundle: Path) -> None:
    done = ambiemo("verify", bundle)
    assert done.exit_code == 0
    assert "not signed" in lines(done)


def test_a_signature_by_an_unknown_key_is_told_by_its_fingerprint(
    bundle: Path, tmp_path: Path
) -> None:
    key = new_key(tmp_path / "key")
    assert ambiemo("sign", bundle, "--key", key).exit_code == 0
    done = ambiemo("verify", bundle)
    assert done.exit_code == 0, done.output
    assert f"signed by {fingerprint(key)}, key not checked" in lines(done)


def test_a_signature_by_a_known_key_is_told_by_its_name(bundle: Path, tmp_path: Path) -> None:
    key = new_key(tmp_path / "key")
    ambiemo("sign", bundle, "--key", key)
    signers = listed(tmp_path / "mine", "alice@lab.example", key)
    done = ambiemo("verify", bundle, "--signers", signers)
    assert done.exit_code == 0, done.output
    assert f"signed by alice@lab.example ({fingerprint(key)})" in lines(done)
    said = json.loads(ambiemo("verify", bundle, "--signers", signers, "--json").stdout)
    assert said["signature"].startswith("signed by alice")


def test_a_stranger_who_signs_anew_is_found_out_by_the_readers_list(
    bundle: Path, tmp_path: Path
) -> None:
    authors, stranger = new_key(tmp_path / "authors"), new_key(tmp_path / "stranger")
    ambiemo("sign", bundle, "--key", authors)
    ambiemo("sign", bundle, "--key", stranger)  # replaces signature and list
    done = ambiemo("verify", bundle, "--signers", listed(tmp_path / "mine", "authors", authors))
    assert done.exit_code == 1
    assert f"signed by {fingerprint(stranger)}, key not checked" in done.stdout


def test_a_list_of_signers_asks_for_a_signature(bundle: Path, tmp_path: Path) -> None:
    done = ambiemo(
        "verify",
        bundle,
        "--signers",
        listed(tmp_path / "mine", "authors", new_key(tmp_path / "key")),
    )
    assert done.exit_code == 1
    assert "not signed" in done.stdout


def test_a_signature_over_something_else_is_bad(bundle: Path, tmp_path: Path) -> None:
    ambiemo("sign", bundle, "--key", new_key(tmp_path / "key"))
    kept = {
        name: (bundle / name).read_bytes()
        for name in ("tagmanifest-sha256.txt.sig", "allowed_signers")
    }
    sample.forge(bundle, {"log/run.log": b"other\n"})
    for name, data in kept.items():
        (bundle / name).write_bytes(data)
    done = ambiemo("verify", bundle)
    assert done.exit_code == 1
    assert "badly signed" in lines(done)


def test_nothing_of_the_signers_machine_is_in_the_bundle(bundle: Path, tmp_path: Path) -> None:
    ambiemo("sign", bundle, "--key", new_key(tmp_path / "key"))
    assert "laptop" not in (bundle / "allowed_signers").read_text()


@pytest.mark.parametrize("key", ["missing", "text", "folder"])
def test_a_key_that_cannot_be_used_is_one_line(bundle: Path, tmp_path: Path, key: str) -> None:
    (tmp_path / "text").write_text("no key\n")
    (tmp_path / "folder").mkdir()
    done = ambiemo("sign", bundle, "--key", tmp_path / key)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert not (bundle / "allowed_signers").exists()


def test_a_broken_bundle_is_not_signed(bundle: Path, tmp_path: Path) -> None:
    (bundle / "data/log/run.log").write_text("other")
    assert ambiemo("sign", bundle, "--key", new_key(tmp_path / "key")).exit_code == 1
    assert not (bundle / "allowed_signers").exists()


def test_a_pipe_as_list_of_signers_is_one_line(bundle: Path, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    ambiemo("sign", bundle, "--key", new_key(tmp_path / "key"))
    done = ambiemo("verify", bundle, "--signers", tmp_path / "pipe")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "not a regular file" in done.stderr


def test_an_archive_is_the_same_bytes_each_time(bundle: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    made = []
    for _ in range(2):
        command = ["make", "-s", "archive", f"BUNDLE={bundle}", "SOURCE_DATE_EPOCH=1700000000"]
        subprocess.run(command, cwd=Path(__file__).parent.parent, check=True, capture_output=True)
        made.append(bundle.with_name("sample.tar").read_bytes())
        for path in bundle.rglob("*"):
            path.touch()
            path.chmod(0o700)
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("allowed_signers", "# JS is .001\n"),
        ("allowed_signers", "mallory ssh-ed25519 AAAA\n"),
        ("tagmanifest-sha256.txt.sig", "JS is .001\n"),
    ],
)
def test_the_files_that_no_manifest_lists_say_nothing_else(
    bundle: Path, tmp_path: Path, name: str, text: str
) -> None:
    ambiemo("sign", bundle, "--key", new_key(tmp_path / "key"))
    (bundle / name).write_text((bundle / name).read_text() + text)
    done = ambiemo("verify", bundle)
    assert done.exit_code == 1, done.output
    assert f"{name} says more than a signature needs" in done.output
