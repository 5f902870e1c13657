"""From label rows to the utterance table: find each clip's file, filter, hash, count."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ambiemo.corpora.audio import SUFFIXES, BadAudio, header
from ambiemo.corpora.columns import SCHEMA, VOTE_UNIT, Imported, votes_of
from ambiemo.corpora.options import CommonOptions, resolved
from ambiemo.corpora.recognising import corpus_of_clip
from ambiemo.corpora.utterances import sampled
from ambiemo.durable import sha256
from ambiemo.errors import BadInput
from ambiemo.limits import AUDIO_FILE, TooMuch, read_regular

NAMED = 5
"""How many examples a note or an error names."""


@dataclass(frozen=True)
class Labelled:
    """What a loader read from a corpus' label files.

    table: of `columns.SCHEMA`; audio_path is relative to the corpus folder and has no suffix.
    audio_folders: where the clips are, relative to the corpus folder.
    sources: (relative path, SHA-256) of every label file read.
    dropped: how many rows the loader left out, by reason.
    set_aside: audio paths of clips that the label files name but the table leaves out. Their audio
    does not count as unlabelled.
    vote_unit: see `columns.VOTE_UNIT`.
    """

    table: pa.Table
    audio_folders: Sequence[str]
    counts: dict[str, Any]
    sources: list[tuple[str, str]]
    dropped: dict[str, int] = field(default_factory=dict)
    set_aside: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    vote_unit: int = 1


def assemble(corpus: str, root: Path, options: CommonOptions, labelled: Labelled) -> Imported:
    """Join the audio, apply the options, count every dropped row by reason, sort by utterance id.

    Raises BadInput for utterance ids that are not unique, clips of another corpus among the audio,
    two files for one clip, a clip that cannot be decoded if `bad_audio` is "stop", and an empty
    result.
    """
    table = labelled.table
    counts, dropped, notes = dict(labelled.counts), dict(labelled.dropped), list(labelled.notes)
    _unique(table, corpus)
    files = {} if options.audio == "ignore" else audio_files(root, labelled.audio_folders)
    places = table.column("audio_path").to_pylist()
    has_audio = np.array([place in files for place in places], dtype=bool)
    if options.audio != "ignore":
        unlabelled = sorted(set(files) - set(places) - labelled.set_aside)
        _refuse_strangers(corpus, root, [files[place] for place in unlabelled])
        counts["votes_without_audio"] = int((~has_audio).sum())
        counts["audio_without_votes"] = len(unlabelled)
        if unlabelled:
            notes.append(
                f"{len(unlabelled)} audio files have no label row: "
                f"{_some([files[p] for p in unlabelled])}"
            )
    paths = [files.get(place, "") for place in places]
    table = table.set_column(
        table.schema.get_field_index("audio_path"), "audio_path", pa.array(paths, pa.string())
    )

    if options.splits:
        table, has_audio = _by_split(table, has_audio, options.splits, corpus, dropped)
    if options.audio == "required":
        dropped["no_audio"] = int((~has_audio).sum())
        table = table.filter(pa.array(has_audio))
    table = table.take(pc.sort_indices(table, sort_keys=[("utterance_id", "ascending")]))
    if options.limit is not None and len(table) > options.limit:
        dropped["limit"] = len(table) - options.limit
        table = table.take(
            pa.array(sampled(table.column("utterance_id").to_pylist(), options.limit))
        )
    counts["dropped"] = dropped
    if len(table) == 0:
        raise BadInput(_nothing_left(corpus, root, labelled, dropped))

    table, bad = _hashed(table, root)
    if bad:
        if options.bad_audio == "stop":
            raise BadInput(
                f"{root / bad[0][0]}: "
                f"{bad[0][1]}{f' ({len(bad)} such clips)' if len(bad) > 1 else ''}"
            )
        notes.append(
            f"{len(bad)} clips cannot be decoded, so their draws will fail: "
            f"{_some([f'{p} {why}' for p, why in bad])}"
        )
    _, votes = votes_of(table)
    cast = votes[pc.equal(table.column("truth_source"), "votes").to_numpy(zero_copy_only=False)]
    counts["bad_audio"] = len(bad)
    counts["utterances"] = len(table)
    counts["with_audio"] = int(pc.sum(pc.not_equal(table.column("audio_path"), "")).as_py() or 0)
    counts["speakers"] = len(pc.unique(table.column("speaker")))
    counts["votes"] = _raters(int(cast.sum()), labelled.vote_unit)
    outside = int(pc.sum(table.column("out_of_set_votes")).as_py() or 0)
    counts["out_of_set_votes"] = _raters(outside, labelled.vote_unit)
    counts["vote_unit"] = labelled.vote_unit
    table = table.cast(SCHEMA).replace_schema_metadata(
        {VOTE_UNIT: str(labelled.vote_unit).encode("ascii")}
    )
    sources = sorted(labelled.sources)
    return Imported(table.combine_chunks(), counts, resolved(options), sources, root, tuple(notes))


def audio_files(root: Path, folders: Sequence[str]) -> dict[str, str]:
    """Audio files in these folders of a corpus: {relative path without suffix: relative path}.

    Hidden files are left out. Raises BadInput if two files (such as .wav and .WAV) are the same
    clip.
    """
    result: dict[str, str] = {}
    for folder in folders:
        for where, inside, names in os.walk(root / folder):
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            relative = Path(where).relative_to(root).as_posix()
            prefix = "" if relative == "." else f"{relative}/"
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() not in SUFFIXES or name.startswith("."):
                    continue
                place = prefix + stem
                if place in result:
                    raise BadInput(
                        f"{root / prefix / name}: {result[place]} is the same clip; "
                        "keep one of them"
                    )
                result[place] = prefix + name
    return result


def _unique(table: pa.Table, corpus: str) -> None:
    # Loaders name file and line of a duplicate. This is the last check before a table exists.
    ids = table.column("utterance_id")
    if len(pc.unique(ids)) != len(ids):
        seen = pc.value_counts(ids).to_pylist()
        twice = min(entry["values"] for entry in seen if entry["counts"] > 1)
        raise BadInput(
            f"{corpus}: utterance id '{twice}' occurs more than once; ids must be unique"
        )


def _refuse_strangers(corpus: str, root: Path, unlabelled: Sequence[str]) -> None:
    for path in unlabelled:
        other = corpus_of_clip(os.path.splitext(os.path.basename(path))[0])
        if other not in (None, corpus):
            raise BadInput(
                f"{root / path}: is a clip of {other} in the {corpus} folder; "
                "give each corpus its own folder"
            )


def _by_split(
    table: pa.Table,
    has_audio: np.ndarray,
    splits: Sequence[str],
    corpus: str,
    dropped: dict[str, int],
) -> tuple[pa.Table, np.ndarray]:
    there = sorted(set(table.column("split").to_pylist()))
    if unknown := [split for split in splits if split not in there]:
        raise BadInput(
            f"corpus '{corpus}': option 'splits': found '{unknown[0]}'; "
            f"expected one of {', '.join(there)}"
        )
    keep = pc.is_in(table.column("split"), value_set=pa.array(splits, pa.string())).to_numpy()
    dropped["split"] = int((~keep).sum())
    return table.filter(pa.array(keep)), has_audio[keep]


def _hashed(table: pa.Table, root: Path) -> tuple[pa.Table, list[tuple[str, str]]]:
    paths = table.column("audio_path").to_pylist()

    def look(path: str) -> tuple[str, float | None, str]:
        if not path:
            return "", None, ""
        try:
            data = read_regular(root / path, AUDIO_FILE)
        except TooMuch as error:
            raise BadInput(f"{root / path}: {error}; is it a clip of the corpus?") from error
        except OSError as error:
            raise BadInput(f"{root / path}: cannot be read: {error.strerror or error}") from error
        try:
            return sha256(data), header(data).seconds, ""
        except BadAudio as error:
            return sha256(data), None, error.reason

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        looked = (
            list(pool.map(look, paths, chunksize=64))
            if any(paths)
            else [look(path) for path in paths]
        )
    hashes = pa.array([clip[0] for clip in looked], pa.string())
    seconds = pa.array([clip[1] for clip in looked], pa.float64())
    table = table.set_column(table.schema.get_field_index("audio_sha256"), "audio_sha256", hashes)
    table = table.set_column(table.schema.get_field_index("duration_s"), "duration_s", seconds)
    return table, [(path, clip[2]) for path, clip in zip(paths, looked, strict=True) if clip[2]]


def _nothing_left(corpus: str, root: Path, labelled: Labelled, dropped: dict[str, int]) -> str:
    why = (
        ", ".join(f"{reason}: {n}" for reason, n in dropped.items() if n)
        or "the label files name none"
    )
    places = ", ".join(labelled.audio_folders) or "."
    return (
        f"{root}: no {corpus} utterance is left ({why}); audio is looked for in {places}; "
        "check folder and options"
    )


def _raters(units: int, unit: int) -> int | float:
    return units // unit if units % unit == 0 else round(units / unit, 6)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
