"""What a remote model was asked, what that cost and what it answered, on disk: a killed run asks,
and pays, for none of it again.
"""

import json
import math
import os
import uuid
from pathlib import Path
from typing import Any, TextIO


class Journal:
    """An append-only folder of JSON lines, one file per process.

    `folder` None keeps nothing on disk.

    {"asked": 7, "most": 0.003}        before a request is sent: the most that it can cost, in dollars
    {"asked": 7, "paid": 0.0012, ...}  when it has ended; with "id" and "answer" where one came (or was filtered)

    A request without its second line, because the run was killed, counts as paid in full. A line
    that was cut off or damaged is skipped.
    """

    def __init__(self, folder: Path | str | None) -> None:
        self.spent = 0.0
        """Dollars that the folder's requests cost before this process."""
        self._answers: dict[str, dict[str, Any]] = {}
        self._asked = 0
        self._file: TextIO | None = None
        self._path: Path | None = None
        if folder is None:
            return
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.jsonl")):
            self._read(path)
        self._path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"

    def get(self, identity: str) -> dict[str, Any] | None:
        """The answer kept under `identity` ("BODY/KEY#INDEX", BODY a hash of what is sent), or
        None.
        """
        return self._answers.get(identity)

    def asked(self, most: float) -> int:
        """Note that a request is about to be sent; the number to end it with. Raises OSError: then
        it must not be sent.
        """
        self._asked += 1
        self._write({"asked": self._asked, "most": most})
        return self._asked

    def ended(
        self, number: int, paid: float, identity: str = "", answer: dict[str, Any] | None = None
    ) -> None:
        """Note what a request cost, and its answer where it is final: on the disk when this
        returns. Raises OSError.
        """
        line: dict[str, Any] = {"asked": number, "paid": paid}
        if answer is not None:
            self._answers[identity] = answer
            line |= {"id": identity, "answer": answer}
        self._write(line)
        if self._file is not None and answer is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close this process's file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, path: Path) -> None:
        open_requests: dict[int, float] = {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                if "paid" in row:
                    paid = _dollars(row["paid"])
                    open_requests.pop(row["asked"], None)
                    self.spent += paid
                    if "answer" in row:
                        self._answers[row["id"]] = row["answer"]
                else:
                    open_requests[row["asked"]] = _dollars(row["most"])
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue
        self.spent += sum(open_requests.values())

    def _write(self, line: dict[str, Any]) -> None:
        if self._path is None:
            return
        if self._file is None:
            self._file = open(self._path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115 (held until close)
        self._file.write(json.dumps(line, sort_keys=True) + "\n")
        self._file.flush()


def _dollars(value: Any) -> float:
    """A sum of money. Raises ValueError for what would lower, or blur, what was spent."""
    dollars = float(value)
    if not 0 <= dollars < math.inf:
        raise ValueError(f"found {dollars} dollars")
    return dollars
