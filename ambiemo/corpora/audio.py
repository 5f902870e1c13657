"""Decode the audio files of a corpus to float32, mono, RATE, or say why one cannot be decoded.

Decoding uses soundfile (libsndfile); resampling uses soxr at its "HQ" quality. A clip carries what
was done to it (rate, channels, cut), so that a run can record it.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ambiemo.limits import AUDIO_FILE, AUDIO_SAMPLES, TooMuch, open_regular

if TYPE_CHECKING:
    import numpy as np
    import soundfile

RATE = 16_000
"""Sampling rate in Hz of every decoded clip: 16 kHz, what every model of the study takes."""

MIN_SECONDS = 0.2
"""Shorter clips contain no speech to judge, and some feature extractors fail on them."""

SUFFIXES = (".wav", ".flac")
"""Suffixes of audio files, in upper or lower case."""

LFS_START = b"version https://git-lfs.github.com/spec/"
CUT = 0.01
"""A WAV that lacks more than this share of its header's samples is refused as cut short."""
STREAMED = 0xFFFFFFFF  # a WAV written to a pipe does not know its length


class BadAudio(Exception):
    """A clip that cannot be decoded: `reason` is a phrase that follows the file's name.

    A run counts such a clip as a failure.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Clip:
    """A decoded clip, and what was done to it.

    samples: (n,) float32, mono, about [-1, 1], RATE per second. seconds: n / RATE.
    truncated: True if `max_seconds` cut the clip. source_rate (Hz), channels, source_seconds: the
    file's own.
    """

    samples: "np.ndarray"
    seconds: float
    truncated: bool
    source_rate: int
    channels: int
    source_seconds: float


@dataclass(frozen=True)
class Header:
    """What a file's header says: length in seconds, rate in Hz, channels."""

    seconds: float
    rate: int
    channels: int


def decode(source: Path | str | bytes, max_seconds: float | None = None) -> Clip:
    """Decode the first `max_seconds` of a file (its path, or its bytes) to float32, mono, RATE.

    Channels are averaged. Integer samples of any width are scaled to [-1, 1].
    Raises BadAudio for a missing or empty file, a Git LFS pointer, a file that is not audio, a file
    cut short, samples that are not finite, less than MIN_SECONDS of sound, and more than
    AUDIO_SAMPLES to decode.
    """
    import numpy as np

    with _opened(source) as stream, _sound(stream) as sound:
        rate, channels, frames = sound.samplerate, sound.channels, sound.frames
        wanted = frames if max_seconds is None else min(frames, round(max_seconds * rate))
        if wanted * channels > AUDIO_SAMPLES:
            raise BadAudio(
                f"has {wanted * channels:,} samples, expected {AUDIO_SAMPLES:,} at most in all channels"
            )
        if frames < MIN_SECONDS * rate:
            raise BadAudio(f"has {frames / rate:.3g} s of sound, expected at least {MIN_SECONDS} s")
        try:
            data = sound.read(frames=wanted, dtype="float32", always_2d=True)
        except RuntimeError as error:  # LibsndfileError is one
            raise BadAudio(f"is damaged or cut short ({_message(error)})") from error
    if len(data) < wanted:
        raise BadAudio(
            f"is cut short: its header promises {frames} frames, {len(data)} can be read"
        )
    mono = data[:, 0] if channels == 1 else data.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise BadAudio("contains samples that are not finite numbers")
    if rate != RATE:
        import soxr

        mono = soxr.resample(mono, rate, RATE, quality="HQ")
    samples = np.ascontiguousarray(mono, dtype=np.float32)
    return Clip(samples, len(samples) / RATE, wanted < frames, rate, channels, frames / rate)


def header(source: Path | str | bytes) -> Header:
    """Length, rate and channels from a file's header, without reading samples.

    Raises BadAudio as `decode` does.
    """
    with _opened(source) as stream, _sound(stream) as sound:
        seconds = sound.frames / sound.samplerate
        if seconds < MIN_SECONDS:
            raise BadAudio(f"has {seconds:.3g} s of sound, expected at least {MIN_SECONDS} s")
        return Header(seconds, sound.samplerate, sound.channels)


def is_lfs_pointer(start: bytes) -> bool:
    """True if a file beginning with `start` (40 bytes or more) is a Git LFS pointer."""
    return start.startswith(LFS_START)


def _opened(source: Path | str | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        stream: BinaryIO = io.BytesIO(source)
    else:
        try:
            stream = open_regular(source, AUDIO_FILE)
        except TooMuch as error:
            raise BadAudio(str(error)) from error
        except OSError as error:
            raise BadAudio(f"cannot be opened: {error.strerror or error}") from error
    start = stream.read(len(LFS_START))
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    reason = ""
    if size == 0:
        reason = "is empty (0 bytes)"
    elif is_lfs_pointer(start):
        reason = (
            "is a Git LFS pointer, not audio; run `git lfs pull` in the corpus folder, "
            "or `ambiemo data fetch`"
        )
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
        raise BadAudio(f"is not audio that libsndfile reads ({_message(error)})") from error


def _message(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _riff_cut_short(stream: BinaryIO, size: int) -> str:
    # libsndfile reads a truncated WAV without an error, so look at its data chunk's length.
    position = 12
    while position + 8 <= size:
        stream.seek(position)
        name, length = struct.unpack("<4sI", stream.read(8))
        if name == b"data":
            there = size - position - 8
            if length not in (0, STREAMED) and there < (1 - CUT) * length:
                return (
                    f"is cut short: its header promises {length} bytes of samples, "
                    f"{there} are there"
                )
            return ""
        position += 8 + length + (length & 1)
    return "is cut short: a WAV without samples"
