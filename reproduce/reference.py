"""Writes docs/reference/: every command, every key of a plan, every column of a bundle.

    python reproduce/reference.py           # write the pages
    python reproduce/reference.py --check   # exit 1 where a page is not what the code says

The pages are made from the code alone: commands from click, keys from the plan's schema, columns
from `results.columns` and `bundle.columns`.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ambiemo.bundle.columns import DOCUMENTS, FILES
from ambiemo.cli import main as ambiemo
from ambiemo.commands import EXAMPLES, ORDER, OTHER
from ambiemo.durable import write
from ambiemo.plan.schema import Plan
from ambiemo.results.columns import TABLES, Column

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- made by reproduce/reference.py: change the code, then run `make reference` -->"


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, with the bars inside cells escaped."""
    rows = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return [f"| {' | '.join(row)} |" for row in ([*heads], ["---"] * len(heads), *rows)]


# --- commands ---


def commands() -> str:
    """The page of every command, from click."""
    parts = [
        "# Commands",
        MADE,
        "Every command ends with exit code 0 (done, or it holds), 1 (the work failed, or a check does "
        "not hold) or 2 (something given cannot be used). Errors are one line on stderr: the file, "
        "row or key, what was found, what was expected and what to do next.",
        "`ambiemo COMMAND --help` prints the same text. `ambiemo --version` prints the version.",
    ]
    titles = {name: title for title, names in ORDER.items() for name in names}
    leaves = list(_leaves(ambiemo, "ambiemo"))
    for title in (*ORDER, OTHER):
        ours = [one for one in leaves if titles.get(one[0].split()[1], OTHER) == title]
        ours.sort(key=lambda one: [*titles, one[0].split()[1]].index(one[0].split()[1]))
        parts += [f"## {title}"] if ours else []
        for name, command in ours:
            parts += [f"### {name}", *_command(name, command)]
    return "\n\n".join(parts) + "\n"


def _leaves(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{name} {pieces}\n```"
    yield from _help(command.help or "")
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if options:
        lines = [
            (f"`{_spelling(one, context)}`", _sentence(one.help or ""), _default(one))
            for one in options
        ]
        yield "\n".join(table(("option", "what it does", "default"), lines))
    if examples := EXAMPLES.get(name.removeprefix("ambiemo ")):
        yield "\n".join(["```sh", *examples, "```"])


def _help(text: str) -> Iterator[str]:
    """Help as Markdown: a paragraph that click must not wrap is a block."""
    for paragraph in inspect.cleandoc(text.partition("\f")[0]).split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```text\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```"
        elif paragraph.strip():
            yield _sentence(paragraph)


def _spelling(option: click.Option, context: click.Context) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    metavar = option.metavar or option.type.get_metavar(option, context) or _value(option.type)
    return f"{names} {metavar}"


def _value(kind: click.ParamType) -> str:
    words = {
        "integer range": "NUMBER",
        "integer": "NUMBER",
        "float range": "NUMBER",
        "float": "NUMBER",
    }
    return words.get(kind.name, kind.name.upper())


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    shown = option.show_default and not option.is_flag
    return f"`{option.default}`" if shown else ""


def _sentence(text: str) -> str:
    return _linked(" ".join(text.split()).replace("->", "→").replace("<", "&lt;"))


def _linked(text: str) -> str:
    """The pages that a text of the code names, as links."""
    return re.sub(r"docs/(\w+\.md)", r"[\1](../\1)", text)


# --- the plan ---

SECTIONS = {
    "ModelEntry": "An entry of `models`, and `verifier`",
    "Price": "`price` of a model",
    "Accepts": "`accepts` of a model",
    "CorpusEntry": "An entry of `corpora`",
    "StrategyEntry": "An entry of `strategies`",
    "ControlEntry": "An entry of `controls`",
    "Sampling": "`sampling`",
    "MaxTokens": "`max_tokens`",
    "Weights": "`weights`",
    "Dirichlet": "`dirichlet`",
    "Ambiguity": "`ambiguity`",
    "GroupSize": "`group_size` by sequences",
    "Bootstrap": "`bootstrap`",
    "Assumptions": "`assume`",
}
"""Titles of the parts of a plan, in the order of the page."""


def plan() -> str:
    """The page of every key of a plan, from the schema."""
    schema = Plan.model_json_schema()
    parts = [
        "# The plan",
        MADE,
        "A plan is a YAML file that says what to run. `ambiemo plan PLAN` checks it and spends "
        "nothing. An unknown key is an error. `reproduce/quick.yaml` is a plan with comments, and "
        "a bundle keeps its plan with every default written out.",
        "In the lists `models`, `corpora`, `strategies` and `controls` a bare name stands for an "
        "entry that has only that name.",
        "## Top level",
        _keys(schema),
    ]
    definitions = schema["$defs"]
    for name in dict.fromkeys([*(one for one in SECTIONS if one in definitions), *definitions]):
        part = definitions[name]
        parts += [f"## {_title(name)}", *_help(part.get("description", "")), _keys(part)]
    return "\n\n".join(parts) + "\n"


def _title(name: str) -> str:
    return SECTIONS.get(name, f"`{name}`")


def _keys(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    lines = [
        (
            f"`{name}`",
            _type(key),
            "required" if name in required else _plain(key.get("default")),
            _sentence(key.get("description", "")),
        )
        for name, key in schema["properties"].items()
    ]
    return "\n".join(table(("key", "type", "default", "meaning"), lines))


def _type(key: Mapping[str, Any]) -> str:
    """The type in words, with its bounds."""
    if choices := key.get("anyOf", key.get("oneOf")):
        return " or ".join(_type(one) for one in choices if one.get("type") != "null")
    if choices := key.get("enum"):
        return ", ".join(f"`{one}`" for one in choices if one != "")
    if "const" in key:
        return f"`{key['const']}`"
    if reference := key.get("$ref"):
        return f"[keys](#{_anchor(_title(reference.rpartition('/')[2]))})"
    if key.get("type") == "array":
        return f"list of {_type(key['items'])}"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "mapping",
    }
    bounds = [
        f"{sign} {_bound(key[name])}"
        for name, sign in (
            ("exclusiveMinimum", ">"),
            ("minimum", "≥"),
            ("exclusiveMaximum", "<"),
            ("maximum", "≤"),
        )
        if abs(key.get(name, 2.0**62)) < 2.0**62
    ]
    return " ".join([words[key.get("type", "object")], ", ".join(bounds)]).strip()


def _bound(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " _-")
    return kept.replace(" ", "-")


def _plain(value: object) -> str:
    if value in (None, "", [], {}):
        return "empty"
    if isinstance(value, dict) and "id" in value:
        return f"`{value['id']}`"
    if isinstance(value, dict):
        values = {name: one for name, one in value.items() if one not in (None, "", [], {})}
        return f"`{json.dumps(values)}`"
    return f"`{json.dumps(value) if isinstance(value, list) else value}`"


# --- columns ---


def columns() -> str:
    """The page of every column, from the code next to the writers."""
    parts = [
        "# Columns",
        MADE,
        "Every file below a bundle's `data/`, with every column of a table and every key of a row. "
        "[The bundle](../bundle.md) says how they are held together and checked.",
        "Kinds: *text*; *count*, a whole number; *number*, in a table with six decimals and empty "
        "where it is not estimable; *flag*, true or false.",
        "## Tables",
        "One CSV file each in `data/tables/`. `NAME_low` and `NAME_high` are the ends of the "
        "interval of `NAME`, at the plan's `bootstrap.level`; those of `ambiguity.csv` and "
        "`claims.csv` are always 95 %, because verdicts rest on them.",
    ]
    for name, one in TABLES.items():
        parts += [f"### {name}.csv", _sentence_of(one.rows)]
        parts += [_linked(one.note)] if one.note else []
        parts.append(_columns(_folded(one.columns)))
    parts += [
        "## Rows",
        "One JSON object per line. Each line is what Python's `json.dumps(row, "
        "ensure_ascii=False)` writes, and nothing else. `.gz` files carry no time.",
    ]
    for path, rows in FILES.items():
        parts += [f"### {path}", f"One row: {rows.rows}. Order: {rows.order}."]
        parts.append(_columns([(one.name, one.kind, one.meaning) for one in rows.columns]))
        if rows.some:
            some = [(one.name, one.kind, one.meaning) for one in rows.some]
            parts += ["Only in some rows:", _columns(some)]
    lines = [(f"`{path}`", meaning) for path, meaning in DOCUMENTS.items()]
    parts += ["## Other files", "\n".join(table(("path", "what"), lines))]
    return "\n\n".join(parts) + "\n"


def _sentence_of(rows: str) -> str:
    return f"One row: {rows}{'' if rows.endswith('?') else '.'}"


def _folded(columns: Sequence[Column]) -> Iterator[tuple[str, str, str]]:
    """The columns, a value and the two ends of its interval as one."""
    names = {one.name for one in columns}
    for one in columns:
        ends = (f"{one.name}_low", f"{one.name}_high")
        stem = one.name.removesuffix("_low").removesuffix("_high")
        if stem != one.name and stem in names:
            continue
        more = "; with `_low` and `_high`" if set(ends) <= names else ""
        yield one.name, one.kind, one.meaning + more


def _columns(lines: Iterable[tuple[str, str, str]]) -> str:
    rows = [(f"`{name}`", kind, _linked(meaning)) for name, kind, meaning in lines]
    return "\n".join(table(("column", "kind", "meaning"), rows))


REFERENCE = {"commands.md": commands, "plan.md": plan, "columns.md": columns}


def stale() -> list[str]:
    """The pages that are not what the code says."""
    return [
        f"docs/reference/{name}: not what the code says; run `make reference`"
        for name, page in REFERENCE.items()
        if not (PAGES / name).is_file() or (PAGES / name).read_text("utf-8") != page()
    ]


def main() -> int:
    if "--check" in sys.argv[1:]:
        wrong = stale()
        print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
        return 1 if wrong else 0
    for name, page in REFERENCE.items():
        write(PAGES / name, page().encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
