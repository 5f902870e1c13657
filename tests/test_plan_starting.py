"""`ambiemo init`: a commented plan that `ambiemo plan` reads, for one's own server, checkpoint or
clips; and nothing overwritten."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import ROOT
from corpora_fixtures import put, wav

from ambiemo.cli import main
from ambiemo.errors import BadInput
from ambiemo.plan.schema import read
from ambiemo.plan.starting import from_answers, start, text

SERVER = "http://127.0.0.1:8000/v1"
CLIPS = "utterance_id,audio,speaker,angry,calm\na,wav/a.wav,ann,3,1\nb,wav/b.wav,bob,0,4\n"


def ambiemo(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of two clips of one's own; its CSV."""
    put(tmp_path, "mine/wav/a.wav", wav(1.0))
    put(tmp_path, "mine/wav/b.wav", wav(1.5, pitch=300.0))
    return put(tmp_path, "mine/clips.csv", CLIPS)


WANTED = {
    "nothing said": [],
    "a server": ["--server", SERVER, "--model", "our-model"],
    "a server and a corpus": ["--server", SERVER, "--corpus", "crema-d", "--limit", "5"],
    "a checkpoint": ["--weights", "./checkpoint"],
    "a repository": ["--weights", "owner/name", "--revision", "a" * 40],
    "a model of the package": ["--model", "qwen2-audio-7b", "--corpus", "iemocap"],
}


@pytest.mark.parametrize("name", WANTED)
def test_the_plan_is_read_and_each_key_has_its_comment(name: str, tmp_path: Path) -> None:
    path = tmp_path / "My plan.yaml"
    done = ambiemo("init", str(path), *WANTED[name])
    assert done.exit_code == 0, done.output
    plan = read(path)
    assert plan.name == "my-plan"
    for line in path.read_text("utf-8").splitlines():
        if re.match(r"^[a-z_]+:(?! \")", line) and not line.endswith(":"):
            assert "#" in line, line
    assert all(
        "#" in line
        for line in re.findall(r"^ {2,}\S.*$", path.read_text("utf-8"), re.M)
        if line.strip() not in KEYS
    )


KEYS = (
    "options:",
    "- {name: shuffled_audio, strategies: [greedy]}",
    "- {name: silence, strategies: [greedy]}",
)


def test_a_dry_run_of_it_says_only_what_is_missing_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMBIEMO_DATA", raising=False)
    path = tmp_path / "p.yaml"
    ambiemo("init", str(path), *WANTED["a server and a corpus"])
    done = ambiemo("plan", str(path), "--json")
    told = json.loads(done.output)
    assert done.exit_code == 2
    assert [(one["kind"], one["id"]) for one in told["missing"]][:1] == [("corpus", "crema-d")]
    assert {one["id"] for one in told["missing"]} <= {"crema-d", "mine"}
    assert told["draws_shared"] > 0  # reckoned with 5 clips, which are not here


def test_the_embedded_clips_need_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    ambiemo("init", str(path))
    done = ambiemo("plan", str(path), "--json")
    missing = [one["what"] for one in json.loads(done.output)["missing"]]
    assert (done.exit_code, missing) == (0, [])


def test_one_s_own_clips_bring_their_labels(clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    assert ambiemo("init", str(path), "--csv", str(clips)).exit_code == 0
    (entry,) = read(path).corpora
    assert entry.options == {"file": "clips.csv", "labels": ["angry", "calm"]}
    told = json.loads(ambiemo("plan", str(path), "--json").output)
    assert told["missing"] == []
    assert told["draws_alone"] > 0


def test_nothing_is_overwritten_unless_that_is_said(tmp_path: Path) -> None:
    path = put(tmp_path, "p.yaml", "mine: yes\n")
    done = ambiemo("init", str(path))
    assert (done.exit_code, path.read_text("utf-8")) == (2, "mine: yes\n")
    assert "is there already; name another file, or replace it with --force" in done.stderr
    assert ambiemo("init", str(path), "--force").exit_code == 0
    assert read(path).name == "p"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--server", "127.0.0.1:8000"], "--server: found '127.0.0.1:8000', expected an address"),
        (["--server", SERVER, "--weights", "./x"], "--server and --weights: found both"),
        (["--corpus", "crema"], "corpus 'crema': unknown; did you mean 'crema-d'?"),
        (["--model", "gpt-4"], "model 'gpt-4': unknown; did you mean 'gpt-4o'?"),
        (["--corpus", "own"], "--corpus own: found no --csv"),
        (["--csv", "no.csv"], "no.csv: cannot be read"),
        (["--weights", "owner/name"], "expected the commit of the repository"),
        (["--server", "http://user:secret@host/v1"], "found a user or password in the address"),
    ],
)
def test_what_cannot_be_a_plan_is_one_line_and_writes_nothing(
    words: list[str], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.yaml"
    done = ambiemo("init", str(path), *words)
    assert done.exit_code == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not path.exists()


def test_odd_names_stay_inside_their_quotes(tmp_path: Path) -> None:
    odd = start(server=SERVER, model='x" #: {\n- y', root="a: b #\n", corpus="crema-d")
    path = put(tmp_path, "p.yaml", text(odd, Path("ü:\n#.yaml")))
    plan = read(path)
    assert plan.models[0].served_model == odd.model
    assert plan.corpora[0].root == odd.root


def test_questions_lead_to_the_same_plan_as_options() -> None:
    answers = iter([SERVER, "our-model", "", "crema-d", "~/CREMA-D", "7"])
    by_questions = from_answers(lambda question, default: next(answers))
    by_options = start(
        server=SERVER, model="our-model", corpus="crema-d", root="~/CREMA-D", limit=7
    )
    assert by_questions == by_options
    with pytest.raises(BadInput, match="clips: found 'many'"):
        from_answers(
            lambda question, default: "many" if question.startswith("How many") else default
        )


def test_it_asks_in_a_terminal_and_only_there(tmp_path: Path) -> None:
    from pseudo_terminal import answered

    path = tmp_path / "p.yaml"
    seen = answered(["init", str(path)], b"\n" * 6)
    assert "Address of your model's server" in seen
    assert read(path).models[0].id == "tiny"
    assert "Address" not in ambiemo("init", str(tmp_path / "q.yaml")).output
    assert (ROOT / "docs").is_dir()
