"""How busy the engine is kept: the same requests to vLLM in groups of 32 draws, in groups by
sequences, and through Ray's own `ray.data.llm`.

    python reproduce/bench/engine_busy.py [--clips 256] [--rounds 1] [--out FILE.json]
(in vLLM's environment, with Ray: make bench ENGINES=vllm)

The tiny ALM in vLLM's CPU build, one engine on all cores of this machine, asked through Ray Data in
three ways:

    draws         groups of 32 draws; each group's clips are opened and rendered when its turn comes
    sequences     groups of about 256 sequences; the next group is prepared while one is answered
    ray.data.llm  Ray's vLLM processor with its own batches in flight (8 of 32 requests)

They run at the same time, in turns of a few seconds (`turns.py`). A process's clock runs from the
answers of a small first question to the last answer. Beams and forced labels are asked in the first
two ways only: `ray.data.llm` has no beam search, and it turns the log-probabilities of every prompt
token into a dict of dicts. Answers are compared with those of `draws`: share of draws with equal
texts, and the largest difference of a log-likelihood where the texts are equal.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from clips import draws
from record import record
from turns import Marks, in_turns

from ambiemo.draws import Decoding, Draw
from ambiemo.labels import SIX
from ambiemo.models import MODELS
from ambiemo.pipeline.draw import DrawActor, draw_groups, groups, load_audio
from ambiemo.plan.schema import GroupSize, ModelEntry
from ambiemo.seeds import seed

CORES = os.cpu_count() or 1
SHARED = {
    "greedy": ("direct", Decoding("greedy", max_tokens=96)),
    "sample(8)": ("direct", Decoding("sample", 8, 1.0, 1.0, 96)),
}
OURS = {
    "beam(5)": ("direct", Decoding("beam", 5, max_tokens=96)),
    "forced(6)": ("label", Decoding("forced", len(SIX), max_tokens=0)),
}
WARM = ("direct", Decoding("greedy", max_tokens=2))
PARTS = {
    "greedy and samples": (SHARED, ("draws", "sequences", "ray.data.llm")),
    "all questions": (SHARED | OURS, ("draws", "sequences")),
}
Texts = dict[str, list[tuple[str, float]]]
"""By the draw's key: text and log-likelihood of each candidate."""


class InTurn(DrawActor):
    """A run's actor that prepares nothing ahead."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.calls = count(-sys.maxsize)


def piped(way: str, warm: list[Draw], asked: Sequence[list[Draw]], into: Path) -> Iterator[int]:
    """Through the pipeline: draws done, group by group; the answers are left in `into`."""
    from ambiemo.pipeline.cluster import ray_started
    from ambiemo.pipeline.store import AnswerFile, AnswerStore

    size: int | GroupSize = 32 if way == "draws" else GroupSize(sequences=256)
    work = [warm, *groups([(lambda one: one, one) for one in asked], size, lambda key: False)]
    entry = ModelEntry(id="tiny", engine="vllm", cpus=CORES)
    actor = InTurn if way == "draws" else DrawActor
    with (
        ray_started(None),
        tempfile.TemporaryDirectory() as folder,
        AnswerStore(Path(folder)) as store,
    ):
        for drawn in draw_groups(MODELS["tiny"], "vllm", entry, work, store, actor):
            assert not drawn.failed, drawn.reasons
            yield drawn.draws
        draws, texts = [one for question in asked for one in question], {}
        places = store.index("tiny").answered.of([draw.key for draw in draws])
        with AnswerFile(store.path("tiny")) as file:
            for draw, place in zip(draws, places.tolist(), strict=True):
                answer = file.answer(draw.key, place)
                texts[draw.key] = [(c.text, c.log_likelihood) for c in answer.candidates]
    into.write_text(json.dumps(texts), "utf-8")


def through_ray(warm: list[Draw], asked: Sequence[list[Draw]], into: Path) -> Iterator[int]:
    """Through `ray.data.llm`: one row per sequence, because it keeps one output of a request.
    Yields a number for the warm-up and 1 per draw at the end, when its rows are all there.
    """
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig
    from transformers import AutoProcessor

    from ambiemo.engines.rendering import chat_text
    from ambiemo.engines.vllm import CPU_OPTIONS, ENVIRONMENT
    from ambiemo.pipeline.cluster import ray_started

    spec = MODELS["tiny"]
    source = spec.location()
    processor = AutoProcessor.from_pretrained(source)
    tokenizer = processor.tokenizer
    tokens = {
        prompt: tokenizer.encode(
            chat_text(processor, tokenizer, spec.family, prompt), add_special_tokens=False
        )
        for prompt in {one.prompt for question in (warm, *asked) for one in question}
    }

    def request(row: dict[str, Any]) -> dict[str, Any]:
        draw: Draw = row["draw"]
        audio, _ = load_audio(draw, spec.audio_seconds)
        how = draw.decoding
        sampled = how.kind == "sample"
        return {
            "key": draw.key,
            "index": row["index"],
            "tokenized_prompt": tokens[draw.prompt],
            "multimodal_data": {"audio": (audio, 16000)},
            "multimodal_uuids": {"audio": [draw.audio_sha256]},
            "sampling_params": {
                "temperature": how.temperature if sampled else 0.0,
                "top_p": how.top_p,
                "max_tokens": how.max_tokens,
                "logprobs": 0,
                "detokenize": False,
                **({"seed": seed("sample", draw.seed, row["index"])} if sampled else {}),
            },
        }

    def reply(row: dict[str, Any]) -> dict[str, Any]:
        chosen = zip(row["generated_tokens"], row["logprobs"], strict=True)
        total = sum(float(step[token]["logprob"]) for token, step in chosen)
        text = tokenizer.decode(list(row["generated_tokens"]), skip_special_tokens=True)
        return {"key": row["key"], "index": row["index"], "text": text, "total": total}

    config = vLLMEngineProcessorConfig(
        model_source=source,
        engine_kwargs={
            **CPU_OPTIONS,
            "max_logprobs": 32,
            "logprobs_mode": "raw_logprobs",
            "limit_mm_per_prompt": {"audio": 1, "image": 0, "video": 0},
            "seed": 0,
        },
        runtime_env={"env_vars": {"VLLM_CPU_KVCACHE_SPACE": "1"} | ENVIRONMENT},
        placement_group_config={"bundles": [{"CPU": CORES}]},
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        log_engine_metrics=False,
    )
    texts: Texts = {}
    with ray_started(None):
        rows = [
            {"draw": draw, "index": index}
            for question in (warm, *asked)
            for draw in question
            for index in range(draw.decoding.count)
        ]
        dataset = build_processor(config, preprocess=request, postprocess=reply)(
            ray.data.from_items(rows, override_num_blocks=-(-len(rows) // 32))
        )
        left = {one.key for one in warm}
        sizes = {one.key: one.decoding.count for question in asked for one in question}
        came: dict[str, dict[int, tuple[str, float]]] = {key: {} for key in sizes}
        for row in dataset.iter_rows():
            if row["key"] in left:
                left.discard(row["key"])
                if not left:
                    yield len(warm)
                continue
            came[row["key"]][row["index"]] = (row["text"], row["total"])
            if len(came[row["key"]]) == sizes[row["key"]]:
                yield 1
    texts = {key: [one[index] for index in sorted(one)] for key, one in came.items()}
    into.write_text(json.dumps(texts), "utf-8")


def compared(texts: Texts, base: Texts) -> dict[str, float]:
    """Share of draws with equal texts in order, and how far log-likelihoods of equal texts are
    apart.
    """
    assert texts.keys() == base.keys()
    same = [[t for t, _ in texts[key]] == [t for t, _ in base[key]] for key in base]
    apart = [
        abs(a - b)
        for key in base
        for (t, a), (u, b) in zip(texts[key], base[key], strict=True)
        if t == u
    ]
    return {
        "equal_answers": round(sum(same) / len(same), 4),
        "log_likelihood_apart_nats_max": float(f"{max(apart, default=0.0):.3g}"),
    }


def taken(marks: Marks) -> float:
    """Seconds from the answers of the first question to the last answer."""
    return marks[-1][0] - marks[0][0]


def one_way(part: str, way: str, clips: int, into: Path) -> None:
    """A process's work: prints a number for every group of draws that is done."""
    with tempfile.TemporaryDirectory() as folder:
        prompts: dict[str, list[Draw]] = {}
        asked = []
        for prompt, how in PARTS[part][0].values():
            if prompt not in prompts:
                prompts[prompt] = draws(Path(folder), clips, "vllm", how, prompt)
            labels = SIX if how.kind == "forced" else ()
            asked.append([replace(one, decoding=how, labels=labels) for one in prompts[prompt]])
        warm = [replace(one, decoding=WARM[1]) for one in prompts[WARM[0]][:8]]
        run = through_ray(warm, asked, into) if way == "ray.data.llm" else None
        for done in run or piped(way, warm, asked, into):
            print(done, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--turn", type=float, default=4, help="seconds of a turn")
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("PART", "WAY", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        part, way, file = given.one
        one_way(part, way, given.clips, Path(file))
        return
    numbers: dict[str, Any] = {
        "engine": "vllm",
        "clips": given.clips,
        "seconds_of_a_turn": given.turn,
    }
    for part in given.parts:
        questions, ways = PARTS[part]
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        answers: dict[str, dict[str, float]] = {}
        for number in range(given.rounds):
            order = ways[number % len(ways) :] + ways[: number % len(ways)]
            with tempfile.TemporaryDirectory() as folder:
                files = {way: Path(folder) / f"{at}.json" for at, way in enumerate(ways)}
                command = [sys.executable, __file__, "--clips", str(given.clips), "--one", part]
                commands = {way: [*command, way, str(files[way])] for way in order}
                marks = in_turns(commands, dict.fromkeys(ways, 1), given.turn)
                texts = {way: json.loads(file.read_text("utf-8")) for way, file in files.items()}
            for way in ways:
                seconds[way].append(round(taken(marks[way]), 1))
                answers[way] = compared(texts[way], texts["draws"])
            print(part, {way: seconds[way][-1] for way in ways}, "s", file=sys.stderr)
        numbers[part] = {
            "questions": list(questions),
            "seconds": seconds,
            "speed_over_draws": {
                way: round(
                    median(a / b for a, b in zip(seconds["draws"], seconds[way], strict=True)), 3
                )
                for way in ways[1:]
            },
            "answers_against_draws": {way: answers[way] for way in ways[1:]},
        }
    record("engine_busy", numbers, given.out)


if __name__ == "__main__":
    main()
