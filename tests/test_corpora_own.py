"""One's own clips: a CSV and audio files; what cannot be used is named by file and row."""

import re
from pathlib import Path

import pytest
from conftest import ROOT
from corpora_fixtures import put, rows, wav

from ambiemo.corpora import load
from ambiemo.corpora.recognising import corpora_in
from ambiemo.errors import BadInput

HEAD = "utterance_id,audio,speaker,angry,calm"
GOOD = f"{HEAD}\na,wav/a.wav,ann,3,1\nb,wav/1001_IEO_NEU_XX.wav,,0,4\n"
LABELS = {"labels": ["angry", "calm"]}


def folder(root: Path, text: str = GOOD) -> Path:
    put(root, "clips.csv", text)
    put(root, "wav/a.wav", wav(1.0))
    put(root, "wav/1001_IEO_NEU_XX.wav", wav(1.5, pitch=300.0))
    put(root, "wav/1002_IEO_NEU_XX.wav", wav(1.5, pitch=400.0))
    return root


def test_each_row_is_an_utterance_with_its_votes_and_its_audio(tmp_path: Path) -> None:
    made = load("own", folder(tmp_path), LABELS)
    a, b = rows(made.table)["a"], rows(made.table)["b"]
    assert (a["votes"], a["labels"], a["speaker"], a["cluster"]) == (
        [3, 1],
        ["angry", "calm"],
        "ann",
        "ann",
    )
    assert (b["audio_path"], b["speaker"]) == ("wav/1001_IEO_NEU_XX.wav", "")
    assert len(a["audio_sha256"]) == 64
    assert a["truth_source"] == "votes"
    assert made.counts["dropped"] == {"no_audio": 0}


def test_the_order_of_columns_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    other = "calm,speaker,audio,utterance_id,angry\n1,ann,wav/a.wav,a,3\n4,,wav/1001_IEO_NEU_XX.wav,b,0\n"
    one = load("own", folder(tmp_path / "one"), LABELS).table
    two = load("own", folder(tmp_path / "two", "\ufeff" + other), LABELS).table
    assert one.equals(two)


def test_clusters_splits_and_transcripts_are_no_labels(tmp_path: Path) -> None:
    text = f"{HEAD},cluster,split,transcript\na,wav/a.wav,ann,3,1,d1,test,ha\n"
    (row,) = load("own", folder(tmp_path, text), LABELS).table.to_pylist()
    assert (row["cluster"], row["split"], row["transcript"]) == ("d1", "test", "ha")
    assert row["labels"] == ["angry", "calm"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("utterance_id,audio,angry,calm\na,wav/a.wav,1,2\n", r"clips\.csv:1: found columns .*; expected also speaker"),
        (f"{HEAD},sad\na,wav/a.wav,ann,1,2,3\n", r"clips\.csv:1: found the label columns angry, calm, sad; expected angry, calm"),
        (f"{HEAD}\na,wav/a.wav,ann,3\n", r"clips\.csv:2: found 4 fields; expected 5"),
        (f"{HEAD}\na,wav/a.wav,ann,3,1\na,wav/a.wav,ann,3,1\n", r"clips\.csv:3: found 'a' again \(line 2\)"),
        (f"{HEAD}\n,wav/a.wav,ann,3,1\n", r"clips\.csv:2: found no utterance_id"),
        (f"{HEAD}\na,wav/a.wav,ann,0.5,1\n", r"clips\.csv:2: found votes 0\.5, 1; expected whole numbers"),
        (f"{HEAD}\na,wav/a.wav,ann,0,0\n", r"clips\.csv:2: found no vote for 'a'"),
        (f"{HEAD}\na,../a.wav,ann,0,1\n", r"clips\.csv:2: found audio '\.\./a\.wav'; expected a path below"),
        (f"{HEAD}\na,/etc/a.wav,ann,0,1\n", r"clips\.csv:2: found audio '/etc/a\.wav'"),
        (f"{HEAD}\na,wav/a.mp3,ann,0,1\n", r"clips\.csv:2: found audio 'wav/a\.mp3'; expected the path of a \.wav or \.flac"),
        (f"{HEAD}\na,wav/none.wav,ann,0,1\n", r"no own utterance is left \(no_audio: 1\)"),
        (f"{HEAD}\n", r"clips\.csv:1: found no row below the header"),
        ("", r"clips\.csv: is empty"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=says):
        load("own", folder(tmp_path, text), LABELS)


def test_a_folder_without_the_csv_and_a_file_in_its_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"clips\.csv: cannot be read: No such file"):
        load("own", tmp_path, LABELS)
    with pytest.raises(BadInput, match=r"a\.csv: is a file; expected a folder"):
        load("own", put(tmp_path, "a.csv", GOOD), LABELS)
    assert corpora_in(tmp_path) == []
    assert corpora_in(folder(tmp_path / "mine")) == ["own"]


def test_the_csv_of_the_docs_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "corpora.md").read_text("utf-8").partition("## Your own clips")[2]
    (text,) = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    put(tmp_path, "clips.csv", text)
    for name in ("laugh", "sigh", "shout"):
        put(tmp_path, f"wav/{name}.wav", wav())
    made = load("own", tmp_path, {"labels": ["angry", "calm", "happy"]})
    assert made.counts["utterances"] == 3
