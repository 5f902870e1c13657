"""The options that every corpus has, and how they are read from a plan or the command line."""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ambiemo.errors import BadInput, nearest


class CommonOptions(BaseModel):
    """The options of every corpus; a corpus adds its own. Unknown keys are errors.

    audio: "required" keeps only utterances whose audio file is there and counts the others (a run's
    default); "optional" keeps all (the default of `ambiemo data import`); "ignore" does not look
    for audio.
    bad_audio: "keep" leaves a clip that cannot be decoded in the table, so that its draws fail and
    are counted (a run's default); "stop" refuses the import and names the file (the default of
    `ambiemo data import`).
    splits: the owner's splits (or sessions) to keep; empty = all.
    limit: keep at most this many utterances, chosen by `utterances.sampled` as a plan's `limit` is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    audio: Literal["required", "optional", "ignore"] = "required"
    bad_audio: Literal["keep", "stop"] = "keep"
    splits: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], given: Mapping[str, Any], where: str) -> Model:
    """Options of `model` from a mapping. Raises BadInput naming `where` and the key."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"][:1])
        if first["type"] == "extra_forbidden":
            hint = nearest(key, sorted(model.model_fields))
            raise BadInput(f"{where}: option '{key}': unknown; {hint}") from None
        raise BadInput(
            f"{where}: option '{key}': found {first['input']!r}; {first['msg']}"
        ) from None


def resolved(options: BaseModel) -> dict[str, Any]:
    """Every option as a JSON value, for the manifest and the bundle. Paths lose their folders."""
    plain = options.model_dump(mode="json")
    return plain | {key: value.name for key, value in options if isinstance(value, PurePath)}


def from_command_line(pairs: Iterable[str]) -> dict[str, Any]:
    """Options from KEY=VALUE arguments. Values are YAML (3, true, [Test1, Test2]).

    Raises BadInput for an argument without "=" and for a key given twice.
    """
    import yaml

    result: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise BadInput(f"option '{pair}': found no '='; expected KEY=VALUE")
        if key.strip() in result:
            raise BadInput(f"option '{key.strip()}': given twice; give it once, lists as [A, B]")
        try:
            result[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            result[key.strip()] = value
    return result
