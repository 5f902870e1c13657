"""The same draws through transformers and vLLM: do they answer alike?

    python reproduce/bench/parity.py [--clips 96] [--out FILE.json]          (in vLLM's environment: make bench ENGINES=vllm)

The tiny ALM in float32 on one machine. Greedy: share of equal texts, and the difference of the
log-likelihoods where the texts are equal. Beams: share of draws whose 5 beams are the same texts in
the same order. Labels: drift of the log-probability of each forced label, and of the distribution
made of them. Samples are not compared: the engines draw their randomness differently. Nothing here
is timed.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from clips import draws
from record import record
from scipy.special import softmax

from ambiemo.draws import Answer, Decoding
from ambiemo.engines import engine_class
from ambiemo.labels import SIX
from ambiemo.metrics.distribution import js_divergence_bits
from ambiemo.models import MODELS
from ambiemo.pipeline.draw import as_request

ASKED = {
    "greedy": ("direct", Decoding("greedy", max_tokens=96)),
    "greedy, chain of thought": ("cot", Decoding("greedy", max_tokens=160)),
    "beam(5)": ("direct", Decoding("beam", 5, max_tokens=96)),
    "forced(6)": ("label", Decoding("forced", len(SIX), max_tokens=0)),
}


def answers(engine_name: str, count: int, group_size: int = 32) -> dict[str, list[Answer]]:
    """Every question to one engine."""
    spec = MODELS["tiny"]
    engine = engine_class(engine_name)(spec)
    by_question = {}
    for name, (prompt_id, decoding) in ASKED.items():
        with tempfile.TemporaryDirectory() as folder:
            asked = draws(Path(folder), count, "either", decoding, prompt_id)
            requests = [as_request(one, spec.audio_seconds) for one in asked]
        by_question[name] = [
            answer
            for start in range(0, count, group_size)
            for answer in engine.draw(requests[start : start + group_size], decoding)
        ]
    engine.close()
    return by_question


def compared(ours: list[Answer], theirs: list[Answer]) -> dict[str, float]:
    """Texts and likelihoods of two engines' candidates, draw by draw."""
    same = [
        [c.text for c in a.candidates] == [c.text for c in b.candidates]
        for a, b in zip(ours, theirs, strict=True)
    ]
    apart = [
        abs((c.log_likelihood or 0.0) - (d.log_likelihood or 0.0))
        for a, b in zip(ours, theirs, strict=True)
        for c, d in zip(a.candidates, b.candidates, strict=True)
        if c.text == d.text
    ]
    tokens = [
        c.tokens == d.tokens
        for a, b in zip(ours, theirs, strict=True)
        for c, d in zip(a.candidates, b.candidates, strict=True)
        if c.text == d.text
    ]
    return {
        "draws": len(same),
        "same_texts_in_order": round(float(np.mean(same)), 4),
        "candidates_with_the_same_text": len(apart),
        "of_these_same_token_count": round(float(np.mean(tokens)), 4),
        "log_likelihood_apart_nats_median": float(f"{np.median(apart):.3g}"),
        "log_likelihood_apart_nats_max": float(f"{np.max(apart):.3g}"),
    }


def label_drift(ours: list[Answer], theirs: list[Answer]) -> dict[str, float]:
    """How far the distributions over forced labels are apart, in bits of Jensen-Shannon
    divergence.
    """
    p, q = (
        softmax([[c.log_likelihood for c in a.candidates] for a in all_of], axis=1)
        for all_of in (ours, theirs)
    )
    apart = js_divergence_bits(p, q)
    return {
        "distribution_apart_js_bits_max": float(f"{np.max(apart):.3g}"),
        "share_apart_max": float(f"{np.abs(p - q).max():.3g}"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    theirs = answers("vllm", given.clips)
    ours = answers("transformers", given.clips)
    table = {name: compared(ours[name], theirs[name]) for name in ASKED}
    table["forced(6)"] |= label_drift(ours["forced(6)"], theirs["forced(6)"])
    record(
        "parity",
        {"engines": ["transformers", "vllm"], "model": "tiny", "questions": table},
        given.out,
    )


if __name__ == "__main__":
    main()
