"""MSP-Podcast: its three label formats, written here, against tables worked out by hand."""

from pathlib import Path

import pytest
from corpora_fixtures import put, rows, wav

from ambiemo.corpora import load
from ambiemo.errors import BadInput

CONSENSUS = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,4.2,4.0,4.2,127,Male,Train
MSP-PODCAST_0001_0019.wav,X,3.0,4.0,4.2,Unknown,Unknown,Development
MSP-PODCAST_0002_0001.WAV,H,5.0,5.0,5.0,9,Female,Test1
MSP-PODCAST_0002_0039.wav,O,5.0,5.0,5.0,9,Female,Test2
MSP-PODCAST_0003_0001.wav,X,,,,Unknown,Unknown,Test3
"""
# clip, worker, primary, secondary ("" = missing)
RATINGS = (
    ("MSP-PODCAST_0001_0008.wav", "WORKER0000001", "Neutral", "Neutral,Concerned"),
    ("MSP-PODCAST_0001_0008.wav", "WORKER0000002", "Neutral", ""),
    ("MSP-PODCAST_0001_0008.wav", "WORKER0000003", "Happy", "Happy,Excited"),
    ("MSP-PODCAST_0001_0019.wav", "WORKER0000001", "Angry", "Angry,Disgust,Frustrated"),
    ("MSP-PODCAST_0001_0019.wav", "WORKER0000004", "Sad", "Sad,Disappointed"),
    ("MSP-PODCAST_0001_0019.wav", "WORKER0000005", "Other-Curious", "Neutral,Other-very curious"),
    ("MSP-PODCAST_0002_0001.WAV", "WORKER0000001", "Surprise", "Surprise,Happy"),
    ("MSP-PODCAST_0002_0001.WAV", "WORKER0000002", "happy", "Happy"),
    ("MSP-PODCAST_0002_0039.wav", "WORKER0000002", "Contempt", "Contempt,Annoyed"),
)
ALL = {"audio": "optional"}


def detailed(layout: str, ratings: tuple = RATINGS) -> str:
    """labels_detailed.csv in one of the owner's formats."""
    if layout == "v1.11":
        lines = ["FileName,EmoDetail"]
        for clip, worker, primary, secondary in ratings:
            middle = f" {secondary};" if secondary else ""
            lines.append(
                f'{clip},"{worker}; {primary};{middle} A:4.000000; V:4.000000; D:4.000000;"'
            )
    else:
        who = {"v1.6": "Workers", "v2.0": "WorkerID"}[layout]
        lines = [f"FileName,{who},EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom"]
        lines += [
            f'{clip},{worker},{primary},"{secondary}",4,4,4'
            for clip, worker, primary, secondary in ratings
        ]
    return "\n".join(lines) + "\n"


def make(root: Path, layout: str = "v2.0", ratings: tuple = RATINGS) -> Path:
    put(root, "Labels/labels_consensus.csv", CONSENSUS)
    put(root, "Labels/labels_detailed.csv", detailed(layout, ratings))
    put(root, "Audios/MSP-PODCAST_0001_0008.wav", wav(1.0))
    put(root, "Audios/MSP-PODCAST_0002_0001.WAV", wav(0.5))
    put(root, "Audios/MSP-PODCAST_0003_0001.wav", wav(0.5))
    put(root, "Transcripts/MSP-PODCAST_0001_0008.txt", "so what do we do\n")
    return root


@pytest.fixture(params=["v1.6", "v1.11", "v2.0"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path / "MSP-Podcast", request.param)


def test_all_three_formats_import_to_the_table_worked_out_by_hand(corpus: Path) -> None:
    imported = load("msp-podcast", corpus, ALL)
    table = rows(imported.table)
    # neutral, happy, angry, sad; 0002_0039 has only Contempt, 0003_0001 no ratings (Test3).
    assert {name: (row["votes"], row["out_of_set_votes"]) for name, row in table.items()} == {
        "MSP-PODCAST_0001_0008": ([2, 1, 0, 0], 0),
        "MSP-PODCAST_0001_0019": ([0, 0, 1, 1], 1),
        "MSP-PODCAST_0002_0001": ([0, 1, 0, 0], 1),
    }
    first, second, third = table.values()
    assert (first["speaker"], first["cluster"], first["split"]) == (
        "127",
        "MSP-PODCAST_0001",
        "Train",
    )
    assert (second["speaker"], second["cluster"], second["split"]) == (
        "",
        "MSP-PODCAST_0001",
        "Development",
    )
    assert third["audio_path"] == "Audios/MSP-PODCAST_0002_0001.WAV"
    assert (first["transcript"], second["transcript"]) == ("so what do we do", None)
    counts = imported.counts
    assert counts["dropped"] == {"labels_withheld": 1, "no_ratings": 0, "no_vote_in_set": 1}
    assert (counts["labelled_utterances"], counts["ratings"], counts["raters"]) == (5, 9, 5)
    assert (counts["votes"], counts["out_of_set_votes"], counts["unknown_speakers"]) == (6, 2, 1)
    assert (counts["votes_without_audio"], counts["audio_without_votes"]) == (1, 0)
    assert [path for path, _ in imported.sources] == [
        "Labels/labels_consensus.csv",
        "Labels/labels_detailed.csv",
        "Transcripts/",
    ]


def test_all_labels_keep_what_lies_outside_the_four(corpus: Path) -> None:
    table = rows(load("msp-podcast", corpus, {**ALL, "label_set": "all"}).table)
    assert len(table) == 4
    assert table["MSP-PODCAST_0001_0019"]["labels"][-1] == "other"
    assert table["MSP-PODCAST_0001_0019"]["votes"] == [0, 0, 1, 1, 0, 0, 0, 0, 1]
    assert table["MSP-PODCAST_0002_0039"]["votes"] == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_secondary_emotions_vote_each_and_a_missing_list_falls_back_on_the_primary(
    corpus: Path,
) -> None:
    imported = load("msp-podcast", corpus, {**ALL, "emotions": "secondary"})
    table = rows(imported.table)
    assert table["MSP-PODCAST_0001_0008"]["votes"] == [2, 1, 0, 0]
    assert table["MSP-PODCAST_0001_0008"]["out_of_set_votes"] == 2  # Concerned, Excited
    assert table["MSP-PODCAST_0001_0019"]["votes"] == [1, 0, 1, 1]
    assert table["MSP-PODCAST_0002_0001"]["votes"] == [0, 2, 0, 0]
    assert imported.counts["ratings_without_secondary"] == 1
    merged = load("msp-podcast", corpus, {**ALL, "emotions": "secondary", "excited_as_happy": True})
    assert rows(merged.table)["MSP-PODCAST_0001_0008"]["votes"] == [2, 1, 0, 0]
    assert rows(merged.table)["MSP-PODCAST_0001_0008"]["out_of_set_votes"] == 1


def test_secondary_votes_can_be_split_so_that_every_rater_counts_once(corpus: Path) -> None:
    imported = load(
        "msp-podcast", corpus, {**ALL, "emotions": "secondary", "several_tags": "split"}
    )
    # Lists of 1, 2 and 3 labels: a vote is 6 units.
    assert imported.counts["vote_unit"] == 6
    assert rows(imported.table)["MSP-PODCAST_0001_0008"]["votes"] == [3 + 6, 3, 0, 0]
    assert rows(imported.table)["MSP-PODCAST_0001_0019"]["votes"] == [3, 0, 2, 3]


def test_splits_choose_and_a_run_takes_only_what_it_can_hear(corpus: Path) -> None:
    imported = load("msp-podcast", corpus, {"splits": ["Test1", "Development"]})
    assert list(rows(imported.table)) == ["MSP-PODCAST_0002_0001"]
    assert imported.counts["dropped"]["split"] == 1
    assert imported.counts["dropped"]["no_audio"] == 1


def test_a_byte_order_mark_windows_line_ends_blank_lines_and_backticks_change_nothing(
    tmp_path: Path,
) -> None:
    plain = load("msp-podcast", make(tmp_path / "a", "v1.11"), ALL).table
    root = make(tmp_path / "b", "v1.11")
    text = (
        detailed("v1.11")
        .replace('"WORKER', '"`WORKER')
        .replace(';"\n', ';`"\n')
        .replace("\n", "\r\n")
        + "\r\n"
    )
    put(root, "Labels/labels_detailed.csv", "\ufeff" + text)
    put(root, "Labels/labels_consensus.csv", "\ufeff" + CONSENSUS.replace("\n", "\r\n"))
    assert load("msp-podcast", root, ALL).table.equals(plain)


def test_ratings_of_clips_that_the_consensus_does_not_name_are_counted(tmp_path: Path) -> None:
    root = make(
        tmp_path, ratings=(*RATINGS, ("MSP-PODCAST_0009_0001.wav", "WORKER0000001", "Happy", ""))
    )
    imported = load("msp-podcast", root, ALL)
    assert imported.counts["ratings_of_unknown_clips"] == 1
    assert any("1 ratings are of clips" in note for note in imported.notes)


@pytest.mark.parametrize("layout", ["v1.6", "v1.11", "v2.0"])
def test_a_label_never_seen_is_named_by_line_or_counted_as_other_if_asked(
    tmp_path: Path, layout: str
) -> None:
    root = make(
        tmp_path,
        layout,
        (*RATINGS[:3], ("MSP-PODCAST_0001_0019.wav", "W", "Wistful", "Wistful"), *RATINGS[3:]),
    )
    with pytest.raises(BadInput, match=r"labels_detailed.csv:5: found label 'Wistful'"):
        load("msp-podcast", root, ALL)
    with pytest.raises(BadInput, match=r"labels_detailed.csv:5: found label 'Wistful'"):
        load("msp-podcast", root, {**ALL, "emotions": "secondary"})
    lenient = load("msp-podcast", root, {**ALL, "unknown_labels": "other"})
    assert rows(lenient.table)["MSP-PODCAST_0001_0019"]["out_of_set_votes"] == 2


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "0001_0019.wav,X",
            "0001_0008.wav,X",
            r"consensus.csv:3: found clip .*0001_0008.wav' again \(first on line 2\)",
        ),
        ("0001_0019.wav,X", "0001_0019.wav,Q", r"consensus.csv:3: found EmoClass 'Q'"),
        (",Development", ",Holdout", r"consensus.csv:3: found Split_Set 'Holdout'"),
        ("9,Female,Test2", "9", r"consensus.csv:5: found .* expected 8 fields.*cut short"),
        (
            "MSP-PODCAST_0002_0001.WAV",
            "1001_IEO_NEU_XX.wav",
            r"consensus.csv:4: found clip '1001_IEO_NEU_XX.wav'",
        ),
        ("SpkrID", "Who", r"consensus.csv:1: found columns .*; expected also SpkrID"),
    ],
)
def test_a_wrong_consensus_row_is_named_by_file_and_line(
    tmp_path: Path, old: str, new: str, found: str
) -> None:
    root = make(tmp_path)
    put(root, "Labels/labels_consensus.csv", CONSENSUS.replace(old, new))
    with pytest.raises(BadInput, match=found) as caught:
        load("msp-podcast", root, ALL)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        (
            "MSP-PODCAST_0002_0039.wav,WORKER",
            r"detailed.csv:11: found .*expected 7 fields.*cut short",
        ),
        ("clip7.wav,W,Happy,,4,4,4\n", r"detailed.csv:11: found clip 'clip7.wav'"),
        ("MSP-PODCAST_0002_0039.wav,W,,,4,4,4\n", r"detailed.csv:11: found label ''"),
    ],
)
def test_a_wrong_rating_is_named_by_file_and_line(tmp_path: Path, tail: str, found: str) -> None:
    root = make(tmp_path)
    put(root, "Labels/labels_detailed.csv", detailed("v2.0") + tail)
    with pytest.raises(BadInput, match=found):
        load("msp-podcast", root, ALL)


@pytest.mark.parametrize(
    "tail",
    [
        'MSP-PODCAST_0002_0039.wav,"W; A:4; V:4; D:4;"\n',
        'MSP-PODCAST_0002_0039.wav,"WORKER0000001;',
        'MSP-PODCAST_0002_0039.wav,"WORKER0000001; Happy; Happy',
        "MSP-PODCAST_0002",
    ],
)
def test_a_damaged_emodetail_is_named_by_file_and_line(tmp_path: Path, tail: str) -> None:
    root = make(tmp_path, "v1.11")
    put(root, "Labels/labels_detailed.csv", detailed("v1.11") + tail)
    with pytest.raises(BadInput, match=r"detailed.csv:11: found "):
        load("msp-podcast", root, ALL)


def test_both_label_files_are_needed(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "Labels/labels_detailed.csv").unlink()
    with pytest.raises(BadInput, match=r"labels_detailed.csv: is missing"):
        load("msp-podcast", root)
