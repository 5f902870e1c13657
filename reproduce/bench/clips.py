"""Many different clips from the 96 that ship with the package: each is one of them, a little louder
or softer, so no two have equal bytes.
"""

from pathlib import Path

import soundfile

from ambiemo.corpora import load
from ambiemo.corpora.audio import decode
from ambiemo.draws import Decoding, Draw
from ambiemo.durable import sha256_file
from ambiemo.labels import SIX
from ambiemo.models import MODELS, prompt, render


def draws(
    folder: Path, count: int, engine: str, decoding: Decoding, prompt_id: str = "direct"
) -> list[Draw]:
    """Write `count` clips into a folder; the draws that ask the tiny ALM about each of them."""
    corpus, spec = load("tiny"), MODELS["tiny"]
    assert corpus.root is not None
    paths = sorted(corpus.table.column("audio_path").to_pylist())
    text = render(prompt(spec, prompt_id), SIX)
    result = []
    for number in range(count):
        path = folder / f"{number:05}.wav"
        samples = decode(
            (corpus.root / paths[number % len(paths)]).read_bytes(), max_seconds=None
        ).samples
        soundfile.write(
            path, samples * (1 - 0.02 * (number // len(paths))), 16000, subtype="PCM_16"
        )
        digest = sha256_file(path)
        labels = SIX if decoding.kind == "forced" else ()
        result.append(
            Draw(
                spec.id,
                spec.revision or "",
                engine,
                "bench",
                path.stem,
                digest,
                str(path),
                prompt_id,
                text,
                decoding,
                1,
                labels=labels,
            )
        )
    return result
