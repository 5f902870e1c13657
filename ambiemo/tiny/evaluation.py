"""What the tiny ALM can do, measured: does it hear, what do its prompts give, does its verifier
help. Writes `evaluation.json`.

The test clips are asked once, with the finished checkpoint. Whatever was chosen (steps, sizes,
checkpoint) was chosen on the validation clips; what is reported under `validation` is those clips'
numbers, and no test clip entered them.
"""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambiemo import durable
from ambiemo.metrics import metric
from ambiemo.metrics.inference import interval, paired
from ambiemo.models.parsing import parse_score
from ambiemo.seeds import seed
from ambiemo.tiny import asking, clips, features, model, speech, texts, training

CHECKPOINT = Path(__file__).parent / "checkpoint"
REPORT = Path(__file__).parent / "evaluation.json"
UNIFORM = np.full(len(texts.LABELS), 1 / len(texts.LABELS))
SAMPLES = 5  # sampled answers a validation clip gets for the verifier to judge
JS = "js_divergence_bits"


def filled(answers: Sequence[str]) -> tuple[NDArray[np.float64], int]:
    """Distributions (n, K) of the answers, uniform where one does not parse, and how many do
    not.
    """
    distributions = [asking.parsed(text) for text in answers]
    return np.array([UNIFORM if p is None else p for p in distributions]), sum(
        p is None for p in distributions
    )


def stranger(speakers: Sequence[str]) -> NDArray[np.int64]:
    """For each clip another clip, of another speaker: a seeded permutation, drawn until no clip
    meets its own speaker.
    """
    rng, names = np.random.default_rng(seed("tiny", "shuffled audio")), np.array(speakers)
    order = rng.permutation(len(names))
    for _ in range(10_000):
        wrong = np.flatnonzero(names[order] == names)
        if len(wrong) == 0:
            return order
        for i in wrong:
            j = int(rng.integers(len(names)))
            order[i], order[j] = order[j], order[i]
    raise ValueError("no permutation keeps speakers apart")


def compared(
    truth: NDArray[np.float64],
    given: NDArray[np.float64],
    rivals: dict[str, NDArray[np.float64]],
    speakers: Sequence[str],
) -> dict[str, Any]:
    """JS in bits of the answers and of each rival, and rival minus model with its paired 95 %
    interval, clustered on speaker.
    """
    one = metric(JS)
    table: dict[str, Any] = {
        "js_bits": _rounded(interval(one, truth, given, speakers, seed("tiny", "interval")))
    }
    for name, rival in rivals.items():
        value = interval(one, truth, rival, speakers, seed("tiny", "interval"))
        gain = paired(one, truth, rival, given, speakers, seed("tiny", "paired", name))
        table[name] = {
            "js_bits": round(value.value, 4),
            "minus_model": [round(x, 4) for x in (gain.difference, gain.low, gain.high)],
        }
    return table


def direct_report(answers: Sequence[str]) -> dict[str, Any]:
    """The direct answers to the test clips, in the manifest's order, against uniform, the corpus
    prior and the answer to another speaker's clip.
    """
    rows = clips.manifest()
    truth, speakers = (
        np.array([texts.shares(row["votes"]) for row in rows]),
        [row["speaker"] for row in rows],
    )
    given, unparsed = filled(answers)
    rivals = {
        "uniform": np.tile(UNIFORM, (len(rows), 1)),
        "prior": np.tile(truth.mean(0), (len(rows), 1)),
        "shuffled_audio": given[stranger(speakers)],
    }
    entropy = -(truth * np.log2(np.where(truth > 0, truth, 1))).sum(-1)
    bands = {
        "below 1 bit": entropy < 1,
        "1 to 1.5 bits": (entropy >= 1) & (entropy <= 1.5),
        "above 1.5 bits": entropy > 1.5,
    }
    return {
        "unparsed": unparsed,
        **compared(truth, given, rivals, speakers),
        "by_entropy": {
            name: [int(b.sum()), _mean(texts.js_bits(given[b], truth[b]))]
            for name, b in bands.items()
        },
        "accuracy": _mean(
            (truth[np.arange(len(rows)), given.argmax(-1)] >= truth.max(-1) - 1e-9).astype(float)
        ),
    }


def hearing(alm: Any, proc: Any) -> dict[str, Any]:
    """The greedy answers to the 96 test clips: the direct prompt with its rivals, the chain of
    thought.
    """
    rows = clips.manifest()
    mel, frames = asking.heard(proc, [clips.audio(row) for row in rows])
    truth, speakers = (
        np.array([texts.shares(row["votes"]) for row in rows]),
        [row["speaker"] for row in rows],
    )
    described, unparsed = filled(asking.answers(alm, proc, mel, frames, model.prompt("cot")))
    return {
        "clips": len(rows),
        "speakers": len(set(speakers)),
        "direct": direct_report(asking.answers(alm, proc, mel, frames, model.prompt("direct"))),
        "cot": {"unparsed": unparsed, **compared(truth, described, {}, speakers)},
    }


def quoted(report: dict[str, Any]) -> list[str]:
    """The table rows of the model card that a report stands for; a test looks for each in
    README.md.
    """
    direct, cot, check = report["test"]["direct"], report["test"]["cot"], report["validation"]
    rows = [
        ("greedy, direct prompt", direct["js_bits"]),
        ("greedy, chain of thought", cot["js_bits"]),
    ]
    lines = [
        f"| {name} | {value:.3f} [{low:.3f}, {high:.3f}] | |" for name, (value, low, high) in rows
    ]
    for key, name in (
        ("uniform", "uniform"),
        ("prior", "corpus prior"),
        ("shuffled_audio", "another speaker's clip"),
    ):
        difference, low, high = direct[key]["minus_model"]
        lines.append(
            f"| {name} | {direct[key]['js_bits']:.3f} | {difference:.3f} [{low:.3f}, {high:.3f}] |"
        )
    judge, drawn = check["verifier"], check[f"samples_{SAMPLES}"]
    lines += [
        f"| {name} | {n} | {value:.3f} |" for name, (n, value) in direct["by_entropy"].items()
    ]
    lines += [
        f"| greedy, direct prompt | {check['direct']['js_bits']:.3f} |",
        f"| greedy, chain of thought | {check['cot']['js_bits']:.3f} |",
        f"| one sample | {drawn['one']:.3f} |",
        f"| mean of {SAMPLES} samples | {drawn['mean']:.3f} |",
        f"| the sample its verifier scores highest | {judge['picked_js_bits']:.3f} |",
        f"| mean of the samples weighted by the verifier's scores | {judge['weighted_js_bits']:.3f} |",
        f"| the best of the {SAMPLES} samples (oracle) | {drawn['oracle']:.3f} |",
        f"| uniform | {check['uniform']['js_bits']:.3f} |",
        f"r = {judge['pearson']:.2f} over all answers and {judge['within_clip']:.2f} within a clip",
        f"{report['parameters']:,} parameters",
        f"{report['training']['steps']:,} steps",
        f"{report['training']['seconds'] / 60:.0f} minutes",
        f"accuracy against the raters' majority is {direct['accuracy']:.2f}",
    ]
    return lines


def usefulness(alm: Any, proc: Any, work: Path) -> dict[str, Any]:
    """On validation clips: the prompts' greedy answers, the mean of samples, and what the verifier
    is worth.

    Asked under the short window of the training, which is several times faster; a test shows that
    the answers are the same.

    `verifier.pearson` is the correlation, over all sampled answers, of its score with 1 - sqrt(JS);
    `within_clip` the same after the clip's mean is taken off both: whether it tells the better
    answer to one clip. `picked` is the JS of the answer that it scores highest (ties shared).
    """
    check = training.data(
        speech.held_out("validation", training.VALIDATION_PER_SPEAKER), work, "validation", 1
    )
    truth, n, mel = check.shares[:, 0], len(check.items), check.mel
    alm, proc = (
        model.resized(alm, proc.tokenizer, features.FRAMES // 2),
        model.processor(proc.tokenizer, features.WINDOW_S),
    )
    direct, unparsed = filled(asking.answers(alm, proc, mel, check.frames, model.prompt("direct")))
    cot, cot_unparsed = filled(asking.answers(alm, proc, mel, check.frames, model.prompt("cot")))
    import torch

    torch.manual_seed(seed("tiny", "samples") % 2**31)
    samples = [
        asking.answers(alm, proc, mel, check.frames, model.prompt("direct"), sample=True)
        for _ in range(SAMPLES)
    ]
    drawn = np.stack([filled(one)[0] for one in samples], axis=1)  # (n, SAMPLES, K)
    asked = [model.prompt("verifier", samples[s][i]) for i in range(n) for s in range(SAMPLES)]
    answers = asking.answers(
        alm, proc, np.repeat(mel, SAMPLES, 0), np.repeat(check.frames, SAMPLES), asked
    )
    read = [parse_score(text).score for text in answers]
    score = np.array([np.nan if value is None else value for value in read]).reshape(n, SAMPLES)
    js = texts.js_bits(drawn, truth[:, None])
    fit = 1 - np.sqrt(js)
    kept = np.isfinite(score).all(1)
    best = np.where(
        score == np.nanmax(np.where(np.isfinite(score), score, -1), 1, keepdims=True), 1.0, 0.0
    )
    best /= best.sum(1, keepdims=True)
    weight = np.where(np.isfinite(score), score, 0.0) + 1e-9
    weighted = (drawn * (weight / weight.sum(1, keepdims=True))[..., None]).sum(1)
    return {
        "clips": n,
        "speakers": len({item.speaker.name for item in check.items}),
        "direct": {"js_bits": _mean(texts.js_bits(direct, truth)), "unparsed": unparsed},
        "cot": {"js_bits": _mean(texts.js_bits(cot, truth)), "unparsed": cot_unparsed},
        "uniform": {"js_bits": _mean(texts.js_bits(UNIFORM, truth))},
        "prior": {"js_bits": _mean(texts.js_bits(truth.mean(0), truth))},
        f"samples_{SAMPLES}": {
            "one": _mean(js),
            "mean": _mean(texts.js_bits(drawn.mean(1), truth)),
            "oracle": _mean(js.min(1)),
        },
        "verifier": {
            "unread": int((~np.isfinite(score)).sum()),
            "pearson": _correlation(score[kept], fit[kept]),
            "within_clip": _correlation(
                score[kept] - score[kept].mean(1, keepdims=True),
                fit[kept] - fit[kept].mean(1, keepdims=True),
            ),
            "picked_js_bits": _mean((best * js).sum(1)),
            "weighted_js_bits": _mean(texts.js_bits(weighted, truth)),
        },
    }


def evaluate(work: Path, checkpoint: Path = CHECKPOINT, out: Path = REPORT) -> dict[str, Any]:
    """Measure the checkpoint and write the report."""
    import torch
    import transformers

    alm, proc = asking.loaded(checkpoint)
    report = {
        "checkpoint_sha256": durable.sha256_file(checkpoint / "model.safetensors"),
        "clips_sha256": durable.sha256_file(clips.FOLDER / "utterances.jsonl"),
        "parameters": sum(p.numel() for p in alm.parameters()),
        "training": _training(work),
        "test": hearing(alm, proc),
        "validation": usefulness(alm, proc, work),
        "made_with": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    durable.write(out, (json.dumps(report, indent=2) + "\n").encode("utf-8"))
    return report


def _training(work: Path) -> dict[str, Any]:
    lines = [
        json.loads(line) for line in (work / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return {"steps": lines[-1]["step"], "seconds": lines[-1]["seconds"], "log": lines}


def _mean(values: NDArray[np.float64]) -> float:
    return round(float(np.mean(values)), 4)


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), 4) for value in values]


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    return round(float((a * b).sum() / (np.sqrt((a * a).sum() * (b * b).sum()) + 1e-12)), 4)
