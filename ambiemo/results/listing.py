"""What there is: strategies and models, and what each needs, as tables on the terminal."""

from collections.abc import Iterable, Sequence

from ambiemo.models import MODELS
from ambiemo.plan.preflight import lacks
from ambiemo.strategies import STRATEGIES


def show_strategies() -> None:
    """Print the table of strategies."""
    rows = [
        (
            one.name,
            one.prompt,
            one.decoding.kind
            if one.decoding.kind == "greedy"
            else f"{one.decoding.kind}({one.count or 'labels'})",
            one.parts["scorer"] or "–",
            one.aggregator.name,
            ", ".join(sorted(one.needs | ({"a verifier"} if one.verified else set()))) or "–",
            one.says,
        )
        for one in STRATEGIES.values()
    ]
    _print(("strategy", "prompt", "decoding", "scorer", "aggregator", "needs", "in words"), rows)


def show_models() -> None:
    """Print the table of models, with what this machine lacks for each."""
    rows = [
        (
            spec.id,
            spec.weights,
            (spec.revision or "not pinned")[:12],
            ", ".join(spec.engines),
            ", ".join(sorted(spec.capabilities)),
            "; ".join(what for what, _ in lacks(spec, spec.engines[0])) or "ready",
        )
        for spec in MODELS.values()
    ]
    _print(("model", "weights", "revision", "engines", "can", "here"), rows)


def _print(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = Console(width=console.width if console.is_terminal else 180)
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)
