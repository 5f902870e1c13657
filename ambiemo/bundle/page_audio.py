"""The user's own audio files next to a page: found by their SHA-256, linked, never embedded.

A corpus may be licensed, so no byte of a clip enters the page. A link is relative to the page, and
only a file whose hash is the utterance's is linked.
"""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ambiemo.durable import sha256_file
from ambiemo.errors import BadInput, shown
from ambiemo.jsonlines import Row
from ambiemo.limits import AUDIO_FILE, BUNDLE_FILES

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")


def links(folder: Path, page: Path, utterances: Sequence[Row]) -> dict[str, dict[str, str]]:
    """By utterance: {"href"} of the file with its hash, or {"why"} the file of its name is not
    linked.

    folder: the user's own files; page: where the page will lie; utterances: rows with id and sha.
    Files named like an utterance are hashed first, the others only while clips are missing. Raises
    BadInput where the folder cannot be read.
    """
    files = list(_audio(folder))
    named = {path.stem: path for path in reversed(files)}
    wanted = {one["sha"]: one for one in utterances if one["sha"]}
    place_of: dict[str, Path] = {}
    audio: dict[str, dict[str, str]] = {}
    for one in utterances:
        if (path := named.get(one["id"])) is None:
            continue
        if (digest := _hash(path)) == one["sha"]:
            place_of[digest] = path
        else:
            audio[one["id"]] = {
                "why": f"{shown(path.name)} is not this clip: found SHA-256 {digest[:12]}…, "
                f"expected {one['sha'][:12]}… (inputs/utterances.jsonl). It is not linked."
            }
    for path in files:
        if wanted.keys() <= place_of.keys():
            break
        if path not in place_of.values() and (digest := _hash(path)) in wanted:
            place_of.setdefault(digest, path)
    for one in utterances:
        if (path := place_of.get(one["sha"])) is not None:
            audio[one["id"]] = {"href": _href(path, page)}
    return audio


def words(audio: Mapping[str, Mapping[str, str]], utterances: int) -> str:
    """How many clips are linked, and how many files do not match."""
    linked = sum("href" in one for one in audio.values())
    wrong = len(audio) - linked
    more = (
        f" {wrong} files have an utterance's name and another SHA-256; they are not linked."
        if wrong
        else ""
    )
    return f"Your own audio: {linked} of {utterances} clips are linked, each with the SHA-256 of inputs/utterances.jsonl.{more}"


def wrong_links(page: Path, audio: Any, utterances: Iterable[Row]) -> list[tuple[str, str, str]]:
    """Links of a page whose file is there with another hash than the utterance's: (what, found,
    expected). A file that is gone is not wrong.
    """
    hashes = {one["id"]: one["sha"] for one in utterances}
    faults = []
    for name, one in audio.items():
        href = one.get("href")
        if href is None:
            continue
        place = Path(os.path.normpath(page.parent / unquote(href)))
        if "://" in href or name not in hashes or place.suffix.lower() not in SUFFIXES:
            faults.append(
                (f"audio of {shown(name)}", shown(href), "a relative link to an audio file")
            )
        elif place.is_file() and (digest := _hash(place)) != hashes[name]:
            faults.append((f"audio of {shown(name)}", f"sha256 {digest}", f"sha256 {hashes[name]}"))
    return faults


def _audio(folder: Path) -> Iterable[Path]:
    """Audio files below a folder, sorted; links to folders are not followed."""
    if not folder.is_dir():
        raise BadInput(
            f"{shown(str(folder))}: found no folder, expected your own audio files (--audio)"
        )
    seen = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        seen += len(names)
        if seen > BUNDLE_FILES * 10:
            raise BadInput(
                f"{shown(str(folder))}: found more than {BUNDLE_FILES * 10:,} files, expected a corpus' folder"
            )
        for name in sorted(names):
            path = Path(place) / name
            if path.suffix.lower() in SUFFIXES and _plain(path):
                yield path


def _plain(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= AUDIO_FILE


def _hash(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise BadInput(
            f"{shown(str(path))}: cannot read: {error.strerror}; name a folder that can be read"
        ) from error


def _href(path: Path, page: Path) -> str:
    """A link from the page's folder to a file. A colon in a first folder's name would be a scheme."""
    relative = os.path.relpath(path.resolve(), page.resolve().parent)
    return quote(relative.replace(os.sep, "/"), safe="/._-~")
