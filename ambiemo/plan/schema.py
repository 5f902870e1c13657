"""What a plan file may say: every key, its default and its bounds; and reading one.

A plan is data: which models, corpora, strategies and controls, with which seeds. What this machine
has of it is `expand`'s matter.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ambiemo import corpora, engines, models
from ambiemo.errors import BadInput, nearest, shown
from ambiemo.labels import AMBIGUITY_RULES, ambiguity_levels
from ambiemo.limits import (
    CORPORA,
    MODELS,
    MOST_STRATEGIES,
    NAME,
    PLAN,
    TITLE,
    UTTERANCES,
    TooMuch,
    parse_yaml,
    read_regular,
)
from ambiemo.models import Accepts, Capability, ModelSpec, Price
from ambiemo.models.own import FOLDER_HASH, location
from ambiemo.models.spec import COMMIT, FOLDER
from ambiemo.strategies import (
    OWN,
    STRATEGIES,
    Decode,
    Scorer,
    Strategy,
    aggregator,
    scorer,
    strategy,
    uses,
)
from ambiemo.strategies.baselines import BASELINES

T = TypeVar("T")
OWN_KEYS = (
    "weights", "served_model", "base_url", "key_env", "family", "audio_seconds", "capabilities",
    "dtype", "memory_gib", "max_model_len", "accepts",
)  # fmt: skip
"""Keys of a model's entry that describe a model of the user's own."""


class Part(BaseModel):
    """A part of a plan: unknown keys are errors, values do not change.

    The text under each key is its meaning: docs/reference/plan.md is made of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelEntry(Part):
    """One model: its id, the engine (default: the specification's first), and its pool of actors.

    Each actor holds a copy of the model on `gpus` GPUs; `cpus` are the cores it takes, and the
    threads a model on CPU computes with. `actors: auto` takes as many as the cluster's GPUs and
    cores hold; models side by side then share them as Ray places the actors. The number of actors
    changes no answer; the number of threads may move a likelihood in its last digits. `revision` (a
    commit) and `price` take the place of the specification's.

    The keys from `weights` on are for a model of the user's own (`models.own`), whose id is not in
    the table.
    """

    id: str
    """Id of the model, as `ambiemo models` lists it."""
    engine: str = ""
    """What runs it: `transformers`, `vllm`, `openai` or `null`. Empty: the first that the model's row names."""
    actors: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = 1
    """How many copies of the model answer side by side; `auto` takes as many as fit the cluster."""
    cpus: float = Field(default=1, gt=0, le=4096)
    """Cores of one actor, and the threads that a model on a CPU computes with."""
    gpus: float = Field(default=0, ge=0, le=4096)
    """GPUs of one actor."""
    options: dict[str, Any] = {}
    """Options of the engine, such as `max_dollars` or `tensor_parallel_size`."""
    revision: str = ""
    """A commit (40 hex digits) in place of the row's."""
    price: Price | None = None
    """US dollars per million tokens, in place of the row's."""
    weights: str = Field(default="", max_length=1000)
    """A checkpoint of your own: a folder (`./name`, `/path/name`), or a repository (`owner/name`) with `revision`."""
    served_model: str = Field(default="", max_length=200)
    """The name that an OpenAI-compatible server knows your model by."""
    base_url: str = Field(default="", max_length=1000)
    """The server's address. Empty: the variable ID_BASE_URL has it."""
    key_env: str = Field(default="", pattern=r"^([A-Za-z_]\w{0,99})?$")
    """Name of the variable that has the server's key."""
    family: str = Field(default="", pattern=r"^[a-z0-9_]{0,40}$")
    """`qwen2_audio`, `qwen2_5_omni`, `audioflamingo3` or `ultravox`, where an engine must know it."""
    audio_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Longest clip that the model hears. Empty: 30 for a checkpoint, no limit for a server."""
    capabilities: tuple[Capability, ...] | None = None
    """What it can do: `beam`, `likelihood`, `sampling`, `label_logprobs`, `verifier`. Empty: all
    for a checkpoint, `sampling` and `verifier` for a server."""
    dtype: Literal["", "bfloat16", "float16", "float32"] = ""
    """Number format of the weights. Empty: `bfloat16`."""
    memory_gib: float = Field(default=0, ge=0, le=1e5)
    """Memory that the weights need, in GiB."""
    max_model_len: int = Field(default=0, ge=0, le=2**24)
    """Most tokens of prompt, clip and answer. 0: the checkpoint's own."""
    accepts: Accepts | None = None
    """What the server takes in a request."""

    @field_validator("revision")
    @classmethod
    def _a_commit(cls, value: str) -> str:
        if value and not (COMMIT.fullmatch(value) or FOLDER_HASH.fullmatch(value)):
            raise ValueError(
                "expected a commit, 40 hex digits; `ambiemo models --resolve` prints it"
            )
        return value

    @field_validator("capabilities", mode="before")
    @classmethod
    def _in_one_order(cls, value: Any) -> Any:
        plain = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        return sorted(set(value)) if plain else value

    @property
    def is_own(self) -> bool:
        """True for a model that this entry describes, and the table does not."""
        return any(
            getattr(self, name) != type(self).model_fields[name].default for name in OWN_KEYS
        )

    def spec(self) -> ModelSpec:
        """The model's specification, with the revision and the price of this entry. Raises
        BadInput: an unknown model, a commit for no repository, a model of the user's own that is
        not whole. Reads no file.
        """
        if self.is_own:
            fields = {
                name: value
                for name in ("revision", "price", *OWN_KEYS)
                if (value := getattr(self, name)) != type(self).model_fields[name].default
            }
            if self.capabilities is not None:
                fields["capabilities"] = frozenset(self.capabilities)
            return models.own_spec(self.id, **fields)
        model_spec = models.model(self.id)
        if self.revision and not model_spec.is_repository:
            raise BadInput(
                f"revision: {self.id} ({model_spec.weights}) is not a repository with commits; remove the key"
            )
        if self.revision and not COMMIT.fullmatch(self.revision):
            raise BadInput(
                f"revision: found {self.revision}, expected a commit of {model_spec.weights}, 40 hex digits"
            )
        fields = {name: value for name in ("revision", "price") if (value := getattr(self, name))}
        notes = dict.fromkeys((f"{name}_note" for name in fields), "given in the plan")
        return model_spec.changed(**fields, **notes) if fields else model_spec

    def portable(self) -> "ModelEntry":
        """The entry without what names a place of one machine: the folder of the weights (the hash
        in `revision` says which they are), the server's address. Reads no file.
        """
        weights = self.weights
        if self.is_own and weights and location(self.id, weights).startswith(FOLDER):
            weights = FOLDER
        return self.model_copy(update={"weights": weights, "base_url": ""})


class CorpusEntry(Part):
    """One corpus: its name, its folder (`${NAME}` is an environment variable), the loader's
    options, and the count it must have.

    `expect` is the number of utterances that must be there (a loader that loses some is found out);
    `limit` takes that many, chosen by a hash of their ids. `nominal` is the size the dry run
    reckons with while the folder is not here; no run uses it.
    """

    id: str
    """Id of the corpus, as `ambiemo corpora` lists it."""
    root: str = ""
    """Its folder. `${NAME}` stands for an environment variable."""
    options: dict[str, Any] = {}
    """Options of the corpus (docs/corpora.md)."""
    nominal: int | None = Field(default=None, ge=1, le=UTTERANCES)
    """Size that the dry run reckons with while the folder is not here. No run uses it."""
    expect: int | None = Field(default=None, ge=1, le=UTTERANCES)
    """Number of utterances that must be there; another number stops the run."""
    limit: int | None = Field(default=None, ge=1, le=UTTERANCES)
    """Take at most this many utterances, chosen by a hash of their ids."""


class StrategyEntry(Part):
    """One strategy of the table, or with `base` naming the row, a variant of it under its own name.

    Such as `{name: alm_v_sampled, base: alm_v, decoding: sample, count: 3}`, for a closed model
    without beams. A name of the table always is the table's row, unchanged: results compare with
    `greedy`, and with the baselines, by name. `forced` belongs to the rows that have it: their
    candidates are the labels, as many as the corpus has.
    """

    name: str
    """Name of a row of the table of strategies, or of the variant."""
    base: str = ""
    """The row that a variant changes. Empty: the row `name` itself."""
    decoding: Literal["", "greedy", "beam", "sample", "forced"] = ""
    """How candidates are decoded. Empty: as the row."""
    count: int | None = Field(default=None, ge=1, le=256)
    """Number of candidates. Empty: as the row."""
    scorer: str = ""
    """`likelihood`, `mean_likelihood`, `verifier` or `none`. Empty: as the row."""
    aggregator: str = ""
    """`only`, `best`, `weighted_mean`, `dirichlet_mixture`, `linear_pool` or `vote_share`. Empty: as the row."""
    tau: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Temperature of its softmax, in place of `weights.tau`."""
    concentration: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """In place of `dirichlet.concentration`."""
    epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """In place of `dirichlet.epsilon`."""

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        return _name(value)

    def row(self) -> Strategy:
        """The strategy that this entry names. Raises BadInput for parts that do not fit, or would
        be paid for nothing.
        """
        base = strategy(self.base or self.name)
        if "forced" in (base.decoding.kind, self.decoding) and (
            self.count or self.decoding not in ("", base.decoding.kind)
        ):
            raise BadInput(
                f"strategy '{self.name}': {base.name} has decoding {base.decoding.kind}, found decoding '{self.decoding}', "
                f"count {self.count}; forced labels take no other decoding and no count"
            )
        scoring = self._scorer(base)
        combining = aggregator(self.aggregator) if self.aggregator else base.aggregator
        used = uses(scoring, combining)
        own: dict[str, Any] = {
            name: base.own[name]
            if name in used and getattr(self, name) is None
            else getattr(self, name)
            for name in OWN
        }
        row = replace(
            base,
            name=self.name,
            decoding=Decode(self.decoding or base.decoding.kind, self.count or base.count),
            scorer=scoring,
            aggregator=combining,
            **own,
        )
        if self.name in BASELINES or row != STRATEGIES.get(self.name, row):
            kind = "baseline" if self.name in BASELINES else "row of the table of strategies"
            raise BadInput(
                f"strategy '{self.name}': found {base.name} with {_description(row)}, expected what is called so: a {kind}, with which "
                f"results are compared by name; choose another name, such as {base.name}_{row.decoding.kind}_{row.count}"
            )
        return row

    def _scorer(self, base: Strategy) -> Scorer | None:
        if self.scorer in ("", "none"):
            return base.scorer if not self.scorer else None
        return scorer(self.scorer)

    def written_out(self) -> "StrategyEntry":
        """The same entry with nothing left to defaults."""
        row = self.row()
        return StrategyEntry(
            name=row.name,
            base=self.base or self.name,
            decoding=row.decoding.kind,
            count=row.count or None,
            scorer=row.parts["scorer"] or "none",
            aggregator=row.parts["aggregator"],
            **row.own,
        )


def _description(row: Strategy) -> str:
    own = [f"{name} {value:g}" for name, value in row.own.items() if value is not None]
    parts = (
        f"decoding {row.decoding.kind}",
        f"count {row.count}",
        f"scorer {row.parts['scorer'] or 'none'}",
    )
    return ", ".join([*parts, f"aggregator {row.aggregator.name}", *own])


class ControlEntry(Part):
    """A control and the strategies it is applied to: the same question about another one's clip, or
    about silence.
    """

    name: Literal["shuffled_audio", "silence"]
    """`shuffled_audio` gives each utterance the clip of another speaker; `silence` gives it zeros of the same length."""
    strategies: tuple[str, ...] = ("greedy",)
    """Strategies of the plan that are asked again under the control."""


class Sampling(Part):
    """Temperature and nucleus of every `sample` decoding."""

    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Temperature of the samples."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus: the share of probability that is sampled from."""


class MaxTokens(Part):
    """Longest answer in tokens, by prompt."""

    direct: int = Field(default=128, ge=1, le=2**20)
    """Longest answer to the prompt `direct`."""
    cot: int = Field(default=384, ge=1, le=2**20)
    """Longest answer to the prompt `cot`."""
    verifier: int = Field(default=32, ge=1, le=2**20)
    """Longest answer of a verifier."""


class Weights(Part):
    """Weights of the weighted strategies that read likelihoods."""

    tau: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Temperature of the softmax over log-likelihoods (nats)."""


class Dirichlet(Part):
    """Components Dir(concentration · p + epsilon) of the weighted strategies."""

    concentration: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """c of the components Dir(c · p + ε)."""
    epsilon: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """ε of the components Dir(c · p + ε)."""


class Ambiguity(Part):
    """The rule that makes ambiguity levels of the votes (labels.AMBIGUITY_RULES), and its
    thresholds where it has any.
    """

    rule: str = "bits"
    """Name of the rule: `bits`, `tertiles`, `2409.18339` or `2601.14620` (docs/corpora.md)."""
    thresholds: dict[str, float] = {}
    """Thresholds of the rule in bits. Empty: the rule's own."""

    @model_validator(mode="before")
    @classmethod
    def _every_threshold_written_out(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        rule = value.get("rule", "bits")
        if rule not in list(AMBIGUITY_RULES):
            raise ValueError(f"unknown rule '{rule}'; {nearest(str(rule), AMBIGUITY_RULES)}")
        known = AMBIGUITY_RULES[rule].thresholds
        given = value.get("thresholds") or {}
        if not isinstance(given, dict):
            return value
        if unknown := sorted(set(map(str, given)) - set(known)):
            raise ValueError(
                f"rule '{rule}' has no threshold '{unknown[0]}'; it has {', '.join(known) or 'none'}"
            )
        return {**value, "rule": rule, "thresholds": {**known, **given}}

    @field_validator("thresholds")
    @classmethod
    def _fit_for_the_rule(cls, value: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        """The rule itself judges them, on votes that any rule can read: after the draws it would be
        too late.
        """
        if "rule" in info.data:
            ambiguity_levels([[1, 1]], info.data["rule"], **value)
        return value


class GroupSize(Part):
    """The size of a group by what the engine decodes at the same time, whatever the decoding."""

    sequences: int = Field(ge=1, le=4096)
    """Sequences in a group. A greedy draw is one, a draw of 8 samples is 8, 5 beams are 5, a forced
    label is one."""


class Bootstrap(Part):
    """The level of every interval, and the resamples of the calibration errors' bootstrap over
    speakers. All other intervals are by jackknife and use no random number."""

    resamples: int = Field(default=2000, ge=100, le=100_000)
    """Resamples of the bootstrap of `ece_5` and `ece_10`."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Level of every interval."""


class Assumptions(Part):
    """What the dry run assumes to turn tokens into GPU-hours (grade I: not measured on your
    machine).
    """

    tokens_per_gpu_second: float = Field(default=2000.0, gt=0, allow_inf_nan=False)
    """Tokens that one GPU answers in a second."""
    seconds_per_utterance: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """Length of a clip whose length is not known."""


class Plan(Part):
    """A whole plan, every default written out. See reproduce/quick.yaml for one with comments.

    `verifier` is "self" (each model judges its own candidates), the id of a model, or an entry as
    among `models` for one that only judges.
    """

    name: str
    """Name of the plan, and of its bundle's folder."""
    title: str = Field(default="", max_length=TITLE)
    """One line that heads the tables."""
    seed: int = Field(default=0, gt=-(2**63), lt=2**63)
    """Seed of all draws, controls and bootstraps."""
    models: tuple[ModelEntry, ...] = Field(min_length=1, max_length=MODELS)
    """The models: a list of ids or entries."""
    corpora: tuple[CorpusEntry, ...] = Field(min_length=1, max_length=CORPORA)
    """The corpora: a list of ids or entries."""
    strategies: tuple[StrategyEntry, ...] = Field(min_length=1, max_length=MOST_STRATEGIES)
    """The strategies: a list of names or entries."""
    controls: tuple[ControlEntry, ...] = ()
    """The controls: a list of names or entries."""
    baselines: tuple[str, ...] = tuple(BASELINES)
    """Predictions that hear nothing."""
    verifier: ModelEntry = ModelEntry(id="self")
    """Who judges candidates: `self`, the id of a model, or an entry as under `models`."""
    sampling: Sampling = Sampling()
    """Settings of every `sample` decoding."""
    max_tokens: MaxTokens = MaxTokens()
    """Longest answers in tokens, by prompt."""
    weights: Weights = Weights()
    """Weights of the weighted strategies."""
    dirichlet: Dirichlet = Dirichlet()
    """Components of the Dirichlet mixtures."""
    ambiguity: Ambiguity = Ambiguity.model_validate({})
    """How levels of ambiguity are made of the votes."""
    group_size: Annotated[
        Annotated[int, Field(ge=1, le=4096), Tag("number")] | Annotated[GroupSize, Tag("mapping")],
        Discriminator(lambda size: "mapping" if isinstance(size, dict | GroupSize) else "number"),
    ] = 16
    """Draws that are made and written together: a number of them, or `{sequences: 256}` for as many
    as make about so many sequences. A different size means different batches."""
    bootstrap: Bootstrap = Bootstrap()
    """Level of the intervals, and resamples."""
    assume: Assumptions = Assumptions()
    """What the dry run assumes where nothing was measured."""

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        return _name(value)

    @field_validator("title")
    @classmethod
    def _one_line(cls, value: str) -> str:
        """The title heads results.md: a second line could be a table of somebody's own."""
        if not value.isprintable() or value != " ".join(value.split()):
            raise ValueError(
                "expected one printable line, without blanks at its ends or several in a row"
            )
        return value

    @property
    def every_model(self) -> tuple[ModelEntry, ...]:
        """The models, and the verifier where it is another one."""
        ours = self.verifier.id == "self" or self.verifier.id in {entry.id for entry in self.models}
        return self.models if ours else (*self.models, self.verifier)

    @property
    def asked_models(self) -> tuple[ModelEntry, ...]:
        """The models, and the verifier where a strategy asks it."""
        return (
            self.every_model
            if any(entry.row().verified for entry in self.strategies)
            else self.models
        )

    @field_validator("verifier", mode="before")
    @classmethod
    def _bare_id(cls, value: Any) -> Any:
        return {"id": value} if isinstance(value, str) else value

    @field_validator("models", "corpora", mode="before")
    @classmethod
    def _bare_ids(cls, value: Any) -> Any:
        return (
            [{"id": item} if isinstance(item, str) else item for item in value]
            if isinstance(value, list)
            else value
        )

    @field_validator("strategies", "controls", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        return (
            [{"name": item} if isinstance(item, str) else item for item in value]
            if isinstance(value, list)
            else value
        )

    @field_validator("models", "corpora", "strategies", "controls", "baselines")
    @classmethod
    def _no_twins(cls, value: Any) -> Any:
        names = [
            item if isinstance(item, str) else getattr(item, "name", None) or item.id
            for item in value
        ]
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins:
            raise ValueError(f"named twice: {', '.join(twins)}")
        return value

    @field_validator("baselines")
    @classmethod
    def _known_baselines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in BASELINES]
        if unknown:
            raise ValueError(
                f"unknown baseline {', '.join(unknown)}; {nearest(unknown[0], BASELINES)}"
            )
        return value


def _name(value: str) -> str:
    if len(value) > NAME or not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", value):
        raise ValueError(
            f"{value!a:.80} is no plain name: use small letters, digits, '.', '_' and '-', {NAME} at most"
        )
    return value


def read(path: Path) -> Plan:
    """Read and validate a plan file.

    Raises BadInput naming the file, the key, what was found and what is expected: no such file, no
    YAML, an unknown key, model, corpus, strategy, control, engine or rule.
    """
    name = shown(str(path))
    try:
        content = parse_yaml(read_regular(path, PLAN).decode("utf-8"))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" line {place.line + 1}" if place else ""
        why = shown(str(getattr(error, "problem", None) or getattr(error, "reason", error)))
        raise BadInput(f"{name}{line}: not YAML: {why}; fix the line") from error
    except TooMuch as error:
        raise BadInput(
            f"{name}: {shown(str(error))}; name a plan such as reproduce/quick.yaml"
        ) from error
    except (OSError, ValueError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else "not UTF-8 text, or a number too long"
        )
        raise BadInput(
            f"{name}: cannot read the plan: {reason}; name a YAML file such as reproduce/quick.yaml"
        ) from error
    return check(content, name)


def check(content: Any, name: str) -> Plan:
    """A plan from a parsed YAML or JSON value; `name` is what errors call it. Raises BadInput."""
    if not isinstance(content, dict):
        raise BadInput(
            f"{name}: found {type(content).__name__}, expected keys such as name, models, corpora, strategies"
        )
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BadInput(f"{name}: {_place(first['loc'])}: {_complaint(first)}{more}") from error
    written_out = tuple(
        _named(f"{name}: strategies.{index}", entry.written_out)
        for index, entry in enumerate(plan.strategies)
    )
    plan = plan.model_copy(update={"strategies": written_out})
    if plan.verifier.id in {entry.id for entry in plan.models} and plan.verifier != ModelEntry(
        id=plan.verifier.id
    ):
        raise BadInput(
            f"{name}: verifier: {plan.verifier.id} is one of the models; say there what its actors need, and here its id"
        )
    places = [
        *(f"{name}: models.{index}" for index in range(len(plan.models))),
        f"{name}: verifier",
    ]
    for place, entry in zip(places, plan.every_model, strict=False):
        spec = _named(place, entry.spec)
        if entry.engine and entry.engine not in engines.ENGINES:
            raise BadInput(
                f"{place}.engine: unknown '{entry.engine}'; {nearest(entry.engine, engines.ENGINES)}"
            )
        if entry.engine and entry.engine not in (*spec.engines, "null"):
            raise BadInput(
                f"{place}.engine: '{entry.engine}' does not run {entry.id}; choose {', '.join(spec.engines)}"
            )
        if (
            entry.actors != "auto"
            and entry.actors > 1
            and (entry.engine or spec.engines[0]) == "openai"
        ):
            raise BadInput(
                f"{place}.actors: found {entry.actors}, expected 1: one actor sends as many requests at once as its option `concurrency` says; "
                "with several, each would have the whole dollar ceiling and rate"
            )
        address = entry.options.get("base_url") or entry.base_url
        if not isinstance(address, str) or "@" in address.partition("://")[2].partition("/")[0]:
            where = "options.base_url" if entry.options.get("base_url") else "base_url"
            raise BadInput(
                f"{place}.{where}: found a user or password in the address, expected none: it would be kept and shown; "
                "put a key into the environment variable that the model names"
            )
        parts = entry.options.get("tensor_parallel_size", 1)
        if not isinstance(parts, int) or parts < 1:
            raise BadInput(
                f"{place}.options.tensor_parallel_size: found {parts!r}, expected a number of GPUs, 1 or more"
            )
    for index, corpus in enumerate(plan.corpora):
        _named(f"{name}: corpora.{index}", lambda corpus=corpus: corpora.corpus(corpus.id))  # type: ignore[misc]
    known = {entry.name for entry in plan.strategies}
    for control in plan.controls:
        unknown = [one for one in control.strategies if one not in known]
        if unknown:
            raise BadInput(
                f"{name}: controls: {control.name} names '{unknown[0]}', which is no strategy of this plan; {nearest(unknown[0], sorted(known))}"
            )
    return plan


def _named(place: str, look: Callable[[], T]) -> T:
    try:
        return look()
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from error


def _place(location: Iterable[Any]) -> str:
    return shown(".".join(str(part) for part in location)) or "top level"


def _complaint(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        key = shown(str(error["loc"][-1]))
        return f"unknown key; {nearest(key, _keys_at(error['loc'][:-1]))}"
    if error["type"] == "missing":
        return "missing; add it"
    return f"{error['msg'].removeprefix('Value error, ')} (found {shown(repr(error['input']))})"


def _keys_at(location: Sequence[Any]) -> list[str]:
    """The keys that a plan may have at a place such as ("models", 0)."""
    part: type[BaseModel] = Plan
    for name in location:
        if isinstance(name, str) and name in part.model_fields:
            part = _part_of(part.model_fields[name].annotation) or part
    return list(part.model_fields)


def _part_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as tuple[ModelEntry, ...] or Price | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_part_of, get_args(annotation))), None)
