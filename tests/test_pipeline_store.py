"""The answer store: whole groups or nothing, one writer, and never a lost answer."""

import errno
from pathlib import Path

import pytest

from ambiemo.draws import Answer, Candidate, Decoding, Draw
from ambiemo.errors import BadInput, Broken
from ambiemo.pipeline import store as rooms
from ambiemo.pipeline.store import AnswerStore, as_line

GREEDY = Decoding("greedy")


def key(number: int) -> str:
    return f"{number:064x}"


def answer(number: int, text: str = "happy", failure: str = "") -> Answer:
    candidates = () if failure else (Candidate(text, 3, -1.5, "stop"),)
    return Answer(key(number), candidates, GREEDY, failure=failure)


def put(store: AnswerStore, group: str, answers: list[Answer]) -> None:
    store.append("tiny", as_line(group, answers))


def test_what_was_written_is_read_back_the_same(tmp_path: Path) -> None:
    told = [answer(1, "né\u2028 😀"), answer(2, failure="audio: is empty")]
    with AnswerStore(tmp_path) as store:
        put(store, "g", told)
    with AnswerStore(tmp_path) as store:
        assert store.read("tiny", {key(1), key(2)}) == {one.key: one for one in told}
        assert store.has("tiny", key(1))
        assert not store.has("other", key(1))


def test_a_failed_draw_is_kept_but_asked_again(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g", [answer(1, failure="engine: timed out")])
        assert not store.has("tiny", key(1))
        put(store, "g", [answer(1)])
        assert store.has("tiny", key(1))
        assert store.read("tiny", {key(1)})[key(1)].failure == ""


def test_of_several_failures_the_last_one_is_told(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g1", [answer(1, failure="401 the server refuses the key")])
        put(store, "g2", [answer(1, failure="filtered by the provider")])
        assert store.read("tiny", {key(1)})[key(1)].failure == "filtered by the provider"


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_rest_stays(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g1", [answer(1), answer(2)])
        put(store, "g2", [answer(3)])
    path = tmp_path / "tiny.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    with AnswerStore(tmp_path) as store:
        assert store.has("tiny", key(2))
        assert not store.has("tiny", key(3))
        put(store, "g2", [answer(3)])
    with AnswerStore(tmp_path) as store:
        assert len(store.read("tiny", {key(i) for i in range(9)})) == 3


def test_a_full_disk_is_one_line_and_leaves_no_half_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(rooms.FileIO):
        def write(self, data: bytes) -> int:
            if len(data) > 40:
                return super().write(data[:40])  # a nearly full disk takes a part first
            raise OSError(errno.ENOSPC, "No space left on device")

    with AnswerStore(tmp_path) as store:
        put(store, "g1", [answer(1)])
    before = (tmp_path / "tiny.jsonl").read_bytes()
    monkeypatch.setattr(rooms, "FileIO", FullDisk)
    with AnswerStore(tmp_path) as store, pytest.raises(Broken, match=r"tiny\.jsonl: cannot write: the disk is full"):
        put(store, "g2", [answer(2, "x" * 100)])
    assert (tmp_path / "tiny.jsonl").read_bytes() == before


def test_two_runs_cannot_write_one_store(tmp_path: Path) -> None:
    with AnswerStore(tmp_path), pytest.raises(BadInput, match="another run is using this answer store"):
        AnswerStore(tmp_path).__enter__()
    with AnswerStore(tmp_path):
        pass


def test_a_store_changed_by_hand_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "tiny.jsonl").write_bytes(b'{"group": "g", "answers": 3}\n')
    with AnswerStore(tmp_path) as store, pytest.raises(Broken, match=r"tiny\.jsonl: line 1: not a group of answers"):
        store.has("tiny", key(1))


def draw(**changes: object) -> Draw:
    given = {
        "model": "tiny",
        "revision": "r",
        "engine": "transformers",
        "corpus": "c",
        "utterance_id": "u",
        "audio_sha256": "a",
        "audio_path": "x.wav",
        "prompt_id": "direct",
        "prompt": "Listen.",
        "decoding": Decoding("sample", 8, 1.0),
        "plan_seed": 1,
    }
    return Draw(**{**given, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"model": "m"},
        {"revision": "s"},
        {"engine": "vllm"},
        {"audio_sha256": "b"},
        {"audio": "silence"},
        {"prompt": "Listen!"},
        {"plan_seed": 2},
        {"about": "k#0"},
        {"decoding": Decoding("sample", 8, 0.7)},
        {"decoding": Decoding("sample", 8, 1.0, 0.9)},
        {"decoding": Decoding("sample", 8, 1.0, max_tokens=9)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_may_change_an_answer_changes_the_key(change: dict) -> None:
    assert draw(**change).key != draw().key


def test_what_changes_no_answer_changes_no_key() -> None:
    moved = draw(corpus="d", utterance_id="v", audio_path="y.wav", prompt_id="p")
    assert moved.key == draw().key


def test_samples_are_seeded_alike_whatever_their_number() -> None:
    more = draw(decoding=Decoding("sample", 16, 1.0))
    assert more.seed == draw().seed
    assert more.key != draw().key
