"""A bundle on disk is a BagIt 1.0 bag (RFC 8493), written here: bagit.py 1.9.0 writes 0.97 with
today's date.

`render` turns contents into the bag's files and is pure; `write` puts them on disk whole or not at
all. The bag is stricter than the RFC asks, so that every bundle has one form only and a changed
byte cannot hide: names are plain ASCII, manifest lines are lower-case hex, two spaces, path, line
feed, sorted by path.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ambiemo.durable import refused, sha256, sync_folder
from ambiemo.errors import BadInput

DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
SIGNATURE = (
    f"{TAG_MANIFEST}.sig",
    "allowed_signers",
)  # cannot be in the tag manifest: they are made from it, afterwards
PLAIN_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@-]*")
PERCENT = str.maketrans({"%": "%25", "\n": "%0A", "\r": "%0D"})
PLAIN_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def render(contents: Mapping[str, bytes], info: Mapping[str, str]) -> dict[str, bytes]:
    """All files of a bag by their path in it, in the order of those paths; arguments and errors as
    for `tag_files`.
    """
    return dict(
        sorted(
            {
                **{f"data/{path}": data for path, data in contents.items()},
                **tag_files(contents, info),
            }.items()
        )
    )


def tag_files(contents: Mapping[str, bytes], info: Mapping[str, str]) -> dict[str, bytes]:
    """The files next to `data/`: declaration, info and manifests.

    contents: path below `data/` -> bytes, at least one. info: further lines of bag-info.txt (label
    -> one line of text). `Bagging-Date` is the UTC day of SOURCE_DATE_EPOCH and is left out where
    that is not set, so that the same contents give the same bytes. Raises BadInput for a path or
    line that a bag, a shell or another operating system would read differently.
    """
    from ambiemo.bundle.folder import as_files

    check_names(contents)
    files = as_files(contents)
    octets = sum(map(files.size, files))
    lines = {**info, **bagging_date(os.environ), "Payload-Oxum": f"{octets}.{len(files)}"}
    tags = {
        "bagit.txt": DECLARATION,
        "bag-info.txt": "".join(
            f"{label}: {one_line(label, text)}\n" for label, text in sorted(lines.items())
        ).encode(),
        MANIFEST: manifest({f"data/{path}": files.sha256(path) for path in files}),
    }
    tags[TAG_MANIFEST] = manifest({path: sha256(data) for path, data in tags.items()})
    return tags


def manifest(digests: Mapping[str, str]) -> bytes:
    """The one form of a manifest: `<sha256>  <path>` and a line feed, sorted by path; % CR LF percent-encoded."""
    return "".join(
        f"{digest}  {path.translate(PERCENT)}\n" for path, digest in sorted(digests.items())
    ).encode()


def check_names(contents: Mapping[str, bytes]) -> None:
    """Raise BadInput unless every path is a plain one that means the same file on every system."""
    if not contents:
        raise BadInput(
            "bundle: found no contents, expected at least one file; a bag without payload proves nothing"
        )
    seen: dict[str, str] = {}
    for path in contents:
        if not all(PLAIN_PART.fullmatch(part) for part in path.split("/")):
            raise BadInput(
                f"bundle: path {path!r}: expected parts of A-Z a-z 0-9 . _ + = @ - joined by '/', "
                "none opening with any of . + = @ -"
            )
        if (other := seen.setdefault(path.casefold(), path)) != path:
            raise BadInput(
                f"bundle: paths {other!r} and {path!r} are one file where case does not matter; rename one"
            )
    for path in contents:
        for folder in Path(path).parents:
            if folder.as_posix().casefold() in seen:
                raise BadInput(
                    f"bundle: {folder.as_posix()!r} is a file and the folder of {path!r}; rename one"
                )


def one_line(label: str, text: str) -> str:
    """`text` on one line, white space runs as one space, so that `label: text` reads back from
    bag-info.txt.
    """
    line = " ".join(text.split())
    if not PLAIN_LABEL.fullmatch(label) or not line or not line.isprintable():
        raise BadInput(
            f"bag-info.txt: {label!r}: found {text!r}, expected a plain label and printable text"
        )
    return line


def bagging_date(environment: Mapping[str, str]) -> dict[str, str]:
    """`Bagging-Date` of SOURCE_DATE_EPOCH (seconds since 1970, UTC); nothing where it is not
    set.
    """
    epoch = environment.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return {}
    try:
        return {"Bagging-Date": datetime.fromtimestamp(int(epoch), UTC).date().isoformat()}
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput(
            f"SOURCE_DATE_EPOCH: found {epoch!r}, expected whole seconds since 1970; "
            "set it to `git log -1 --format=%ct` or unset it"
        ) from error


def write(folder: Path | str, contents: Mapping[str, bytes], info: Mapping[str, str]) -> None:
    """Write a bundle to `folder`, whole or not at all; an older bundle of that name is replaced.

    The bag is built in a hidden sibling, flushed to the disk, and renamed into place, so a crash at
    any moment leaves the old bundle, the new one, or (between two renames) neither under the name
    but the complete new one next to it, which the next write puts into place. If somebody put files
    into the older bundle, it is kept next to the new one as NAME.before-1. Files of a `Files` that
    lie on the disk are moved, not copied. Raises BadInput for names that a bag cannot hold or a
    folder that is not a bundle; Broken if the disk refuses: then the older bundle is untouched.
    """
    tags = tag_files(contents, info)
    folder = Path(folder).resolve()
    writing, new, old = siblings(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(folder.parent):
            settle(folder)
            check_replaceable(folder)
            try:
                build(writing, contents, tags)
                os.rename(
                    writing, new
                )  # from here on the new bundle is complete and cannot be lost
                if folder.exists():
                    os.rename(folder, free_name(folder) if strangers(folder) else old)
                os.rename(new, folder)
                sync_folder(folder.parent)
            finally:
                settle(folder)
    except OSError as error:
        raise refused(folder, error) from error


def siblings(folder: Path) -> tuple[Path, Path, Path]:
    """Where the bundle is built, where it waits when complete, and where the older one waits to be
    removed.
    """
    writing, new, old = (
        folder.with_name(f".{folder.name}.{state}") for state in ("writing", "new", "old")
    )
    return writing, new, old


def settle(folder: Path) -> None:
    """Bring a folder and its hidden siblings to rest after a write cut short: a complete bundle
    gets the name.
    """
    writing, new, old = siblings(folder)
    if new.exists() and not folder.exists():
        os.rename(new, folder)
        sync_folder(folder.parent)
    for left in (writing, new, old):
        shutil.rmtree(left, ignore_errors=True)


def strangers(bag: Path) -> list[str]:
    """Files in a bag that its manifests do not name, except a signature, which does not outlive
    what it signs.
    """
    known = {TAG_MANIFEST, *SIGNATURE}
    for name in (MANIFEST, TAG_MANIFEST):
        with suppress(OSError, UnicodeDecodeError):
            known |= {
                line.partition("  ")[2] for line in (bag / name).read_text("utf-8").splitlines()
            }
    paths = (
        Path(top, name).relative_to(bag).as_posix()
        for top, _, names in os.walk(bag)
        for name in names
    )
    return sorted(path for path in paths if path not in known)


def free_name(folder: Path) -> Path:
    """First of NAME.before-1, NAME.before-2, ... that is not taken."""
    count = 1
    while (name := folder.with_name(f"{folder.name}.before-{count}")).exists():
        count += 1
    return name


def check_replaceable(folder: Path) -> None:
    """Raise BadInput unless `folder` is missing, empty or a bag, so no other files are lost."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BadInput(
            f"{folder}: found a file, expected a folder for the bundle; name another or move the file away"
        )
    if os.path.ismount(folder):
        raise BadInput(
            f"{folder}: found a mount point, which cannot be replaced whole; name a folder inside it"
        )
    if any(folder.iterdir()) and not (folder / "bagit.txt").is_file():
        raise BadInput(
            f"{folder}: found a folder with other files, expected none or an older bundle; name another folder"
        )


def build(folder: Path, contents: Mapping[str, bytes], tags: Mapping[str, bytes]) -> None:
    """Write a bag below a new folder and flush its files, and every folder on the way, to the
    disk.
    """
    from ambiemo.bundle.folder import as_files

    places = as_files(contents).places
    folders = {folder}
    for path, place in {
        **{f"data/{path}": place for path, place in places.items()},
        **tags,
    }.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        folders |= {parent for parent in target.parents if parent.is_relative_to(folder)}
        if isinstance(place, Path):
            shutil.move(place, target)  # a store may lie on another file system
        with open(target, "rb+" if isinstance(place, Path) else "wb") as file:
            if isinstance(place, bytes):
                file.write(place)
            file.flush()
            os.fsync(file.fileno())
    for each in sorted(folders, reverse=True):
        sync_folder(each)


@contextmanager
def only_writer(parent: Path) -> Iterator[None]:
    """Keep two processes from writing bundles into one folder at once: the second waits. A killed
    process releases the lock.
    """
    handle = os.open(parent, os.O_RDONLY)
    try:
        with suppress(
            OSError
        ):  # some network file systems lack this lock: there the user must run one writer at a time
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
