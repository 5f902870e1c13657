"""Models: what an ALM is (a specification), what it is asked (prompt files), and how its answer is
read (parsing).
"""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from ambiemo.errors import BadInput
from ambiemo.models.own import own_spec
from ambiemo.models.registry import MODELS
from ambiemo.models.spec import CAPABILITIES, Accepts, Capability, ModelSpec, Price, WeightsPart

__all__ = [
    "CAPABILITIES",
    "MODELS",
    "PROMPTS",
    "Accepts",
    "Capability",
    "ModelSpec",
    "Price",
    "WeightsPart",
    "model",
    "own_spec",
    "prompt",
    "render",
]

PROMPTS = Path(__file__).parent / "prompts"


def model(model_id: str) -> ModelSpec:
    """The specification of a model. Raises BadInput, with the nearest name, for an unknown one."""
    if model_id in MODELS:
        return MODELS[model_id]
    near = get_close_matches(model_id, MODELS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(MODELS)}"
    raise BadInput(
        f"model '{model_id}': unknown; {hint}; a model of your own needs `weights` or `served_model`"
    )


@cache
def prompt(spec: ModelSpec, prompt_id: str) -> str:
    """Text of a prompt file, placeholders unfilled: the model family's own where it has one, else
    the shared one.

    The newline that ends the file is no part of the prompt. Raises BadInput for a prompt that
    neither folder has.
    """
    folders = [PROMPTS / spec.prompts, PROMPTS] if spec.prompts else [PROMPTS]
    for folder in folders:
        file = folder / f"{prompt_id}.txt"
        if file.parent == folder and file.is_file():
            return file.read_text(encoding="utf-8").rstrip("\n")
    there = sorted(file.stem for file in PROMPTS.glob("*.txt"))
    near = get_close_matches(prompt_id, there, n=1)
    hint = (
        f"did you mean '{near[0]}'?"
        if near
        else f"there are {', '.join(there)}; add models/prompts/{prompt_id}.txt"
    )
    raise BadInput(f"prompt '{prompt_id}': unknown; {hint}")


def render(text: str, labels: Sequence[str], candidate: str = "") -> str:
    """A prompt with its placeholders filled: {labels} as "a, b, c", then {candidate} as the judged
    answer, verbatim.

    The candidate goes in last, so that braces in a model's answer are never taken for a
    placeholder.
    """
    return text.replace("{labels}", ", ".join(labels)).replace("{candidate}", candidate)
