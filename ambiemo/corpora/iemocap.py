"""IEMOCAP as its owners ship it (Busso et al. 2008): `SessionN/dialog/EmoEvaluation/*.txt`.

A file has one block per utterance. A block is a head line, then one line per rater:

    [140.2250 - 145.6000]	Ses01F_impro05_F019	ang	[1.5000, 4.0000, 4.5000]
    C-E1:	Anger;	()
    C-E3:	Anger; Frustration;	(loud; then (almost) calm)
    C-F1:	Anger;	()
    A-E3:	val 2; act 4; dom  4;	(threatening, belligerent)

C-E lines are the votes of external raters. C-F and C-M lines are the actors' own reports: they are
counted and never become votes. Labels end at the first "(". After it comes a comment of any text.
The sixth character of an id says who wore the motion-capture markers, not who speaks.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ambiemo.corpora.assembling import Labelled, assemble
from ambiemo.corpora.columns import Imported, build
from ambiemo.corpora.label_files import Source
from ambiemo.corpora.recognising import check
from ambiemo.corpora.voting import RatedOptions, count, four_or_all, kept

NAME = "iemocap"
LAYOUT = (
    "Session1 … Session5, each with dialog/EmoEvaluation, dialog/transcriptions and sentences/wav"
)
CLIP = re.compile(r"Ses0[1-5][MF]_(impro|script)\w+_[MF]\d{3}")
DIALOGUES, UTTERANCES = 151, 10_039
"""Dialogues and utterances in the full release."""

LABELS = (
    "neutral", "happy", "angry", "sad", "excited",
    "frustrated", "fear", "surprise", "disgust", "other",
)  # fmt: skip
"""Every label of the answer sheet."""
TAGS = {
    "anger": "angry",
    "happiness": "happy",
    "excited": "excited",
    "excitement": "excited",
    "sadness": "sad",
    "neutral": "neutral",
    "neutral state": "neutral",
    "frustration": "frustrated",
    "surprise": "surprise",
    "fear": "fear",
    "disgust": "disgust",
    "other": "other",
}
CODES = frozenset(("neu", "hap", "sad", "ang", "exc", "fru", "fea", "sur", "dis", "oth", "xxx"))

HEAD = re.compile(r"\[\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*\]\s+(\S+)\s+(\S+)\s+\[.*\]\s*")
UTTERANCE = re.compile(r"(Ses0(\d)[MF]_\w+)_([MF])\d{3}\w*")
RATER = re.compile(r"([CA])-([EFM])(\d*)\s*:(.*)")
TRANSCRIPT = re.compile(r"(Ses0\d[MF]_\w+)\s+\[[^\]]*\]\s*:\s?(.*)")


class Options(RatedOptions):
    """Splits are the sessions: Session1 … Session5 (the group tests by leaving one session out)."""


def label_set(options: Options) -> tuple[str, ...]:
    """The four labels, or all of LABELS."""
    return four_or_all(LABELS, options)


def looks_like(root: Path) -> bool:
    """True for a folder with the sessions."""
    return any(root.glob("Session*/dialog/EmoEvaluation"))


@dataclass
class Block:
    """One utterance of an EmoEvaluation file.

    line: where it starts. code: the owner's majority label.
    ratings: the tags of each external rater.
    """

    line: int
    utterance: str
    code: str
    ratings: list[list[str]]
    empty_ratings: int = 0
    self_reports: int = 0


def load(root: Path, options: Options) -> Imported:
    """The utterance table from the external raters' votes.

    Raises BadInput naming file and line of anything else than the format above: an unknown label or
    code, a block without raters (a file cut short), an utterance of another dialogue or one that
    occurs twice.
    """
    check(root, NAME)
    files = sorted(path for path in root.glob("Session*/dialog/EmoEvaluation/*") if _is_text(path))
    labels = label_set(options)
    places = {name: place for place, name in enumerate(labels)}
    if options.excited_as_happy:
        places["excited"] = places["happy"]

    blocks: list[Block] = []
    seen: dict[str, str] = {}
    sessions: list[str] = []
    sources, texts = [], {}
    for path in files:
        source = Source(root, path.relative_to(root).as_posix())
        sources.append(source.entry)
        session = source.relative.split("/")[0]
        for block in _blocks(source, path.stem, session):
            here = f"{source.relative}:{block.line}"
            if block.utterance in seen:
                source.bad(
                    block.line,
                    f"found '{block.utterance}' again (first at {seen[block.utterance]})",
                    "each id once",
                )
            seen[block.utterance] = here
            blocks.append(block)
            sessions.append(session)
        transcript = path.parent.parent / "transcriptions" / path.name
        if transcript.is_file():
            spoken = Source(root, transcript.relative_to(root).as_posix())
            sources.append(spoken.entry)
            texts.update(_transcripts(spoken))

    tags = [
        (u, r, tag)
        for u, block in enumerate(blocks)
        for r, rating in enumerate(block.ratings)
        for tag in rating
    ]
    utterance = np.array([u for u, _, _ in tags], dtype=np.int64)
    rating = np.array([u * 1000 + r for u, r, _ in tags], dtype=np.int64)
    label = np.array([places.get(tag, -1) for _, _, tag in tags], dtype=np.int64)
    voted = count(len(blocks), len(labels), utterance, rating, label, options)
    ids = [block.utterance for block in blocks]
    dialogues = [name.rpartition("_")[0] for name in ids]
    audio = [
        f"{s}/sentences/wav/{d}/{name}" for s, d, name in zip(sessions, dialogues, ids, strict=True)
    ]
    columns: dict[str, Sequence[str | None]] = {
        "utterance_id": ids,
        "split": sessions,
        "speaker": [name[:5] + name.rpartition("_")[2][0] for name in ids],
        "cluster": dialogues,
        "audio_path": audio,
        "transcript": [texts.get(name) for name in ids],
    }
    table = build(
        {name: kept(values, voted.keep) for name, values in columns.items()}
        | {"corpus": NAME, "out_of_set_votes": voted.out_of_set[voted.keep]},
        labels,
        voted.votes[voted.keep],
    )
    notes = []
    if (len(files), len(blocks)) != (DIALOGUES, UTTERANCES):
        notes.append(
            f"{len(files)} dialogues and {len(blocks):,} utterances; "
            f"the full release has {DIALOGUES} and {UTTERANCES:,}"
        )
    return assemble(
        NAME,
        root,
        options,
        Labelled(
            table=table,
            audio_folders=[f"{session}/sentences/wav" for session in sorted(set(sessions))],
            counts={
                "dialogues": len(files),
                "labelled_utterances": len(blocks),
                "ratings": sum(len(block.ratings) for block in blocks),
                "tags": len(tags),
                "empty_ratings": sum(block.empty_ratings for block in blocks),
                "self_reports_left_out": sum(block.self_reports for block in blocks),
                "no_majority_by_owner": sum(block.code == "xxx" for block in blocks),
                "without_transcript": sum(name not in texts for name in ids),
            },
            sources=sources,
            dropped=voted.dropped,
            set_aside=frozenset(
                path for path, stays in zip(audio, voted.keep, strict=True) if not stays
            ),
            notes=notes,
            vote_unit=voted.unit,
        ),
    )


def _is_text(path: Path) -> bool:
    # Archives made on a Mac contain a "._" twin of every file.
    return path.suffix.lower() == ".txt" and not path.name.startswith(".") and path.is_file()


def _blocks(source: Source, dialogue: str, session: str) -> Iterator[Block]:
    block: Block | None = None
    last = 0
    for number, line in source.lines():
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        last = number
        if line.startswith("["):
            if block:
                yield _whole(source, block)
            block = _head(source, number, line, dialogue, session)
        elif rater := RATER.fullmatch(line):
            if block is None:
                source.bad(
                    number,
                    "found a rating before any utterance",
                    "a line such as '[6.29 - 8.23]\\tSes01F_…'",
                )
            _rate(source, number, block, rater)
        else:
            source.bad(
                number,
                f"found {line[:60]!r}",
                "an utterance's head, or a rating that begins C-E1:, C-F1:, A-E1: …",
            )
    if block is None:
        source.bad(
            last or 1,
            "found no utterance",
            "blocks that begin with '[start - end]'",
            "is the file cut short?",
        )
    yield _whole(source, block)


def _head(source: Source, number: int, line: str, dialogue: str, session: str) -> Block:
    head = HEAD.fullmatch(line)
    if not head:
        source.bad(
            number,
            f"found {line[:60]!r}",
            "'[start - end]', id, code, '[valence, activation, dominance]'",
        )
    name, code = head[3], head[4].lower()
    parts = UTTERANCE.fullmatch(name)
    if not parts:
        source.bad(
            number,
            f"found utterance id '{name}'",
            "one such as Ses01F_impro05_F019",
            "is this an IEMOCAP file?",
        )
    if parts[1] != dialogue or session != f"Session{parts[2]}":
        source.bad(
            number,
            f"found '{name}'",
            f"utterances of {dialogue} in {session}",
            "are two files mixed?",
        )
    if code not in CODES:
        source.bad(number, f"found code '{code}'", f"one of {', '.join(sorted(CODES))}")
    return Block(number, name, code, [])


def _rate(source: Source, number: int, block: Block, rater: re.Match[str]) -> None:
    kind, who, _, rest = rater.groups()
    if kind == "A":
        return
    names, opened, _ = rest.partition("(")
    if not opened:
        source.bad(
            number,
            f"found {rest.strip()!r}",
            "labels, then a comment in parentheses",
            "is the line cut short?",
        )
    if who != "E":
        block.self_reports += 1
        return
    tags = []
    for name in names.split(";"):
        name = " ".join(name.split())
        if not name:
            continue
        if name.lower() not in TAGS:
            source.bad(
                number,
                f"found label '{name}'",
                f"one of {', '.join(sorted({t.title() for t in TAGS}))}",
            )
        tags.append(TAGS[name.lower()])
    if tags:
        block.ratings.append(list(dict.fromkeys(tags)))
    else:
        block.empty_ratings += 1


def _whole(source: Source, block: Block) -> Block:
    if not block.ratings and not block.empty_ratings:
        source.bad(
            block.line,
            f"found '{block.utterance}' without external raters",
            "C-E lines",
            "is the file cut short?",
        )
    return block


def _transcripts(source: Source) -> dict[str, str]:
    matches = (TRANSCRIPT.fullmatch(line.strip()) for _, line in source.lines())
    return {match[1]: match[2].strip() for match in matches if match}
