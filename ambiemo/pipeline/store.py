"""The answer store: append-only, content-addressed, one writing process at a time (of which several
threads may append).

One file per model, one line per group of draws: `SHA256 HEAD<tab>ANSWERS`. HEAD names the draws'
keys and which of them failed, so that a reader finds an answer without reading every text; SHA256
is the hash of all that follows it, so that a flipped bit or an exchanged key is found and named. A
line is appended and synced whole. A line that a crash or a full disk left without its end is cut
off at the next opening, so a group is there whole or not at all. A failed draw is kept with its
reason, and is drawn again by the next run. Lines of before the checksums (`{"group": …, "answers":
[…]}`) are read too.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from ambiemo.draws import Answer
from ambiemo.durable import refused, sha256, sync_folder, write
from ambiemo.errors import BadInput, Broken
from ambiemo.limits import read_regular
from ambiemo.pipeline.index import Index, PlacesRead

FORMAT = 2
"""Of a store's files. 1 had no checksums, and no file that says so."""
DIGEST = 64
PLACE_BITS = 12
"""A group has at most 2^12 draws (the plan's largest `group_size`), so offset and place in the
group fit one number.
"""


def as_line(group: str, answers: Sequence[Answer]) -> bytes:
    """A group of answers as the store keeps it."""
    failed = [place for place, answer in enumerate(answers) if answer.failure]
    head = {"group": group, "keys": [answer.key for answer in answers], "failed": failed}
    text = f"{json.dumps(head)}\t{json.dumps([asdict(answer) for answer in answers], ensure_ascii=False)}"
    rest = text.encode("utf-8", "backslashreplace")
    return sha256(rest).encode("ascii") + b" " + rest + b"\n"


class AnswerFile:
    """One model's answers, read only. Needs no lock: what is written is never changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._group: tuple[int, list[dict[str, Any]]] = (-1, [])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def index(self) -> Index:
        """Read every line's head. Raises Broken naming file and line where one is not as it was
        written.
        """
        answered, failures = PlacesRead(), PlacesRead()
        for offset, number, line in self._lines():
            try:
                head, _ = _parts(line)
                failed = set(head["failed"])
                for place, key in enumerate(head["keys"]):
                    kind = failures if place in failed else answered
                    kind.add(key, offset << PLACE_BITS | place)
            except NOT_A_GROUP as error:
                raise self._broken(number, error) from error
        return Index(answered.first(), failures.last())

    def answer(self, key: str, place: int) -> Answer:
        """The answer at a place of the index. Neighbours of one group are read once. Raises Broken
        as `index` does.
        """
        offset, in_group = place >> PLACE_BITS, place & ((1 << PLACE_BITS) - 1)
        try:
            if self._group[0] != offset:
                self._group = (offset, self._load(offset))
            row = self._group[1][in_group]
            if row["key"] != key:
                raise ValueError(f"found key {row['key'][:12]}…, expected {key[:12]}…")
            return Answer.from_row(row)
        except NOT_A_GROUP as error:
            raise self._broken(self._number(offset), error) from error

    def whole(self) -> int:
        """Bytes of the file up to the end of its last whole line."""
        size = 0
        for offset, _, line in self._lines():
            size = offset + len(line)
        return size

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """(byte offset, line number from 1, line) of every whole line."""
        if not self.path.exists():
            return
        offset = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield offset, number, line
                offset += len(line)

    def _load(self, offset: int) -> list[dict[str, Any]]:
        if self._file is None:
            self._file = open(self.path, "rb")  # noqa: SIM115 (closed with the object)
        self._file.seek(offset)
        return json.loads(_parts(self._file.readline())[1])

    def _number(self, offset: int) -> int:
        with open(self.path, "rb") as file:
            return file.read(offset).count(b"\n") + 1

    def _broken(self, number: int, error: Exception) -> Broken:
        why = (
            str(error)
            if type(error) is ValueError
            else f"not a group of answers ({type(error).__name__})"
        )
        return Broken(
            f"{self.path}: line {number}: {why}; the line was changed after it was written: "
            "delete it, its draws are made again"
        )


NOT_A_GROUP = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)


def _parts(line: bytes) -> tuple[dict[str, Any], bytes]:
    """Head, and the answers' JSON, of a line whose checksum holds. Raises one of NOT_A_GROUP."""
    if line[:1] == b"{":  # of before the checksums
        answers = json.loads(line)["answers"]
        for row in answers:
            _typed(Answer.from_row(row))
        failed = [place for place, answer in enumerate(answers) if answer["failure"]]
        return {"keys": [answer["key"] for answer in answers], "failed": failed}, json.dumps(
            answers
        ).encode("ascii")
    rest = line[DIGEST + 1 : -1]
    if line[DIGEST : DIGEST + 1] != b" " or sha256(rest).encode("ascii") != line[:DIGEST]:
        raise ValueError("its checksum does not fit")
    head, _, body = rest.partition(b"\t")
    return json.loads(head), body


def _typed(answer: Answer) -> None:
    """Raise TypeError for values of wrong types: no checksum says that a line is as it was
    written.
    """
    texts = [answer.key, answer.failure, *(one.text for one in answer.candidates)]
    numbers = [answer.audio_s, *(one.log_likelihood or 0.0 for one in answer.candidates)]
    counts = [answer.prompt_tokens, *(one.tokens for one in answer.candidates)]
    for values, kind in ((texts, str), (numbers, float | int), (counts, int)):
        if wrong := [value for value in values if not isinstance(value, kind)]:
            raise TypeError(f"found {wrong[0]!r}")


class AnswerStore:
    """A folder of answers. Use as a context manager; opening it takes the folder's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, FileIO] = {}
        self._indices: dict[str, Index] = {}
        self._turn = threading.RLock()
        self._indexing = threading.Lock()

    def __enter__(self) -> Self:
        self._closed = False
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
        self._check_format()
        return self

    def _check_format(self) -> None:
        """Raise BadInput for a store of a newer version. Write the version into a new store."""
        path = self.folder / ".format"
        try:
            version = int(read_regular(path, 64)) if path.exists() else 0
        except (OSError, ValueError):
            version = 0  # every line has its own checksum
        if version > FORMAT:
            self._lock.close()
            raise BadInput(
                f"{self.folder}: found an answer store of format {version}, expected {FORMAT} or older: a newer version "
                "wrote it; install that version, or name another store with --store"
            )
        if version < FORMAT:
            write(path, f"{FORMAT}\n".encode("ascii"))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._turn:  # a thread that was left behind by an interrupt ends its line first, and then finds no file
            for file in self._files.values():
                file.close()
            self._files.clear()
            self._closed = True
        self._lock.close()

    def has(self, model: str, key: str) -> bool:
        """True if there is an answer (not a failure) under this key."""
        return self.index(model).has(key)

    def index(self, model: str) -> Index:
        """Where the model's answers are; read from the file once, and again after an append."""
        if (index := self._known(model)) is not None:
            return index
        # one at a time: until it is sorted an index takes several times its size
        with self._indexing:
            if (index := self._known(model)) is not None:
                return index
            with self._turn:
                self._check_open()  # a thread that waited here may find another run's file
                self._settle(model)
            # without the turn: other models' threads go on appending
            index = AnswerFile(self.path(model)).index()
            with self._turn:
                self._indices[model] = index
            return index

    def _known(self, model: str) -> Index | None:
        with self._turn:
            return self._indices.get(model)

    def forget(self, model: str) -> None:
        """Drop the model's index from memory; it is read again when it is needed."""
        with self._turn:
            self._indices.pop(model, None)

    def append(self, model: str, line: bytes) -> None:
        """Add a group (`as_line`): all of it, on disk, or nothing. Raises Broken when the disk
        refuses.
        """
        with self._turn:
            file = self._file(model)
            self._indices.pop(model, None)  # a copy kept up would grow with the run
            start, left = file.seek(0, os.SEEK_END), line
            try:
                while (
                    left
                ):  # a nearly full disk may take a part of it and say so only at the next write
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError as error:
                self._files.pop(model)
                _cut(self.path(model), start)
                raise refused(self.path(model), error) from error

    def path(self, model: str) -> Path:
        """The file of a model's answers."""
        return self.folder / f"{model}.jsonl"

    def _check_open(self) -> None:
        if self._closed:
            raise Broken(f"{self.folder}: the answer store is closed; run the same command again")

    def _file(self, model: str) -> FileIO:
        self._check_open()
        if model not in self._files:
            self._settle(model)
            try:
                self._files[model] = FileIO(self.path(model), "ab")
                sync_folder(self.folder)
            except OSError as error:
                raise refused(self.path(model), error) from error
        return self._files[model]

    def _settle(self, model: str) -> None:
        """Drop what an interrupted append left behind the last whole line."""
        path = self.path(model)
        if model in self._files or not path.exists():
            return
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size and file.seek(size - 1) is not None and file.read(1) == b"\n":
                return
        if (whole := AnswerFile(path).whole()) < size:
            _cut(path, whole)


def _cut(path: Path, size: int) -> None:
    with open(path, "r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())
