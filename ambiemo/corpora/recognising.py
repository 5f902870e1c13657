"""Which corpus a folder or a file name looks like: hints for a wrong folder, refusal of two corpora in one."""

import os
import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from ambiemo.errors import BadInput

STEMS: dict[str, re.Pattern[str]] = {
    "iemocap": re.compile(r"Ses0[1-5][MF]_(impro|script)\w+_[MF]\d{3}"),
    "msp-podcast": re.compile(r"MSP-PODCAST_\w+"),
    "crema-d": re.compile(r"1\d{3}_[A-Z]{3}_(ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{1,2}"),
    "emov-db": re.compile(
        r"(neutral|amused|anger|angry|sleepy|sleepiness|disgust|disgusted)_\d+-\d+_\d{4}", re.IGNORECASE
    ),
    "emodb": re.compile(r"\d{2}[ab]\d{2}[WLEAFTN][a-z]?"),
}
"""What a clip is called (without folder and suffix) in each corpus; no two match the same name."""

FOLDERS: dict[str, Callable[[Path], bool]] = {
    "iemocap": lambda root: any(root.glob("Session*/dialog/EmoEvaluation")),
    "msp-podcast": lambda root: any(root.glob("[Ll]abels/labels_*.csv")),
    "crema-d": lambda root: (root / "processedResults").is_dir() or (root / "AudioWAV").is_dir(),
    "emov-db": lambda root: any(STEMS["emov-db"].fullmatch(stem) for stem in _stems(root, depth=3)),
    "emodb": lambda root: any(STEMS["emodb"].fullmatch(s) for f in (root, root / "wav") for s in _stems(f, depth=1)),
}
LOOKED_AT = 4000
"""At most so many names are looked at when a folder is known by its clips."""


def corpora_in(root: Path) -> list[str]:
    """Names of the corpora that a folder looks like."""
    return [name for name in FOLDERS if _looks_like(name, root)]


def corpus_of_clip(stem: str) -> str | None:
    """The corpus that a clip's name belongs to, or None."""
    return next((name for name, pattern in STEMS.items() if pattern.fullmatch(stem)), None)


def check(root: Path, name: str, expected: str) -> None:
    """Refuse a folder that is not the corpus `name`, or is more than one; `expected` says what it should hold.

    Raises BadInput that says what the folder looks like instead, or which folder beside or below it may be meant.
    """
    if not root.exists():
        raise BadInput(f"{root}: no such folder; expected the {name} corpus: {expected}")
    if not root.is_dir():
        raise BadInput(f"{root}: is a file; expected the folder of the {name} corpus: {expected}")
    found = corpora_in(root)
    if found == [name]:
        return
    if name in found:
        raise BadInput(
            f"{root}: holds {' and '.join(found)} mixed; expected {name} alone; give each corpus its own folder"
        )
    raise BadInput(f"{root}: is not {name}: {_instead(root, name, found)}; expected {expected}")


def _looks_like(name: str, root: Path) -> bool:
    try:
        return root.is_dir() and FOLDERS[name](root)
    except OSError:
        return False  # a folder that may not be read shows nothing


def _instead(root: Path, name: str, found: list[str]) -> str:
    for near in (root.resolve().parent, root.resolve().parent.parent):
        if name not in ("emov-db", "emodb") and _looks_like(name, near):
            return f"it lies inside the {name} folder {near}; name that one"
    try:
        entries = sorted(islice(root.iterdir(), 200))
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    children = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    for child in children:
        if _looks_like(name, child):
            return f"'{child.name}' in it is; name that folder"
    if found:
        return f"it looks like {' and '.join(found)}; import it as that"
    looks = sorted({other for child in children[:50] for other in corpora_in(child)})
    if looks:
        return f"it holds folders that look like {', '.join(looks)}"
    names = [entry.name for entry in entries]
    return f"it holds {', '.join(names[:5])}{' …' if len(names) > 5 else ''}" if names else "it is empty"


def _stems(root: Path, depth: int) -> Iterable[str]:
    return islice((stem for stem in _walked(root, depth) if stem), LOOKED_AT)


def _walked(root: Path, depth: int) -> Iterable[str]:
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.lower().endswith((".wav", ".flac")) and not entry.name.startswith("."):
            yield os.path.splitext(entry.name)[0]
    folders = [entry for entry in entries if depth > 1 and entry.is_dir(follow_symlinks=False)]
    for entry in folders[:100]:
        yield from _walked(Path(entry.path), depth - 1)
