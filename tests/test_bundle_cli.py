"""`ambiemo verify`: exit codes, what a person reads, what a script reads, and what it must not
need.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bundle_sample as sample
import pytest
from click.testing import CliRunner, Result

from ambiemo.bundle import bag
from ambiemo.bundle import verify as verifying
from ambiemo.cli import main
from ambiemo.errors import Broken


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(verifying, "from_results", sample.recompute)
    return sample.write(tmp_path / "sample")


def ambiemo(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_bundle_that_holds_exits_0_with_a_tick_for_every_check(bundle: Path) -> None:
    done = ambiemo("verify", bundle)
    assert done.exit_code == 0
    assert done.stdout.count("✓") == len(verifying.CHECKS)
    assert done.stdout.splitlines()[-2:] == ["not signed", "holds"]


def test_the_output_in_the_docs_is_what_is_printed(bundle: Path) -> None:
    docs = (Path(__file__).parent.parent / "docs" / "bundle.md").read_text("utf-8")
    assert "\n".join(ambiemo("verify", bundle).stdout.splitlines()[1:]) in docs


def test_a_broken_bundle_exits_1_and_says_file_found_expected_and_what_to_do(bundle: Path) -> None:
    (bundle / "data/log/run.log").write_text("other")
    done = ambiemo("verify", bundle)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    place = lines.index("    data/log/run.log")
    assert [line.split()[0] for line in lines[place + 1 : place + 4]] == ["found", "expected", "do"]
    assert lines[-1].startswith("broken: ")


def test_what_cannot_be_read_exits_2_with_one_line_on_stderr(bundle: Path, tmp_path: Path) -> None:
    (bundle / "bagit.txt").unlink()
    for path in (bundle, tmp_path / "missing", tmp_path):
        done = ambiemo("verify", path)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(f"ambiemo: {path}: found ")


def test_json_is_one_object_that_names_every_check(bundle: Path) -> None:
    good = json.loads(ambiemo("verify", bundle, "--json").stdout)
    (bundle / "data/extra").write_text("")
    done = ambiemo("verify", bundle, "--json")
    bad = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (good["bundle"], good["holds"], bad["holds"]) == ("sample", True, False)
    assert [check["check"] for check in good["checks"]] == [name for name, _, _ in verifying.CHECKS]
    (finding,) = next(check for check in bad["checks"] if check["check"] == "closed-world")[
        "findings"
    ]
    assert set(finding) == {"check", "file", "found", "expected", "advice"}
    assert finding["file"] == "data/extra"


def test_many_findings_of_one_check_are_counted_not_all_printed(bundle: Path) -> None:
    for number in range(30):
        (bundle / f"data/extra{number}").write_text("")
    printed = ambiemo("verify", bundle).stdout
    assert printed.count("a file that no manifest lists") == 10
    assert "and 20 more" in printed


def test_a_file_name_with_markup_or_colour_codes_is_printed_as_it_is(bundle: Path) -> None:
    (bundle / "data/[bold red]x[").write_text("")
    (bundle / "data/\x1b[31m").write_text("")
    printed = ambiemo("verify", bundle).stdout
    assert "data/[bold red]x[" in printed
    assert "data/\\x1b[31m" in printed
    assert "\x1b" not in printed


def run_as_command(*arguments: object, **options) -> subprocess.CompletedProcess:
    """The command in a process of its own, with the sample's recomputation."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(sample.__file__).parent)!r})\n"
        "import bundle_sample\nfrom ambiemo.bundle import verify\nverify.from_results = bundle_sample.recompute\n"
        f"from ambiemo.cli import main\n"
        "try: main()\nfinally: print(*sys.modules, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_verify_needs_no_torch_no_ray_and_nothing_slow(bundle: Path) -> None:
    done = run_as_command("verify", bundle)
    assert done.returncode == 0, done.stderr
    heavy = {
        "torch",
        "ray",
        "transformers",
        "pandas",
        "scipy",
        "sklearn",
        "matplotlib",
        "pyarrow",
        "numpy",
    }
    assert not heavy & set(done.stderr.split())


def test_a_terminal_that_knows_no_tick_gets_the_verdict_all_the_same(bundle: Path) -> None:
    done = run_as_command("verify", bundle, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ok ") == len(verifying.CHECKS)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read and write everything."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that others may enter (pytest's own are closed to them) and only root may write."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        yield Path(place)


@pytest.mark.parametrize(
    "locked", ["..", ".", "bagit.txt", "data/tables", "data/log/run.log", bag.MANIFEST]
)
def test_what_this_user_may_not_read_exits_2_and_is_named(
    open_place: Path, bundle: Path, locked: str
) -> None:
    bundle = sample.write(open_place / "sample")
    os.chmod(bundle / locked, 0)
    with as_nobody():
        done = ambiemo("verify", bundle)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    shown = bundle if locked == ".." else bundle / locked
    assert f"{shown}: cannot read: Permission denied" in done.stderr


def test_a_parent_that_may_not_be_written_gives_one_line_and_leaves_nothing(
    open_place: Path,
) -> None:
    with as_nobody(), pytest.raises(Broken, match="sample: cannot write: Permission denied"):
        sample.write(open_place / "sample")
    assert os.listdir(open_place) == []
