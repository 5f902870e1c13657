"""Reads what lies in a bundle's folder and what its manifests list, and trusts neither.

Nothing here follows a symbolic link, opens a special file or leaves the folder, whatever a manifest
names.
"""

import gzip
import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ambiemo.bundle.bag import SIGNATURE, manifest
from ambiemo.durable import CHUNK, sha256, sha256_file
from ambiemo.errors import AmbiemoError, BadInput, Broken, shown
from ambiemo.limits import (
    BUNDLE_FILES,
    DOCUMENT,
    FOLDERS,
    MANIFEST_LINE,
    PLAN,
    ROWS_FILE,
    TAG_FILE,
    TEXT_FILE,
    TooMuch,
    Unpacking,
    open_regular,
    read_regular,
)

MOST_FAULTS = 1000
"""Most faults reported of a manifest: nobody reads more, and a forger may make millions."""
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISCHR, "a character device"),
)


class OtherFormat(BadInput):
    """The bundle has another layout than this version of the package reads."""


@dataclass(frozen=True)
class Disk:
    """What is there: `files` path -> size in bytes, `strange` path -> what it is instead of a
    file.
    """

    root: Path
    files: dict[str, int]
    strange: dict[str, str]

    def read(self, path: str) -> bytes:
        """Bytes of one of `files`; BadInput if this user may not read them."""
        return _read(self.root / path)


def look(folder: Path | str) -> Disk:
    """Walk a bundle's folder. Raises BadInput if there is none, it is not a bag, or it may not be
    read.
    """
    root = Path(folder)
    if "\0" in str(folder):
        raise BadInput(f"{shown(str(folder))}: found a NUL in the name, expected a bundle's folder")
    try:
        is_folder = root.is_dir()
    except OSError as error:
        raise unreadable(root, error) from error
    if not is_folder:
        what = "a file" if root.exists() else "nothing"
        raise BadInput(
            f"{folder}: found {what}, expected a bundle's folder; `ambiemo run PLAN` prints where it wrote one"
        )
    disk = Disk(root, {}, {})
    walk(root, "", disk)
    if "bagit.txt" not in disk.files:
        raise BadInput(
            f"{folder}: found no bagit.txt, expected a bundle; name the folder that holds bagit.txt and data/"
        )
    return disk


def walk(folder: Path, prefix: str, disk: Disk) -> None:
    """Add everything below `folder` to `disk`, by path from the bundle's root."""
    if prefix.count("/") > FOLDERS:
        raise BadInput(
            f"{shown(prefix)}: found folders more than {FOLDERS} deep, expected none; name a bundle's folder"
        )
    try:
        inside = []
        with os.scandir(folder) as entries:
            for entry in entries:
                inside.append((entry.name, entry.stat(follow_symlinks=False)))
                if len(inside) + len(disk.files) + len(disk.strange) > BUNDLE_FILES:
                    raise BadInput(
                        f"{shown(str(disk.root))}: found more than {BUNDLE_FILES:,} files, expected fewer; name a bundle's folder"
                    )
        inside.sort()
    except OSError as error:
        raise unreadable(folder, error) from error
    if not inside and prefix:
        disk.strange[prefix.rstrip("/")] = "an empty folder"
    for name, status in inside:
        path = prefix + name
        if stat.S_ISDIR(status.st_mode):
            walk(folder / name, f"{path}/", disk)
        elif stat.S_ISREG(status.st_mode):
            if status.st_size > (most := most_bytes(path)):
                raise BadInput(
                    f"{shown(path)}: found {status.st_size:,} bytes, expected {most:,} at most in such a file; "
                    "get the bundle again from its source"
                )
            disk.files[path] = status.st_size
        else:
            disk.strange[path] = next(
                (name for is_kind, name in KINDS if is_kind(status.st_mode)), "no plain file"
            )


def most_bytes(path: str) -> int:
    """The largest that a file of a bundle may be, by its path (docs/bundle.md)."""
    if path.endswith((".jsonl", ".gz")):
        return ROWS_FILE
    if path.endswith((".json", ".yaml")) and path != "data/ro-crate-metadata.json":
        return PLAN if path.endswith(".yaml") else DOCUMENT
    return TAG_FILE if path in ("bagit.txt", "bag-info.txt", *SIGNATURE) else TEXT_FILE


@contextmanager
def in_one_line(*folders: Path) -> Iterator[None]:
    """Turn any error that a malformed file causes into one line; `verify` says where the fault is.

    For commands that use a bundle without judging it. Raises Broken instead of the exception.
    """
    try:
        yield
    except AmbiemoError as error:
        raise type(error)(shown(str(error), 2000)) from error
    except Exception as error:
        raise Broken(
            f"{' or '.join(shown(str(folder)) for folder in folders)}: not as a bundle is ({type(error).__name__}: {shown(str(error))}); "
            "`ambiemo verify` names the file and what is wrong with it"
        ) from error


def unreadable(path: Path, error: OSError) -> BadInput:
    """The one-line error for something that cannot be read, so cannot be judged."""
    why = error.strerror or type(error).__name__
    return BadInput(
        f"{shown(str(path))}: cannot read: {why}; give this user read permission, or verify a copy of the bundle"
    )


@dataclass(frozen=True)
class Listing:
    """What one manifest says: `digests` path -> hex SHA-256, `line` path -> its line number, and
    what is wrong with it.

    A fault is (line number or 0 for the whole file, what was found, what was expected).
    """

    name: str
    digests: dict[str, str] = field(default_factory=dict)
    line: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[int, str, str]] = field(default_factory=list)


def read_listing(name: str, data: bytes, payload: bool) -> Listing:
    """A manifest's entries and faults. payload: whether every path must lie below `data/` (else:
    none may).

    Lines that are not entries become faults, as do paths that leave the bundle, come twice, or are
    on the wrong side of `data/`. The rest must be in the one form that `bag.manifest` writes,
    so an upper-case digit, a carriage return or two swapped lines show too.
    """
    listing = Listing(name)
    if data.count(b"\n") > BUNDLE_FILES:
        listing.faults.append((0, f"{data.count(10):,} lines", f"{BUNDLE_FILES:,} at most"))
        return listing
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        if len(listing.faults) > MOST_FAULTS:
            break
        for text, expected in entry_faults(raw, listing, number, payload):
            listing.faults.append((number, text, expected))
    if not listing.faults and manifest(listing.digests) != data:
        listing.faults.append(
            (
                0,
                "lines in another order or without a last line feed",
                "lines sorted by path, each ended by a line feed",
            )
        )
    return listing


def entry_faults(
    raw: bytes, listing: Listing, number: int, payload: bool
) -> Iterator[tuple[str, str]]:
    """Put one line into the listing, or yield (found, expected) for what is wrong with it."""
    if len(raw) > MANIFEST_LINE:
        yield f"a line of {len(raw):,} bytes", f"{MANIFEST_LINE:,} at most"
        return
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        yield shown(raw.decode("utf-8", "backslashreplace")), "UTF-8"
        return
    match = LINE.fullmatch(text)
    if not match or not text.isprintable():
        yield shown(text) or "an empty line", "64 lower-case hex digits, two spaces, a path"
        return
    digest, path = match.groups()
    if decoded(path) is None:
        yield path, "a path whose only percent signs are %0A, %0D and %25 (BagIt 1.0)"
    elif decoded(path) in listing.digests:
        yield (
            f"{path} again",
            f"each path once (first on line {listing.line[decoded(path) or path]})",
        )
    elif escapes(path):
        yield path, "a path inside the bundle, without '..', '.', '//' or a leading '/' or '~'"
    elif path.startswith("data/") != payload:
        yield path, "only paths below data/" if payload else "only files next to data/"
    else:
        listing.digests[decoded(path) or path] = digest
        listing.line[decoded(path) or path] = number


def decoded(path: str) -> str | None:
    """A manifest's path with BagIt's three percent codes decoded; None if it has another percent
    sign.
    """
    if re.search(r"%(?!0[AaDd]|25)", path):
        return None
    return re.sub(r"%0[Aa]|%0[Dd]|%25", lambda code: chr(int(code.group()[1:], 16)), path)


def escapes(path: str) -> bool:
    """Whether a path could name something outside the bundle, or one file in two ways."""
    return (
        path.startswith("~")
        or "\\" in path
        or any(part in ("", ".", "..") for part in path.split("/"))
    )


class Files(Mapping[str, bytes]):
    """Files by path below `data/`: each in memory, or on the disk and read only when it is asked
    for.
    """

    def __init__(self, places: Mapping[str, bytes | Path]) -> None:
        self.places = dict(sorted(places.items()))
        self._digests: dict[str, str] = {}

    def __getitem__(self, path: str) -> bytes:
        place = self.places[path]
        return place if isinstance(place, bytes) else _read(place)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, path: object) -> bool:
        return path in self.places

    def size(self, path: str) -> int:
        """Bytes of a file."""
        place = self.places[path]
        return len(place) if isinstance(place, bytes) else place.stat().st_size

    def sha256(self, path: str) -> str:
        """Hex SHA-256 of a file, computed once."""
        if path not in self._digests:
            place = self.places[path]
            try:
                self._digests[path] = (
                    sha256(place) if isinstance(place, bytes) else sha256_file(place)
                )
            except OSError as error:
                raise unreadable(Path(path), error) from error
        return self._digests[path]


def as_files(files: Mapping[str, bytes]) -> Files:
    """The same files with sizes and hashes."""
    return files if isinstance(files, Files) else Files(files)


def payload_of(disk: Disk) -> Files:
    """The files below `data/` of a bundle's folder."""
    inside = (path for path in disk.files if path.startswith("data/"))
    return Files({path.removeprefix("data/"): disk.root / path for path in inside})


def payload(folder: Path | str) -> Files:
    """The files below `data/` of a bundle, unverified. Raises BadInput if `folder` is not one."""
    return payload_of(look(folder))


@contextmanager
def opened(files: Mapping[str, bytes], path: str) -> Iterator[BinaryIO]:
    """A file to read from its start, unpacked where its name ends in .gz."""
    place = files.places[path] if isinstance(files, Files) else files[path]
    try:
        raw = (
            BytesIO(place)
            if isinstance(place, bytes)
            else open_regular(place, ROWS_FILE, follow=False)
        )
    except OSError as error:
        raise unreadable(Path(str(place)), error) from error
    except TooMuch as error:
        raise Broken(f"data/{path}: {error}; get the bundle again") from error
    with raw:
        if path.endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield io.BufferedReader(Unpacking(unpacked, raw), CHUNK)  # type: ignore[misc]  # it is read like a file
        else:
            yield raw


def _read(place: Path) -> bytes:
    try:
        return read_regular(place, TEXT_FILE, follow=False)
    except OSError as error:
        raise unreadable(place, error) from error
    except TooMuch as error:
        raise Broken(f"{shown(str(place))}: {error}; get the bundle again") from error
