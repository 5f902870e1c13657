"""A bundle is written whole or not at all, in one form only, and third-party tools accept it."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo import durable
from ambiemo.bundle import bag
from ambiemo.bundle.folder import payload
from ambiemo.errors import BadInput, Broken

CONTENTS = {
    "README.md": b"# read me\n",
    "answers/tiny/tiny.jsonl.gz": b"\x1f\x8b",
    "tables/results.csv": b"a,b\n1,2\n",
}
INFO = {"Source-Organization": "ambiemo contributors"}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def third_party(folder: Path) -> dict[str, bool]:
    """What sha256sum and bagit.py say of a bundle."""
    sums = ["sha256sum", "-c", "--strict", "--quiet", bag.MANIFEST, bag.TAG_MANIFEST]
    bagit = [sys.executable, "-m", "bagit", "--validate", "--quiet", str(folder)]
    run = {"sha256sum": subprocess.run(sums, cwd=folder, capture_output=True)}
    run["bagit.py"] = subprocess.run(bagit, cwd=folder, capture_output=True)
    return {name: done.returncode == 0 for name, done in run.items()}


def test_third_party_tools_accept_a_bundle(tmp_path: Path) -> None:
    bag.write(tmp_path / "one", CONTENTS, INFO)
    assert third_party(tmp_path / "one") == {"sha256sum": True, "bagit.py": True}


def test_the_written_files_are_the_contents_and_four_tag_files(tmp_path: Path) -> None:
    bag.write(tmp_path / "one", CONTENTS, INFO)
    assert dict(payload(tmp_path / "one")) == CONTENTS
    assert set(tree(tmp_path / "one")) == {f"data/{path}" for path in CONTENTS} | {
        "bagit.txt",
        "bag-info.txt",
        bag.MANIFEST,
        bag.TAG_MANIFEST,
    }
    assert os.listdir(tmp_path) == ["one"]


def test_the_same_contents_give_the_same_bytes_whatever_order_time_zone_or_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770000000")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    bag.write(tmp_path / "one", CONTENTS, INFO)
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    bag.write(tmp_path / "two", dict(reversed(CONTENTS.items())), INFO)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert "Bagging-Date: 2026-02-02\n" in (tmp_path / "one/bag-info.txt").read_text("utf-8")


def test_without_source_date_epoch_a_bundle_has_no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    octets = sum(map(len, CONTENTS.values()))
    expected = f"Payload-Oxum: {octets}.3\nSource-Organization: ambiemo contributors\n"
    assert bag.render(CONTENTS, INFO)["bag-info.txt"].decode() == expected


@pytest.mark.parametrize("epoch", ["yesterday", "1e9", "99999999999999999999"])
def test_a_source_date_epoch_that_is_no_date_is_named(
    monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(BadInput, match=f"SOURCE_DATE_EPOCH: found '{epoch}'"):
        bag.render(CONTENTS, INFO)


@pytest.mark.parametrize(
    "path",
    [
        "../up",
        "/etc/passwd",
        "a//b",
        "a/",
        "",
        ".hidden",
        "-rf",
        "a b",
        "a\nb",
        "ü.csv",
        "a\\b",
        "50%.csv",
        "~/x",
    ],
)
def test_a_path_that_some_system_reads_differently_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="path"):
        bag.render({path: b""}, {})


@pytest.mark.parametrize("paths", [("a.csv", "A.csv"), ("a", "a/b"), ("a/b/c", "a/b")])
def test_two_paths_that_cannot_both_be_files_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="rename one"):
        bag.render(dict.fromkeys(paths, b""), {})


@pytest.mark.parametrize("text", ["", " \n", "bell\a"])
def test_a_bag_info_text_that_would_not_read_back_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=re.escape("bag-info.txt: 'Note'")):
        bag.render(CONTENTS, {"Note": text})


def test_a_text_of_several_lines_becomes_one_line_of_bag_info() -> None:
    assert (
        "Note: two lines\n"
        in bag.render(CONTENTS, {"Note": " two\n  lines\n"})["bag-info.txt"].decode()
    )


def test_a_bundle_without_contents_is_refused() -> None:
    with pytest.raises(BadInput, match="no contents"):
        bag.render({}, {})


part = st.from_regex(bag.PLAIN_PART, fullmatch=True)
path = st.lists(part, min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(path, st.binary(max_size=20), min_size=1, max_size=6))
def test_every_manifest_has_one_sorted_line_a_file_and_names_no_other(
    contents: dict[str, bytes],
) -> None:
    try:
        files = bag.render(contents, {})
    except BadInput:
        return
    listed = {
        line[66:]: line[:64]
        for line in (files[bag.MANIFEST] + files[bag.TAG_MANIFEST]).decode().splitlines()
    }
    assert listed == {
        path: durable.sha256(data) for path, data in files.items() if path != bag.TAG_MANIFEST
    }
    assert list(files) == sorted(files)


def test_an_older_bundle_is_replaced_and_nothing_of_it_stays(tmp_path: Path) -> None:
    bag.write(tmp_path / "one", {"old.txt": b"old"}, {})
    bag.write(tmp_path / "one", CONTENTS, {})
    assert dict(payload(tmp_path / "one")) == CONTENTS
    assert os.listdir(tmp_path) == ["one"]


def test_a_file_that_somebody_put_into_the_older_bundle_is_not_thrown_away(tmp_path: Path) -> None:
    for count in (1, 2):
        bag.write(tmp_path / "one", CONTENTS, {})
        (tmp_path / "one/data/my-notes.txt").write_text(f"precious {count}")
    bag.write(tmp_path / "one", CONTENTS, {})
    assert (tmp_path / "one.before-1/data/my-notes.txt").read_text() == "precious 1"
    assert (tmp_path / "one.before-2/data/my-notes.txt").read_text() == "precious 2"
    assert dict(payload(tmp_path / "one")) == CONTENTS


def test_a_signature_of_the_older_bundle_does_not_outlive_it(tmp_path: Path) -> None:
    bag.write(tmp_path / "one", CONTENTS, {})
    for name in bag.SIGNATURE:
        (tmp_path / "one" / name).write_text("signed")
    bag.write(tmp_path / "one", CONTENTS, {})
    assert os.listdir(tmp_path) == ["one"]
    assert not (tmp_path / "one" / bag.SIGNATURE[0]).exists()


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="name another folder"):
        bag.write(tmp_path / "home", CONTENTS, {})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="found a file"):
        bag.write(tmp_path / "file", CONTENTS, {})
    assert tree(tmp_path) == {"home/thesis.tex": b"years of work", "file": b"mine"}


def test_an_empty_folder_is_filled_and_missing_parents_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bag.write(tmp_path / "empty", CONTENTS, {})
    bag.write(tmp_path / "deep/er/one", CONTENTS, {})
    assert tree(tmp_path / "empty") == tree(tmp_path / "deep/er/one")


def test_a_link_to_a_bundle_stays_a_link_to_the_new_one(tmp_path: Path) -> None:
    bag.write(tmp_path / "one", {"old.txt": b"old"}, {})
    (tmp_path / "latest").symlink_to("one")
    bag.write(tmp_path / "latest", CONTENTS, {})
    assert (tmp_path / "latest").is_symlink()
    assert dict(payload(tmp_path / "one")) == CONTENTS


def steps_of_a_write(
    patch: pytest.MonkeyPatch, stop_at: int, stop: Callable[[], None]
) -> list[int]:
    """Call `stop` before the `stop_at`-th change to the disk; the returned list grows with every
    change.
    """
    taken: list[int] = []

    def counting(real: Callable) -> Callable:
        def step(*arguments: object, **options: object) -> object:
            taken.append(1)
            if len(taken) == stop_at:
                stop()
            return real(*arguments, **options)

        return step

    for name in ("rename", "fsync", "mkdir", "unlink", "rmdir"):
        patch.setattr(os, name, counting(getattr(os, name)))
    return taken


def write_killed_at(stop_at: int, folder: Path) -> bool:
    """Write in a child that dies at once before its `stop_at`-th change to the disk; True if it got
    through.
    """
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            steps_of_a_write(patch, stop_at, lambda: os._exit(9))
            bag.write(folder, CONTENTS, {})
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("old", [None, {"old.txt": b"old"}], ids=["first write", "replacing"])
def test_a_write_killed_at_any_moment_leaves_the_old_bundle_or_the_new_one(
    tmp_path: Path, old: dict | None
) -> None:
    seen = []
    for stop_at in range(1, 60):
        folder = tmp_path / str(stop_at) / "one"
        folder.parent.mkdir()
        if old:
            bag.write(folder, old, {})
        finished = write_killed_at(stop_at, folder)
        bag.settle(folder)  # what the next write does first
        there = dict(payload(folder)) if folder.exists() else None
        assert there in (old, CONTENTS), f"step {stop_at}: neither old nor new"
        assert os.listdir(folder.parent) in (["one"], []), f"step {stop_at}: left behind"
        bag.write(folder, CONTENTS, {})
        assert dict(payload(folder)) == CONTENTS
        seen.append(there)
        if finished:
            assert seen[0] == old
            assert seen[-2:] == [CONTENTS, CONTENTS]
            return
    pytest.fail("a write takes more steps than this test can stop at")


def refuse(code: int) -> Callable[[], None]:
    """A disk that refuses with an errno."""

    def stop() -> None:
        raise OSError(code, os.strerror(code))

    return stop


def attempt(folder: Path) -> list[Broken]:
    """Write; the error if the disk refused."""
    try:
        bag.write(folder, CONTENTS, {})
    except Broken as error:
        return [error]
    return []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_refuses_at_any_moment_gives_one_line_and_leaves_what_was_there(
    tmp_path: Path, code: int
) -> None:
    folder = tmp_path / "one"
    old = {"old.txt": b"old"}
    for stop_at in range(1, 60):
        bag.write(folder, old, {})
        assert os.listdir(tmp_path) == ["one"], f"step {stop_at - 1}: left behind"
        with pytest.MonkeyPatch.context() as patch:
            taken = steps_of_a_write(patch, stop_at, refuse(code))
            refused = [str(error) for error in attempt(folder)]
        assert all(
            line.startswith(f"{folder}: cannot write: ") and "\n" not in line for line in refused
        )
        assert dict(payload(folder)) in (old, CONTENTS)
        assert set(os.listdir(tmp_path)) <= {"one", ".one.old"}, f"step {stop_at}: half-written"
        assert not refused or os.listdir(tmp_path) == [
            "one"
        ]  # .one.old: written, but the old one could not be removed
        if len(taken) < stop_at:
            return
    pytest.fail("a write takes more steps than this test can stop at")


def test_a_really_full_disk_leaves_the_old_bundle(tmp_path: Path) -> None:
    old = {"old.txt": b"old"}
    bag.write(tmp_path / "one", old, {})
    script = (
        "import resource, signal, sys; from ambiemo.bundle import bag; from ambiemo.errors import Broken\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: bag.write(sys.argv[1], {'big.bin': bytes(100_000)}, {})\n"
        "except Broken as error: print(error); sys.exit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "one")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.count("\n")) == (7, 1), done
    assert dict(payload(tmp_path / "one")) == old
    assert os.listdir(tmp_path) == ["one"]


def test_a_parent_that_is_a_file_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Broken, match="cannot write"):
        bag.write(tmp_path / "file/one", CONTENTS, {})


def test_two_writers_at_once_leave_one_whole_bundle(tmp_path: Path) -> None:
    script = (
        "import sys; from ambiemo.bundle import bag\n"
        "for _ in range(15): bag.write(sys.argv[1], {f'{name}.txt': sys.argv[2].encode() for name in range(9)}, {})\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "one"), name], stderr=subprocess.PIPE
        )
        for name in ("first", "second")
    ]
    errors = [writer.communicate()[1] for writer in writers]
    assert errors == [b"", b""]
    assert len(set(payload(tmp_path / "one").values())) == 1
    assert os.listdir(tmp_path) == ["one"]
