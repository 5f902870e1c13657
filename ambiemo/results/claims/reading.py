"""Read claims.yaml: every key known, every name known, every id once."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from itertools import product
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ambiemo.durable import sha256
from ambiemo.errors import BadInput, nearest
from ambiemo.models import MODELS

About = Literal["paper", "embedded"]
EMBEDDED = "tiny"
"""Name of the embedded model and of the embedded corpus."""
REFERENCE, POOL = "greedy", "pool"


class Part(BaseModel):
    """A part of the file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cells(Part):
    """Every combination of models, corpora and strategies. A name of `lists` stands for its names.

    group tells apart what an estimator compares, such as closed and open models.
    """

    models: tuple[str, ...]
    corpora: tuple[str, ...]
    strategies: tuple[str, ...]
    group: str = ""


class RuleText(Part):
    """What each verdict means, in words. The code of a rule has the same name
    (`deciding.RULES`).
    """

    holds: str = ""
    within_tolerance: str = ""
    not_reproduced: str
    otherwise: str = "NOT SHOWN: tested, and neither shown nor refuted"


class Claim(Part):
    """One claim.

    about      the paper, or the embedded corpus; never both
    grade      how surely the claim is the paper's: P, S or I, with what was read
    reference  what a strategy is compared with: greedy, the pool of its own candidates, or nothing
    metric     a loss of `evidence.LOSSES`
    family     claims of one family share one correction by Holm; it is fixed here, not by the run
    direction  which sign the claim says
    published  the paper's number in its own unit (percent for accuracy), None if there is none
    untested   why no run can decide it; empty for nearly all
    """

    id: str
    about: About
    sentence: str
    grade: str
    source: str
    cells: tuple[Cells, ...]
    reference: Literal["greedy", "pool", "none"] = "greedy"
    metric: str = "js"
    estimator: str
    rule: str
    family: str
    direction: Literal["above", "below"] = "above"
    published: float | None = None
    tolerance: float
    tolerance_reason: str
    gate: Literal["heard"] = "heard"
    untested: str = ""

    @property
    def sign(self) -> int:
        return 1 if self.direction == "above" else -1


class Claims(Part):
    """The whole file."""

    version: int
    lists: dict[str, tuple[str, ...]]
    variants: dict[str, tuple[str, str, int]]
    rules: dict[str, RuleText]
    families: dict[str, str]
    claims: tuple[Claim, ...]

    def places(self, claim: Claim) -> list["Place"]:
        """The cells of a claim, in the order of the file, each once."""
        places: dict[Place, None] = {}
        for part in claim.cells:
            named = (part.corpora, part.models, part.strategies)
            for corpus, model, strategy in product(*(self._spelled_out(one) for one in named)):
                places[Place(corpus, model, strategy, part.group)] = None
        return list(places)

    def _spelled_out(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one for name in names for one in self.lists.get(name, (name,)))

    @property
    def strategies(self) -> frozenset[str]:
        """Every strategy that some claim looks at."""
        return frozenset(place.strategy for claim in self.claims for place in self.places(claim))

    @property
    def pooled(self) -> frozenset[str]:
        """The strategies that some claim compares with the pool of their candidates."""
        chosen = (claim for claim in self.claims if claim.reference == POOL)
        return frozenset(place.strategy for claim in chosen for place in self.places(claim))


class Place(NamedTuple):
    """One cell of a claim."""

    corpus: str
    model: str
    strategy: str
    group: str = ""

    def __str__(self) -> str:
        return f"{self.model} × {self.corpus} × {self.strategy}"


def packaged() -> bytes:
    """The file that ships with the package, to the byte: what a bundle keeps as
    config/claims.yaml.
    """
    return resources.files("ambiemo.results.claims").joinpath("claims.yaml").read_bytes()


def fingerprint() -> str:
    """SHA-256 of the packaged file."""
    return sha256(packaged())


@cache
def claims() -> Claims:
    """The packaged claims."""
    return read(packaged(), "reproduce/claims.yaml")


def read(data: bytes, name: str) -> Claims:
    """The claims of a file; `name` is what errors call it. Raises BadInput for anything unknown."""
    from ambiemo.results.claims.deciding import RULES
    from ambiemo.results.claims.estimators import ESTIMATORS
    from ambiemo.results.claims.evidence import LOSSES

    try:
        content = yaml.safe_load(data.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{name}: not YAML: {str(error).splitlines()[0]}; correct the file"
        ) from error
    if not isinstance(content, dict):
        raise BadInput(
            f"{name}: found {type(content).__name__}, expected keys such as claims and rules"
        )
    try:
        book = Claims.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"{name}: {_first(error, content)}") from error
    for where, what, word, known in _names(book, ESTIMATORS, RULES, LOSSES):
        if word not in known:
            raise BadInput(f"{name}: {where}: {what} '{word}' is unknown; {nearest(word, known)}")
    seen: set[str] = set()
    for claim in book.claims:
        if claim.id in seen:
            raise BadInput(
                f"{name}: claim {claim.id}: found the id twice, expected once; rename one"
            )
        seen.add(claim.id)
    return book


def _names(
    book: Claims,
    estimators: Mapping[str, Callable[..., Any]],
    rules: Mapping[str, Callable[..., Any]],
    losses: Mapping[str, Any],
) -> Iterator[tuple[str, str, str, list[str]]]:
    for claim in book.claims:
        where = f"claim {claim.id}"
        yield where, "estimator", claim.estimator, sorted(estimators)
        yield where, "rule", claim.rule, sorted(set(rules) & set(book.rules))
        yield where, "family", claim.family, sorted(book.families)
        yield where, "metric", claim.metric, sorted(losses)
        for place in book.places(claim):
            yield where, "model", place.model, sorted(MODELS)


def _first(error: ValidationError, content: dict[str, Any]) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    path = list(first["loc"])
    where = ".".join(map(str, path))
    if len(path) > 1 and path[0] == "claims" and isinstance(path[1], int):
        entry = content["claims"][path[1]]
        named = entry.get("id", path[1]) if isinstance(entry, dict) else path[1]
        where = ".".join(["claim " + str(named), *map(str, path[2:])])
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or correct its name"
    return f"{where}: {first['msg'].lower()}"
