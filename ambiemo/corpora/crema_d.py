"""CREMA-D as its owners ship it: `processedResults/tabulatedVotes.csv` and `AudioWAV/`.

Licence: ODbL 1.0, contents DbCL 1.0.
Source: Cao et al. 2014, doi 10.1109/TAFFC.2014.2336244. Raters judged each clip three times: the
voice alone, the face alone, both.
Known defects, handled here and counted:
- raters heard the MP3s, not the WAVs;
- 1076_MTI_SAD_XX has no usable audio;
- three pairs of WAVs are one recording under two names.
Clips whose WAV is known to be wrong keep their votes and count as without audio.
"""

import re
from pathlib import Path
from typing import Literal

import numpy as np

from ambiemo import limits
from ambiemo.corpora.assembling import Labelled, assemble
from ambiemo.corpora.columns import Imported, build
from ambiemo.corpora.label_files import Source
from ambiemo.corpora.options import CommonOptions
from ambiemo.corpora.pins import Downloads, Pinned, from_manifest
from ambiemo.corpora.recognising import check
from ambiemo.labels import SIX

NAME = "crema-d"
LAYOUT = "processedResults/tabulatedVotes.csv and AudioWAV/*.wav"
VOTES = "processedResults/tabulatedVotes.csv"
VOTES_SHA256 = "774d9d759cb5caf2542758a39eca8c0f1d2777f9987ff5d5adf8066d192f377b"
"""Hash of the owner's released vote table: 22,326 rows, three queries of 7,442 clips."""
CLIPS = 7_442
MEDIA_URL = "https://media.githubusercontent.com/media/CheyneyComputerScience/CREMA-D/master/"
"""The owner's public address of the WAVs (Git LFS objects)."""
RAW_URL = "https://raw.githubusercontent.com/CheyneyComputerScience/CREMA-D/master/"
"""The owner's public address of plain files: the tables."""

LETTERS = "ADFHNS"
QUERIES = {"voice": 1, "face": 2, "audio_visual": 3}
INTENDED = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
CLIP = re.compile(rf"1\d{{3}}_[A-Z]{{3}}_({'|'.join(INTENDED)})_[A-Z]{{1,2}}")
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
SAME_RECORDING = (
    ("1006_TIE_HAP_XX", "1006_TIE_NEU_XX"),
    ("1013_WSI_DIS_XX", "1013_WSI_SAD_XX"),
    ("1017_IWW_ANG_XX", "1017_IWW_FEA_XX"),
)
"""Pairs of WAVs with the same bytes: the audio of at least one is wrong, and nobody knows which."""
NO_SOUND = ("1076_MTI_SAD_XX",)
WRONG_AUDIO = frozenset(NO_SOUND).union(*SAME_RECORDING)


class Options(CommonOptions):
    """Options of CREMA-D.

    query: what the raters judged. The paper's group uses the voice alone.
    known_wrong_audio: "drop" treats the seven clips whose WAV is known to be wrong as without audio
    (their votes stay); "keep" uses the WAVs as they are.
    """

    query: Literal["voice", "face", "audio_visual"] = "voice"
    label_set: Literal["six"] = "six"
    known_wrong_audio: Literal["drop", "keep"] = "drop"


def label_set(options: Options) -> tuple[str, ...]:
    """The answer sheet."""
    return SIX


def looks_like(root: Path) -> bool:
    """True for a folder with the vote table or the clips."""
    return (root / "processedResults").is_dir() or (root / "AudioWAV").is_dir()


def downloads() -> Downloads:
    """The tables, and the WAVs by the hashes of their own Git LFS pointers."""
    tables = (
        Pinned(VOTES, VOTES_SHA256, 4_057_953, RAW_URL),
        Pinned(
            "SentenceFilenames.csv",
            "d88cb50e84bbc30b2e159cdfc25e1cf87777ad97c7c41d6ab8f75d3383b8f740",
            170_087,
            RAW_URL,
        ),
        Pinned(
            "VideoDemographics.csv",
            "e33ddc8b60bedf98541735801127cbb67098b5957271adbdd5dea8a44294eec3",
            4_033,
            RAW_URL,
        ),
        Pinned(
            "LICENSE.txt",
            "e76747a4efa4b338914bb3f930b5d3d3c3ac15b886bbabf897f6a19731f987f8",
            312,
            RAW_URL,
        ),
    )
    return Downloads((*tables, *from_manifest("crema_d_manifest.csv", MEDIA_URL)))


def load(root: Path, options: Options) -> Imported:
    """The utterance table of one query, with SIX labels.

    Every row of the vote table is checked against its own total, agreement and winner.
    Raises BadInput naming file and line of a row that does not parse or contradicts itself, and of
    a clip that occurs twice.
    """
    check(root, NAME)
    source = Source(root, VOTES)
    names, votes, other_queries = _votes(source, QUERIES[options.query])
    order = [LETTERS.index(label[0].upper()) for label in SIX]
    wrong = sorted(WRONG_AUDIO.intersection(names)) if options.known_wrong_audio == "drop" else []
    parts = [name.split("_") for name in names]
    table = build(
        {
            "utterance_id": names,
            "corpus": NAME,
            "speaker": [part[0] for part in parts],
            "cluster": [part[0] for part in parts],
            "audio_path": ["" if name in wrong else f"AudioWAV/{name}" for name in names],
            "transcript": [SENTENCES.get(part[1]) for part in parts],
            "intended_label": [INTENDED[part[2]] for part in parts],
        },
        SIX,
        votes[:, order],
    )
    notes = ["the raters heard the MP3s, not the WAVs"]
    if wrong:
        notes.append(
            f"{len(wrong)} clips have votes but a WAV that is known to be wrong, so no audio: "
            f"{', '.join(wrong)}"
        )
    if source.sha256 != VOTES_SHA256:
        notes.append(f"{VOTES} is not the owner's released table (SHA-256 {VOTES_SHA256[:12]}…)")
    if len(names) != CLIPS:
        notes.append(f"{len(names)} of the {CLIPS} released clips are in the vote table")
    return _checked_hashes(
        assemble(
            NAME,
            root,
            options,
            Labelled(
                table=table,
                audio_folders=("AudioWAV",),
                counts={
                    "rows": len(names) + other_queries,
                    "rows_of_other_queries": other_queries,
                    "known_wrong_audio": len(wrong),
                },
                sources=[source.entry],
                set_aside=frozenset(f"AudioWAV/{name}" for name in wrong),
                notes=notes,
            ),
        )
    )


def _votes(source: Source, query: int) -> tuple[list[str], np.ndarray, int]:
    rows = source.rows()
    _, header = next(rows, (1, [""]))
    places = source.columns(header, [*LETTERS, "fileName", "numResponses", "agreement", "emoVote"])
    names: list[str] = []
    votes: list[list[int]] = []
    seen: dict[tuple[int, str], int] = {}
    others = 0
    for line, fields in rows:
        if len(fields) != len(header):
            source.bad(
                line, f"found {len(fields)} fields", f"{len(header)}", "is the file cut short?"
            )
        try:
            asked = int(float(fields[0])) // 100_000
            counts = [int(fields[place]) for place in places[:6]]
            responses, agreement = int(fields[places[7]]), float(fields[places[8]])
            if max(counts) > limits.VOTES:
                raise ValueError(f"{max(counts)} votes for one label")
        except (ValueError, OverflowError) as error:
            source.bad(
                line, f"found {error}", "numbers in the columns id, A to S, numResponses, agreement"
            )
        name, winner = fields[places[6]], fields[places[9]]
        if asked not in QUERIES.values():
            source.bad(
                line,
                f"found row id {fields[0]}",
                "1xxxxx (voice), 2xxxxx (face) or 3xxxxx (audio-visual)",
            )
        if not CLIP.fullmatch(name):
            source.bad(
                line, f"found clip '{name}'", "ACTOR_SENTENCE_EMOTION_LEVEL such as 1001_IEO_NEU_XX"
            )
        if (asked, name) in seen:
            source.bad(
                line,
                f"found clip '{name}' again (first on line {seen[asked, name]})",
                "each clip once per query",
            )
        seen[asked, name] = line
        problem = _contradiction(counts, responses, agreement, winner)
        if problem:
            source.bad(line, f"'{name}': {problem}", "a row that agrees with itself")
        if asked == query:
            names.append(name)
            votes.append(counts)
        else:
            others += 1
    if not names:
        source.bad(
            1,
            "found no row of this query",
            f"row ids {query}00001 and on",
            "is the file cut short?",
        )
    return names, np.array(votes, dtype=np.int64), others


def _contradiction(counts: list[int], responses: int, agreement: float, winner: str) -> str:
    most, total = max(counts), sum(counts)
    if min(counts) < 0 or total == 0:
        return f"found votes {counts}"
    if total != responses:
        return f"found {total} votes but numResponses {responses}"
    if not abs(most / total - agreement) <= 1e-6:
        return f"found agreement {agreement} but the largest share is {most / total:.6f}"
    if set(winner.split(":")) != {
        letter for letter, count in zip(LETTERS, counts, strict=True) if count == most
    }:
        return f"found emoVote '{winner}' but votes {counts}"
    return ""


def _checked_hashes(imported: Imported) -> Imported:
    # A clip that is not the released one stays (it may be re-encoded), but it is counted.
    known = {pin.path: pin.sha256 for pin in downloads().files}
    pairs = zip(
        imported.table.column("audio_path").to_pylist(),
        imported.table.column("audio_sha256").to_pylist(),
        strict=True,
    )
    other = [path for path, digest in pairs if path and known.get(path) != digest]
    imported.counts["audio_not_as_released"] = len(other)
    if not other:
        return imported
    note = (
        f"{len(other)} audio files are not the released ones (first: {other[0]}); "
        "`ambiemo data fetch crema-d` replaces them"
    )
    return Imported(**{**imported.__dict__, "notes": (*imported.notes, note)})
