"""The embedded clips are what their manifest says, and none of their voices or sentences was
trained on.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ambiemo import corpora, durable
from ambiemo.errors import BadInput
from ambiemo.labels import SIX, entropy_bits, truth
from ambiemo.tiny import clips, raters, speech, texts

ROWS = clips.manifest()
TINY = Path(clips.__file__).parent


def test_every_clip_is_the_one_its_manifest_names():
    assert {row["audio"] for row in ROWS} == {path.name for path in clips.FOLDER.glob("*.flac")}
    for row in ROWS:
        path = clips.FOLDER / row["audio"]
        assert durable.sha256_file(path) == row["sha256"], row["utterance_id"]
        samples, _ = soundfile.read(path, dtype="int16")
        assert durable.sha256(samples.astype("<i2").tobytes()) == row["samples_sha256"], row[
            "utterance_id"
        ]


def test_every_clip_is_16_khz_mono_16_bit_flac_of_at_most_four_seconds():
    for row in ROWS:
        info = soundfile.info(clips.FOLDER / row["audio"])
        assert (info.format, info.samplerate, info.channels, info.subtype) == (
            "FLAC",
            16_000,
            1,
            "PCM_16",
        )
        assert 0.5 < info.duration <= 4
        assert info.duration == pytest.approx(row["duration_s"], abs=1e-4)


def test_no_clip_is_silent_or_clipped():
    for row in ROWS:
        samples = clips.audio(row)
        assert 0.01 < np.abs(samples).max() < 0.99, row["utterance_id"]


def test_there_are_enough_clips_voices_and_mixes():
    mixes = [row for row in ROWS if len(row["weights"]) == 2]
    assert len(ROWS) == 96
    assert len({row["speaker"] for row in ROWS}) == len({row["voice"] for row in ROWS}) == 12
    assert len(mixes) == 48
    assert {row["intended_label"] for row in ROWS} == set(SIX)


def test_every_clip_has_nine_votes_from_the_stated_rater_model():
    items = {item.utterance_id: item for item in speech.held_out("test", clips.PER_SPEAKER)}
    for row in ROWS:
        item = items[row["utterance_id"]]
        assert sum(row["votes"]) == raters.PANEL == 9
        assert row["votes"] == raters.vote(item.weights, item.intensity, item.utterance_id).tolist()


def test_the_votes_span_clear_and_ambiguous_clips():
    entropy = entropy_bits(truth(np.array([row["votes"] for row in ROWS])))
    assert (entropy < 1).sum() >= 15
    assert ((entropy >= 1) & (entropy <= 1.5)).sum() >= 15
    assert (entropy > 1.5).sum() >= 15


def test_mixed_clips_split_the_raters_more_than_pure_ones():
    entropy = entropy_bits(truth(np.array([row["votes"] for row in ROWS])))
    mixed = np.array([len(row["weights"]) == 2 for row in ROWS])
    assert entropy[mixed].mean() > entropy[~mixed].mean() + 0.2


def test_no_voice_and_no_sentence_is_in_two_splits():
    for table in (speech.VARIANTS, texts.SENTENCES):
        everything = [one for split in table.values() for one in split]
        assert len(set(everything)) == len(everything)
    assert {row["sentence"] for row in ROWS} <= set(texts.SENTENCES["test"])
    assert {row["voice"].split("+")[1] for row in ROWS} == set(speech.VARIANTS["test"])
    learnt = speech.training(300)
    assert not {item.sentence for item in learnt} & {row["sentence"] for row in ROWS}
    assert not {item.speaker.variant for item in learnt} & {
        row["voice"].split("+")[1] for row in ROWS
    }


def test_half_of_the_training_clips_are_mixes():
    assert sum(max(item.weights) < 1 for item in speech.training(200)) == 100


@pytest.mark.skipif(
    shutil.which("espeak-ng") is None,
    reason="espeak-ng is not installed: it is needed only to remake the clips",
)
def test_the_same_espeak_ng_speaks_the_same_samples_again():
    made = json.loads((clips.FOLDER / "made.json").read_text(encoding="utf-8"))
    if speech.synthesiser() != made["synthesiser"]:
        pytest.skip(f"the clips were made by {made['synthesiser']}, here is {speech.synthesiser()}")
    items = speech.held_out("test", clips.PER_SPEAKER)
    for row, item in list(zip(ROWS, items, strict=True))[::19]:
        assert durable.sha256(speech.clip(item).astype("<i2").tobytes()) == row["samples_sha256"], (
            row["utterance_id"]
        )


def test_the_embedded_default_is_small_enough_to_ship():
    size = sum(
        path.stat().st_size
        for folder in ("clips", "checkpoint")
        for path in (TINY / folder).rglob("*")
    )
    assert size <= 14e6
    assert sum(path.stat().st_size for path in clips.FOLDER.glob("*.flac")) <= 5e6


def test_the_corpus_room_reads_the_packaged_clips():
    found = corpora.load("tiny")
    table = found.table.to_pydict()
    assert table["utterance_id"] == sorted(row["utterance_id"] for row in ROWS)
    assert table["cluster"] == table["speaker"]
    assert table["labels"][0] == list(SIX) == list(texts.LABELS)
    assert found.counts["votes"] == 96 * 9
    assert found.counts["bad_audio"] == 0
    assert found.root == clips.FOLDER


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "no JSON"),
        ("[]", "list"),
        ('{"utterance_id": "a"}', "speaker"),
        (json.dumps(ROWS[0] | {"votes": [0] * 6}), "votes"),
        (json.dumps(ROWS[0] | {"votes": [1, 2]}), "votes"),
        (json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[0]), "again"),
        ("", "no line"),
    ],
)
def test_a_broken_manifest_is_named_with_its_line(tmp_path, line, named):
    (tmp_path / "utterances.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(BadInput, match=named) as error:
        corpora.load("tiny", tmp_path)
    assert "utterances.jsonl" in str(error.value)


def test_a_folder_without_the_manifest_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"python -m ambiemo\.tiny clips"):
        corpora.load("tiny", tmp_path)
