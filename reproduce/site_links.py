"""mkdocs hook: a page's link to a file outside docs/ works in the site as it does on GitHub.

In the pages such a link is relative (`../reproduce/claims.yaml`), so GitHub follows it. The site
holds docs/ only, so this hook adds every file that a page links to, as a page below `repository/`:
Markdown as it is, other text as a listing, a folder as the list of its files. A link to a file that
is not there stops the build.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS, ADDED = "docs", "repository"
ALWAYS = ("CONTRIBUTING.md",)
"""Pages outside docs/ that the navigation names."""
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s]+)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".sh": "bash", ".json": "json", ".csv": "text"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ that pages link to, and those that these link to."""
    waiting = [f"{DOCS}/{one.src_uri}" for one in files.documentation_pages()]
    waiting += ALWAYS
    added: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path.startswith(f"{DOCS}/"):
            waiting += [one for one in outside(path) if one not in added]
        elif path not in added:
            added.add(path)
            if path.endswith(".md"):
                waiting += [one for one in outside(path) if one not in added]
            files.append(
                File.generated(
                    config,
                    page_of(path),
                    content=listing(path),
                    inclusion=InclusionLevel.NOT_IN_NAV,
                )
            )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The links of a page as they are in the site."""
    here = repository_path(page.file.src_uri)
    return linked(markdown, here, page.file.src_uri) if here.endswith(".md") else markdown


def outside(path: str) -> Iterator[str]:
    """The files outside docs/ that a page links to, from the root of the repository."""
    text = FENCE.sub("", (ROOT / path).read_text("utf-8"))
    for link in LINK.findall(text):
        target = resolved(path, link)
        if not (ROOT / target).exists() or target.startswith(".."):
            raise PluginError(f"{path}: links to {link}, which is not there")
        if not target.startswith(f"{DOCS}/"):
            yield target


def resolved(path: str, link: str) -> str:
    """What a link on the page `path` leads to, from the root of the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link.partition("#")[0]))


def linked(markdown: str, path: str, source: str) -> str:
    """Markdown with every link to a file written for its place in the site."""

    def site(match: re.Match[str]) -> str:
        link, _, anchor = match[1].partition("#")
        target = resolved(path, link)
        inside = target.removeprefix(f"{DOCS}/")
        place = inside if inside != target else page_of(target)
        new = posixpath.relpath(place, posixpath.dirname(source) or ".")
        return f"{new}#{anchor}" if anchor else new

    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [LINK.sub(site, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(site, markdown[end:])])


def page_of(path: str) -> str:
    """The page of a file outside docs/, below the site's source folder."""
    name = path.removesuffix("/")
    return f"{ADDED}/{name}" if name.endswith(".md") else f"{ADDED}/{name}.md"


def repository_path(source: str) -> str:
    """Where a page of the site stands in the repository."""
    if not source.startswith(f"{ADDED}/"):
        return f"{DOCS}/{source}"
    path = source.removeprefix(f"{ADDED}/")
    return path if (ROOT / path).is_file() else path.removesuffix(".md")


def listing(path: str) -> str:
    """A file outside docs/ as a page."""
    file = ROOT / path
    if file.is_dir():
        names = sorted(one.name for one in file.iterdir() if not one.name.startswith((".", "__")))
        return f"# {path}\n\n" + "".join(f"- `{name}`\n" for name in names)
    text = file.read_text("utf-8")
    if path.endswith(".md"):
        return text
    language = LANGUAGES.get(file.suffix, "text")
    return f"# {path}\n\n`````{language}\n{text}\n`````\n"
