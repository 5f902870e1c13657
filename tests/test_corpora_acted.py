"""EmoV-DB and EmoDB: acted labels that never pass for votes, and a user's own votes."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from corpora_fixtures import put, rows, wav

from ambiemo.cli import main
from ambiemo.corpora import CORPORA, load
from ambiemo.corpora.describing import describe
from ambiemo.errors import BadInput

SHARES = (
    "Nr.\tSatz\terkannt\tnatuerlich\r\n1\xa0\xa0\t03a01Fa.wav\t90,00\xa0\xa0\t75,00\xa0\r\n"
    "2\xa0\xa0\t03b10Tc.wav\t82,50\xa0\xa0\t75,00\xa0\r\n3\xa0\t08a01Ab.wav\t85,00\t55,00\r\n"
)


@pytest.fixture
def emov(tmp_path: Path) -> Path:
    root = tmp_path / "EmoV-DB"
    put(root, "bea_Amused/amused_1-15_0001.wav", wav())
    put(root, "bea_Anger/anger_1-28_0011.wav", wav())
    put(root, "josh/Sleepy/sleepiness_57-84_0057.WAV", wav())
    put(root, "sam_Disgust/disgust_1-28_0011.wav", wav())
    put(root, "Jenie-Neutral/neutral_1-28_0011.wav", wav())
    return root


@pytest.fixture
def emodb(tmp_path: Path) -> Path:
    root = tmp_path / "EmoDB"
    put(root, "wav/03a01Fa.wav", wav())
    put(root, "wav/03b10Tc.WAV", wav())
    put(root, "wav/16a02Lb.wav", wav())
    put(root, "erkennung.txt", SHARES.encode("latin-1"))
    return root


def test_emov_db_imports_one_hot_acted_labels(emov: Path) -> None:
    imported = load("emov-db", emov)
    table = rows(imported.table)
    assert {name: row["votes"] for name, row in table.items()} == {
        "bea_amused_1-15_0001": [0, 1, 0, 0, 0],
        "bea_anger_1-28_0011": [0, 0, 1, 0, 0],
        "jenie_neutral_1-28_0011": [1, 0, 0, 0, 0],
        "josh_sleepiness_57-84_0057": [0, 0, 0, 1, 0],
        "sam_disgust_1-28_0011": [0, 0, 0, 0, 1],
    }
    assert (
        table["josh_sleepiness_57-84_0057"]["audio_path"] == "josh/Sleepy/sleepiness_57-84_0057.WAV"
    )
    assert {row["truth_source"] for row in table.values()} == {"acted"}
    assert imported.counts["votes"] == 0
    assert table["bea_anger_1-28_0011"]["intended_label"] == "angry"


@pytest.mark.parametrize("rule", ["bits", "tertiles", "2409.18339", "2601.14620"])
def test_acted_labels_are_clear_cut_and_support_no_ambiguity_claim(
    emov: Path, emodb: Path, rule: str
) -> None:
    for name, root in (("emov-db", emov), ("emodb", emodb)):
        d = describe(load(name, root).table, rule)
        assert d["levels"] == {"low": 0, "medium": 0, "high": 0, "clear-cut": d["utterances"]}
        assert d["supports_ambiguity_claims"] is False
        assert (d["votes"], d["with_votes"], d["entropy_bits"]) == (0, 0, {})
        assert not CORPORA[name].votes


def test_a_users_own_votes_are_joined_and_then_are_the_truth(emov: Path, tmp_path: Path) -> None:
    votes = put(
        tmp_path,
        "mine/listening.csv",
        "utterance_id,calm,cross\nbea_anger_1-28_0011,1,4\nsam_disgust_1-28_0011,3,2\n",
    )
    imported = load("emov-db", emov, {"votes": str(votes)})
    table = rows(imported.table)
    assert {name: row["votes"] for name, row in table.items()} == {
        "bea_anger_1-28_0011": [1, 4],
        "sam_disgust_1-28_0011": [3, 2],
    }
    assert table["bea_anger_1-28_0011"]["labels"] == ["calm", "cross"]
    assert imported.counts["dropped"]["not_in_votes_file"] == 3
    assert imported.options["votes"] == "listening.csv"
    assert imported.sources[0][0] == "listening.csv"
    assert describe(imported.table)["supports_ambiguity_claims"] is True


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("utterance_id,calm,cross\nnobody,1,4\n", r"listening.csv:2: found utterance 'nobody'"),
        (
            "utterance_id,calm,cross\nbea_anger_1-28_0011,1,-4\n",
            r"listening.csv:2: found votes 1, -4",
        ),
        ("utterance_id,calm,cross\nbea_anger_1-28_0011,0,0\n", r"listening.csv:2: found no vote"),
        ("utterance_id,calm,cross\nbea_anger_1-28_0011,1\n", r"listening.csv:2: found 2 fields"),
        ("utterance_id,calm,calm\nbea_anger_1-28_0011,1,1\n", r"listening.csv:1: found columns"),
        ("id,calm,cross\n", r"listening.csv:1: found columns"),
        (",,\n", r"listening.csv:1: found columns"),
        (
            f"utterance_id,calm,cross\nbea_anger_1-28_0011,1,{10**30}\n",
            r"listening.csv:2: found votes 1, 10+; expected whole numbers from 0 to 1,000,000",
        ),
        (
            f"utterance_id,calm,cross\nbea_anger_1-28_0011,1,{'9' * 5000}\n",
            r"listening.csv:2: found votes 1, 9+",
        ),
    ],
)
def test_a_wrong_votes_file_is_named_by_line(
    emov: Path, tmp_path: Path, text: str, found: str
) -> None:
    votes = put(tmp_path, "listening.csv", text)
    with pytest.raises(BadInput, match=found):
        load("emov-db", emov, {"votes": str(votes)})


def test_an_emov_clip_whose_speaker_style_or_corpus_cannot_be_told_is_named(emov: Path) -> None:
    stray = put(emov, "unsorted/neutral_1-28_0012.wav", wav())
    with pytest.raises(BadInput, match=r"neutral_1-28_0012.wav: no folder names the speaker"):
        load("emov-db", emov)
    stray.unlink()
    stray = put(emov, "bea_Joy/joyful_1-28_0012.wav", wav())
    with pytest.raises(BadInput, match=r"found the name 'joyful_1-28_0012'"):
        load("emov-db", emov)
    stray.unlink()
    put(emov, "bea/again/anger_1-28_0011.wav", wav())
    with pytest.raises(BadInput, match=r"is the same clip as"):
        load("emov-db", emov)


def test_emodb_imports_with_the_share_of_listeners_joined(emodb: Path) -> None:
    imported = load("emodb", emodb)
    table = rows(imported.table)
    assert {
        name: (row["intended_label"], row["recognised_share"]) for name, row in table.items()
    } == {
        "03a01Fa": ("happy", 0.9),
        "03b10Tc": ("sad", 0.825),
        "16a02Lb": ("boredom", None),
    }
    assert table["16a02Lb"]["votes"] == [0, 1, 0, 0, 0, 0, 0]
    assert (table["03a01Fa"]["speaker"], table["03a01Fa"]["transcript"]) == (
        "03",
        "Der Lappen liegt auf dem Eisschrank.",
    )
    assert (imported.counts["with_recognised_share"], imported.counts["shares_without_audio"]) == (
        2,
        1,
    )


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("82,50", "viele", r"erkennung.txt:3: found 'viele' recognised"),
        ("82,50", "182,50", r"erkennung.txt:3: found 182,50 % recognised"),
        ("03b10Tc.wav", "03a01Fa.wav", r"erkennung.txt:3: found clip '03a01Fa.wav' again"),
        ("08a01Ab.wav\t85,00\t55,00\r\n", "08a0", r"erkennung.txt:4: found 2 fields"),
    ],
)
def test_a_wrong_line_of_the_listening_test_is_named(
    emodb: Path, old: str, new: str, found: str
) -> None:
    put(emodb, "erkennung.txt", SHARES.replace(old, new).encode("latin-1"))
    with pytest.raises(BadInput, match=found):
        load("emodb", emodb)


def test_without_the_listening_test_the_shares_are_missing_and_it_is_said(emodb: Path) -> None:
    (emodb / "erkennung.txt").unlink()
    imported = load("emodb", emodb)
    assert imported.counts["with_recognised_share"] == 0
    assert any("no share of listeners is known" in note for note in imported.notes)


def test_a_clip_of_another_corpus_among_emodb_is_named(emodb: Path) -> None:
    put(emodb, "wav/1001_IEO_NEU_XX.wav", wav())
    with pytest.raises(BadInput, match="'1001_IEO_NEU_XX', a clip of crema-d"):
        load("emodb", emodb)


def test_the_real_emodb_clips_import_and_are_not_called_ambiguous(
    shared_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e.parquet"
    run = CliRunner()
    assert (
        run.invoke(
            main,
            ["data", "import", "emodb", "--root", str(shared_data / "emodb"), "--out", str(out)],
        ).exit_code
        == 0
    )
    text = run.invoke(main, ["data", "describe", str(out)]).output
    assert "167 (0 with votes, 167 with audio" in text
    assert "anger 60, boredom 0, disgust 0, fear 0, happy 34, neutral 43, sad 30" in text
    assert "recognised share  min 0.800" in text
    assert "clear-cut 167" in text
    assert "no claim about ambiguity can rest on them" in text
