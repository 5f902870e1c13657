"""The rooms: arrows point down only, whether an import stands at a file's head or inside a
function, and there is no circle.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "ambiemo"
LAYERS = (
    ("errors", "seeds"),
    ("durable", "terminal"),
    ("jsonlines", "draws", "labels"),
    ("metrics",),
    ("corpora", "models", "strategies"),
    ("engines",),
    ("plan",),
    ("results",),
    ("bundle",),
    ("pipeline",),
    ("commands",),
    ("smoke",),
    ("cli",),
    ("__main__",),
)
"""Rooms from the ground up. `tiny` makes the embedded clips and model, and stands apart: only a
corpus and the command line know it.
"""
HEIGHT = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
HEAVY = {
    "ray": {"pipeline"},
    "torch": {"engines", "tiny"},
    "transformers": {"engines", "tiny"},
    "vllm": {"engines"},
    "openai": {"engines"},
    "rich": {"terminal", "pipeline"},
}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def rooms_of(module: str) -> str | None:
    parts = module.split(".")
    return (
        parts[1]
        if parts[0] == "ambiemo" and len(parts) > 1 and not parts[1].startswith("__")
        else None
    )


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "shipped" not in path.parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_arrow_points_up(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("tiny", "__init__"):
        return
    for module in imports(path):
        other = rooms_of(module)
        if other in HEIGHT and other != room:
            assert HEIGHT[other] < HEIGHT[room], f"{room} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports(path):
        allowed = HEAVY.get(module.split(".")[0])
        assert allowed is None or room in allowed, f"{room} imports {module}"


def test_no_two_modules_of_a_room_import_each_other_at_their_heads() -> None:
    heads: dict[str, set[str]] = {}
    for path in FILES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        body = ast.parse(path.read_text("utf-8")).body
        inside = [node for node in body if isinstance(node, ast.ImportFrom) and node.module]
        heads[name] = {node.module for node in inside} | {
            f"{n.module}.{a.name}" for n in inside for a in n.names
        }
    for name, imported in heads.items():
        for other in imported & set(heads):
            back = name in heads[other]
            assert (
                not back
                or other == name
                or name.startswith(f"{other}.")
                or other.startswith(f"{name}.")
            ), f"{name} and {other}"


def test_the_shipped_verifier_imports_nothing_of_the_package() -> None:
    assert not [
        module
        for module in imports(PACKAGE / "bundle/shipped/verify.py")
        if module.startswith("ambiemo")
    ]
