"""The text a model reads: one clip and the prompt in the model's own chat template, never typed by
hand.
"""

from typing import Any

# Families whose template takes the turn as one string; their audio placeholder then stands in it,
# as their model cards show it.
PLACEHOLDER = {"ultravox": "<|audio|>\n"}


def chat_text(processor: Any, tokenizer: Any, family: str, prompt: str) -> str:
    """The rendered chat: one user turn with a clip before the prompt, and the opening of the
    answer.

    The template is the processor's where it has one, else the tokenizer's.
    """
    if family in PLACEHOLDER:
        turn: list[dict[str, Any]] = [{"role": "user", "content": PLACEHOLDER[family] + prompt}]
    else:
        turn = [{"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": prompt}]}]
    source = processor if getattr(processor, "chat_template", None) else tokenizer
    return source.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
