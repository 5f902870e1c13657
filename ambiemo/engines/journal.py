"""Answers that were paid for, on disk the moment they arrive: a killed run asks for none of them again."""

import json
import os
import uuid
from pathlib import Path
from typing import TextIO


class Journal:
    """An append-only folder of JSON lines, one file a process, keyed by draw and sample. `folder` None keeps nothing.

    Every line is flushed to the disk before `put` returns. A line cut off by a kill is skipped when the folder is read again.
    """

    def __init__(self, folder: Path | str | None) -> None:
        self._kept: dict[str, dict] = {}
        self._file: TextIO | None = None
        self._path: Path | None = None
        if folder is None:
            return
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = json.loads(line)
                    self._kept[row["id"]] = row["answer"]
                except (ValueError, KeyError, TypeError):
                    continue
        self._path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"

    def get(self, identity: str) -> dict | None:
        """The answer kept under `identity` ("KEY#INDEX"), or None."""
        return self._kept.get(identity)

    def put(self, identity: str, answer: dict) -> None:
        """Keep an answer; it is on the disk when this returns."""
        self._kept[identity] = answer
        if self._path is None:
            return
        if self._file is None:
            self._file = open(self._path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115 (held until close)
        self._file.write(json.dumps({"id": identity, "answer": answer}, sort_keys=True) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close this process's file."""
        if self._file is not None:
            self._file.close()
            self._file = None
