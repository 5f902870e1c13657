"""`ambiemo` commands in a real pseudo-terminal of some width: what a person would see."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence

from conftest import ROOT

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
END = "\x1e"
"""Stands after the output of each command (ASCII's record separator)."""
KEPT = "TABLES_OF_THE_BUNDLE"
"""Variable with the file that keeps a bundle's tables, for all processes of one test file."""
DRIVER = """
import fcntl, json, os, pathlib, pickle, struct, sys, termios
from ambiemo.bundle import recomputing
from ambiemo.cli import main
once, kept = recomputing.tables_again, pathlib.Path(os.environ["TABLES_OF_THE_BUNDLE"])
def tables_again(files):
    if not kept.exists():
        kept.write_bytes(pickle.dumps(once(files)))
    return pickle.loads(kept.read_bytes())
recomputing.tables_again = tables_again
for columns, words in json.loads(sys.argv[1]):
    if sys.stdout.isatty():
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    try:
        main(words)
    except SystemExit as ended:
        print(end=f"{ended.code or 0}\\x1e", flush=True)
"""
"""Runs commands one after the other and changes the terminal's width between them. The bundle's
tables are made from its answers once, not once for each width and process."""


def printed(asked: Sequence[tuple[int, list[str]]], **environment: str) -> list[tuple[int, str]]:
    """Exit code and output of commands, each (columns, words), with a terminal as stdin, stdout and
    stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, asked[0][0], 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(asked)],
        cwd=ROOT,
        env=_environment(environment),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return _apart(_said(child, ours).replace("\r\n", "\n"))


def _said(child: subprocess.Popen, ours: int) -> str:
    """All that a child prints on its terminal until it ends. Closes our side."""
    printed = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:  # the child has closed its end
            break
        if not some:
            break
        printed += some
    os.close(ours)
    child.wait(60)
    return printed.decode("utf-8")


def piped(asked: Sequence[tuple[int, list[str]]], **environment: str) -> list[tuple[int, str]]:
    """The same where stdout is no terminal."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(asked)],
        cwd=ROOT,
        env=_environment(environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    return _apart(done.stdout)


def _environment(more: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    own = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", KEPT: os.devnull}
    return {**kept, **own, **more}


def _apart(told: str) -> list[tuple[int, str]]:
    """The outputs of several commands. The exit code stands last in each."""
    found = []
    for one in told.split(END)[:-1]:
        text, code = one[:-1], one[-1]
        found.append((int(code), text))
    return found


def answered(words: list[str], typed: bytes) -> str:
    """What a command shows in a terminal where a person types these answers."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "ambiemo", *words],
        cwd=ROOT,
        env=_environment({}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed)
    return _said(child, ours)
