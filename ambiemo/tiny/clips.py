"""The committed test clips: 12 voices, 8 clips each, FLAC, and one line of JSON for each in
`utterances.jsonl`.
"""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambiemo import durable
from ambiemo.tiny import raters, speech, texts

FOLDER = Path(__file__).parent / "clips"
PER_SPEAKER = 8


def flac(samples: NDArray[np.int16]) -> bytes:
    """The samples as a FLAC file: 16 kHz mono 16 bit."""
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, samples, speech.RATE_HZ, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def row(item: speech.Utterance, samples: NDArray[np.int16], audio: bytes) -> dict[str, Any]:
    """What `utterances.jsonl` says of a clip.

    `weights` are the mix (they sum to 1), `votes` the nine raters' votes in the order of
    `texts.LABELS`, `intended_label` the emotion of the largest weight, `sha256` the file's,
    `samples_sha256` that of its 16-bit little-endian samples (another FLAC encoder changes only the
    former).
    """
    return {
        "utterance_id": item.utterance_id,
        "speaker": item.speaker.name,
        "voice": f"{item.speaker.accent}+{item.speaker.variant}",
        "sentence": item.sentence,
        "weights": {label: w for label, w in zip(texts.LABELS, item.weights, strict=True) if w > 0},
        "intensity": item.intensity,
        "intended_label": texts.LABELS[int(np.argmax(item.weights))],
        "votes": [int(v) for v in raters.vote(item.weights, item.intensity, item.utterance_id)],
        "audio": f"{item.utterance_id}.flac",
        "sha256": durable.sha256(audio),
        "samples_sha256": durable.sha256(samples.astype("<i2").tobytes()),
        "duration_s": round(len(samples) / speech.RATE_HZ, 4),
        "prosody": asdict(item.prosody),
        "description": texts.description(asdict(item.prosody)),
    }


def remake(folder: Path = FOLDER) -> int:
    """Speak all test clips again into `folder`, with `utterances.jsonl` and `made.json` (who spoke
    them). Returns how many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for item in speech.held_out("test", PER_SPEAKER):
        samples = speech.clip(item)
        audio = flac(samples)
        durable.write(folder / f"{item.utterance_id}.flac", audio)
        rows.append(row(item, samples, audio))
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    durable.write(folder / "utterances.jsonl", lines.encode("utf-8"))
    facts = {
        "synthesiser": speech.synthesiser(),
        "labels": list(texts.LABELS),
        "raters": raters.PANEL,
        "rate_hz": speech.RATE_HZ,
    }
    durable.write(folder / "made.json", (json.dumps(facts, indent=2) + "\n").encode("utf-8"))
    return len(rows)


def manifest(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """The rows of `utterances.jsonl`."""
    text = (folder / "utterances.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def audio(entry: dict[str, Any], folder: Path = FOLDER) -> NDArray[np.float32]:
    """A clip's samples, float32 in [-1, 1]."""
    import soundfile

    return soundfile.read(folder / entry["audio"], dtype="float32")[0]
