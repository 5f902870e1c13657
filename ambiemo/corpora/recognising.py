"""Tell which corpus a folder or a clip belongs to; refuse a wrong or mixed folder with a hint."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ambiemo.corpora import CORPORA, corpus
from ambiemo.errors import BadInput

LOOKED_AT = 4000
"""How many clip names are read at most to recognise a folder."""


def corpora_in(root: Path) -> list[str]:
    """Names of the corpora that a folder looks like."""
    return [name for name in CORPORA if _looks_like(name, root)]


def corpus_of_clip(stem: str) -> str | None:
    """The corpus that a clip's name (without suffix) belongs to, or None."""
    return next((name for name, row in CORPORA.items() if row.file.CLIP.fullmatch(stem)), None)


def clip_names(root: Path, depth: int) -> Iterator[str]:
    """Names (without suffix) of the clips in a folder and its subfolders, `depth` levels in all.

    Stops after LOOKED_AT names. A folder that cannot be read counts as empty.
    """
    return islice(_walked(root, depth), LOOKED_AT)


def check(root: Path, name: str) -> None:
    """Raise BadInput unless a folder is the corpus `name` and no other corpus as well.

    The message says what the folder looks like instead, or which folder near it may be meant.
    """
    expected = corpus(name).file.LAYOUT
    if not root.exists():
        raise BadInput(f"{root}: no such folder; expected the {name} corpus: {expected}")
    if not root.is_dir():
        raise BadInput(f"{root}: is a file; expected the folder of the {name} corpus: {expected}")
    kinds = corpora_in(root)
    if kinds == [name]:
        return
    if name in kinds:
        raise BadInput(
            f"{root}: contains {' and '.join(kinds)} mixed; expected {name} alone; "
            "give each corpus its own folder"
        )
    raise BadInput(f"{root}: is not {name}: {_instead(root, name, kinds)}; expected {expected}")


def _looks_like(name: str, root: Path) -> bool:
    try:
        return root.is_dir() and CORPORA[name].file.looks_like(root)
    except OSError:
        return False  # nothing can be seen in a folder that may not be read


def _instead(root: Path, name: str, kinds: list[str]) -> str:
    for near in (root.resolve().parent, root.resolve().parent.parent):
        # A corpus known by its clips is also seen from the folder above it: that is not its folder.
        if _looks_like(name, near) and not any(
            _looks_like(name, child) for child in _folders(near)
        ):
            return f"it lies inside the {name} folder {near}; name that one"
    try:
        names = sorted(entry.name for entry in islice(root.iterdir(), 200))
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    children = _folders(root)
    for child in children:
        if _looks_like(name, child):
            return f"'{child.name}' in it is; name that folder"
    if kinds:
        return f"it looks like {' and '.join(kinds)}; import it as that"
    looks = sorted({other for child in children[:50] for other in corpora_in(child)})
    if looks:
        return f"it contains folders that look like {', '.join(looks)}"
    return (
        f"it contains {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
        if names
        else "it is empty"
    )


def _folders(root: Path) -> list[Path]:
    try:
        entries = sorted(islice(root.iterdir(), 200))
    except OSError:
        return []
    return [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]


def _walked(root: Path, depth: int) -> Iterator[str]:
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
