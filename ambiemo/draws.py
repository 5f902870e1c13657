"""What crosses every boundary of a run: a decoding, a draw, and the candidates that a draw brings
back.

A *draw* is one request to an ALM. Its key is a SHA-256 over all that may change the answer, so an
answer found under a key is the answer to exactly that question; a changed prompt, clip, revision or
seed is another key, never a stale hit.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

from ambiemo.durable import sha256, sha256_text
from ambiemo.seeds import canonical, list_of, seed_of, text

FinishReason = Literal["stop", "length", "filtered", "forced"]


@dataclass(frozen=True)
class Decoding:
    """How an answer is read off a model: `greedy`, `beam` with `count` beams, `sample` with `count`
    samples, or `forced`.

    `forced` generates nothing: candidate k is label k of `count` labels, with the log-probability
    of answering so (max_tokens is 0). temperature and top_p matter for `sample` only and are 0 and
    1 elsewhere; max_tokens bounds one answer.
    """

    kind: Literal["greedy", "beam", "sample", "forced"]
    count: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256

    def __str__(self) -> str:
        if self.kind == "greedy":
            return "greedy"
        if self.kind in ("beam", "forced"):
            return f"{self.kind}({self.count})"
        return f"sample({self.count}, T={self.temperature:g}, top_p={self.top_p:g})"


@dataclass(frozen=True)
class Draw:
    """One request: which model hears which clip, is asked what, and answers by which decoding.

    audio_sha256 is the clip that is heard, and utterance_id whose clip that is (a control may ask
    about another one's clip, or about silence: then `audio` says so). `purpose` is "answer" or
    "score"; `about` names the judged candidate ("KEY#INDEX") when a verifier is asked, so that
    every candidate is judged by a draw of its own. `labels` are the words whose log-probability a
    `forced` decoding asks for, and empty elsewhere.
    """

    model: str
    revision: str
    engine: str
    corpus: str
    utterance_id: str
    audio_sha256: str
    audio_path: str
    prompt_id: str
    prompt: str
    decoding: Decoding
    plan_seed: int
    audio: Literal["clip", "silence"] = "clip"
    purpose: Literal["answer", "score"] = "answer"
    about: str = ""
    labels: tuple[str, ...] = ()

    @property
    def prompt_sha256(self) -> str:
        """Hash of the prompt's text, before the model's chat template."""
        return _text_sha256(self.prompt)

    @cached_property
    def key(self) -> str:
        """Content address of the draw (64 hex digits): not the path, the corpus' name or the
        utterance's id, which change no answer.
        """
        before, after = self._around_the_count
        same = f"{before}{self.decoding.count}{after}"
        labels = [canonical(self.labels)] if self.labels else []
        parts = (text(self.model), text(self.revision), text(self.engine), same, *labels)
        return sha256(list_of(parts))

    @cached_property
    def seed(self) -> int:
        """Seed of the draw's own random stream; equal for every `count`, so the first k of N
        samples are the k samples.
        """
        before, after = self._around_the_count
        return seed_of(list_of(('"draw"', text(self.model), f"{before}0{after}")))

    @cached_property
    def _around_the_count(self) -> tuple[str, str]:
        """What key and seed have in common, as `seeds.canonical` writes it: before the number of
        candidates and after it. A run has millions of draws, and `canonical` of the whole takes
        several times as long.
        """
        how = self.decoding
        before = (
            f'{text(self.audio_sha256)},{text(self.audio)},{text(self.prompt_sha256)},{{"count":'
        )
        after = (
            f',"kind":"{how.kind}","max_tokens":{how.max_tokens},"temperature":{how.temperature!r},'
            f'"top_p":{how.top_p!r}}},{self.plan_seed},{text(self.about)}'
        )
        return before, after


@lru_cache(maxsize=64)
def _text_sha256(prompt: str) -> str:
    return sha256_text(prompt)


@dataclass(frozen=True)
class Candidate:
    """One answer of a draw, as the engine gave it.

    log_likelihood is the sum of the log-probabilities (nats) of the answer's tokens, the
    end-of-text token included where one was produced (never where the answer was forced), under the
    model's own distribution (temperature 1, nothing cut off); None where an engine cannot tell.
    """

    text: str
    tokens: int
    log_likelihood: float | None
    finish_reason: FinishReason


_decoding = lru_cache(maxsize=256, typed=True)(Decoding)
"""The same few decodings stand in millions of stored answers."""

FORMERLY = {"heard_s": "audio_s"}
"""Names that stored answers may still have for a field."""


@dataclass(frozen=True)
class Answer:
    """What came back for one draw: its candidates in order, or the reason why there are none
    (`failure`).

    `decoding` is what the engine says it applied, `rendered_prompt_sha256` the hash of the text the
    model read (chat template included), `prompt_tokens` the length of its input, `audio_s` the
    seconds of audio it was given.
    """

    key: str
    candidates: tuple[Candidate, ...]
    decoding: Decoding
    failure: str = ""
    rendered_prompt_sha256: str = ""
    prompt_tokens: int = 0
    audio_s: float = 0.0
    truncated: bool = False
    extra: dict = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: dict) -> "Answer":
        """The answer that `dataclasses.asdict` wrote as `row`."""
        rest = dict(row)
        for former, now in FORMERLY.items():
            if former in rest:
                rest[now] = rest.pop(former)
        candidates = tuple([Candidate(**one) for one in rest.pop("candidates")])
        return cls(candidates=candidates, decoding=_decoding(**rest.pop("decoding")), **rest)
