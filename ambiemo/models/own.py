"""A model of the user's own: a row that a plan writes, under an id that is not one of the table's.

Nothing here reads a file or asks a server: a plan may come from anybody.
"""

import re
from typing import Any

from ambiemo.errors import BadInput
from ambiemo.limits import NAME
from ambiemo.models.registry import MODELS
from ambiemo.models.spec import (
    CAPABILITIES,
    COMMIT,
    FOLDER,
    PACKAGE,
    Accepts,
    Capability,
    ModelSpec,
    Price,
)

RESERVED = ("self", "baselines")
"""Names that mean something else where a model's id stands: the verifier, rows of tables."""
FOLDER_HASH = re.compile(r"[0-9a-f]{64}")
STATED = "I: named in a plan; not one of the paper's models"
SERVERS: frozenset[Capability] = frozenset({"sampling", "verifier"})
"""What a server can do unless the plan says more (`likelihood`, where it returns log-probabilities)."""
SECONDS = 30.0
"""What a checkpoint hears unless the plan says more: the window of Whisper's encoder, which most of
them use."""


def own_spec(
    model_id: str,
    *,
    weights: str = "",
    served_model: str = "",
    revision: str = "",
    family: str = "",
    base_url: str = "",
    key_env: str = "",
    audio_seconds: float | None = None,
    capabilities: frozenset[Capability] | None = None,
    dtype: str = "bfloat16",
    memory_gib: float = 0.0,
    max_model_len: int = 0,
    accepts: Accepts | None = None,
    price: Price | None = None,
) -> ModelSpec:
    """The specification of a model that only a plan names.

    weights: a folder (`/...`, `./...`, `~/...`, `file:...`) or a repository (`owner/name`), or
    served_model: the name by which an OpenAI-compatible server knows it, at `base_url` or at the
    address in the variable ID_BASE_URL.
    revision: the commit of a repository. For a folder the hash of its files, if it must be those.
    Raises BadInput: an id that could be taken for a model of the table, both or none of weights and
    served_model, a repository without its commit.
    """
    _not_the_papers(model_id)
    if bool(weights) == bool(served_model):
        raise BadInput(
            f"{model_id}: found {'both' if weights else 'neither'} weights and served_model, expected one: "
            "`weights` (a folder, or owner/name) for a checkpoint, `served_model` and `base_url` for a server"
        )
    able = frozenset(CAPABILITIES) if capabilities is None else capabilities
    common: dict[str, Any] = {
        "id": model_id,
        "title": f"{model_id} (named in the plan; not one of the paper's models)",
        "family": family or "own",
        "parameters": "not said",
        "licence": "not said",
        "memory_gib": memory_gib,
        "max_model_len": max_model_len,
        "accepts": accepts or Accepts(),
        "price": price,
        "price_note": "" if price else "the plan gives no price",
        "source": STATED,
    }
    if served_model:
        return ModelSpec(
            **common,
            weights=served_model,
            pinned=revision or served_model,
            engines=("openai",),
            audio_seconds=audio_seconds,
            capabilities=SERVERS if capabilities is None else able,
            key_env=key_env or None,
            base_url=base_url or None,
            base_url_env=variable(model_id),
        )
    for name, given in (("base_url", base_url), ("key_env", key_env)):
        if given:
            raise BadInput(
                f"{model_id}: found {name} and weights, expected weights alone; say `served_model` in their place for a server"
            )
    place = location(model_id, weights)
    if not place.startswith(FOLDER):
        if not COMMIT.fullmatch(revision):
            raise BadInput(
                f"{model_id}: found revision '{revision}' of {weights}, expected the commit of the repository, 40 hex digits; "
                "its page on huggingface.co (Files, History) shows it"
            )
    elif revision and not FOLDER_HASH.fullmatch(revision):
        raise BadInput(
            f"{model_id}: found revision '{revision}' of a folder, expected none, or the hash of its files, 64 hex digits"
        )
    return ModelSpec(
        **common,
        weights=place,
        pinned=revision or None,
        engines=("transformers", "vllm"),
        audio_seconds=SECONDS if audio_seconds is None else audio_seconds,
        capabilities=able,
        dtype=dtype,
    )


def variable(model_id: str) -> str:
    """Name of the environment variable that may hold the address of a model's server."""
    return re.sub(r"[^A-Z0-9]", "_", model_id.upper()) + "_BASE_URL"


def location(model_id: str, weights: str) -> str:
    """`weights` as a specification has them: `file:PATH`, or `owner/name`. Raises BadInput."""
    if weights.startswith(FOLDER):
        return weights
    if weights.startswith(("/", "./", "../", "~")):
        return FOLDER + weights
    if weights.startswith(PACKAGE) or not re.fullmatch(r"[\w.-]+/[\w.-]+", weights):
        raise BadInput(
            f"{model_id}: found weights '{weights}', expected a folder (`./name`, `/path/name`) or a repository (`owner/name`)"
        )
    return weights


def _not_the_papers(model_id: str) -> None:
    """Raise BadInput for an id that a reader of a table could take for another model."""

    def bare(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    if model_id in RESERVED:
        raise BadInput(f"{model_id}: found a reserved word as the id of a model; choose another id")
    if len(model_id) > NAME or not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", model_id):
        raise BadInput(
            f"{model_id!a:.80}: found an id that is not a plain name; use small letters, digits, '.', '_' and '-', {NAME} at most"
        )
    for name in MODELS:
        if bare(model_id) == bare(name) or re.fullmatch(
            re.escape(name) + r"-\d{2,8}(-\d\d)*", model_id
        ):
            raise BadInput(
                f"{model_id}: found weights or a server of your own under the id of a model of the table ({name}): tables and claims "
                f"would take its answers for that model's; choose an id of your own, such as my-{name}"
            )
