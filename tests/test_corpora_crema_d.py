"""CREMA-D: the owner's numbers on the real table, and every way a table or folder can be wrong."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from corpora_fixtures import LFS_POINTER, put, rows, wav

from ambiemo import labels as of
from ambiemo.cli import main
from ambiemo.corpora import load
from ambiemo.corpora.columns import votes_of
from ambiemo.corpora.crema_d import LETTERS, SENTENCES
from ambiemo.errors import BadInput

HEAD = '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"\n'
GOOD = (
    '"100001",0,0,0,1,10,0,"1001_IEO_NEU_XX",11,0.909090909090909,"N"\n'
    '"100002",5,5,0,0,1,1,"1001_IEO_ANG_MD",12,0.416666666666667,"A:D"\n'
    '"100003",0,0,0,0,0,4,"1002_TSI_SAD_HI",4,1,"S"\n'
    '"200001",0,0,0,9,0,0,"1001_IEO_NEU_XX",9,1,"H"\n'
    '"300001",0,0,8,0,1,0,"1001_IEO_NEU_XX",9,0.888888888888889,"F"\n'
)
ALL = {"audio": "optional"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "CREMA-D"
    put(root, "processedResults/tabulatedVotes.csv", HEAD + GOOD)
    put(root, "AudioWAV/1001_IEO_NEU_XX.wav", wav(1.0))
    put(root, "AudioWAV/1002_TSI_SAD_HI.WAV", wav(0.5))
    return root


def votes_file(root: Path, text: str) -> None:
    put(root, "processedResults/tabulatedVotes.csv", text)


def test_describe_prints_the_owners_numbers_of_the_real_table(
    shared_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "utterances.parquet"
    run = CliRunner()
    made = run.invoke(
        main,
        ["data", "import", "crema-d", "--root", str(shared_data / "crema_d"), "--out", str(out)],
    )
    assert made.exit_code == 0, made.output
    text = run.invoke(main, ["data", "describe", str(out)]).output
    for line in (
        "utterances            7,442 (7,442 with votes, 10 with audio, 27.2 s)",
        "votes                 68,568 (0 more for labels outside the set)",
        "votes per label       anger 9,863, disgust 8,851, fear 8,212, happy 4,590, neutral 30,152, sad 6,900",
        "votes per utterance   min 4, median 9, max 12; 384 utterances have fewer than 8",
        "unanimous             383",
        "plurality ties        644",
        "entropy, bits         mean 1.196, median 1.295, p75 1.571, p90 1.846, max 2.522",
        "intended = plurality  3,099 (41.6%): intended is not the truth",
    ):
        assert line in text
    d = json.loads(run.invoke(main, ["data", "describe", str(out), "--json"]).output)
    assert (d["speakers"], d["utterances"], d["with_audio"]) == (91, 7442, 10)
    assert d["entropy_bits_miller_madow"]["mean"] > d["entropy_bits"]["mean"]
    assert sum(d["levels"].values()) == 7442


def test_votes_agree_with_the_owners_agreement_and_winner_in_all_22326_rows(
    shared_data: Path,
) -> None:
    with open(
        shared_data / "crema_d/processedResults/tabulatedVotes.csv", encoding="utf-8", newline=""
    ) as file:
        owner = list(csv.DictReader(file))
    assert len(owner) == 22_326
    seen = 0
    for number, query in enumerate(("voice", "face", "audio_visual"), start=1):
        table = load("crema-d", shared_data / "crema_d", {"audio": "ignore", "query": query}).table
        labels, votes = votes_of(table)
        mine = sorted(
            (row for row in owner if row[""].startswith(str(number))),
            key=lambda row: row["fileName"],
        )
        assert [row["fileName"] for row in mine] == table.column("utterance_id").to_pylist()
        truth = of.truth(votes)
        most = truth.max(axis=1)
        assert np.abs(most - [float(row["agreement"]) for row in mine]).max() < 1e-9
        letters = np.array([label[0].upper() for label in labels])
        winners = [":".join(sorted(letters[p == top])) for p, top in zip(truth, most, strict=True)]
        assert winners == [row["emoVote"] for row in mine]
        responses = np.array([int(row["numResponses"]) for row in mine])
        columns = np.array([[int(row[letter]) for letter in letters] for row in mine])
        assert np.allclose(truth * responses[:, None], columns)
        seen += len(mine)
    assert seen == 22_326


def test_a_run_gets_only_what_it_can_hear(shared_data: Path) -> None:
    imported = load("crema-d", shared_data / "crema_d")
    assert len(imported.table) == imported.counts["with_audio"] == 10
    assert imported.counts["dropped"] == {"no_audio": 7432}
    assert imported.counts["audio_not_as_released"] == 0
    assert imported.root == shared_data / "crema_d"
    assert all(
        (imported.root / path).is_file() for path in imported.table.column("audio_path").to_pylist()
    )


def test_a_small_table_imports_to_what_was_written(corpus: Path) -> None:
    imported = load("crema-d", corpus, ALL)
    table = rows(imported.table)
    assert list(table) == ["1001_IEO_ANG_MD", "1001_IEO_NEU_XX", "1002_TSI_SAD_HI"]
    first = table["1001_IEO_NEU_XX"]
    assert first["labels"] == list(of.SIX)
    assert first["votes"] == [0, 0, 0, 1, 10, 0]
    assert table["1001_IEO_ANG_MD"]["votes"] == [5, 5, 0, 0, 1, 1]
    assert (first["speaker"], first["cluster"], first["split"]) == ("1001", "1001", "all")
    assert (first["intended_label"], first["transcript"]) == ("neutral", SENTENCES["IEO"])
    assert (first["audio_path"], first["duration_s"]) == ("AudioWAV/1001_IEO_NEU_XX.wav", 1.0)
    assert table["1002_TSI_SAD_HI"]["audio_path"] == "AudioWAV/1002_TSI_SAD_HI.WAV"
    assert table["1001_IEO_ANG_MD"]["audio_path"] == ""
    assert table["1001_IEO_ANG_MD"]["duration_s"] is None
    counts = imported.counts
    assert (counts["votes"], counts["rows"], counts["rows_of_other_queries"]) == (27, 5, 2)
    assert (counts["votes_without_audio"], counts["audio_without_votes"]) == (1, 0)
    assert counts["audio_not_as_released"] == 2


def test_the_query_chooses_whose_votes(corpus: Path) -> None:
    assert rows(load("crema-d", corpus, {**ALL, "query": "face"}).table)["1001_IEO_NEU_XX"][
        "votes"
    ] == [
        0,
        0,
        0,
        9,
        0,
        0,
    ]
    assert rows(load("crema-d", corpus, {**ALL, "query": "audio_visual"}).table)["1001_IEO_NEU_XX"][
        "votes"
    ] == [
        0,
        0,
        8,
        0,
        1,
        0,
    ]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(corpus: Path) -> None:
    before = load("crema-d", corpus, ALL).table
    votes_file(corpus, "\ufeff" + (HEAD + GOOD).replace("\n", "\r\n"))
    assert load("crema-d", corpus, ALL).table.equals(before)


def test_clips_whose_wav_is_known_to_be_wrong_keep_their_votes_but_have_no_audio(
    corpus: Path,
) -> None:
    votes_file(corpus, HEAD + GOOD + '"100004",0,0,0,0,9,0,"1076_MTI_SAD_XX",9,1,"N"\n')
    put(corpus, "AudioWAV/1076_MTI_SAD_XX.wav", wav(0.4))
    dropped = load("crema-d", corpus, ALL)
    assert rows(dropped.table)["1076_MTI_SAD_XX"]["audio_path"] == ""
    assert dropped.counts["known_wrong_audio"] == 1
    assert dropped.counts["audio_without_votes"] == 0
    assert any("1076_MTI_SAD_XX" in note for note in dropped.notes)
    kept = load("crema-d", corpus, {**ALL, "known_wrong_audio": "keep"})
    assert rows(kept.table)["1076_MTI_SAD_XX"]["audio_path"] == "AudioWAV/1076_MTI_SAD_XX.wav"


def test_audio_without_votes_and_votes_without_audio_are_counted_both_ways(corpus: Path) -> None:
    put(corpus, "AudioWAV/1050_DFA_FEA_XX.wav", wav())
    imported = load("crema-d", corpus, ALL)
    assert (imported.counts["votes_without_audio"], imported.counts["audio_without_votes"]) == (
        1,
        1,
    )
    assert any("1050_DFA_FEA_XX" in note for note in imported.notes)


def test_a_limit_is_spread_nested_and_the_same_every_time(shared_data: Path) -> None:
    ids = [
        load("crema-d", shared_data / "crema_d", {**ALL, "limit": n})
        .table.column("utterance_id")
        .to_pylist()
        for n in (20, 60)
    ]
    assert ids[1] == sorted(ids[1])
    assert set(ids[0]) < set(ids[1])
    assert len({name[:4] for name in ids[1]}) > 30


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ('"100009",0,0,0,1\n', "tabulatedVotes.csv:7: found 5 fields; expected 11"),
        (
            '"100009",0,0,0,x,9,0,"1003_IEO_NEU_XX",9,1,"N"\n',
            "tabulatedVotes.csv:7: found invalid literal",
        ),
        (
            '"100009",0,0,0,0,9,0,"1003_IEO_NEU_XX",8,1,"N"\n',
            "tabulatedVotes.csv:7: .*9 votes but numResponses 8",
        ),
        (
            '"100009",0,0,0,1,8,0,"1003_IEO_NEU_XX",9,1,"N"\n',
            "tabulatedVotes.csv:7: .*agreement 1.0",
        ),
        ('"100009",0,0,0,0,9,0,"1003_IEO_NEU_XX",9,1,"H"\n', "tabulatedVotes.csv:7: .*emoVote 'H'"),
        (
            '"100009",0,0,0,0,9,0,"1001_IEO_NEU_XX",9,1,"N"\n',
            "tabulatedVotes.csv:7: .*again .first on line 2.",
        ),
        (
            '"900009",0,0,0,0,9,0,"1003_IEO_NEU_XX",9,1,"N"\n',
            "tabulatedVotes.csv:7: found row id 900009",
        ),
        (
            '"100009",0,0,0,0,9,0,"1003_IEO_BOR_XX",9,1,"N"\n',
            "tabulatedVotes.csv:7: found clip '1003_IEO_BOR_XX'",
        ),
        ('"100009",0,0,0,0,0,0,"1003_IEO_NEU_XX",0,0,""\n', "tabulatedVotes.csv:7: .*found votes"),
        ('"inf",0,0,0,0,9,0,"1003_IEO_NEU_XX",9,1,"N"\n', "tabulatedVotes.csv:7: found cannot"),
        (
            f'"100009",0,0,0,0,{10**30},0,"1003_IEO_NEU_XX",{10**30},1,"N"\n',
            "tabulatedVotes.csv:7: found 10+ votes",
        ),
        (
            '"100009",0,0,0,1,8,0,"1003_IEO_NEU_XX",9,nan,"N"\n',
            "tabulatedVotes.csv:7: .*agreement nan",
        ),
    ],
)
def test_a_row_that_does_not_parse_is_named_by_file_and_line_and_nothing_is_written(
    corpus: Path, tmp_path: Path, row: str, found: str
) -> None:
    votes_file(corpus, HEAD + GOOD + row)
    with pytest.raises(BadInput, match=found):
        load("crema-d", corpus, ALL)
    out = tmp_path / "out" / "u.parquet"
    result = CliRunner().invoke(
        main, ["data", "import", "crema-d", "--root", str(corpus), "--out", str(out)]
    )
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    assert not out.parent.exists()


def test_a_missing_column_is_named(corpus: Path) -> None:
    votes_file(corpus, (HEAD + GOOD).replace("emoVote", "winner"))
    with pytest.raises(BadInput, match=r":1: found columns .*; expected also emoVote"):
        load("crema-d", corpus, ALL)


def test_an_lfs_pointer_in_place_of_the_votes_or_the_audio_says_how_to_get_it(
    corpus: Path, tmp_path: Path
) -> None:
    put(corpus, "AudioWAV/1001_IEO_NEU_XX.wav", LFS_POINTER)
    with pytest.raises(BadInput, match=r"1001_IEO_NEU_XX.wav: is a Git LFS pointer.*git lfs pull"):
        load("crema-d", corpus, {**ALL, "bad_audio": "stop"})
    kept = load("crema-d", corpus)
    assert rows(kept.table)["1001_IEO_NEU_XX"]["duration_s"] is None
    assert kept.counts["bad_audio"] == 1
    assert load("crema-d", corpus, {"audio": "ignore"}).counts["with_audio"] == 0
    put(corpus, "processedResults/tabulatedVotes.csv", LFS_POINTER)
    with pytest.raises(BadInput, match=r"tabulatedVotes\.csv: is a Git LFS pointer"):
        load("crema-d", corpus, ALL)


@pytest.mark.parametrize("data", [b"", wav(0.1), b"no audio at all" * 9, wav(1.0)[:-9000]])
def test_a_bad_clip_stops_an_import_and_is_a_counted_row_of_a_run(
    corpus: Path, data: bytes
) -> None:
    put(corpus, "AudioWAV/1001_IEO_NEU_XX.wav", data)
    with pytest.raises(BadInput, match=r"1001_IEO_NEU_XX\.wav: "):
        load("crema-d", corpus, {**ALL, "bad_audio": "stop"})
    imported = load("crema-d", corpus)
    assert (len(imported.table), imported.counts["bad_audio"]) == (2, 1)


def test_two_corpora_mixed_are_refused(corpus: Path) -> None:
    stray = put(corpus, "AudioWAV/03a01Fa.wav", wav())
    with pytest.raises(BadInput, match=r"03a01Fa.wav: is a clip of emodb in the crema-d folder"):
        load("crema-d", corpus, ALL)
    stray.unlink()
    put(corpus, "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", "%\n")
    with pytest.raises(BadInput, match="iemocap and crema-d mixed"):
        load("crema-d", corpus, ALL)


def test_two_files_of_one_clip_are_refused(corpus: Path) -> None:
    put(corpus, "AudioWAV/1001_IEO_NEU_XX.flac", wav(fmt="FLAC"))
    with pytest.raises(BadInput, match="is the same clip"):
        load("crema-d", corpus, ALL)


def test_a_wrong_folder_says_what_it_looks_like_or_where_to_look(
    corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        load("crema-d", tmp_path / "nowhere")
    with pytest.raises(BadInput, match="'CREMA-D' in it is; name that folder"):
        load("crema-d", tmp_path)
    with pytest.raises(BadInput, match="lies inside the crema-d folder"):
        load("crema-d", corpus / "AudioWAV")
    with pytest.raises(BadInput, match="looks like crema-d; import it as that"):
        load("iemocap", corpus)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="it is empty"):
        load("crema-d", tmp_path / "empty")
    with pytest.raises(BadInput, match="is a file"):
        load("crema-d", corpus / "processedResults/tabulatedVotes.csv")


def test_votes_and_no_audio_at_all_is_no_corpus_to_run_on(corpus: Path) -> None:
    for path in (corpus / "AudioWAV").iterdir():
        path.unlink()
    with pytest.raises(BadInput, match=r"no crema-d utterance is left \(no_audio: 3\)"):
        load("crema-d", corpus)
    assert len(load("crema-d", corpus, ALL).table) == 3


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"quary": "voice"}, "option 'quary': unknown; did you mean 'query'"),
        ({"query": "smell"}, "option 'query': found 'smell'"),
        ({"limit": 0}, "option 'limit': found 0"),
        ({"splits": ["Test9"]}, "option 'splits': found 'Test9'; expected one of all"),
        ({"label_set": "four"}, "option 'label_set'"),
    ],
)
def test_an_unknown_option_is_named(corpus: Path, options: dict, found: str) -> None:
    with pytest.raises(BadInput, match=found):
        load("crema-d", corpus, {**ALL, **options})


def test_letters_and_labels_are_the_same_six() -> None:
    assert sorted(label[0].upper() for label in of.SIX) == sorted(LETTERS)
