"""EmoDB, the Berlin database of emotional speech, as its owners ship it: `wav/03a01Fa.wav`.

Source: Burkhardt, Paeschke, Rolfes, Sendlmeier, Weiss 2005.

A clip's name is speaker (2 digits), text (a letter and 2 digits), emotion (one letter, German),
version. `erkennung.txt` says what share of some 20 listeners named the intended emotion. That is
one share, not a distribution over emotions, so it becomes the column `recognised_share` and never
votes. At least 80 % of the listeners recognised each released clip, so the corpus is a control of
label accuracy: nearly unambiguous.
"""

import os
import re
from pathlib import Path

import pyarrow as pa

from ambiemo.corpora.acted import ActedOptions, truth_of
from ambiemo.corpora.assembling import Labelled, assemble, audio_files
from ambiemo.corpora.columns import Imported, build
from ambiemo.corpora.label_files import Source, same_name
from ambiemo.corpora.pins import Downloads, from_manifest
from ambiemo.corpora.recognising import check, clip_names, corpus_of_clip
from ambiemo.errors import BadInput

NAME = "emodb"
LAYOUT = "wav/*.wav with names such as 03a01Fa.wav and, for the share of listeners, erkennung.txt"
LISTENING_TEST = "erkennung.txt"
CLIPS = 535
"""Clips in the full release."""

LABELS = ("anger", "boredom", "disgust", "fear", "happy", "neutral", "sad")
LETTERS = {
    "W": "anger",  # Wut, Ärger
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happy",  # Freude
    "T": "sad",  # Trauer
    "N": "neutral",
}
CLIP = re.compile(rf"\d{{2}}[ab]\d{{2}}[{''.join(LETTERS)}][a-z]?")
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


class Options(ActedOptions):
    """EmoDB has the options of every acted corpus and no others."""


def label_set(options: Options) -> tuple[str, ...]:
    """The acted emotions."""
    return LABELS


def looks_like(root: Path) -> bool:
    """True if a clip has a name of this corpus, in the folder or in `wav`."""
    return any(
        CLIP.fullmatch(stem) for f in (root, root / "wav") for stem in clip_names(f, depth=1)
    )


def downloads() -> Downloads:
    """The clips whose hashes are known. Their owner serves one archive and no single files."""
    known = from_manifest("emodb_manifest.csv", base_url="")
    return Downloads(
        known,
        f"hashes are known for {len(known)} of the {CLIPS} clips (5 of 10 speakers); "
        "the others are not checked",
    )


def load(root: Path, options: Options) -> Imported:
    """The utterance table, with the share of listeners if `erkennung.txt` is there.

    Raises BadInput naming a file or line that is not as the owner's are.
    """
    check(root, NAME)
    folder = same_name(root, "wav") or "."
    files = audio_files(root, (folder,))
    ids = [os.path.basename(place) for place in files]
    for name, path in zip(ids, files.values(), strict=True):
        if not CLIP.fullmatch(name):
            other = corpus_of_clip(name)
            also = f", a clip of {other}" if other else ""
            raise BadInput(
                f"{root / path}: found the name '{name}'{also}; expected one such as 03a01Fa; "
                "move other files away"
            )
    test = same_name(root, LISTENING_TEST) or (
        same_name(root.parent, LISTENING_TEST) if folder == "." else None
    )
    notes: list[str] = []
    shares: dict[str, float] = {}
    sources: list[tuple[str, str]] = []
    if test:
        source = Source(
            root if folder != "." or same_name(root, LISTENING_TEST) else root.parent, test
        )
        sources.append(source.entry)
        shares = _shares(source)
    else:
        notes.append(f"{LISTENING_TEST} is missing: no share of listeners is known")
    labels = [LETTERS[name[5]] for name in ids]
    truth = truth_of(ids, labels, LABELS, options)
    if len(ids) != CLIPS:
        notes.append(f"{len(ids)} of the {CLIPS} released clips are here")
    table = build(
        {
            "utterance_id": ids,
            "corpus": NAME,
            "speaker": [name[:2] for name in ids],
            "cluster": [name[:2] for name in ids],
            "audio_path": list(files),
            "transcript": [TEXTS.get(name[2:5]) for name in ids],
            "intended_label": labels,
            "truth_source": truth.source,
            "recognised_share": [shares.get(name) for name in ids],
        },
        truth.labels,
        truth.votes,
    ).filter(pa.array(truth.keep))
    known = sum(name in shares for name in ids)
    return assemble(
        NAME,
        root,
        options,
        Labelled(
            table=table,
            audio_folders=(folder,),
            counts={
                "clips": len(ids),
                "with_recognised_share": known,
                "shares_without_audio": len(shares) - known,
            },
            sources=[*sources, *truth.sources],
            dropped=truth.dropped,
            set_aside=frozenset(files),
            notes=[*notes, *truth.notes],
        ),
    )


def _shares(source: Source) -> dict[str, float]:
    """{clip: share in [0, 1]} from the listening test.

    The file is tab separated, with German decimal commas and padding by no-break spaces.
    """
    shares: dict[str, float] = {}
    for line, text in source.lines():
        fields = [field.strip() for field in text.split("\t")]
        if not text.strip() or (line == 1 and "satz" in text.lower()):
            continue
        if len(fields) < 3:
            source.bad(
                line,
                f"found {len(fields)} fields",
                "number, file, % recognised, % natural",
                "is the file cut short?",
            )
        name = os.path.splitext(fields[1])[0]
        if not CLIP.fullmatch(name):
            source.bad(line, f"found clip '{fields[1]}'", "one such as 03a01Fa.wav")
        try:
            share = float(fields[2].replace(",", ".")) / 100
        except ValueError:
            source.bad(line, f"found '{fields[2]}' recognised", "a percentage such as 90,00")
        if not 0 <= share <= 1:
            source.bad(line, f"found {fields[2]} % recognised", "0 to 100")
        if name in shares:
            source.bad(line, f"found clip '{fields[1]}' again", "each once")
        shares[name] = round(share, 6)
    return shares
