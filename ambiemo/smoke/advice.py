"""What to do about a reason that does not say so itself."""

ADVICE = {
    'Unknown name "seed"': "say `accepts: {seed: false}` in its row",
    "answered by another model": "leave it out: its owner serves another model under this name",
    "the account has no quota left": "pay in, or leave it out",
    "the quota is spent": "raise the account's limit, or spread the run over days",
    "the server refuses the key": "put a valid key into the variable that its row names",
    "so many tokens": "raise max_tokens",
}
"""By words of the reason."""


def advised(reason: str) -> str:
    """The reason with what to do about it, where that is known."""
    do = next((do for words, do in ADVICE.items() if words in reason), "")
    return f"{reason}; {do}" if do else reason
