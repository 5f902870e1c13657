"""The front door: commands in the order of the work, help that is not cut off, examples that can be
typed, one line for a wrong use, and no error that says a thing twice."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from conftest import ROOT

from ambiemo import corpora, strategies
from ambiemo.cli import main
from ambiemo.commands import EXAMPLES, ORDER, OTHER, places, sentence
from ambiemo.errors import AmbiemoError, nearest
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import check
from ambiemo.plan.starting import start


def ambiemo(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def every(group: click.Group = main, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands by name, those of groups as "data import"."""
    for name, command in group.commands.items():
        yield f"{above}{name}", command
        if isinstance(command, click.Group):
            yield from every(command, f"{above}{name} ")


COMMANDS = dict(every())
VERBS = {
    *("Write", "Show", "Run", "Try", "Verify", "Compare", "Trace", "Sign", "Make", "Score"),
    *("Import", "Fetch", "Describe", "List", "Print", "Draw"),
}


def test_every_command_has_its_place_in_the_order_of_the_work() -> None:
    assert OTHER not in places(main.commands), "put the new command into commands.ORDER"
    assert list(places(main.commands))[:3] == ["Run", "Check", "Look"]


def test_a_command_without_a_place_is_listed_and_one_that_is_not_there_is_passed_over() -> None:
    assert places(["verify", "dance"]) == {"Check": ["verify"], OTHER: ["dance"]}


def test_the_listing_shows_every_sentence_whole_under_its_heading() -> None:
    told = ambiemo("--help").output
    flat = " ".join(told.split())
    assert "..." not in told.split("\n\n", 1)[1]
    for heading, row in places(main.commands).items():
        assert f"\n{heading}:\n" in told
        for name in row:
            assert f"{name} {sentence(main.commands[name])}" in flat
    shown = [name for name in re.findall(r"^  ([a-z]+)  ", told, re.M) if name in main.commands]
    assert shown == [name for row in ORDER.values() for name in row if name in main.commands]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_opens_with_a_verb_and_ends_with_examples(name: str) -> None:
    told = ambiemo(*name.split(), "--help").output
    assert sentence(COMMANDS[name]).split()[0].rstrip(",") in VERBS
    assert 1 <= len(EXAMPLES[name]) <= 3
    assert told.endswith("\n".join(["Examples:", *(f"  {one}" for one in EXAMPLES[name]), ""]))


def test_every_command_that_says_something_says_it_as_json_too() -> None:
    silent = [
        name
        for name, command in COMMANDS.items()
        if not any("--json" in option.opts for option in command.params)
    ]
    assert silent == ["data", "completion"]  # a group; a script for the shell


@pytest.mark.parametrize(
    "example", [example for name, row in EXAMPLES.items() if name in COMMANDS for example in row]
)
def test_every_example_can_be_typed(example: str) -> None:
    (typed,) = re.findall(r"(?:^|\$\()ambiemo ([^>)]*)", example)
    words = shlex.split(typed)
    context = main.make_context("ambiemo", words[:])
    group: click.Group = main
    while True:
        name, command, words = group.resolve_command(context, words)
        if isinstance(command, click.Group):
            context = command.make_context(name, words[:1] + words[1:], parent=context)
            group = command
            continue
        assert command is not None
        command.make_context(name, words, parent=context)  # raises for an option that is not there
        return


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["verfy", "x"], "no such command 'verfy'; did you mean 'verify'?"),
        (["data", "imprt"], "data: no such command 'imprt'; did you mean 'import'?"),
        (["verify", "x", "--jsn"], "verify: no such option '--jsn'; did you mean '--json'?"),
        (["verify"], "verify: missing argument 'BUNDLE'; `ambiemo verify --help` says more"),
        (["sign", "x"], "sign: missing option '--key'; `ambiemo sign --help` says more"),
        (["plan", "x", "--limit", "0"], "plan: invalid value for '--limit': 0 is not in the range"),
        (["verify", "a", "b"], "verify: got unexpected extra argument (b)"),
        (["completion", "tcsh"], "completion: invalid value for"),
    ],
)
def test_a_wrong_use_is_one_line_and_exit_2(words: list[str], says: str) -> None:
    told = ambiemo(*words)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(f"ambiemo: {says}")
    assert len(told.stderr.splitlines()) == 1


def test_no_word_at_all_prints_the_help() -> None:
    told = ambiemo()
    assert told.exit_code == 2
    assert "Verify a bundle" in told.stderr


PLAN = {"name": "p", "models": ["tiny"], "corpora": ["tiny"], "strategies": ["greedy"]}
MISSPELT = {
    "stratgies: unknown key; did you mean 'strategies'?": {"stratgies": ["cot"]},
    "models.0.optoins: unknown key; did you mean 'options'?": {
        "models": [{"id": "tiny", "optoins": {}}]
    },
    "corpora.0.lmit: unknown key; did you mean 'limit'?": {"corpora": [{"id": "tiny", "lmit": 3}]},
    "max_tokens.cott: unknown key; did you mean 'cot'?": {"max_tokens": {"cott": 3}},
    "verifier.xyz: unknown key; there are id, engine": {"verifier": {"id": "tiny", "xyz": 1}},
    "model 'qwen2-audio': unknown; did you mean 'qwen2-audio-7b'?": {"models": ["qwen2-audio"]},
    "corpus 'crema_d': unknown; did you mean 'crema-d'?": {"corpora": ["crema_d"]},
    "strategy 'gredy': unknown; did you mean 'greedy'?": {"strategies": ["gredy"]},
    "models.0.engine: unknown 'transformer'; did you mean 'transformers'?": {
        "models": [{"id": "tiny", "engine": "transformer"}]
    },
    "unknown baseline unifrom; did you mean 'uniform'?": {"baselines": ["unifrom"]},
    "which is no strategy of this plan; there are greedy": {
        "controls": [{"name": "silence", "strategies": ["cot"]}]
    },
    "unknown rule 'tertile'; did you mean 'tertiles'?": {"ambiguity": {"rule": "tertile"}},
}


@pytest.mark.parametrize("says", MISSPELT)
def test_a_misspelt_key_or_name_of_a_plan_gets_the_nearest(says: str) -> None:
    with pytest.raises(AmbiemoError) as error:
        check(PLAN | MISSPELT[says], "p.yaml")
    assert says in str(error.value)


def test_an_unknown_key_is_said_before_everything_else_that_is_wrong() -> None:
    wrong = PLAN | {"name": "Not Plain", "seed": "x", "modles": []}
    with pytest.raises(AmbiemoError, match=r"p\.yaml: modles: unknown key; did you mean 'models'"):
        check(wrong, "p.yaml")


def test_the_nearest_name_or_all_of_them() -> None:
    assert nearest("crema_D", ["iemocap", "crema-d"]) == "did you mean 'crema-d'?"
    assert nearest("xyz", ["iemocap", "tiny"]) == "there are iemocap, tiny"
    assert nearest("xyz", []) == "there are none"


def stutters(message: str) -> list[str]:
    """Neighbouring parts of an error that say the same: "corpus iemocap: corpus 'iemocap': …"."""
    parts = [set(re.findall(r"[\w.-]+", part.lower())) for part in message.split(": ")]
    return [
        f"{one} {two}"
        for one, two in pairwise(parts)
        if one and two and max(len(one), len(two)) <= 3 and (one <= two or two <= one)
    ]


def test_a_stutter_is_found() -> None:
    assert stutters("ambiemo: corpus iemocap: corpus 'iemocap': no folder given")
    assert stutters("p.yaml: p.yaml: not there")
    assert not stutters("ambiemo: p.yaml: models.0: model 'x': unknown; did you mean 'y'?")


def raised(tmp_path: Path) -> Iterator[str]:
    """Errors of every room, as a person gets them."""
    votes = tmp_path / "votes.csv"
    votes.write_text("utterance_id,a,b\nu,1,2\n", "utf-8")
    text = tmp_path / "text.yaml"
    text.write_text("just text", "utf-8")
    there = ROOT / "artifacts/reference/quick"
    commands = [
        ["plan", "no.yaml"],
        ["plan", str(text)],
        ["run", "no.yaml"],
        ["models", "--fetch", "no.yaml"],
        ["status", str(tmp_path / "no")],
        *([name, str(tmp_path / "no")] for name in ("verify", "tables")),
        ["sign", str(tmp_path / "no"), "--key", "no"],
        ["compare", str(tmp_path / "no"), str(tmp_path)],
        ["trace", str(there), "claims", "1", "n"],
        ["trace", str(there), "results", "0", "n"],
        ["trace", str(there), "results", "2", "acuracy"],
        ["score", str(votes), "no.csv"],
        ["score", str(votes), str(text)],
        ["data", "describe", str(votes)],
        *(["data", "fetch", name, "--root", str(tmp_path)] for name in ("iemocap", "crema", "own")),
        *(
            ["data", "import", name, "--root", str(tmp_path / "no"), "--out", "x.parquet"]
            for name in corpora.CORPORA
        ),
        ["data", "import", "crema-d", "--out", "x.parquet"],
        ["data", "import", "crema-d", "--out", "x.parquet", "--option", "quer=face"],
        ["data", "import", "tiny", "--out", "x.csv"],
        ["init", str(tmp_path / "a.yaml"), "--corpus", "crema"],
        ["init", str(tmp_path / "a.txt")],
    ]
    for words in commands:
        told = ambiemo(*words)
        assert told.exit_code in (1, 2), (words, told.output)
        yield from told.stderr.splitlines()
    for one in MISSPELT.values():
        try:
            check(PLAN | one, "p.yaml")
        except AmbiemoError as error:
            yield str(error)
    every_corpus = PLAN | {"corpora": list(corpora.CORPORA)}
    absent = every_corpus | {"corpora": [{"id": "crema-d", "root": "${NO_SUCH}/x"}]}
    wrong = every_corpus | {"corpora": [{"id": "tiny", "options": {"limt": 3}}]}
    few = every_corpus | {"corpora": [{"id": "tiny", "expect": 1}]}
    for plan in (every_corpus, absent, wrong, few):
        for item in expand(check(plan, "p.yaml")).missing:
            yield f"{item.kind} {item.id}: {item.what}"
    for call in (lambda: strategies.strategy("x"), lambda: start(corpus="crema")):
        try:
            call()
        except AmbiemoError as error:
            yield str(error)


def test_no_error_says_a_thing_twice(tmp_path: Path) -> None:
    messages = list(raised(tmp_path))
    assert len(messages) > 45
    assert [one for one in messages if stutters(one)] == []


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """`ambiemo` as a file that a shell can call."""
    path = tmp_path / "ambiemo"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ambiemo "$@"\n', "utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["ver"], {"verify"}),
        (["data", "im"], {"import"}),
        (["data", "import", "crem"], {"crema-d"}),
        (["data", "fetch", "e"], {"emov-db", "emodb"}),
        (["verify", "x", "--js"], {"--json"}),
        (["init", "x.yaml", "--model", "qwen2-"], {"qwen2-audio-7b"}),
        (["init", "x.yaml", "--corpus", "msp"], {"msp-podcast"}),
        (["trace", "artifacts/reference/quick", "res"], {"results"}),
        (
            ["trace", "artifacts/reference/quick", "results", "tiny/tiny/greedy/none/h"],
            {"tiny/tiny/greedy/none/high"},
        ),
        (["trace", "artifacts/reference/quick", "results", "2", "uar_"], {"uar_low", "uar_high"}),
    ],
)
def test_the_shell_completes_commands_options_and_names(
    typed: list[str], offered: set[str]
) -> None:
    env = os.environ | {
        "_AMBIEMO_COMPLETE": "bash_complete",
        "COMP_WORDS": shlex.join(["ambiemo", *typed]),
        "COMP_CWORD": str(len(typed)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ambiemo"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered, done.stderr


def test_bash_itself_completes_with_the_printed_script(program: Path) -> None:
    script = (
        f'PATH="{program.parent}:$PATH"; eval "$(ambiemo completion bash)"\n'
        "COMP_WORDS=(ambiemo data import iemo); COMP_CWORD=3\n"
        '_ambiemo_completion ambiemo; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "iemocap", done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_their_script(shell: str) -> None:
    told = ambiemo("completion", shell)
    assert told.exit_code == 0
    assert f"_AMBIEMO_COMPLETE={shell}_complete" in told.output
