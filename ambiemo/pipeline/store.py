"""The answer store: append-only, content-addressed, one writer at a time.

One file a model, one line a group of draws: `{"group": …, "answers": [{"key": …, "candidates": […], …}]}`. A line is appended and synced
whole; a line that a crash or a full disk left without its end is cut off at the next opening, so a group is there whole or not at all.
A failed draw is kept as a row with its reason, and is drawn again by the next run.
"""

import fcntl
import json
import os
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from ambiemo.draws import Answer
from ambiemo.durable import refused, sync_folder
from ambiemo.errors import BadInput, Broken


def as_line(group: str, answers: Sequence[Answer]) -> bytes:
    """A group of answers as the store keeps it."""
    told = {"group": group, "answers": [asdict(answer) for answer in answers]}
    return (json.dumps(told, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


class AnswerStore:
    """A folder of answers. Use as a context manager; opening it takes the folder's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, FileIO] = {}
        self._keys: dict[str, set[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / ".lock", "a")
        except OSError as error:
            raise refused(self.folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(
                f"{self.folder}: another run is using this answer store; wait for it, or name another with --store"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._lock.close()

    def has(self, model: str, key: str) -> bool:
        """Is there an answer (not a failure) under this key?"""
        return bytes.fromhex(key) in self._index(model)

    def append(self, model: str, line: bytes) -> None:
        """Add a group (`as_line`): all of it, on disk, or nothing. Raises Broken when the disk refuses."""
        file = self._file(model)
        self._keys.pop(model, None)  # the file is asked again, not a copy kept up: a long run would carry that with it
        start, left = file.seek(0, os.SEEK_END), line
        try:
            while left:  # a nearly full disk may take a part of it and say so only at the next write
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError as error:
            self._files.pop(model)
            _cut(self._path(model), start)
            raise refused(self._path(model), error) from error

    def read(self, model: str, wanted: Container[str]) -> dict[str, Answer]:
        """The answers of a model under the wanted keys: the first answer of each, or the last failure where there is none."""
        found: dict[str, Answer] = {}
        for answer in self._answers(model):
            if answer.key in wanted and (answer.key not in found or found[answer.key].failure):
                found[answer.key] = answer
        return found

    def _path(self, model: str) -> Path:
        return self.folder / f"{model}.jsonl"

    def _index(self, model: str) -> set[bytes]:
        if model not in self._keys:
            self._keys[model] = {bytes.fromhex(one.key) for one in self._answers(model) if not one.failure}
        return self._keys[model]

    def _file(self, model: str) -> FileIO:
        if model not in self._files:
            try:
                self._files[model] = FileIO(self._path(model), "ab")
                sync_folder(self.folder)
            except OSError as error:
                raise refused(self._path(model), error) from error
        return self._files[model]

    def _answers(self, model: str) -> Iterator[Answer]:
        path = self._path(model)
        if not path.exists():
            return
        with open(path, "rb") as file:
            start = 0
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                start += len(line)
                try:
                    rows = json.loads(line)["answers"]
                    yield from (Answer.from_row(row) for row in rows)
                except (ValueError, KeyError, TypeError) as error:
                    raise Broken(
                        f"{path}: line {number}: not a group of answers ({type(error).__name__}); the file was changed by hand: "
                        "delete that line, its draws are made again"
                    ) from error
        if start < path.stat().st_size:
            _cut(path, start)


def _cut(path: Path, size: int) -> None:
    """Drop what an interrupted append left behind the last whole line."""
    with open(path, "r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())
