"""How the command line presents itself: the commands in the order of the work, an example or more
for each, one line for an error, and completion of names by the shell.

`ORDER` and `EXAMPLES` are the tables to add a command to; a test fails for one that is in neither.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ambiemo.errors import AmbiemoError, shown

LONGEST_ERROR = 4000
OTHER = "Other"
ORDER: Mapping[str, tuple[str, ...]] = {
    "Run": ("init", "plan", "smoke", "conform", "run", "status"),
    "Check": ("verify", "compare", "trace", "sign"),
    "Look": ("report", "figures", "tables"),
    "Own numbers": ("score",),
    "Data and models": ("data", "corpora", "models", "strategies"),
    "Shell": ("completion",),
}
"""Headings and commands, in the order of the work. A command that is not there yet is passed over;
one that is not in the table is listed under OTHER."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "init": (
        "ambiemo init my.yaml --server http://127.0.0.1:8000/v1 --model my-audio-model",
        "ambiemo init my.yaml --server http://127.0.0.1:8000/v1 --corpus crema-d --root ~/CREMA-D",
        "ambiemo init my.yaml --csv clips/clips.csv",
    ),
    "plan": ("ambiemo plan reproduce/quick.yaml", "ambiemo plan my.yaml --limit 20 --json"),
    "smoke": ("ambiemo smoke my.yaml", "ambiemo smoke reproduce/paper.yaml --max-dollars 0.5"),
    "conform": ("ambiemo conform tiny", "ambiemo conform my.yaml --json"),
    "run": (
        "ambiemo run reproduce/quick.yaml",
        "ambiemo run my.yaml --out artifacts/mine --limit 20",
        "ambiemo run reproduce/paper.yaml --address auto --allow-missing",
    ),
    "status": ("ambiemo status artifacts/quick",),
    "verify": (
        "ambiemo verify artifacts/reference/quick",
        "ambiemo verify artifacts/quick --signers allowed_signers --json",
    ),
    "compare": ("ambiemo compare artifacts/reference/quick artifacts/quick",),
    "trace": (
        "ambiemo trace artifacts/quick results tiny/tiny/greedy/none/all accuracy",
        "ambiemo trace artifacts/quick results 18 js_divergence_bits --json",
    ),
    "sign": ("ambiemo sign artifacts/quick --key ~/.ssh/id_ed25519",),
    "report": ("ambiemo report artifacts/quick", "ambiemo report artifacts/quick --out page.html"),
    "figures": ("ambiemo figures artifacts/quick --out figures --format svg,pdf",),
    "tables": ("ambiemo tables artifacts/quick", "ambiemo tables artifacts/quick --out tables"),
    "score": (
        "ambiemo score votes.csv predictions.csv",
        "ambiemo score votes.csv baseline.csv mine.csv --clusters speakers.csv --by-ambiguity",
    ),
    "data": ("ambiemo data fetch crema-d --root ~/CREMA-D",),
    "data import": (
        "ambiemo data import crema-d --root ~/CREMA-D --out crema-d.parquet",
        "ambiemo data import own --root clips --out mine.parquet --option 'labels=[angry, calm]'",
    ),
    "data fetch": (
        "ambiemo data fetch crema-d --root ~/CREMA-D",
        "ambiemo data fetch crema-d --root ~/CREMA-D --match 'AudioWAV/1001_*'",
    ),
    "data describe": ("ambiemo data describe crema-d.parquet --rule tertiles",),
    "corpora": ("ambiemo corpora", "ambiemo corpora --json"),
    "models": ("ambiemo models", "ambiemo models --fetch my.yaml"),
    "strategies": ("ambiemo strategies",),
    "completion": (
        'eval "$(ambiemo completion bash)"',
        "ambiemo completion fish > ~/.config/fish/completions/ambiemo.fish",
    ),
}


def places(names: Mapping[str, click.Command] | list[str]) -> dict[str, list[str]]:
    """The commands by heading, in the order of the work; OTHER has those without a place."""
    placed = {heading: [name for name in row if name in names] for heading, row in ORDER.items()}
    known = {name for row in ORDER.values() for name in row}
    return {
        heading: row
        for heading, row in {**placed, OTHER: [name for name in names if name not in known]}.items()
        if row
    }


class Verb(click.Command):
    """A command whose help ends with its examples."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(context, formatter)
        _examples(context, formatter)


class Rooms(click.Group):
    """A group of commands, listed in the order they were added, each with its whole first
    sentence.
    """

    command_class = Verb

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def sections(self, names: list[str]) -> dict[str, list[str]]:
        """The commands by heading."""
        return {"Commands": names}

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, row in self.sections(self.list_commands(context)).items():
            listed = [(name, sentence(self.commands[name])) for name in row]
            with formatter.section(heading):
                formatter.write_dl(listed)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(context, formatter)
        _examples(context, formatter)


class FrontDoor(Rooms):
    """The program: commands under headings, and every error as one line on stderr with the exit
    code it carries.
    """

    group_class = Rooms

    def sections(self, names: list[str]) -> dict[str, list[str]]:
        return places(names)

    def main(self, *words: Any, standalone_mode: bool = True, **more: Any) -> Any:
        if not standalone_mode:
            return super().main(*words, standalone_mode=False, **more)  # type: ignore[call-overload]  # click's own arguments, as they came
        try:
            code = super().main(*words, standalone_mode=False, **more)  # type: ignore[call-overload]
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        except click.UsageError as error:
            say(_usage(error))
            sys.exit(2)
        except click.ClickException as error:
            say(error.format_message())
            sys.exit(2)
        except click.Abort:
            say("stopped")
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except AmbiemoError as error:
            for line in str(error).splitlines():
                say(line)
            sys.exit(error.exit_code)


def say(line: str) -> None:
    """One line of an error on stderr."""
    click.echo(f"ambiemo: {shown(line, LONGEST_ERROR)}", err=True)


def sentence(command: click.Command) -> str:
    """The first sentence of a command's help."""
    first = (command.short_help or command.help or "").split("\n\n")[0]
    return " ".join(first.split()).split(". ")[0].rstrip(".")


def name_of(context: click.Context) -> str:
    """The command's name without the program's: "data import"."""
    words: list[str] = []
    while context.parent is not None:
        words.insert(0, context.info_name or "")
        context = context.parent
    return " ".join(words)


def _examples(context: click.Context, formatter: click.HelpFormatter) -> None:
    if shown_here := EXAMPLES.get(name_of(context)):
        with formatter.section("Examples"):
            for example in shown_here:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def _usage(error: click.UsageError) -> str:
    """A wrong use as one line: the command, what is wrong, what to do."""
    message = error.format_message().strip().rstrip(".")
    message = message[0].lower() + message[1:] if message else "cannot be used so"
    message = message.replace(". Did you mean", "; did you mean").replace(". (Did", "; (did")
    if error.ctx is None:
        return message
    name = name_of(error.ctx)
    place = f"{name}: " if name else ""
    if message.endswith(("?", "?)")):  # it says already what to do
        return f"{place}{message}"
    return f"{place}{message}; `{' '.join(['ambiemo', *name.split()])} --help` says more"


def ask(question: str, default: str) -> str:
    """A person's answer on the terminal."""
    answer: str = click.prompt(question, default=default, show_default=bool(default), err=True)
    return answer.strip()


Names = Callable[[], Iterator[str]]


def names(what: Names) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """A click `shell_complete` function that offers the names that start as typed."""

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        with contextlib.suppress(AmbiemoError, OSError):
            return [CompletionItem(name) for name in what() if name.startswith(typed)]
        return []

    return complete


def corpora() -> Iterator[str]:
    """The names of the corpora."""
    from ambiemo.corpora import CORPORA

    return iter(CORPORA)


def open_corpora() -> Iterator[str]:
    """The corpora that `data fetch` may download."""
    from ambiemo.corpora import CORPORA

    return (name for name, row in CORPORA.items() if row.open)


def models() -> Iterator[str]:
    """The ids of the models."""
    from ambiemo.models import MODELS

    return iter(MODELS)


def strategies() -> Iterator[str]:
    """The names of the strategies."""
    from ambiemo.strategies import STRATEGIES

    return iter(STRATEGIES)


def rules() -> Iterator[str]:
    """The names of the ambiguity rules."""
    from ambiemo.labels import AMBIGUITY_RULES

    return iter(AMBIGUITY_RULES)


def table_names() -> Iterator[str]:
    """The tables of which a number can be traced."""
    return iter(("results",))


def cells(context: click.Context, argument: click.Parameter, typed: str) -> list[CompletionItem]:
    """Rows and columns of a bundle's results.csv, for `trace`."""
    import csv

    bundle = context.params.get("bundle")
    if bundle is None:
        return []
    try:
        with open(Path(bundle) / "data" / "tables" / "results.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []
    keys = ("corpus", "model", "strategy", "control", "level")
    if argument.name == "column":
        offered = [name for name in rows[0] if name not in keys] if rows else []
    else:
        offered = ["/".join(row.get(key) or "" for key in keys) for row in rows]
    return [CompletionItem(one) for one in offered if one.startswith(typed)]
