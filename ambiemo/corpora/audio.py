"""Audio in one place: whatever a corpus ships becomes float32, mono, 16 kHz, or one clear reason why not.

Decoding is soundfile (libsndfile), resampling is soxr at its "HQ" quality. What was done to a clip (rate, channels,
cut) is returned with it, so that a run can record it.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    import soundfile

RATE = 16_000
"""Sampling rate that every model of the study hears, in Hz."""

MIN_SECONDS = 0.2
"""Shorter clips hold no speech to judge (and some feature extractors fail on them)."""

SUFFIXES = (".wav", ".flac")
"""What counts as a corpus' audio file, in any case."""

LFS_START = b"version https://git-lfs.github.com/spec/"
CUT = 0.01
"""A WAV that lacks more than this share of the samples its header promises is refused as cut short."""
STREAMED = 0xFFFFFFFF  # a WAV written to a pipe does not know its length


class BadAudio(Exception):
    """A clip that cannot be heard. `reason` is a phrase that fits after the file's name; in a run it becomes a
    counted failure."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Clip:
    """A clip as a model hears it, and what was done to it.

    samples (n,) float32, mono, 16 kHz, about [-1, 1]; seconds = n / 16000; source_seconds the whole file's length;
    truncated tells whether `max_seconds` cut it; source_rate in Hz and channels are the file's own.
    """

    samples: "np.ndarray"
    seconds: float
    truncated: bool
    source_rate: int
    channels: int
    source_seconds: float


@dataclass(frozen=True)
class Header:
    """What a file says of itself without decoding it: length in seconds, rate in Hz, channels."""

    seconds: float
    rate: int
    channels: int


def decode(source: Path | str | bytes, max_seconds: float | None = None) -> Clip:
    """Decode a file (path, or its bytes) to float32 mono 16 kHz, the first `max_seconds` of it.

    Channels are averaged. Raises BadAudio for a missing or empty file, a Git LFS pointer, something that is no
    audio, a file cut short, samples that are not finite, and less than MIN_SECONDS of sound. Integer formats of any
    width and float are read alike.
    """
    import numpy as np

    with _opened(source) as stream, _sound(stream) as sound:
        rate, channels, frames = sound.samplerate, sound.channels, sound.frames
        wanted = frames if max_seconds is None else min(frames, round(max_seconds * rate))
        if frames < MIN_SECONDS * rate:
            raise BadAudio(f"holds {frames / rate:.3g} s of sound, expected at least {MIN_SECONDS} s")
        try:
            data = sound.read(frames=wanted, dtype="float32", always_2d=True)
        except RuntimeError as error:  # LibsndfileError is one
            raise BadAudio(f"is damaged or cut short ({_said(error)})") from error
    if len(data) < wanted:
        raise BadAudio(f"is cut short: its header promises {frames} frames, {len(data)} can be read")
    mono = data[:, 0] if channels == 1 else data.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise BadAudio("holds samples that are not finite numbers")
    if rate != RATE:
        import soxr

        mono = soxr.resample(mono, rate, RATE, quality="HQ")
    samples = np.ascontiguousarray(mono, dtype=np.float32)
    return Clip(samples, len(samples) / RATE, wanted < frames, rate, channels, frames / rate)


def header(source: Path | str | bytes) -> Header:
    """Length, rate and channels from a file's header. Raises BadAudio as `decode` does, without reading the
    samples."""
    with _opened(source) as stream, _sound(stream) as sound:
        seconds = sound.frames / sound.samplerate
        if seconds < MIN_SECONDS:
            raise BadAudio(f"holds {seconds:.3g} s of sound, expected at least {MIN_SECONDS} s")
        return Header(seconds, sound.samplerate, sound.channels)


def is_lfs_pointer(start: bytes) -> bool:
    """Whether a file that begins with `start` (40 bytes or more) is a Git LFS pointer and not the file itself."""
    return start.startswith(LFS_START)


def _opened(source: Path | str | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        stream: BinaryIO = io.BytesIO(source)
    else:
        try:
            stream = open(source, "rb")  # noqa: SIM115 (closed by the caller's with)
        except OSError as error:
            raise BadAudio(f"cannot be opened: {error.strerror or error}") from error
    start = stream.read(len(LFS_START))
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    reason = ""
    if size == 0:
        reason = "is empty (0 bytes)"
    elif is_lfs_pointer(start):
        reason = "is a Git LFS pointer, not audio; run `git lfs pull` in the corpus folder, or `ambiemo data fetch`"
    elif start[:4] == b"RIFF":
        reason = _riff_cut_short(stream, size)
        stream.seek(0)
    if reason:
        stream.close()
        raise BadAudio(reason)
    return stream


def _sound(stream: BinaryIO) -> "soundfile.SoundFile":
    import soundfile

    try:
        return soundfile.SoundFile(stream)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a RAW file needs a rate
        raise BadAudio(f"is no audio that libsndfile reads ({_said(error)})") from error


def _said(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _riff_cut_short(stream: BinaryIO, size: int) -> str:
    # libsndfile reads what is there of a truncated WAV without a word, so the promise of the data chunk is checked
    # here.
    position = 12
    while position + 8 <= size:
        stream.seek(position)
        name, length = struct.unpack("<4sI", stream.read(8))
        if name == b"data":
            there = size - position - 8
            if length not in (0, STREAMED) and there < (1 - CUT) * length:
                return f"is cut short: its header promises {length} bytes of samples, {there} are there"
            return ""
        position += 8 + length + (length & 1)
    return "is cut short: a WAV without samples"
