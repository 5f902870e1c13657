"""Read label files as their owners ship them: byte-order marks, Windows lines, LFS pointers."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from ambiemo.corpora.audio import is_lfs_pointer
from ambiemo.durable import sha256
from ambiemo.errors import BadInput
from ambiemo.limits import CELL, CSV_COLUMNS, CSV_FILE, TooMuch, read_regular


class Source:
    """One label file: its bytes, its hash, its lines, and errors that name file and line."""

    def __init__(self, root: Path, relative: str) -> None:
        """Read the whole file.

        Raises BadInput for a missing, empty or unreadable file and for a Git LFS pointer.
        """
        self.root = root
        self.relative = relative
        try:
            self.data = read_regular(root / relative, CSV_FILE)
        except TooMuch as error:
            raise BadInput(f"{root / relative}: {error}; get the file again") from error
        except OSError as error:
            raise BadInput(
                f"{root / relative}: cannot be read: {error.strerror or error}; check the folder"
            ) from error
        if is_lfs_pointer(self.data[:64]):
            raise BadInput(
                f"{root / relative}: is a Git LFS pointer, not the file; "
                f"run `git lfs pull` in {root}"
            )
        if not self.data.strip():
            raise BadInput(f"{root / relative}: is empty; expected label lines; get the file again")
        self.sha256 = sha256(self.data)

    @property
    def entry(self) -> tuple[str, str]:
        """(relative path, SHA-256) for the manifest."""
        return self.relative, self.sha256

    def text(self, fallback: str = "cp1252") -> str:
        """The file as text with "\\n" line ends.

        UTF-8 with or without a byte-order mark, or UTF-16 with one; `fallback` if it is neither.
        """
        if b"\0" in self.data[:4096] and self.data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            raise BadInput(
                f"{self.root / self.relative}: is binary, expected text; get the file again"
            )
        try:
            encoding = "utf-16" if self.data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            text = self.data.decode(encoding)
        except UnicodeDecodeError:
            text = self.data.decode(fallback, errors="replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (line number from 1, line without its end)."""
        return enumerate(self.text().split("\n"), start=1)

    def rows(self, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
        """Yield (line number from 1, stripped fields) of a CSV file, without blank rows."""
        reader = csv.reader(io.StringIO(self.text(), newline=""), delimiter=delimiter, strict=True)
        try:
            for fields in reader:
                if len(fields) > CSV_COLUMNS or max(map(len, fields), default=0) > CELL:
                    self.bad(
                        reader.line_num,
                        f"found {len(fields):,} fields, or one of more than {CELL:,} characters",
                        "fewer",
                    )
                if any(field.strip() for field in fields):
                    yield reader.line_num, [field.strip() for field in fields]
        except csv.Error as error:
            self.bad(
                reader.line_num,
                f"found {error}",
                "quoted comma-separated fields",
                "is the file cut short?",
            )

    def columns(self, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
        """Positions of the wanted columns in any case. Raises BadInput naming missing ones."""
        places = {name.strip().strip('"').lower(): place for place, name in enumerate(header)}
        if missing := [name for name in wanted if name.lower() not in places]:
            self.bad(
                1,
                f"found columns {', '.join(header)}",
                f"also {', '.join(missing)}",
                "is it the owner's file?",
            )
        return [places[name.lower()] for name in wanted]

    def bad(
        self, line: int, problem: str, expected: str, then: str = "compare with the owner's copy"
    ) -> NoReturn:
        """Raise BadInput that names file and line, what was found and expected, and what to do."""
        raise BadInput(
            f"{self.root / self.relative}:{line}: {problem}; expected {expected}; {then}"
        )


def same_name(folder: Path, relative: str) -> str | None:
    """The path under `folder` that equals `relative` but for case, as on the disk, or None."""
    here, spelled = folder, []
    for part in relative.split("/"):
        if (here / part).exists():
            match = part
        else:
            names = sorted(entry.name for entry in here.iterdir()) if here.is_dir() else []
            matches = [name for name in names if name.lower() == part.lower()]
            if not matches:
                return None
            match = matches[0]
        spelled.append(match)
        here = here / match
    return "/".join(spelled)
