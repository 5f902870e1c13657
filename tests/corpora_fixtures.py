"""Folders in each owner's format, written by the tests themselves."""

import io
from pathlib import Path

import numpy as np
import soundfile

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 72862\n"
)


def wav(
    seconds: float = 0.5,
    rate: int = 16_000,
    channels: int = 1,
    subtype: str = "PCM_16",
    fmt: str = "WAV",
    pitch: float = 220.0,
) -> bytes:
    """A tone of so many seconds as the bytes of a sound file."""
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * pitch * time)
    sink = io.BytesIO()
    soundfile.write(
        sink,
        np.stack([tone * (1 - 0.5 * c) for c in range(channels)], axis=1),
        rate,
        subtype=subtype,
        format=fmt,
    )
    return sink.getvalue()


def put(root: Path, path: str, data: str | bytes) -> Path:
    """Write a file below `root`, its folders too."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    return target


def rows(table: object) -> dict[str, dict]:
    """An utterance table as {utterance id: row}."""
    return {row["utterance_id"]: row for row in table.to_pylist()}  # type: ignore[attr-defined]
