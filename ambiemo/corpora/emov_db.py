"""EmoV-DB as OpenSLR 115 ships it: `<style>_<range>_<number>.wav` in folders named by speaker.

Source: Adigwe et al. 2018; non-commercial.

Four speakers read the same sentences in acted styles; nobody voted. A file's name lacks the
speaker, so a folder above it must name them: `bea_Amused/amused_1-15_0001.wav`, or `bea/amused/…`.
"""

import os
import re
from pathlib import Path

import pyarrow as pa

from ambiemo.corpora.acted import ActedOptions, truth_of
from ambiemo.corpora.assembling import Labelled, assemble, audio_files
from ambiemo.corpora.columns import Imported, build
from ambiemo.corpora.recognising import check, clip_names, corpus_of_clip
from ambiemo.errors import BadInput

NAME = "emov-db"
LAYOUT = (
    "one folder per speaker and style (such as bea_Amused), each with <style>_<range>_<number>.wav"
)
LABELS = ("neutral", "amused", "angry", "sleepy", "disgust")
STYLES = {
    "neutral": "neutral",
    "amused": "amused",
    "anger": "angry",
    "angry": "angry",
    "sleepy": "sleepy",
    "sleepiness": "sleepy",
    "disgust": "disgust",
    "disgusted": "disgust",
}
CLIP = re.compile(rf"({'|'.join(STYLES)})_\d+-\d+_\d{{4}}", re.IGNORECASE)
SPEAKER = re.compile(r"(?<![a-z])(bea|jenie|jennie|sam|josh)(?![a-z])", re.IGNORECASE)
SPELLED = {"jennie": "jenie"}


class Options(ActedOptions):
    """EmoV-DB has the options of every acted corpus and no others."""


def label_set(options: Options) -> tuple[str, ...]:
    """The acted styles."""
    return LABELS


def looks_like(root: Path) -> bool:
    """True if a clip has a name of this corpus, up to two folders down."""
    return any(CLIP.fullmatch(stem) for stem in clip_names(root, depth=3))


def load(root: Path, options: Options) -> Imported:
    """The utterance table. Utterance ids are SPEAKER_FILENAME, because speakers share file names.

    Raises BadInput naming a file whose style or speaker is unknown, and a clip that occurs twice.
    """
    check(root, NAME)
    files = audio_files(root, (".",))
    ids: list[str] = []
    speakers: list[str] = []
    styles: list[str] = []
    where: dict[str, str] = {}
    for place, path in files.items():
        folder, stem = os.path.split(place)
        if not CLIP.fullmatch(stem):
            other = corpus_of_clip(stem)
            also = f", a clip of {other}" if other else ""
            raise BadInput(
                f"{root / path}: found the name '{stem}'{also}; "
                "expected <style>_<range>_<number> with a style of "
                f"{', '.join(sorted(STYLES))}; move other files away"
            )
        named = SPEAKER.findall(folder) or SPEAKER.findall(root.name)
        if not named:
            raise BadInput(
                f"{root / path}: no folder names the speaker; expected one of bea, jenie, sam, "
                "josh, as in bea_Amused/"
            )
        speaker = SPELLED.get(named[-1].lower(), named[-1].lower())
        name = f"{speaker}_{stem}"
        if name in where:
            raise BadInput(
                f"{root / path}: is the same clip as {where[name]} (utterance id '{name}'); "
                "keep one of them"
            )
        where[name] = path
        ids.append(name)
        speakers.append(speaker)
        styles.append(STYLES[stem.split("_")[0].lower()])
    truth = truth_of(ids, styles, LABELS, options)
    table = build(
        {
            "utterance_id": ids,
            "corpus": NAME,
            "speaker": speakers,
            "cluster": speakers,
            "audio_path": list(files),
            "intended_label": styles,
            "truth_source": truth.source,
        },
        truth.labels,
        truth.votes,
    ).filter(pa.array(truth.keep))
    return assemble(
        NAME,
        root,
        options,
        Labelled(
            table=table,
            audio_folders=(".",),
            counts={"clips": len(ids)},
            sources=truth.sources,
            dropped=truth.dropped,
            set_aside=frozenset(files),
            notes=truth.notes,
        ),
    )
