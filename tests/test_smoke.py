"""`ambiemo smoke`: with each of the faults of the day planted, the one line that names it; without
one, nothing fails.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from servers.listener import Listener

from ambiemo.corpora.tiny import PACKAGED
from ambiemo.models import model
from ambiemo.models.fetching import broken, cut_short, unreadable
from ambiemo.pipeline import cluster
from ambiemo.plan.schema import check
from ambiemo.smoke import journey as journeys
from ambiemo.smoke import steps as all_steps
from ambiemo.smoke.journey import Journey, Line, begun, walk
from ambiemo.smoke.steps import STEPS

pytest.importorskip("openai", reason="the openai extra is not installed")

CHECKPOINT = ROOT / "ambiemo/tiny/checkpoint"
NULL = {"id": "tiny", "engine": "null", "cpus": 0.5}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def plan(*models: dict, **changes: object) -> Any:
    content = {
        "name": "smoked",
        "models": list(models),
        "corpora": [{"id": "tiny", "limit": 12}],
        "strategies": ["greedy", "majority_vote", "alm_v", "label_logprobs"],
        "controls": ["silence"],
        "group_size": 4,
        "bootstrap": {"resamples": 100},
    }
    return {**content, **changes}


@contextmanager
def in_this_process(spec: Any, engine: str, entry: Any, options: dict, offline: bool) -> Iterator:
    from ambiemo.pipeline.trial import in_this_process as held

    with held(spec, engine, options) as asker:
        yield asker


def prepared_here(spec: Any, engine: str, draws: list) -> Any:
    from ambiemo.engines.listening import prepared
    from ambiemo.pipeline.draw import as_request

    asked = [as_request(draw, spec.audio_seconds) for draw in draws]
    return prepared(spec, engine, asked[0].prompt, [one.audio for one in asked])


@pytest.fixture
def journey(tmp_path: Path) -> Iterator[Any]:
    """Makes a journey that needs no Ray: models are loaded in this process."""
    with ExitStack() as stack:

        def make(content: dict, ceiling: float = 1.0) -> Journey:
            made = begun(check(content, "plan"), tmp_path / "smoke", None, ceiling, stack)
            made.hold, made.prepare = in_this_process, prepared_here
            return made

        yield make


def lines(made: Journey, *numbers: int) -> list[Line]:
    return list(walk(made, tuple(step for step in STEPS if step.number in numbers)))


def failures(found: list[Line]) -> list[tuple[int, str]]:
    return [(line.step, line.said) for line in found if line.verdict == "failed"]


@pytest.fixture
def listener() -> Iterator[Any]:
    made: list[Listener] = []

    def make(way: str = "") -> Listener:
        made.append(Listener(way))
        return made[-1]

    yield make
    for one in made:
        one.close()


def served(server: Listener, **changes: object) -> dict:
    return {"id": "mine", "served_model": "small", "base_url": server.url, **changes}


# fmt: off
FAULTS = (
    (
        "no seed",
        'HTTP 400: Invalid JSON payload: Unknown name "seed"; say `accepts: {seed: false}`',
    ),
    ("no such model", "the server knows no such model (HTTP 404"),
    ("other model", "answered by another model: asked for small, got somebody-else"),
    ("thinks it away", "empty at the token limit"),
    ("key refused", "the server refuses the key (HTTP 401"),
    ("empty account", "the account has no quota left (HTTP 429"),
    ("daily quota", "the quota is spent (GenerateRequestsPerDayPerProjectPerModel)"),
    (
        "deaf",
        "does not hear: the same answer to the clip and to silence and to another clip (2 of 2 clips)",
    ),
    ("babbles", "0 of 9 answers are read as a distribution, expected half at least"),
    ("forgets seeds", "the first 2 of 3 samples are not the 2 samples"),
)
# fmt: on
"""Ways of a server, and the words of the one line that names each."""


@pytest.mark.parametrize(("way", "words"), FAULTS, ids=[way for way, _ in FAULTS])
def test_a_server_s_fault_is_one_line_and_few_requests(
    way: str, words: str, journey: Any, listener: Any
) -> None:
    server = listener(way)
    found = lines(journey(plan(served(server))), 2, 4, 5, 6)
    ((step, said),) = failures(found)
    assert step == 5
    assert words in said
    assert server.asked <= 12
    assert [line.said for line in found if line.step == 6] == ["a server runs it"]


def test_a_server_that_is_right_fails_nothing_and_says_what_it_served(
    journey: Any, listener: Any
) -> None:
    server, made = listener(), None
    made = journey(plan(served(server)))
    found = lines(made, 2, 4, 5)
    assert not failures(found)
    assert found[-1].said.startswith("served small: ")
    assert "cost unknown" in found[-1].said
    assert made.latency["mine"] > 0


def test_a_server_that_takes_no_seed_is_right_once_its_row_says_so(
    journey: Any, listener: Any
) -> None:
    entry = served(listener("no seed"), accepts={"seed": False})
    found = lines(journey(plan(entry)), 5)
    assert not failures(found)


def test_an_unknown_model_is_said_before_a_prompt_is_sent(journey: Any, listener: Any) -> None:
    server = listener()
    found = lines(journey(plan(served(server, served_model="large"))), 2, 5)
    ((step, said),) = failures(found)
    assert (step, server.asked) == (2, 0)
    assert "knows no model large" in said
    assert found[-1].said == "it failed at step 2"


def test_the_ceiling_holds_over_everything_that_is_asked(journey: Any, listener: Any) -> None:
    price = {"text_in": 1e4, "audio_in": 1e4, "out": 1e4, "audio_tokens_per_second": 10, "date": "x", "where": "y"}  # fmt: skip
    server = listener()
    made = journey(plan(served(server, price=price)), ceiling=2.0)
    ((_, said),) = failures(lines(made, 5))
    assert "the ceiling of $2 leaves no room for it" in said
    assert made.spent <= 2.0
    assert server.asked == 0


def test_missing_weights_are_named(journey: Any, tmp_path: Path) -> None:
    ((step, said),) = failures(
        lines(journey(plan({"id": "mine", "weights": str(tmp_path / "x")})), 2, 6)
    )
    assert step == 2
    assert said.startswith("no weights: ")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: not JSON"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: No such file"),
        (lambda folder: cut(folder / "model.safetensors"), "cut short?"),
        (lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs"), "not a safetensors file"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no *.safetensors"),
    ],
)  # fmt: skip
def test_corrupt_weights_are_named_before_a_gpu_is_asked_for(
    spoil: Any, words: str, journey: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINT, folder)
    assert broken(folder) == []
    spoil(folder)
    found = lines(journey(plan({"id": "mine", "weights": str(folder)})), 2, 3, 4, 6, 7)
    ((step, said),) = failures(found)
    assert step == 2
    assert words in said
    assert {line.said for line in found if line.step > 2} == {"it failed at step 2"}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
    assert cut_short(file)


def test_secondary_weights_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub", reason="the transformers extra is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = model("ultravox-v0.4").changed(revision=COMMIT)
    here = tmp_path / "models--fixie-ai--ultravox-v0_4/snapshots" / COMMIT
    here.mkdir(parents=True)
    (here / "config.json").write_text("{}")
    found = [what for what, _ in unreadable(spec)]
    assert len(found) == 2
    assert found[0].startswith("meta-llama/Llama-3.1-8B-Instruct@0e9e39f249a1 cannot be read: ")
    assert found[1].startswith("openai/whisper-medium@")


def test_a_clip_that_cannot_be_read_is_named(journey: Any, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(PACKAGED, clips)
    for file in clips.rglob("*.flac"):
        file.write_bytes(file.read_bytes()[:2000])  # the head is whole, so the corpus loads
    made = journey(plan(NULL, corpora=[{"id": "tiny", "root": str(clips)}]))
    told = dict(_before_ray(made))
    assert told["corpus tiny"].verdict == "failed"
    assert str(clips) in told["corpus tiny"].said


def _before_ray(made: Journey) -> Iterator[tuple[str, Any]]:
    for subject, found in all_steps.nodes(made):
        yield subject, found
        if subject.startswith("corpus"):
            return


def test_a_corpus_that_is_not_here_is_named_and_the_embedded_clips_stand_in(
    journey: Any, tmp_path: Path
) -> None:
    made = journey(plan(NULL, corpora=[{"id": "emodb", "root": str(tmp_path / "no")}]))
    told = dict(_before_ray(made))
    assert told["corpus emodb"].verdict == "failed"
    assert list(made.few.corpora) == ["tiny"]


def test_a_folder_that_cannot_be_written_is_the_only_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with ExitStack() as stack:
        made = begun(check(plan(NULL), "plan"), tmp_path / "file/smoke", None, 1.0, stack)
        found = list(walk(made, STEPS))
    ((step, said),) = failures(found)
    assert step == 1
    assert "cannot write here: Not a directory" in said
    assert {line.step for line in found} == set(range(1, 14))


def test_a_cache_that_cannot_be_written_is_named(
    journey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", "/proc/nowhere")
    told = dict(_before_ray(journey(plan(NULL))))
    assert told["driver"].verdict == "failed"
    assert "cache /proc: cannot write here" in told["driver"].said


def test_a_model_that_breaks_at_a_step_ends_its_own_steps_only(journey: Any) -> None:
    made = journey(
        plan(NULL, {"id": "qwen2-audio-7b", "engine": "null", "options": {"fault": "stops"}})
    )
    found = lines(made, 6, 7, 9, 10)
    assert {line.subject for line in found if line.verdict == "failed"} == {"qwen2-audio-7b"}
    assert any("a rehearsed stop" in line.said for line in found)


def test_the_null_engine_goes_through_the_steps_and_the_whole_is_reckoned(journey: Any) -> None:
    made = journey(plan(NULL))
    found = lines(made, 6, 7, 8, 9, 10, 13)
    assert not failures(found)
    assert found[-1].subject == "the whole"
    assert "GiB free" in found[-1].said
    (part,) = (line for line in found if line.step == 13 and line.subject == "tiny")
    assert part.said.startswith(
        f"{12 * (5 + 3)} draws: "
    )  # greedy, silence, 8 samples, beams and labels; 3 judged


def test_the_tiny_alm_goes_through_the_steps_for_real(journey: Any) -> None:
    pytest.importorskip("torch", reason="the transformers extra is not installed")
    entry = {"id": "mine", "weights": str(CHECKPOINT), "family": "qwen2_audio", "dtype": "float32"}
    made = journey(plan(entry, strategies=["greedy", "bon"]))
    found = lines(made, 2, 3, 4, 6, 7, 8, 9, 10)
    assert not failures(found), failures(found)
    said = {line.step: line.said for line in found}
    assert "2 clips and silence give 3 features" in said[4]
    assert "another answer to silence for 8 of 8 clips" in said[7]
    assert "the first 2 of 8 samples are the 2: 8 of 8 clips" in said[9]
    assert "no GPU here" in said[10]


def test_a_revision_that_is_a_branch_is_refused_before_anything(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan({"id": "qwen2-audio-7b", "revision": "main"})))
    done = command("smoke", str(path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "expected a commit" in done.stderr


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ambiemo", *arguments], capture_output=True, text=True, check=False
    )


def test_what_ray_says_of_itself_is_not_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """It comes from a thread of its own, at any time: in the middle of a command's `--json`."""
    worker = pytest.importorskip("ray._private.worker", reason="the ray extra is not installed")
    for _ in range(2):
        cluster._speaks_on_stderr()
    message = {"lines": ["an actor died"], "pid": "raylet", "is_err": False}
    worker.print_to_stdstream(message, ignore_prefix=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("an actor died") == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rehearsal_by_command_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the ray extra is not installed")
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan(NULL)))
    done = command("smoke", str(path), "--out", str(tmp_path / "smoke"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    by_step = {line["step"]: line for line in told["lines"]}
    assert sorted(by_step) == list(range(1, 14))
    assert "the same 4 answers" in by_step[11]["said"]
    assert "held by both verifiers" in by_step[12]["said"]
    assert list((tmp_path / "smoke").iterdir()) == []
    assert not (tmp_path / ".store").exists()


@pytest.mark.slow
def test_the_quick_plan_ends_well(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the ray extra is not installed")
    done = command("smoke", str(ROOT / "reproduce/quick.yaml"), "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing failed" in done.stdout


@pytest.mark.parametrize("way", ["", "deaf", "forgets seeds"])
def test_a_card_says_what_a_server_is(way: str, tmp_path: Path, listener: Any) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan(served(listener(way)))))
    done = command("conform", str(path), "--json")
    (card,) = json.loads(done.stdout)["cards"]
    failed = [name for name, one in card["findings"].items() if one["verdict"] == "failed"]
    assert (done.returncode, failed) == {
        "": (0, []),
        "deaf": (1, ["hears"]),
        "forgets seeds": (1, ["nested"]),
    }[way]


def test_a_card_of_an_unknown_model_is_one_line() -> None:
    done = command("conform", "tinny")
    assert done.returncode == 2
    assert "did you mean 'tiny'" in done.stderr


@pytest.mark.slow
def test_the_tiny_alm_conforms() -> None:
    done = command("conform", "tiny")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  ok  ") == 10


def test_the_steps_are_the_page_s_thirteen() -> None:
    assert [step.number for step in STEPS] == list(range(1, 14))
    assert journeys.CEILING == 1.0
