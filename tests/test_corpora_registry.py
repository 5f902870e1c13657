"""A corpus is one file and one row: nothing else in the package has to know it."""

import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT
from corpora_fixtures import put, wav

from ambiemo.cli import main
from ambiemo.corpora import CORPORA, Corpus, label_set, load
from ambiemo.corpora.recognising import corpora_in, corpus_of_clip
from ambiemo.errors import BadInput
from ambiemo.plan.expand import as_if_complete, expand
from ambiemo.plan.schema import check

VOTES = "clip,speaker,angry,calm,happy\nmine_s01_0001,s01,3,1,0\nmine_s02_0001,s02,0,4,0\n"
CLIPS = {
    "tiny": "tiny-test-00000",
    "iemocap": "Ses01F_impro05_F019",
    "msp-podcast": "MSP-PODCAST_0001_0008",
    "crema-d": "1001_IEO_NEU_XX",
    "emov-db": "anger_1-28_0011",
    "emodb": "03a01Fa",
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the corpus that docs/corpora.md adds; its file is importable, its row is
    added.
    """
    page = (ROOT / "docs" / "corpora.md").read_text(encoding="utf-8")
    file, row = re.findall(
        r"```python\n(.*?)```", page.partition("## Adding a corpus")[2], re.DOTALL
    )
    put(tmp_path, "code/corpus_of_mine.py", file)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delitem(sys.modules, "corpus_of_mine", raising=False)
    added = eval(row.replace("ambiemo.corpora.mine", "corpus_of_mine"), {"Corpus": Corpus})
    monkeypatch.setitem(CORPORA, added.name, added)
    root = tmp_path / "Mine"
    put(root, "votes.csv", VOTES)
    put(root, "wav/mine_s01_0001.wav", wav(1.0))
    put(root, "wav/mine_s02_0001.wav", wav(1.5, pitch=300.0))
    return root


def test_a_corpus_added_by_one_file_and_one_row_is_imported_and_described(
    mine: Path, tmp_path: Path
) -> None:
    run, out = CliRunner(), tmp_path / "mine.parquet"
    imported = run.invoke(main, ["data", "import", "mine", "--root", str(mine), "--out", str(out)])
    assert imported.exit_code == 0, imported.output
    described = json.loads(run.invoke(main, ["data", "describe", str(out), "--json"]).output)
    assert (described["utterances"], described["with_audio"], described["votes"]) == (2, 2, 8)
    assert described["votes_per_label"] == {"angry": 3, "calm": 5, "happy": 0}
    listed = {
        row["name"]: row
        for row in json.loads(run.invoke(main, ["corpora", "--json"]).output)["corpora"]
    }
    assert listed["mine"]["labels"] == ["angry", "calm", "happy"]
    assert listed["mine"]["put"] == "votes.csv and wav/*.wav"


def test_a_plan_with_an_added_corpus_expands(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(**entry: object) -> dict[str, object]:
        corpora = [{"id": "mine", **entry}]
        return {
            "name": "p",
            "models": [{"id": "tiny", "engine": "null"}],
            "corpora": corpora,
            "strategies": ["greedy"],
        }

    monkeypatch.setenv("MINE", str(mine))
    expanded = expand(check(plan(root="${MINE}", expect=2), "plan"))
    assert (expanded.missing, [cell.skipped for cell in expanded.cells]) == ((), [""])
    assert [one.id for one in expanded.corpora["mine"].utterances] == [
        "mine_s01_0001",
        "mine_s02_0001",
    ]
    absent = expand(check(plan(root=str(mine / "nowhere"), nominal=9), "plan"))
    assert absent.missing[0].do == "https://example.org/mine"
    assert as_if_complete(absent).corpora["mine"].labels == ("angry", "calm", "happy")


def test_folders_and_clips_of_an_added_corpus_are_recognised(mine: Path, tmp_path: Path) -> None:
    assert corpora_in(mine) == ["mine"]
    with pytest.raises(BadInput, match="is not emodb: it looks like mine; import it as that"):
        load("emodb", mine)
    with pytest.raises(BadInput, match="is not mine: 'Mine' in it is; name that folder"):
        load("mine", tmp_path)
    put(mine, "wav/1001_IEO_NEU_XX.wav", wav())
    with pytest.raises(BadInput, match="is a clip of crema-d in the mine folder"):
        load("mine", mine)


def test_a_row_that_an_added_corpus_cannot_read_is_named(mine: Path) -> None:
    put(mine, "votes.csv", VOTES.replace("3,1,0", "3,one,0"))
    with pytest.raises(BadInput, match=r"votes\.csv:2: found votes .*; expected whole numbers"):
        load("mine", mine)


@pytest.mark.parametrize("name", [name for name in CORPORA if name != "own"])
def test_a_clip_s_name_belongs_to_one_corpus_alone(name: str) -> None:
    assert [one for one, row in CORPORA.items() if row.file.CLIP.fullmatch(CLIPS[name])] == [name]
    assert corpus_of_clip(CLIPS[name]) == name


def test_a_folder_above_a_corpus_known_by_its_clips_is_not_taken_for_the_corpus(
    tmp_path: Path,
) -> None:
    put(tmp_path, "data/EmoV/bea_Amused/amused_1-15_0001.wav", wav())
    put(tmp_path, "data/other/readme.txt", "text")
    with pytest.raises(BadInput, match=r"is not emov-db: it contains readme\.txt"):
        load("emov-db", tmp_path / "data" / "other")


def test_a_label_set_follows_the_options_without_the_folder() -> None:
    assert "excited" in label_set("iemocap", {"label_set": "all"})
    assert "excited" not in label_set("iemocap", {"label_set": "all", "excited_as_happy": True})
    with pytest.raises(BadInput, match="option 'labels': unknown; did you mean 'label_set'"):
        label_set("iemocap", {"labels": "all"})
