"""`ambiemo status`: what a run is doing, from another terminal; and who pays for what."""

import fcntl
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ambiemo.cli import main
from ambiemo.errors import BadInput
from ambiemo.pipeline import progress
from ambiemo.pipeline.drawing import asked_models
from ambiemo.pipeline.progress import STATUS, Board
from ambiemo.pipeline.run import agreed_to_pay
from ambiemo.pipeline.status import lines, read_status
from ambiemo.pipeline.store import AnswerStore
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import check


def written(folder: Path, bundle: Path) -> Board:
    return Board(folder / STATUS, {"plan": "small", "bundle": str(bundle.resolve())})


def test_a_running_job_says_rate_time_left_and_dollars(tmp_path: Path) -> None:
    bundle = tmp_path / "small"
    with AnswerStore(tmp_path / ".store"), written(tmp_path / ".store", bundle) as board:
        board.enter("drawing")
        job = board.job("gpt-4o", "answers", 100, 20)
        board.advance(job, 10, 1, 0.25)
        job.first -= 5
        board.advance(job, 30, 0, 1.0)
        stopped = board.job("tiny", "answers", 8, 0)
        board.end(stopped, "stopped", "the key is refused")
        told = read_status(bundle)
        assert told["running"]
        head, one, two, spent = lines(told)
        assert head.startswith("small: drawing, process ")
        assert one.startswith(
            "  gpt-4o: answers: drawing: 40 of 100 draws, 20 in the store before, 1 failed, "
        )
        assert one.endswith(" left, $1.25 spent")
        assert 5 < told["jobs"][0]["rate"] < 6.1
        assert two == "  tiny: answers: stopped: 0 of 8 draws, the key is refused"
        assert spent == "  spent by this run: $1.25"
        done = CliRunner().invoke(main, ["status", str(bundle), "--json"])
        assert done.exit_code == 0
        assert json.loads(done.output)["jobs"][0]["done"] == 40
    done = CliRunner().invoke(main, ["status", str(bundle)])
    assert done.exit_code == 0
    assert done.output.startswith("small: not running (done)")


def test_a_run_that_was_killed_is_not_running(tmp_path: Path) -> None:
    store = tmp_path / ".store"
    with AnswerStore(store):
        board = written(store, tmp_path / "small")
        board.enter("drawing")
    (head,) = lines(read_status(tmp_path / "small"))
    assert "not running (ended while: drawing; the same command goes on)" in head
    with open(store / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert read_status(tmp_path / "small")["running"]


def test_no_run_another_bundle_and_a_broken_file_are_one_line_and_exit_2(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["status", str(tmp_path / "small")])
    assert done.exit_code == 2
    written(tmp_path, tmp_path / "other").enter("drawing")
    with pytest.raises(BadInput, match=r"found a run that writes .*other, expected .*small"):
        read_status(tmp_path / "small", tmp_path)
    (tmp_path / STATUS).write_text("{")
    with pytest.raises(BadInput, match="not a status file"):
        read_status(tmp_path / "small", tmp_path)


def test_a_status_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    board = Board(tmp_path / "absent" / STATUS)
    board.advance(board.job("tiny", "answers", 1, 0), 1, 0)


PAID = {
    "name": "paid",
    "models": [{"id": "gpt-4o"}, {"id": "tiny", "engine": "null"}],
    "corpora": [{"id": "tiny", "limit": 2}],
    "strategies": ["greedy"],
}


def expanded(monkeypatch: pytest.MonkeyPatch, **changes: object):
    monkeypatch.setattr("ambiemo.plan.expand.lacks", lambda *asked: [])
    return expand(check({**PAID, **changes}, "plan"))


def test_a_priced_model_needs_a_ceiling_or_a_yes_after_the_sum_was_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(
        BadInput, match=r"found 1 models that may cost \$\d+\.\d\d together, .*max_dollars.*--yes"
    ):
        agreed_to_pay(expanded(monkeypatch))
    assert "gpt-4o: at most $" in capsys.readouterr().out
    agreed_to_pay(expanded(monkeypatch, models=[{"id": "gpt-4o", "options": {"max_dollars": 1}}]))
    agreed_to_pay(expanded(monkeypatch, models=[{"id": "tiny", "engine": "null"}]))
    agreed_to_pay(expanded(monkeypatch, models=[{"id": "audio-flamingo-2"}]))


def test_a_priced_verifier_needs_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = {
        "models": [{"id": "tiny", "engine": "null"}],
        "strategies": ["alm_v"],
        "verifier": "gpt-4o",
    }
    with pytest.raises(BadInput, match="may cost"):
        agreed_to_pay(expanded(monkeypatch, **judged))


def test_a_model_that_is_left_out_needs_neither_dollars_nor_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = {"gpt-4o": [("no key", "export it")]}
    monkeypatch.setattr("ambiemo.plan.expand.lacks", lambda spec, *asked: gone.get(spec.id, []))
    stands = expand(check({**PAID, "strategies": ["greedy", "alm_v"], "verifier": "tiny"}, "plan"))
    assert asked_models(stands) == ["tiny"]
    agreed_to_pay(stands)


def log_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_log_says_begin_tenths_and_end_of_each_model_in_the_same_places(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    with Board() as board:
        one, two = board.job("tiny", "answers", 200, 40), board.job("gpt-4o", "scores", 8, 0)
        for _ in range(200):
            board.advance(one, 1, 0)
        board.end(one, "done")
        board.end(two, "stopped", "the key is refused")
    told = log_of(capsys)
    assert all(
        re.match(r"\d\d:\d\d  (tiny  |tiny|gpt-4o)  (answers|scores )  ", line) for line in told
    )
    ours = [line for line in told if "  tiny" in line]
    assert ours[0].endswith("200 draws to make, 40 are in the store; loading the model")
    shares = [int(one) for line in ours for one in re.findall(r"\((\d+)%\)", line)]
    assert shares == [*range(10, 100, 10), 100]
    assert "20 of 200 draws (10%)" in ours[1]
    assert re.search(r"done after \d+ s: 200 of 200 draws \(100%\), ", ours[-1])
    assert told[-1].endswith("stopped after 0 s: 0 of 8 draws (0%): the key is refused")


def test_a_fast_job_does_not_fill_the_log_and_a_slow_one_is_not_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Board() as board:
        job = board.job("tiny", "answers", 1000, 0)
        for _ in range(1000):
            board.advance(job, 1, 0)
        board.end(job, "done")
    assert len(log_of(capsys)) == 2
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LATEST_SECONDS", 0.0)
    with Board() as board:
        job = board.job("tiny", "answers", 1000, 0)
        board.advance(job, 1, 1)
    assert "1 of 1,000 draws (0%), 1 failed" in log_of(capsys)[1]
