"""IEMOCAP: folders in the owner's format, written here, against tables worked out by hand."""

from pathlib import Path

import pytest
from corpora_fixtures import put, rows, wav

from ambiemo.corpora import load
from ambiemo.errors import BadInput

IMPRO = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral; Happiness;\t(calm; Anger, then (almost) fear;)
C-E4:\tNeutral;\t()
C-F1:\tNeutral;\t(curious)
A-E3:\tval 3; act 2; dom  2;\t()
A-F1:\tval 3; act 2; dom  1;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M000\txxx\t[2.5000, 2.5000, 2.5000]
C-E2:\tFrustration;\t()
C-E3:\tAnger; Excited;\t()
C-E4:\tHappiness; Excited; Surprise;\t()
C-M1:\tSadness;\t()
A-E3:\tval 2; act 3; dom  3;\t()

"""
SCRIPT = """% head

[1.0 - 2.0]\tSes02M_script01_1b_F003\tfru\t[1.0, 1.0, 1.0]
C-E1:\tFrustration;\t()
C-E2:\tOther;\t(sarcastic)
C-E6:\t\t()
A-E1:\tval 2; act 3; dom  3;\t()

[3.0 - 4.0]\tSes02M_script01_1b_M001\tsad\t[1.0, 1.0, 1.0]
C-E1:\tSadness;\t()
C-E2:\tNeutral state;\t()
A-E1:\tval 2; act 3; dom  3;\t()
"""
ALL = {"audio": "optional"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "IEMOCAP_full_release"
    put(
        root,
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
        "\ufeff" + IMPRO.replace("\n", "\r\n"),
    )
    put(root, "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt", b"\0\5\26\7 a Mac's twin")
    put(
        root,
        "Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e2_cat.txt",
        "Ses01F_impro01_F000 :Neutral state; ()\n",
    )
    put(root, "Session2/dialog/EmoEvaluation/Ses02M_script01_1b.TXT", SCRIPT)
    spoken = (
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\r\nM: [LAUGHTER]\r\n"
        "Ses01F_impro01_M000 [010.0100-011.3925]: Do you have your forms?\r\n"
    )
    put(root, "Session1/dialog/transcriptions/Ses01F_impro01.txt", spoken)
    put(root, "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav", wav(1.9))
    put(root, "Session2/sentences/wav/Ses02M_script01_1b/Ses02M_script01_1b_M001.WAV", wav(1.0))
    put(root, "Session2/sentences/wav/Ses02M_script01_1b/Ses02M_script01_1b_M009.wav", wav(1.0))
    put(root, "Session2/sentences/wav/Ses02M_script01_1b/Ses02M_script01_1b_F003.wav", wav(1.0))
    return root


def test_the_folder_imports_to_the_table_worked_out_by_hand(corpus: Path) -> None:
    imported = load("iemocap", corpus, ALL)
    table = rows(imported.table)
    # neutral, happy, angry, sad; F003 of session 2 has no vote among the four.
    assert {name: row["votes"] for name, row in table.items()} == {
        "Ses01F_impro01_F000": [3, 1, 0, 0],
        "Ses01F_impro01_M000": [0, 1, 1, 0],
        "Ses02M_script01_1b_M001": [1, 0, 0, 1],
    }
    assert [row["out_of_set_votes"] for row in table.values()] == [0, 4, 0]
    first, second, third = table.values()
    assert (first["speaker"], first["cluster"], first["split"]) == (
        "Ses01F",
        "Ses01F_impro01",
        "Session1",
    )
    assert (second["speaker"], third["speaker"]) == ("Ses01M", "Ses02M")
    assert (first["transcript"], second["transcript"], third["transcript"]) == (
        "Excuse me.",
        "Do you have your forms?",
        None,
    )
    assert first["audio_path"] == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert (first["duration_s"], second["audio_path"]) == (1.9, "")
    assert third["audio_path"].endswith("M001.WAV")
    counts = imported.counts
    assert (
        counts["dialogues"],
        counts["labelled_utterances"],
        counts["ratings"],
        counts["tags"],
    ) == (2, 4, 10, 14)
    assert (
        counts["self_reports_left_out"],
        counts["empty_ratings"],
        counts["no_majority_by_owner"],
    ) == (2, 1, 1)
    assert counts["dropped"] == {"no_vote_in_set": 1}
    assert (counts["votes_without_audio"], counts["audio_without_votes"]) == (1, 1)
    assert (counts["votes"], counts["out_of_set_votes"]) == (8, 4)
    assert [path for path, _ in imported.sources] == [
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
        "Session1/dialog/transcriptions/Ses01F_impro01.txt",
        "Session2/dialog/EmoEvaluation/Ses02M_script01_1b.TXT",
    ]
    assert any("full release has 151 and 10,039" in note for note in imported.notes)


def test_excited_as_happy_gives_a_rater_of_both_one_vote(corpus: Path) -> None:
    table = rows(load("iemocap", corpus, {**ALL, "excited_as_happy": True}).table)
    assert table["Ses01F_impro01_M000"]["votes"] == [0, 2, 1, 0]
    assert table["Ses01F_impro01_M000"]["out_of_set_votes"] == 2
    assert table["Ses01F_impro01_F000"]["votes"] == [3, 1, 0, 0]


def test_all_labels_leave_no_vote_outside(corpus: Path) -> None:
    imported = load("iemocap", corpus, {**ALL, "label_set": "all"})
    table = rows(imported.table)
    labels = table["Ses01F_impro01_M000"]["labels"]
    assert len(labels) == 10
    voted = dict(zip(labels, table["Ses01F_impro01_M000"]["votes"], strict=True))
    assert {name: n for name, n in voted.items() if n} == {
        "frustrated": 1,
        "angry": 1,
        "excited": 2,
        "happy": 1,
        "surprise": 1,
    }
    assert (imported.counts["out_of_set_votes"], imported.counts["dropped"]) == (
        0,
        {"no_vote_in_set": 0},
    )
    merged = load("iemocap", corpus, {**ALL, "label_set": "all", "excited_as_happy": True})
    assert "excited" not in rows(merged.table)["Ses01F_impro01_M000"]["labels"]


def test_a_split_vote_is_one_vote_for_every_rater(corpus: Path) -> None:
    imported = load("iemocap", corpus, {**ALL, "several_tags": "split"})
    table = rows(imported.table)
    # Raters gave 1, 2 or 3 labels: a vote is 6 units.
    assert imported.counts["vote_unit"] == 6
    assert table["Ses01F_impro01_F000"]["votes"] == [15, 3, 0, 0]
    assert table["Ses01F_impro01_M000"]["votes"] == [0, 2, 3, 0]
    assert table["Ses01F_impro01_M000"]["out_of_set_votes"] == 6 + 3 + 2 + 2
    assert imported.counts["votes"] == pytest.approx(3 + 5 / 6 + 2, abs=1e-5)


def test_utterances_with_votes_outside_the_set_can_be_excluded(corpus: Path) -> None:
    imported = load("iemocap", corpus, {**ALL, "out_of_set": "exclude"})
    assert list(rows(imported.table)) == ["Ses01F_impro01_F000", "Ses02M_script01_1b_M001"]
    assert imported.counts["dropped"] == {"no_vote_in_set": 1, "out_of_set_votes": 1}


def test_sessions_are_the_splits(corpus: Path) -> None:
    imported = load("iemocap", corpus, {**ALL, "splits": ["Session2"]})
    assert list(rows(imported.table)) == ["Ses02M_script01_1b_M001"]
    assert imported.counts["dropped"]["split"] == 2
    with pytest.raises(BadInput, match="found 'Session5'; expected one of Session1, Session2"):
        load("iemocap", corpus, {"splits": ["Session5"]})


def test_resolved_options_write_out_every_default(corpus: Path) -> None:
    assert load("iemocap", corpus).options == {
        "audio": "required",
        "bad_audio": "keep",
        "splits": [],
        "limit": None,
        "label_set": "four",
        "excited_as_happy": False,
        "out_of_set": "renormalise",
        "several_tags": "each",
    }


HEAD = "[1.0 - 2.0]\tSes01F_impro02_F000\tneu\t[1.0, 1.0, 1.0]\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            HEAD + "C-E1:\tNeutrl;\t()\n",
            r"Ses01F_impro02.txt:2: found label 'Neutrl'; expected one of Anger",
        ),
        (
            HEAD + "C-E1:\tNeut",
            r"impro02.txt:2: found 'Neut'; expected labels, then a comment.*cut short",
        ),
        (HEAD, r"impro02.txt:1: found 'Ses01F_impro02_F000' without external raters.*cut short"),
        (HEAD + "C-F1:\tNeutral;\t()\n", r"impro02.txt:1: .*without external raters"),
        (
            HEAD + "C-E1:\tNeutral;\t()\n\n" + HEAD + "C-E1:\tAnger;\t()\n",
            r"impro02.txt:4: .*again .first at .*impro02.txt:1",
        ),
        (HEAD.replace("neu", "bor") + "C-E1:\tNeutral;\t()\n", r"impro02.txt:1: found code 'bor'"),
        (
            HEAD.replace("Ses01F_impro02_F000", "Ses01F_impro07_F000") + "C-E1:\tNeutral;\t()\n",
            "are two files mixed",
        ),
        (
            HEAD.replace("Ses01F_impro02_F000", "Ses02F_impro02_F000") + "C-E1:\tNeutral;\t()\n",
            "are two files mixed",
        ),
        (
            HEAD.replace("Ses01F_impro02_F000", "MSP-PODCAST_0001_0008") + "C-E1:\tNeutral;\t()\n",
            "is this an IEMOCAP file",
        ),
        ("[1.0 - 2.0]\tSes01F_impro02_F0", r"impro02.txt:1: found .*expected '\[start - end\]'"),
        ("C-E1:\tNeutral;\t()\n", r"impro02.txt:1: found a rating before any utterance"),
        (HEAD + "X-E1:\tNeutral;\t()\n", r"impro02.txt:2: found 'X-E1:"),
        ("% only a head\n", "found no utterance"),
        ("", "is empty"),
    ],
)
def test_a_line_that_does_not_parse_is_named_by_file_and_line(
    corpus: Path, text: str, found: str
) -> None:
    put(corpus, "Session1/dialog/EmoEvaluation/Ses01F_impro02.txt", text)
    with pytest.raises(BadInput, match=found) as caught:
        load("iemocap", corpus, ALL)
    assert "\n" not in str(caught.value)


def test_a_folder_of_another_session_level_is_pointed_out(corpus: Path) -> None:
    with pytest.raises(BadInput, match="lies inside the iemocap folder"):
        load("iemocap", corpus / "Session1")
    with pytest.raises(BadInput, match="'IEMOCAP_full_release' in it is"):
        load("iemocap", corpus.parent)
