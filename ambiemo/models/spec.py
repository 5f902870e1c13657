"""What a model is: one frozen row of facts. What runs it is an engine; what it is asked is a prompt
file.
"""

import re
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

import ambiemo
from ambiemo.durable import sha256, sha256_file

Capability = Literal["beam", "likelihood", "sampling", "label_logprobs", "verifier"]
CAPABILITIES: tuple[Capability, ...] = (
    "beam",
    "likelihood",
    "sampling",
    "label_logprobs",
    "verifier",
)

# What an engine takes away from a model that could do more: the OpenAI-compatible protocol has no
# beams and does not score a given text.
ENGINE_LACKS: dict[str, frozenset[Capability]] = {"openai": frozenset({"beam", "label_logprobs"})}

PACKAGE, FOLDER = "package:", "file:"
HASHED = {".json", ".safetensors", ".jinja", ".txt", ".model"}
COMMIT = re.compile(r"[0-9a-f]{40}")
BRANCHES = {"main", "master", "latest", "head"}


AROUND, AUDIO_MARGIN = 100, 2
"""Margins of the most that a request can cost: tokens around its prompt, and times the expected
audio tokens.
"""


class Price(BaseModel):
    """US dollars per 1,000,000 tokens, as published on `date` at `where`; no Price where a number
    is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    text_in: float = Field(ge=0)
    """Dollars per 1,000,000 tokens of text that are sent."""
    audio_in: float = Field(ge=0)
    """Dollars per 1,000,000 tokens of audio that are sent."""
    out: float = Field(ge=0)
    """Dollars per 1,000,000 tokens of an answer."""
    audio_tokens_per_second: float = Field(gt=0)
    """Tokens that one second of audio costs."""
    date: str
    """When the price was published."""
    where: str
    """Where it was published."""

    def dollars(self, text_tokens: float, audio_seconds: float, answer_tokens: float) -> float:
        """Price of one request in US dollars."""
        audio_tokens = audio_seconds * self.audio_tokens_per_second
        return (
            text_tokens * self.text_in + audio_tokens * self.audio_in + answer_tokens * self.out
        ) / 1e6


class Accepts(BaseModel):
    """What a model's server takes in a chat request. A field that it does not know makes it refuse
    the whole request.

    The text under each key is its meaning: docs/reference/plan.md is made of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: bool = True
    """Whether the server takes a `seed`. Without one, samples differ from run to run, and the bundle says so."""
    reasoning_effort: Literal["", "none", "minimal", "low", "medium", "high"] = ""
    """How much the model is asked to think before it answers. Empty: nothing is asked."""
    audio: Literal["input_audio", "audio_url"] = "input_audio"
    """The part of the message that carries the clip. `input_audio` is OpenAI's (base64 and a
    format); `audio_url` is a data URL, which vLLM and SGLang take too."""
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Name of the field that bounds the answer's tokens."""


class WeightsPart(BaseModel):
    """Weights of a checkpoint that live in another repository, which its config.json names under
    `key` without a commit.

    weights: a repository or `file:PATH`. pinned: the commit (40 hex digits); None for a folder, or
    while nobody has pinned it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    weights: str
    pinned: str | None = None

    @field_validator("pinned")
    @classmethod
    def _a_commit(cls, value: str | None) -> str | None:
        if value is not None and not COMMIT.fullmatch(value):
            raise ValueError(f"'{value}' is no commit; pin 40 hex digits")
        return value

    @property
    def is_unpinned(self) -> bool:
        """True where the hub would decide which weights are loaded."""
        return self.pinned is None and not self.weights.startswith(FOLDER)


class ModelSpec(BaseModel):
    """One ALM as data: weights, the revision that is meant, what it needs and what it can do.

    weights: a Hugging Face repository, the name an API knows, `package:PATH` (inside the ambiemo
    package) or `file:PATH` (a folder of one's own; a bare `file:` is one of another machine).
    revision: a 40-hex commit for a repository, a dated snapshot name for an API, the hash of the
    files for a folder. None means that nobody has pinned it yet: `revision_note` says why, and the
    plan lists it as missing.
    engines: the first is the default. audio_seconds: the longest clip the model hears (None: no
    limit known); what is longer is cut and counted. memory_gib: what the weights need, before the
    cache. max_model_len: most tokens of prompt, clip and answer that room is set aside for; 0: the
    checkpoint's own. parts: weights that the checkpoint only names, in other repositories. key_env,
    base_url_env: names of environment variables. The key itself is never part of a specification.
    availability: what is known of a shut-down, or of what else keeps the model out of reach.
    retired_since: the day (YYYY-MM-DD) from which its owner does not serve it any more, as far as
    one is known. thinking_tokens: hidden reasoning that an answer's token limit must leave room
    for. accepts: what the model's server takes in a request. source: the grade (P read in a primary
    text, S second-hand, I inferred) and the place the facts come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    weights: str
    pinned: str | None = None
    revision_note: str = ""
    family: str
    parameters: str
    licence: str
    gated: str = ""
    engines: tuple[str, ...]
    audio_seconds: float | None
    prompts: str = ""
    capabilities: frozenset[Capability]
    memory_gib: float = 0.0
    max_model_len: int = Field(default=0, ge=0)
    parts: tuple[WeightsPart, ...] = ()
    dtype: str = "bfloat16"
    trust_remote_code: bool = False
    key_env: str | None = None
    base_url: str | None = None
    base_url_env: str | None = None
    availability: str = ""
    retired_since: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    price: Price | None = None
    price_note: str = ""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    thinking_tokens: int = 0
    accepts: Accepts = Accepts()
    default_on: bool = True
    stands_in_for: str = ""
    source: str

    @model_validator(mode="before")
    @classmethod
    def _revision_is_the_name_outside(cls, given: object) -> object:
        if isinstance(given, dict) and "revision" in given:
            given = {
                "pinned": given["revision"],
                **{name: value for name, value in given.items() if name != "revision"},
            }
        return given

    @field_validator("pinned")
    @classmethod
    def _no_branch(cls, value: str | None) -> str | None:
        if value is not None and value.lower() in BRANCHES:
            raise ValueError(
                f"revision '{value}' is a branch; pin the commit (40 hex digits). `ambiemo models --resolve` prints it"
            )
        return value

    @model_validator(mode="after")
    def _a_repository_is_pinned_by_a_commit(self) -> "ModelSpec":
        if self.is_repository and self.pinned is not None and not COMMIT.fullmatch(self.pinned):
            raise ValueError(
                f"revision '{self.pinned}' is no commit of {self.weights}; pin 40 hex digits. "
                "`ambiemo models --resolve` prints them"
            )
        return self

    @property
    def is_repository(self) -> bool:
        """True where the weights are named by a Hugging Face repository (`owner/name`)."""
        return "/" in self.weights and not self.weights.startswith((PACKAGE, FOLDER))

    @property
    def is_remote(self) -> bool:
        """True where somebody else's server runs the model, so that audio leaves this machine."""
        return self.engines[0] == "openai"

    @property
    def revision(self) -> str | None:
        """The pinned revision; for a folder of weights the hash of its files (64 hex digits), None
        while absent.
        """
        folder = self.path()
        if folder is None:
            return self.pinned
        return folder_sha256(folder) if folder.is_dir() else None

    def path(self) -> Path | None:
        """Folder of the weights where they are files of ours or the user's; None for a repository
        or an API.
        """
        if self.weights.startswith(PACKAGE):
            return Path(ambiemo.__file__).parent / self.weights.removeprefix(PACKAGE)
        if self.weights.startswith(FOLDER) and self.weights != FOLDER:
            return Path(self.weights.removeprefix(FOLDER)).expanduser()
        return None

    def location(self) -> str:
        """What `from_pretrained` or vLLM is given: the folder, else the repository's or the API
        model's name.
        """
        folder = self.path()
        return str(folder) if folder else self.weights

    def can(self, engine: str) -> frozenset[Capability]:
        """What the model can do when `engine` runs it."""
        return self.capabilities - ENGINE_LACKS.get(engine, frozenset())

    def changed(self, **fields: object) -> "ModelSpec":
        """A validated copy with some fields replaced (`revision`, `base_url`, `price`, `weights`,
        …).

        Raises pydantic's ValidationError for an unknown field or a value that does not fit.
        """
        known = {name: getattr(self, name) for name in type(self).model_fields}
        if "revision" in fields:
            del known["pinned"]
        return type(self).model_validate(known | fields)


def folder_sha256(folder: Path) -> str:
    """Hash over the names and bytes of a checkpoint's files (weights, configurations, tokenizer;
    not its model card).

    Remembered by the files' sizes and times of change, so a plan of many draws reads the weights
    once.
    """
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix in HASHED)
    stamp = tuple(
        (file.relative_to(folder).as_posix(), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
    )
    return _hash_of_files(folder, stamp)


@cache
def _hash_of_files(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    lines = [f"{sha256_file(folder / name)}  {name}\n" for name, _, _ in stamp]
    return sha256("".join(lines).encode("utf-8"))
