"""MSP-Podcast as its owners ship it (Lotfian & Busso 2019).

`Labels/labels_consensus.csv` names each clip's speaker and split. `Labels/labels_detailed.csv` has
one row per rating, in one of three formats. Its header says which:

    v1.6        FileName, Workers,  EmoClass_Major, EmoClass_Second, EmoAct, EmoVal, EmoDom
    v1.11/1.12  FileName, EmoDetail = "WORKER0000001; Neutral; Neutral,Concerned; A:4.0; V:4.0; D:4.0;"
    v2.0        FileName, WorkerID, EmoClass_Major, EmoClass_Second, EmoAct, EmoVal, EmoDom

A rating has one primary emotion and a list of secondary ones, which may be missing. Columns are
parsed whole, so 150,000 utterances with 650,000 ratings take seconds.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ambiemo.corpora.assembling import Labelled, assemble
from ambiemo.corpora.columns import Imported, build
from ambiemo.corpora.label_files import Source, same_name
from ambiemo.corpora.recognising import check
from ambiemo.corpora.voting import RatedOptions, count, four_or_all, kept
from ambiemo.durable import sha256
from ambiemo.errors import BadInput

NAME = "msp-podcast"
LAYOUT = (
    "Labels/labels_consensus.csv and Labels/labels_detailed.csv, Audios/*.wav, Transcripts/*.txt"
)
CLIP = re.compile(r"MSP-PODCAST_\w+")
FILE_NAME = rf"^{CLIP.pattern}\.\w{{3,4}}$"
CONSENSUS, DETAILED = "Labels/labels_consensus.csv", "Labels/labels_detailed.csv"

LABELS = ("neutral", "happy", "angry", "sad", "contempt", "surprise", "disgust", "fear", "other")
"""Every label of the answer sheet."""
PRIMARY = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "contempt": "contempt",
    "surprise": "surprise",
    "disgust": "disgust",
    "fear": "fear",
    "other": "other",
}
SECONDARY = PRIMARY | {
    "excited": "excited",
    "amused": "other",
    "frustrated": "other",
    "annoyed": "other",
    "confused": "other",
    "disappointed": "other",
    "depressed": "other",
    "concerned": "other",
}
CODES = frozenset("NHSACUDFOX")
SPLITS = frozenset(("Train", "Development", "Validation", "Test1", "Test2", "Test3"))
WITHHELD = "Test3"
"""The split whose labels the owner keeps."""


class Options(RatedOptions):
    """Options of MSP-Podcast.

    Its splits are Train, Development, Test1, Test2; the labels of Test3 are withheld.
    emotions: take votes from each rating's "primary" emotion (P-type) or from its "secondary" list
    (S-type; a rating without a list counts with its primary emotion).
    unknown_labels: "stop" refuses a label that the known releases lack, "other" counts it as other.
    """

    emotions: Literal["primary", "secondary"] = "primary"
    unknown_labels: Literal["stop", "other"] = "stop"


def label_set(options: Options) -> tuple[str, ...]:
    """The four labels, or all of LABELS."""
    return four_or_all(LABELS, options)


def looks_like(root: Path) -> bool:
    """True for a folder with the label files."""
    return any(root.glob("[Ll]abels/labels_*.csv"))


@dataclass(frozen=True)
class Ratings:
    """Ratings by column: clip file, rater, primary label, secondary list ("" = missing)."""

    file: pa.Array
    worker: pa.Array
    primary: pa.Array
    secondary: pa.Array


def load(root: Path, options: Options) -> Imported:
    """The utterance table from the ratings. Clips without ratings (Test3) are counted and left out.

    Raises BadInput naming file and line of a row that does not parse, an unknown label or split,
    and a clip that occurs twice.
    """
    check(root, NAME)
    consensus, detailed = _source(root, CONSENSUS), _source(root, DETAILED)
    clips = _consensus(consensus)
    ids = _stem(clips["FileName"])
    ratings = _detailed(detailed)

    labels = label_set(options)
    utterance = pc.index_in(_stem(ratings.file), value_set=ids).to_numpy(zero_copy_only=False)
    known = (
        ~np.isnan(utterance) if utterance.dtype.kind == "f" else np.ones(len(utterance), dtype=bool)
    )
    rows, rating, label, fallback = _tags(detailed, ratings, known, labels, options)
    place = np.where(known, np.nan_to_num(utterance), 0).astype(np.int64)[rows]
    voted = count(len(ids), len(labels), place, rating, label, options)

    rated = np.zeros(len(ids), dtype=bool)
    rated[place] = True
    withheld = ~rated & (pc.equal(clips["Split_Set"], WITHHELD).to_numpy(zero_copy_only=False))
    dropped = {
        "labels_withheld": int(withheld.sum()),
        "no_ratings": int((~rated & ~withheld).sum()),
        **voted.dropped,
    }
    dropped["no_vote_in_set"] -= int((~rated).sum())
    keep = pa.array(voted.keep)
    names = ids.to_pylist()
    folder = _audio_folder(root)
    audio = [f"{folder}/{name}" for name in names]
    speaker = clips["SpkrID"].filter(keep)
    table = build(
        {
            "utterance_id": ids.filter(keep),
            "corpus": NAME,
            "split": clips["Split_Set"].filter(keep),
            "speaker": pc.if_else(pc.equal(pc.utf8_lower(speaker), "unknown"), "", speaker),
            "cluster": _podcast(ids.filter(keep)),
            "audio_path": kept(audio, voted.keep),
            "out_of_set_votes": pa.array(voted.out_of_set[voted.keep].astype(np.int32)),
        },
        labels,
        voted.votes[voted.keep],
    )
    table, transcripts = _with_transcripts(root, table)
    codes = clips["EmoClass"]
    notes = []
    if orphans := int((~known).sum()):
        notes.append(f"{orphans:,} ratings are of clips that {CONSENSUS} does not name; left out")
    return assemble(
        NAME,
        root,
        options,
        Labelled(
            table=table,
            audio_folders=[folder],
            counts={
                "labelled_utterances": len(ids),
                "ratings": len(known),
                "ratings_of_unknown_clips": orphans,
                "raters": len(pc.unique(ratings.worker)),
                "ratings_without_secondary": fallback,
                "no_agreement_by_owner": int(pc.sum(pc.equal(codes, "X")).as_py() or 0),
                "unknown_speakers": int(pc.sum(pc.equal(table.column("speaker"), "")).as_py() or 0),
            },
            sources=[consensus.entry, detailed.entry, *transcripts],
            dropped=dropped,
            set_aside=frozenset(
                path for path, stays in zip(audio, voted.keep, strict=True) if not stays
            ),
            notes=notes,
            vote_unit=voted.unit,
        ),
    )


def _source(root: Path, relative: str) -> Source:
    path = same_name(root, relative)
    if path is None:
        raise BadInput(
            f"{root / relative}: is missing; expected {LAYOUT}; both label files are needed"
        )
    return Source(root, path)


def _audio_folder(root: Path) -> str:
    return same_name(root, "Audios") or same_name(root, "Audio") or "Audios"


def _podcast(ids: pa.Array) -> pa.Array:
    return pc.extract_regex(ids, r"^(?P<podcast>[^_]+_[^_]+)").field("podcast")


def _stem(names: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(names, r"\.\w{3,4}$", "")


def _table(source: Source, text: str, wanted: Sequence[str]) -> dict[str, pa.Array]:
    """The wanted columns of a CSV text, as stripped strings.

    Raises BadInput naming the line of the first row with another number of fields.
    """
    from pyarrow import csv

    header = _header(text)
    places = source.columns(header, wanted)
    wrong: list[str] = []

    def refuse(row: csv.InvalidRow) -> str:
        wrong.append(row.text)
        return "skip"

    try:
        read = csv.read_csv(
            pa.BufferReader(text.encode("utf-8")),
            read_options=csv.ReadOptions(
                column_names=[f"c{i}" for i in range(len(header))], skip_rows=1, block_size=1 << 24
            ),
            parse_options=csv.ParseOptions(invalid_row_handler=refuse),
            convert_options=csv.ConvertOptions(
                include_columns=[f"c{place}" for place in places],
                column_types={f"c{place}": pa.string() for place in places},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise BadInput(
            f"{source.root / source.relative}: {str(error).splitlines()[0]}; "
            "is it the owner's file?"
        ) from error
    if wrong:
        source.bad(
            _line_of(text, wrong[0]),
            f"found {wrong[0][:60]!r}",
            f"{len(header)} fields",
            "is the file cut short?",
        )
    columns = (read.column(f"c{place}").combine_chunks() for place in places)
    return {
        name: pc.utf8_trim_whitespace(column) for name, column in zip(wanted, columns, strict=True)
    }


def _header(text: str) -> list[str]:
    return [field.strip().strip('"') for field in text.partition("\n")[0].split(",")]


def _line_of(text: str, row: str) -> int:
    wanted = row.strip("\n")
    return next(
        (number for number, line in enumerate(text.split("\n"), start=1) if line == wanted), 1
    )


def _line_of_row(text: str, row: int) -> int:
    # Row 0 is the first after the header; empty lines do not count. Runs only on an error.
    filled = (number for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    return next((number for place, number in enumerate(filled) if place == row + 1), 1)


def _first(condition: pa.Array) -> int | None:
    place = pc.index(condition, True).as_py()
    return None if place < 0 else place


def _consensus(source: Source) -> dict[str, pa.Array]:
    text = source.text()
    clips = _table(source, text, ("FileName", "EmoClass", "SpkrID", "Split_Set"))
    name = clips["FileName"]

    def refuse(bad: pa.Array, problem: Callable[[int], str], expected: str) -> None:
        if (row := _first(bad)) is not None:
            source.bad(_line_of_row(text, row), problem(row), expected)

    refuse(
        pc.invert(pc.match_substring_regex(name, FILE_NAME)),
        lambda row: f"found clip '{name[row]}'",
        "one such as MSP-PODCAST_0001_0008.wav",
    )
    clips["EmoClass"] = pc.utf8_upper(clips["EmoClass"])
    refuse(
        pc.invert(pc.is_in(clips["EmoClass"], value_set=pa.array(sorted(CODES | {""})))),
        lambda row: f"found EmoClass '{clips['EmoClass'][row]}'",
        f"one of {', '.join(sorted(CODES))}",
    )
    refuse(
        pc.invert(pc.is_in(clips["Split_Set"], value_set=pa.array(sorted(SPLITS)))),
        lambda row: f"found Split_Set '{clips['Split_Set'][row]}'",
        f"one of {', '.join(sorted(SPLITS))}",
    )
    stems = _stem(name).to_numpy(zero_copy_only=False)
    _, first = np.unique(stems, return_index=True)
    if len(first) < len(stems):
        again = min(set(range(len(stems))) - set(first.tolist()))
        before = int(np.flatnonzero(stems == stems[again])[0])
        where = f"first on line {_line_of_row(text, before)}"
        source.bad(
            _line_of_row(text, again),
            f"found clip '{name[again]}' again ({where})",
            "each clip once",
        )
    return clips


def _detailed(source: Source) -> Ratings:
    text = source.text()
    header = [field.lower() for field in _header(text)]
    if "emodetail" in header:
        columns = _table(source, text, ("FileName", "EmoDetail"))
        detail = pc.utf8_trim(columns["EmoDetail"], '`" ')
        # Worker; primary; [secondary list;] A:x; V:y; D:z; — a field with a colon is not a label.
        fields = pc.split_pattern(pc.binary_join_element_wise(detail, "; ; ", ""), ";")
        worker, primary, third = (
            pc.utf8_trim_whitespace(pc.list_element(fields, place)) for place in range(3)
        )
        short = pc.invert(pc.match_substring(detail, "D:"))
        if (
            row := _first(
                pc.or_(short, pc.or_(pc.match_substring(primary, ":"), pc.equal(primary, "")))
            )
        ) is not None:
            source.bad(
                _line_of_row(text, row),
                f"found EmoDetail '{detail[row]}'",
                "'WORKER; Primary; Secondary,…; A:…; V:…; D:…;'",
            )
        secondary = pc.if_else(pc.match_substring(third, ":"), "", third)
        ratings = Ratings(columns["FileName"], worker, primary, secondary)
    else:
        who = "WorkerID" if "workerid" in header else "Workers"
        columns = _table(source, text, ("FileName", who, "EmoClass_Major", "EmoClass_Second"))
        ratings = Ratings(
            columns["FileName"], columns[who], columns["EmoClass_Major"], columns["EmoClass_Second"]
        )
    if (row := _first(pc.invert(pc.match_substring_regex(ratings.file, FILE_NAME)))) is not None:
        source.bad(
            _line_of_row(text, row),
            f"found clip '{ratings.file[row]}'",
            "one such as MSP-PODCAST_0001_0008.wav",
        )
    return ratings


def _tags(
    source: Source, ratings: Ratings, known: np.ndarray, labels: tuple[str, ...], options: Options
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Per tag of a known clip: the row of its rating, its rating, its label's position.

    A label outside the set has position -1. The last value counts ratings without a secondary list.
    """
    primary = _coded(source, ratings.primary, np.arange(len(known)), PRIMARY, labels, options)
    if options.emotions == "primary":
        rows = np.flatnonzero(known)
        return rows, rows, primary[rows], 0
    lists = pc.split_pattern(ratings.secondary, ",")
    parent = pc.list_parent_indices(lists).to_numpy()
    names = pc.utf8_trim_whitespace(pc.list_flatten(lists))
    filled = pc.not_equal(names, "").to_numpy(zero_copy_only=False)
    parent = parent[filled]
    coded = _coded(source, names.filter(pa.array(filled)), parent, SECONDARY, labels, options)
    lacking = np.setdiff1d(np.arange(len(known)), parent)
    rows = np.concatenate([parent, lacking])
    codes = np.concatenate([coded, primary[lacking]])
    inside = known[rows]
    return rows[inside], rows[inside], codes[inside], int(known[lacking].sum())


def _coded(
    source: Source,
    names: pa.Array,
    rows: np.ndarray,
    known: dict[str, str],
    labels: tuple[str, ...],
    options: Options,
) -> np.ndarray:
    """Position of each name's label in the set, -1 outside it. Looks up each distinct name once."""
    encoded = names.dictionary_encode()
    places = np.full(len(encoded.dictionary), -1, dtype=np.int64)
    for code, written in enumerate(encoded.dictionary.to_pylist()):
        name = written.lower()
        label = known.get(
            name, "other" if name.startswith("other") or options.unknown_labels == "other" else None
        )
        if label is None or not name:
            row = int(rows[np.flatnonzero(encoded.indices.to_numpy() == code)[0]])
            expected = (
                f"{', '.join(sorted(known)).title()} or Other-…; or set unknown_labels to 'other'"
            )
            source.bad(_line_of_row(source.text(), row), f"found label '{written}'", expected)
        if label == "excited":
            label = "happy" if options.excited_as_happy else "other"
        places[code] = labels.index(label) if label in labels else -1
    return places[encoded.indices.to_numpy()]


def _with_transcripts(root: Path, table: pa.Table) -> tuple[pa.Table, list[tuple[str, str]]]:
    # One entry for the whole folder, because a manifest with 150,000 lines helps nobody.
    folder = same_name(root, "Transcripts")
    if folder is None:
        return table, []
    texts: list[str | None] = []
    hashes: list[str] = []
    for name in table.column("utterance_id").to_pylist():
        path = root / folder / f"{name}.txt"
        data = path.read_bytes() if path.is_file() else None
        texts.append(None if data is None else data.decode("utf-8-sig", errors="replace").strip())
        if data is not None:
            hashes.append(f"{sha256(data)}  {name}.txt\n")
    place = table.schema.get_field_index("transcript")
    table = table.set_column(place, table.schema.field(place), pa.array(texts, pa.string()))
    return table, [(f"{folder}/", sha256("".join(hashes).encode("utf-8")))] if hashes else []
