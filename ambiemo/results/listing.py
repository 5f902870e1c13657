"""What there is: strategies and models, and what each needs, as tables for the terminal and as JSON."""

from typing import Any

from ambiemo.models import MODELS
from ambiemo.models.spec import COMMIT
from ambiemo.plan.preflight import lacks
from ambiemo.strategies import STRATEGIES
from ambiemo.terminal import Column, Table

STRATEGY_COLUMNS = (
    Column("strategy", "key"),
    Column("in words", "words", 1),
    Column("needs", "words", 2),
    Column("prompt", "words", 6),
    Column("decoding", "words", 3),
    Column("scorer", "words", 4),
    Column("aggregator", "words", 5),
)
MODEL_COLUMNS = (
    Column("model", "key"),
    Column("here", "words", 1),
    Column("engines", "words", 3),
    Column("can", "words", 4),
    Column("weights", "words", 2),
    Column("revision", "words", 5),
)


def strategies() -> list[dict[str, Any]]:
    """One object per strategy: its parts, what it needs of a model, and what it does in words."""
    return [
        {
            "strategy": one.name,
            "in_words": one.says,
            "needs": sorted(one.needs | ({"a verifier"} if one.verified else set())),
            "prompt": one.prompt,
            "decoding": one.decoding.kind,
            "count": one.count or None,
            "scorer": one.parts["scorer"] or None,
            "aggregator": one.aggregator.name,
        }
        for one in STRATEGIES.values()
    ]


def models() -> list[dict[str, Any]]:
    """One object per model: weights, commit, engines, what it can do, what this machine lacks."""
    return [
        {
            "model": spec.id,
            "missing_here": [{"what": what, "do": do} for what, do in lacks(spec, spec.engines[0])],
            "engines": list(spec.engines),
            "can": sorted(spec.capabilities),
            "weights": spec.weights,
            "revision": spec.revision,
        }
        for spec in MODELS.values()
    ]


def strategies_table() -> Table:
    """The strategies for people."""
    rows = [
        (
            one["strategy"],
            one["in_words"],
            ", ".join(one["needs"]) or "–",
            one["prompt"],
            _decoding(one),
            one["scorer"] or "–",
            one["aggregator"],
        )
        for one in strategies()
    ]
    return Table("", STRATEGY_COLUMNS, tuple(rows), see="ambiemo strategies --json")


def _decoding(one: dict[str, Any]) -> str:
    kind: str = one["decoding"]
    return kind if kind == "greedy" else f"{kind}({one['count'] or 'labels'})"


def models_table() -> Table:
    """The models for people. What is missing is named in few words; a plan's dry run says what to
    do about it.
    """
    rows = [
        (
            one["model"],
            "; ".join(_few_words(lack["what"]) for lack in one["missing_here"]) or "ready",
            ", ".join(one["engines"]),
            ", ".join(one["can"]),
            one["weights"],
            _revision(one["revision"]),
        )
        for one in models()
    ]
    return Table("", MODEL_COLUMNS, tuple(rows), see="ambiemo models --json")


def _revision(revision: str | None) -> str:
    """The first digits of a commit; the whole name of a server's version."""
    if revision is None:
        return "not pinned"
    return revision[:12] if COMMIT.fullmatch(revision) or len(revision) == 64 else revision


def _few_words(what: str) -> str:
    """What is missing without its explanation: "no GPU: the weights need …" is "no GPU"."""
    first, _, rest = what.partition(": ")
    return f"no {first}" if first.startswith("engine") else first if rest else what
