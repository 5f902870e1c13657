"""The two ways a command ends badly, each with the exit code the command line promises."""

import difflib
import re
from collections.abc import Iterable

_USER_INFO = re.compile(r"://[^/?#\s@]*@")


class AmbiemoError(Exception):
    """Base of the errors that reach a person as one line on stderr, never as a traceback."""

    exit_code = 1


class BadInput(AmbiemoError):
    """Something given from outside cannot be used: exit 2.

    The message names the file, row or key, what was found, what was expected and what to do next.
    """

    exit_code = 2


class Broken(AmbiemoError):
    """The work itself failed, or a check does not hold: exit 1."""

    exit_code = 1


def shown(text: str, longest: int = 160) -> str:
    """Text of unknown origin as one printable line, cut where it is long. User and password in an
    address are not shown.
    """
    text, whole = _USER_INFO.sub("://***@", text[: longest + 1]), text
    line = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    return line if len(line) <= longest and len(whole) <= longest else f"{line[:longest]}…"


def nearest(word: str, known: Iterable[str]) -> str:
    """What to do about an unknown name, as the end of an error: the nearest known name, or all."""
    names = list(known)
    folded = word.lower().replace("_", "-")
    near = difflib.get_close_matches(word, names, n=1) or [
        name for name in names if name.lower().replace("_", "-") == folded
    ]
    return f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names) or 'none'}"
