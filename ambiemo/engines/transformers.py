"""The transformers engine: any audio-language checkpoint that `AutoProcessor` and its own model
class load.

The prompt with its audio is run once per draw: its cache is repeated for the N samples or B beams,
and decoding goes on from there (`generate(num_return_sequences=N)` would encode the clip N times).
The audio encoder itself runs once per clip (`encoder.py`).

Sampling is the inverse of the cumulative distribution at uniform numbers from a Philox stream keyed
by (draw's seed, sample's index): a sample depends on no batch mate's randomness, and the first k of
N samples are the k samples.

Known limits: padding and batch size move logits by rounding, so another group size can flip a near
tie. A group beyond BATCH draws is answered in several batches, because a padded batch and its cache
must fit the memory.
"""

import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers
from transformers import (
    AutoConfig,
    AutoProcessor,
    GenerationConfig,
    ProcessorMixin,
    Qwen2_5OmniProcessor,
)
from transformers.utils import logging as transformers_logging

from ambiemo.corpora.audio import RATE
from ambiemo.draws import Answer, Candidate, Decoding, FinishReason
from ambiemo.durable import sha256_text
from ambiemo.engines import Request
from ambiemo.engines.encoder import CUTS_TO_CLIP, FeaturesOnce, Kept, encode_once
from ambiemo.engines.memory import enough_memory, free_gpu_gib, free_host_gib
from ambiemo.errors import BadInput
from ambiemo.models import ModelSpec

SILENT_FAULTS = ("right-padding was detected", "audios", "Expanding inputs for audio tokens")
"""Parts of warnings after which a model answers without hearing, or from a broken context. Here
they are errors.
"""

BATCH = 32
"""Draws in one padded batch."""

ANSWERS_IN_TEXT = {"qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration"}
"""By a configuration's `model_type`: the class of the part that answers in text, where the
checkpoint's own class also speaks.
"""


class HearingOmniProcessor(Qwen2_5OmniProcessor):
    """Qwen2.5-Omni's own processor without images and video: the part for video needs
    torchvision, and no model sees anything here.
    """

    def __init__(
        self, feature_extractor: Any = None, tokenizer: Any = None, chat_template: str | None = None
    ) -> None:
        ProcessorMixin.__init__(self, feature_extractor, tokenizer, chat_template=chat_template)
        # both are asked for this number even where nothing is seen
        self.image_processor = self.video_processor = SimpleNamespace(merge_size=2)
        for name in (
            "image",
            "audio",
            "video",
            "vision_bos",
            "vision_eos",
            "audio_bos",
            "audio_eos",
        ):
            setattr(self, f"{name}_token", getattr(tokenizer, f"{name}_token"))


PROCESSORS: dict[str, Any] = {
    "qwen2_5_omni": HearingOmniProcessor,
    "qwen2_5_omni_thinker": HearingOmniProcessor,
}
"""By a configuration's `model_type`: what loads its processor, where `AutoProcessor` would ask for
more than hearing needs.
"""


class _FaultFilter(logging.Filter):
    """Turns the library's warnings about a broken input into exceptions: as log lines nobody reads
    them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if record.levelno >= logging.WARNING and any(fault in message for fault in SILENT_FAULTS):
            raise RuntimeError(
                f"transformers warns of an input the model would answer wrongly: {message}"
            )
        return True


class TransformersEngine:
    """One checkpoint held by transformers.

    Options: `threads` (CPU threads; default: every core, and in an actor as many as the plan's
    `cpus`), `device` ("cpu", "cuda"; default: a GPU if there is one), `batch` (most draws in one
    padded batch).
    """

    stopped = ""

    def __init__(
        self,
        spec: ModelSpec,
        threads: int | None = None,
        device: str | None = None,
        batch: int = BATCH,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        if batch < 1:
            raise BadInput(f"engine transformers: options.batch: found {batch}, expected 1 or more")
        self.batch = batch
        transformers_logging.disable_progress_bar()
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self.device.startswith("cuda")
        enough_memory(
            spec,
            free_gpu_gib() if on_gpu else free_host_gib(),
            "GPU memory" if on_gpu else "main memory",
        )
        source, revision = str(spec.path() or spec.weights), None if spec.path() else spec.revision
        config = AutoConfig.from_pretrained(source, revision=revision)
        model_class = getattr(
            transformers, ANSWERS_IN_TEXT.get(config.model_type, config.architectures[0])
        )
        loaded = model_class.from_pretrained(
            source, revision=revision, dtype=getattr(torch, spec.dtype)
        )
        self.model: Any = loaded.to(self.device).eval()
        self.processor: Any = PROCESSORS.get(config.model_type, AutoProcessor).from_pretrained(
            source, revision=revision
        )
        faults = _FaultFilter()
        for name in (
            "transformers.generation.utils",
            "transformers.processing_utils",
            model_class.__module__,
        ):
            logging.getLogger(name).addFilter(
                faults
            )  # a logger's filter does not see what its children log
        self.tokenizer: Any = self.processor.tokenizer
        self.processor.feature_extractor = FeaturesOnce(
            self.processor.feature_extractor, to_clip=loaded.config.model_type in CUTS_TO_CLIP
        )
        tower = next(
            (part for name, part in loaded.named_modules() if name.endswith("audio_tower")), None
        )
        self.encoded: Kept | None = (
            encode_once(tower, loaded.config.model_type) if tower is not None else None
        )
        self.tokenizer.padding_side = (
            "left"  # a reloaded processor may say "right": a decoder would go on from padding
        )
        ends = self.model.generation_config.eos_token_id
        if ends is None:  # a checkpoint need not have a generation_config.json
            ends = self.tokenizer.eos_token_id
        self.ends: list[int] = list(ends) if isinstance(ends, list) else [ends]
        pad = self.model.generation_config.pad_token_id
        self.pad: int = pad if pad is not None else self.ends[0]
        # what a search leaves unsaid `generate` takes from here, and a checkpoint's own file may
        # say a repetition penalty
        self.model.generation_config = GenerationConfig(
            eos_token_id=self.ends, pad_token_id=self.pad
        )

    def draw(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]:
        """One answer per request, in order, by batches of at most `batch` requests."""
        starts = range(0, len(requests), self.batch)
        return [
            answer
            for start in starts
            for answer in self._draw(requests[start : start + self.batch], decoding)
        ]

    def _draw(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]:
        """Answers of one batch. Shapes inside: b requests, n = decoding.count candidates each."""
        rendered = [self.render(request.prompt) for request in requests]
        inputs = self.inputs(rendered, [request.audio for request in requests])
        with torch.inference_mode():
            ways: dict[str, Callable[..., list[Candidate]]] = {
                "beam": self._beams,
                "forced": self._forced,
            }
            candidates = ways.get(decoding.kind, self._stepwise)(inputs, requests, decoding)
        prompt_tokens = inputs["attention_mask"].sum(1).tolist()
        n = decoding.count
        return [
            Answer(
                key=request.key,
                candidates=tuple(candidates[i * n : (i + 1) * n]),
                decoding=decoding,
                rendered_prompt_sha256=sha256_text(rendered[i]),
                prompt_tokens=prompt_tokens[i],
                audio_s=round(len(request.audio) / RATE, 4),
                truncated=request.truncated,
            )
            for i, request in enumerate(requests)
        ]

    def close(self) -> None:
        """Free the memory."""
        del self.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def render(self, prompt: str) -> str:
        """The text the model reads: the checkpoint's own chat template around one clip and the
        prompt.
        """
        turn = [{"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": prompt}]}]
        return self.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)

    def inputs(self, rendered: Sequence[str], audio: Sequence[np.ndarray]) -> Any:
        """Token ids and audio features of a batch, padded on the left.

        The argument is `audio=`: the older `audios=` is dropped without an error, and the model
        answers deaf.
        """
        inputs = self.processor(
            text=list(rendered),
            audio=list(audio),
            return_tensors="pt",
            text_kwargs={
                "padding": True
            },  # for the text alone: some processors would pad the clip to less than they need
            audio_kwargs={"sampling_rate": RATE},
        )
        if not {"input_features", "input_values"} & set(inputs):
            raise RuntimeError(
                f"{type(self.processor).__name__} returned no audio features (only {', '.join(sorted(inputs))})"
            )
        # features are float32, and a model in bfloat16 does not always round them itself
        return inputs.to(self.device, self.model.dtype)

    def _prefill(self, inputs: Any, upto: int | None = None) -> tuple[torch.Tensor, Any]:
        """Run the prompt (its first `upto` positions) with the audio once: logits (b, vocabulary)
        after it, and the cache.
        """
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        cut = {
            name: value[:, :upto] if name in ("input_ids", "attention_mask") else value
            for name, value in inputs.items()
        }
        output = self.model(**cut, position_ids=positions[:, :upto], use_cache=True)
        return output.logits[:, -1], output.past_key_values

    def _stepwise(
        self, inputs: Any, requests: Sequence[Request], decoding: Decoding
    ) -> list[Candidate]:
        """Greedy or sampled candidates, (b·n) of them, request by request."""
        n, longest = decoding.count, decoding.max_tokens
        logits, cache = self._prefill(inputs)
        mask = inputs["attention_mask"]
        if n > 1:
            cache.batch_repeat_interleave(n)
            logits, mask = logits.repeat_interleave(n, 0), mask.repeat_interleave(n, 0)
        chance = (
            uniforms([request.seed for request in requests], n, longest)
            if decoding.kind == "sample"
            else None
        )
        rows = len(logits)
        ends = torch.tensor(self.ends, device=self.device)
        tokens = torch.full((rows, longest), self.pad, device=self.device)
        likelihood = torch.zeros(rows, dtype=torch.float64, device=self.device)
        length = torch.zeros(rows, dtype=torch.long, device=self.device)
        open_rows = torch.ones(rows, dtype=torch.bool, device=self.device)
        position = mask.sum(1, keepdim=True)
        for step in range(longest):
            logits = logits.double()
            if chance is None:
                chosen = logits.argmax(-1)
            else:
                chosen = inverse_cdf(
                    logits, chance[:, step].to(self.device), decoding.temperature, decoding.top_p
                )
            chosen = torch.where(open_rows, chosen, self.pad)
            gained = logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0]
            likelihood += torch.where(open_rows, gained, 0.0)
            tokens[:, step] = chosen
            length += open_rows
            open_rows = open_rows & ~torch.isin(chosen, ends)
            if step + 1 == longest or not open_rows.any():
                break
            mask = torch.cat([mask, mask.new_ones(rows, 1)], 1)
            output = self.model(
                input_ids=chosen[:, None],
                attention_mask=mask,
                position_ids=position + step,
                past_key_values=cache,
                use_cache=True,
            )
            logits = output.logits[:, -1]
        return self._candidates(tokens, length.tolist(), likelihood.tolist(), (~open_rows).tolist())

    def _beams(
        self, inputs: Any, requests: Sequence[Request], decoding: Decoding
    ) -> list[Candidate]:
        """Beam search by the library, from a cache of the prompt; beams in order of their plain sum
        of log-probabilities.
        """
        _, cache = self._prefill(inputs, upto=-1)
        cache.batch_repeat_interleave(decoding.count)
        prompt = inputs["input_ids"]
        if hasattr(self.model, "rope_deltas"):
            self.model.rope_deltas = (
                None  # Qwen2.5-Omni keeps those of the last search, which had other rows
            )
        output = self.model.generate(
            input_ids=prompt,
            attention_mask=inputs["attention_mask"],
            past_key_values=cache,
            generation_config=GenerationConfig(
                num_beams=decoding.count,
                num_return_sequences=decoding.count,
                do_sample=False,
                length_penalty=0.0,
                early_stopping=False,
                max_new_tokens=decoding.max_tokens,
                eos_token_id=self.ends,
                pad_token_id=self.pad,
                return_dict_in_generate=True,
                output_scores=True,
            ),
        )
        tokens = output.sequences[:, prompt.shape[1] :]
        steps = self.model.compute_transition_scores(
            output.sequences, output.scores, output.beam_indices
        )
        is_end = torch.isin(tokens, torch.tensor(self.ends, device=self.device))
        stopped = is_end.any(1)
        length = torch.where(stopped, is_end.int().argmax(1) + 1, tokens.shape[1])
        inside = torch.arange(steps.shape[1], device=self.device)[None] < length[:, None]
        likelihood = torch.where(inside, steps.double(), 0.0).sum(1)
        return self._candidates(tokens, length.tolist(), likelihood.tolist(), stopped.tolist())

    def _forced(
        self, inputs: Any, requests: Sequence[Request], decoding: Decoding
    ) -> list[Candidate]:
        """Each label's log-probability right after the prompt: one step over all labels from the
        prompt's cache, padded on the right.
        """
        words = [label for request in requests for label in request.labels]
        tokens = [self.tokenizer.encode(word, add_special_tokens=False) for word in words]
        longest = max(map(len, tokens))
        padded = torch.tensor(
            [[*row, *[self.pad] * (longest - len(row))] for row in tokens], device=self.device
        )
        real = torch.tensor(
            [[i < len(row) for i in range(longest)] for row in tokens], device=self.device
        )
        logits, cache = self._prefill(inputs)
        each = [logits.repeat_interleave(decoding.count, 0)[:, None]]
        if longest > 1:
            cache.batch_repeat_interleave(decoding.count)
            mask = inputs["attention_mask"].repeat_interleave(decoding.count, 0)
            output = self.model(
                input_ids=padded[:, :-1],
                attention_mask=torch.cat([mask, real[:, :-1].to(mask.dtype)], 1),
                position_ids=mask.sum(1, keepdim=True)
                + torch.arange(longest - 1, device=self.device),
                past_key_values=cache,
                use_cache=True,
            )
            each.append(output.logits)
        gained = torch.cat(each, 1).double().log_softmax(-1).gather(2, padded[..., None])[..., 0]
        totals = torch.where(real, gained, 0.0).sum(1).tolist()
        return [
            Candidate(word, len(row), total, "forced")
            for word, row, total in zip(words, tokens, totals, strict=True)
        ]

    def _candidates(
        self, tokens: torch.Tensor, length: list[int], likelihood: list[float], stopped: list[bool]
    ) -> list[Candidate]:
        texts = self.tokenizer.batch_decode(
            [row[:size] for row, size in zip(tokens.tolist(), length, strict=True)],
            skip_special_tokens=True,
        )
        reasons: list[FinishReason] = ["stop" if done else "length" for done in stopped]
        return [
            Candidate(*fields) for fields in zip(texts, length, likelihood, reasons, strict=True)
        ]


def uniforms(seeds: Sequence[int], samples: int, steps: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), (b·samples, steps): row i·samples + j is the Philox stream of key
    (seeds[i], j).
    """
    rows = [
        np.random.Generator(np.random.Philox(key=[one, j])).random(steps)
        for one in seeds
        for j in range(samples)
    ]
    return torch.from_numpy(np.stack(rows))


def inverse_cdf(
    logits: torch.Tensor, chance: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """The token at which the cumulative probability passes `chance`, (rows,).

    logits (rows, vocabulary) float64; chance (rows,) in [0, 1). Tokens are taken in order of their
    ids; with top_p < 1 only the smallest set of the likeliest tokens whose probability reaches
    top_p stays.
    """
    probability = (logits / temperature).softmax(-1)
    if top_p < 1:
        ordered, index = torch.sort(probability, dim=-1, descending=True, stable=True)
        beyond = ordered.cumsum(-1) - ordered >= top_p
        probability = probability.scatter(-1, index, ordered.masked_fill(beyond, 0.0))
    cumulative = probability.cumsum(-1)
    passed = cumulative > (chance * cumulative[:, -1])[:, None]
    return passed.int().argmax(-1)
