"""Says what is wrong with the docs: `make lint` runs it.

    python reproduce/check_docs.py          # exit 1 with one line for each finding
    python reproduce/check_docs.py --join   # put every paragraph on one line

In every page (README, CONTRIBUTING, docs/, and the pages that lie next to what they describe):

- a link leads to a file of the repository, and its anchor to a heading of that page (as GitHub
  spells anchors; `make docs` asks the same of the site);
- every page of docs/ is in the site's navigation;
- a paragraph is one line, which editors wrap and a diff shows whole;
- every `ambiemo ...` exists, with its options; every `make ...` has its target and variables;
- the pages of docs/reference/, the figures and README's made lines are what code and bundle say.
"""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import figures
import readme
import reference
from markdown_it import MarkdownIt

from ambiemo.cli import main as ambiemo
from ambiemo.durable import write

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^( *)(```+|~~~+)(\w*)[^\n]*\n(.*?)^\1\2[ ]*$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
SHELL = {"", "sh", "bash", "text", "console"}
PLACEHOLDER = re.compile(r"[\[\]]|…|\.\.\.")
"""Marks of a usage line that no shell gets: [--option VALUE], [MORE ...]."""


def pages() -> list[Path]:
    """Every page, in one order."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    paths += [ROOT / "artifacts/README.md", ROOT / "ambiemo/tiny/README.md"]
    return sorted(paths)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    names = set()
    for title in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        names.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return names


def joined(text: str) -> str:
    """A page with every paragraph on one line; code, tables and HTML as they are."""
    lines = text.splitlines()
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token in reversed(tokens):
        if token.type == "paragraph_open" and token.map:
            start, end = token.map
            rest = (re.sub(r"^[\s>]+", "", line) for line in lines[start + 1 : end])
            lines[start:end] = [" ".join([lines[start].rstrip(), *rest])]
    return "\n".join(lines) + "\n"


def wrong_links(path: Path, text: str) -> Iterator[str]:
    """Links of a page that lead nowhere."""
    for link in LINK.findall(INLINE.sub("", FENCE.sub("", text))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or not target.is_relative_to(ROOT):
            yield f"link {link}: no such file"
        elif anchor and (
            target.suffix != ".md" or anchor not in anchors(target.read_text("utf-8"))
        ):
            yield f"link {link}: no such heading"


def shown_commands(text: str) -> Iterator[str]:
    """The commands that a page shows, in blocks and in sentences."""
    for _, _, language, body in FENCE.findall(text):
        if language in SHELL:
            for line in body.replace("\\\n", " ").splitlines():
                yield re.sub(r"^\s*(\$ )?([A-Z_]+=\S+ )*", "", line)
    for code in INLINE.findall(FENCE.sub("", text)):
        yield re.sub(r"^(\$ )?([A-Z_]+=\S+ )*", "", code)


def wrong_command(line: str) -> str:
    """Why a line that begins with `ambiemo` or `make` is no command of ours; "" if it is one."""
    try:
        words = shlex.split(PLACEHOLDER.sub(" ", line), comments=True)
    except ValueError:
        return ""
    words = [word for word in words if word not in ("|", "&&")]
    if words[:1] == ["make"]:
        return wrong_target(words[1:])
    if words[:1] != ["ambiemo"] or len(words) == 1:
        return ""
    command: click.Command = ambiemo
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        context = click.Context(command)
        subcommand = command.get_command(context, rest[0])
        if subcommand is None:
            return f"no command '{rest[0]}'" if re.fullmatch(r"[a-z][\w-]*", rest[0]) else ""
        command, rest = subcommand, rest[1:]
    params = command.get_params(click.Context(command))
    known = {name for one in params for name in (*one.opts, *one.secondary_opts)}
    for word in rest:
        option = word.partition("=")[0]
        if word.startswith("-") and option not in known and not re.fullmatch(r"-\d.*", word):
            return f"{command.name} has no option {option}"
    return ""


def wrong_target(words: list[str]) -> str:
    """Why the words after `make` name no target or variable of the Makefile."""
    text = (ROOT / "Makefile").read_text("utf-8")
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and not re.search(rf"\b{re.escape(name)}\b", text):
            return f"the Makefile has no variable {name}"
        if re.fullmatch(r"[a-z][a-z-]*", word) and not re.search(rf"^{word}:", text, re.MULTILINE):
            return f"the Makefile has no target {word}"
    return ""


def wrong_commands(text: str) -> Iterator[str]:
    for line in shown_commands(text):
        if re.match(r"(ambiemo|make)( |$)", line) and (why := wrong_command(line)):
            yield f"`{line.strip()[:80]}`: {why}"


def not_in_the_site(paths: Iterable[Path]) -> Iterator[str]:
    """Pages of docs/ that the site's navigation does not name."""
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("docs/") and f": {name.removeprefix('docs/')}\n" not in navigation:
            yield f"{name}: not in the navigation of mkdocs.yml"


def findings() -> list[str]:
    """What is wrong, by page."""
    wrong = [*not_in_the_site(pages())]
    for path in pages():
        text = path.read_text("utf-8")
        problems = [*wrong_links(path, text), *wrong_commands(text)]
        if joined(text) != text:
            problems.append("a paragraph on several lines; run `make reference`")
        wrong += [f"{path.relative_to(ROOT)}: {why}" for why in problems]
    return wrong + reference.stale() + readme.stale() + figures.stale()


if __name__ == "__main__":
    if "--join" in sys.argv[1:]:
        for page in pages():
            write(page, joined(page.read_text("utf-8")).encode("utf-8"))
    all_problems = findings()
    print("\n".join(all_problems), end="\n" if all_problems else "", file=sys.stderr)
    sys.exit(1 if all_problems else 0)
