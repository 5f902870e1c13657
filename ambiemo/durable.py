"""Files that are there whole or not at all, and their hashes."""

import errno
import hashlib
import os
import tempfile
from pathlib import Path

from ambiemo.errors import Broken

CHUNK = 1 << 20
FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
}


def sha256(data: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a text in UTF-8. Half a surrogate pair, which a model may say and UTF-8 lacks,
    counts as its escape.
    """
    return sha256(text.encode("utf-8", "backslashreplace"))


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def write(path: Path | str, data: bytes) -> None:
    """Write a whole file or nothing: temporary file in the same folder, fsync, rename, fsync of the
    folder.

    Makes the folder. Raises Broken, naming the path, when the disk refuses; what stood at `path`
    before is then untouched.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise refused(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refused(path: Path | str, error: OSError) -> Broken:
    """The one-line error for a write that the file system refused."""
    why = FULL.get(error.errno or 0, error.strerror or str(error))
    return Broken(
        f"{path}: cannot write: {why}; make room or name another folder, then run the same command again"
    )
