"""What a repository's main branch points to today, so that a person can pin it."""

from collections.abc import Iterable

from ambiemo.errors import Broken
from ambiemo.models.spec import ModelSpec


def resolve(spec: ModelSpec) -> str | None:
    """The commit (40 hex digits) of a repository's main branch; None for a model that is not a
    repository.

    Asks huggingface.co (with HF_TOKEN where a repository is gated). Raises Broken, with what to do,
    where that fails.
    """
    if not spec.is_repository:
        return None
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise Broken(
            "huggingface_hub is not installed; pip install 'ambiemo[transformers]'"
        ) from None
    try:
        return HfApi().model_info(spec.weights, revision="main", timeout=20).sha
    except Exception as error:  # the library raises its own, requests' and httpx's errors
        why = (str(error).splitlines() or [""])[0] or type(error).__name__
        gate = f"; {spec.gated}" if spec.gated else ""
        raise Broken(
            f"{spec.weights}: huggingface.co does not answer with a commit: {why}{gate}"
        ) from error


def resolved_lines(specs: Iterable[ModelSpec]) -> list[str]:
    """One line per model for `ambiemo models --resolve`: what is pinned, what main is, or why that
    is not known. Never raises.
    """
    lines = []
    for spec in specs:
        if not spec.is_repository:
            lines.append(
                f"{spec.id}: {spec.revision or 'not there yet'} (no repository: nothing to resolve)"
            )
            continue
        try:
            head = resolve(spec)
            same = "pinned" if head == spec.revision else f"pinned is {spec.revision or 'nothing'}"
            lines.append(f"{spec.id}: {spec.weights}@{head} ({same})")
        except Broken as error:
            lines.append(f"{spec.id}: {error}")
    return lines
