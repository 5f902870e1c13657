"""Your own clips: a CSV with one row per clip, and the audio files in the same folder or below it.

`utterance_id,audio,speaker`, then one column of counts per label: how many raters chose it. Other
columns in any order: `cluster` (dialogue or session; the speaker unless said), `split`,
`transcript`.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
from pydantic import Field

from ambiemo.corpora.assembling import Labelled, assemble, audio_files
from ambiemo.corpora.audio import SUFFIXES
from ambiemo.corpora.columns import Imported, build
from ambiemo.corpora.label_files import Source
from ambiemo.corpora.options import CommonOptions
from ambiemo.errors import BadInput
from ambiemo.labels import SIX

NAME = "own"
FILE = "clips.csv"
LAYOUT = f"{FILE} (utterance_id, audio, speaker, one column of counts per label) and the audio"
CLIP = re.compile(r"(?!)")
"""Matches no name: a clip of one's own may be called anything."""
NEEDED = ("utterance_id", "audio", "speaker")
KNOWN = (*NEEDED, "cluster", "split", "transcript")
LABEL = r"^[^\W\d_][\w' -]{0,39}$"


class Options(CommonOptions):
    """Options of your own clips.

    file: the CSV's name in the folder. labels: its columns of counts, in the order in which a
    prompt names them. A bundle keeps both, so that it can be checked without the folder.
    """

    file: str = Field(default=FILE, pattern=r"^[\w. -]{1,200}$")
    labels: tuple[Annotated[str, Field(pattern=LABEL)], ...] = Field(default=SIX, min_length=2)


def label_set(options: Options) -> tuple[str, ...]:
    """The labels that the options name."""
    return options.labels


def looks_like(root: Path) -> bool:
    """True for a folder with a CSV of this form under its usual name."""
    with open(root / FILE, encoding="utf-8-sig", errors="replace") as file:
        head = [name.strip().lower() for name in file.readline(65_536).split(",")]
    return set(NEEDED) <= set(head)


def labels_of(path: Path) -> tuple[str, ...]:
    """The columns of a CSV that are labels: all but KNOWN. Raises BadInput naming the file."""
    source = Source(path.parent, path.name)
    rows = source.rows()
    _, header = next(rows, (1, []))
    source.columns(header, NEEDED)
    return tuple(name for name in header if name.lower() not in KNOWN)


def load(root: Path, options: Options) -> Imported:
    """The utterance table.

    Raises BadInput naming file and row: no folder or CSV, label columns that the option `labels`
    does not name, an utterance that occurs twice, votes that are not counts, an audio path that
    leaves the folder or is not a WAV or FLAC.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise BadInput(
            f"{root}: {what}; expected a folder with {options.file} and the audio files; "
            "name the folder as `root`, and the CSV as option `file`"
        )
    source = Source(root, options.file)
    rows = source.rows()
    _, header = next(rows)
    places = dict(zip(NEEDED, source.columns(header, NEEDED), strict=True))
    there = [name for name in header if name.lower() not in KNOWN]
    if sorted(there) != sorted(options.labels):
        raise BadInput(
            f"{root / options.file}:1: found the label columns {', '.join(there) or 'none'}; "
            f"expected {', '.join(options.labels)}; "
            f"name yours: options: {{labels: [{', '.join(there)}]}}"
        )
    named = [name.lower() for name in header]
    places |= {name: named.index(name) for name in KNOWN if name in named}
    counts = [header.index(label) for label in options.labels]
    columns: dict[str, list[str]] = {name: [] for name in KNOWN}
    votes: list[list[int]] = []
    lines: dict[str, int] = {}
    for line, fields in rows:
        if len(fields) != len(header):
            source.bad(line, f"found {len(fields)} fields", f"{len(header)}", "fix the row")
        for name, place in places.items():
            columns[name].append(fields[place])
        utterance = fields[places["utterance_id"]]
        if not utterance:
            source.bad(line, "found no utterance_id", "a name of its own for each clip", "add one")
        if utterance in lines:
            source.bad(
                line,
                f"found '{utterance}' again (line {lines[utterance]})",
                "each once",
                "rename it",
            )
        lines[utterance] = line
        columns["audio"][-1] = _inside(source, line, fields[places["audio"]])
        cast = [fields[place] for place in counts]
        if not all(text.isascii() and text.isdigit() and len(text) < 7 for text in cast):
            source.bad(
                line, f"found votes {', '.join(cast)}", "whole numbers, 0 or more", "fix them"
            )
        votes.append([int(text) for text in cast])
        if not sum(votes[-1]):
            source.bad(
                line, f"found no vote for '{utterance}'", "one vote or more", "leave the row out"
            )
    if not votes:
        source.bad(1, "found no row below the header", "one row per clip", "add rows")
    speakers = columns["speaker"]
    clusters = columns["cluster"] or speakers
    values = {
        "utterance_id": columns["utterance_id"],
        "corpus": NAME,
        "speaker": speakers,
        "cluster": [one or speaker for one, speaker in zip(clusters, speakers, strict=True)],
        "audio_path": columns["audio"],
    }
    values |= {name: columns[name] for name in ("split", "transcript") if columns[name]}
    folders = _folders(columns["audio"])
    unlisted = set() if options.audio == "ignore" else set(audio_files(root, folders))
    return assemble(
        NAME,
        root,
        options,
        Labelled(
            table=build(values, options.labels, np.array(votes, dtype=np.int64)),
            audio_folders=folders,
            counts={"rows": len(votes)},
            sources=[source.entry],
            set_aside=frozenset(unlisted - set(columns["audio"])),
        ),
    )


def _inside(source: Source, line: int, text: str) -> str:
    """An audio path without its suffix, below the folder."""
    stem, suffix = os.path.splitext(text)
    path = PurePosixPath(stem)
    if suffix.lower() not in SUFFIXES:
        source.bad(line, f"found audio '{text}'", "the path of a .wav or .flac file", "convert it")
    if path.is_absolute() or ".." in path.parts or "\\" in text:
        source.bad(
            line,
            f"found audio '{text}'",
            f"a path below {source.root}, parts joined by '/'",
            "move the files below the folder of the CSV",
        )
    return path.as_posix()


def _folders(paths: list[str]) -> tuple[str, ...]:
    """The folders below the root to look for audio in; the root itself if a clip lies there."""
    tops = {path.partition("/")[0] if "/" in path else "." for path in paths}
    return (".",) if "." in tops else tuple(sorted(tops))
