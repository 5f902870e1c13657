"""The answer store: whole groups or nothing, one writer, and no changed line is believed."""

import errno
import json
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.draws import Answer, Candidate, Decoding, Draw
from ambiemo.durable import sha256
from ambiemo.errors import BadInput, Broken
from ambiemo.pipeline import store as stores
from ambiemo.pipeline.store import AnswerFile, AnswerStore, as_line

GREEDY = Decoding("greedy")


def key(number: int) -> str:
    return f"{number:064x}"


def answer(number: int, text: str = "happy", failure: str = "") -> Answer:
    candidates = () if failure else (Candidate(text, 3, -1.5, "stop"),)
    return Answer(key(number), candidates, GREEDY, failure=failure)


def put(store: AnswerStore, group: str, answers: list[Answer]) -> None:
    store.append("tiny", as_line(group, answers))


def found(folder: Path, number: int) -> Answer | None:
    """What a reader finds under a key: the answer, else the last failure."""
    with AnswerFile(folder / "tiny.jsonl") as file:
        place = file.index().find(key(number))
        return None if place is None else file.answer(key(number), place)


def of_before(group: str, answers: list[Answer]) -> bytes:
    """A line as it was written before the checksums."""
    told = {"group": group, "answers": [asdict(one) for one in answers]}
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def with_checksum(rest: bytes) -> bytes:
    """A line whose checksum fits, whatever it says."""
    return sha256(rest).encode("ascii") + b" " + rest + b"\n"


def changed(line: bytes, old: str, new: str) -> bytes:
    assert old.encode() in line, "the test changes something"
    return line.replace(old.encode(), new.encode())


def test_what_was_written_is_read_back_the_same(tmp_path: Path) -> None:
    whole = replace(
        answer(1, "né\u2028\t\n 😀 \ud800"),
        rendered_prompt_sha256="ab",
        prompt_tokens=7,
        audio_s=2.5,
        truncated=True,
        extra={"model": "m"},
    )
    failed = answer(2, failure="audio: is empty")
    with AnswerStore(tmp_path) as store:
        put(store, "g", [whole, failed])
    with AnswerStore(tmp_path) as store:
        assert store.has("tiny", key(1))
        assert not store.has("tiny", key(2))
        assert not store.has("other", key(1))
    assert [found(tmp_path, number) for number in (1, 2, 3)] == [whole, failed, None]


TEXTS = st.text(st.characters(exclude_categories=[]), max_size=9).filter(
    lambda text: text == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)


@given(groups=st.lists(st.lists(TEXTS, max_size=4), min_size=1, max_size=4))
def test_any_texts_are_read_back_from_their_places(
    groups: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store")
    told = [
        [answer(10 * i + j, text) for j, text in enumerate(one)] for i, one in enumerate(groups)
    ]
    (folder / "tiny.jsonl").write_bytes(b"".join(as_line("g", one) for one in told))
    with AnswerFile(folder / "tiny.jsonl") as file:
        index = file.index()
        every = [one for group in told for one in group]
        assert len(index.answered) == len(every)
        for one in [*every, *every[::-1]]:
            place = index.find(one.key)
            assert place is not None
            assert file.answer(one.key, place) == one


def test_a_key_is_in_the_store_as_soon_as_its_group_is_appended(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        assert not store.has("tiny", key(1))
        put(store, "g1", [answer(1)])
        assert store.has("tiny", key(1))
        assert not store.has("tiny", key(2))
        put(store, "g2", [answer(2)])
        assert store.has("tiny", key(1))
        assert store.has("tiny", key(2))


def test_a_failed_draw_is_kept_but_asked_again(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g", [answer(1, failure="engine: timed out")])
        assert not store.has("tiny", key(1))
        put(store, "g", [answer(1)])
        assert store.has("tiny", key(1))
    assert found(tmp_path, 1) == answer(1)


def test_of_several_failures_the_last_one_is_found(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g1", [answer(1, failure="401 the server refuses the key")])
        put(store, "g2", [answer(1, failure="filtered by the provider")])
    last = found(tmp_path, 1)
    assert last is not None
    assert last.failure == "filtered by the provider"


def test_of_several_answers_the_first_one_is_found_and_no_later_failure_hides_it(
    tmp_path: Path,
) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g1", [answer(1, "first")])
        put(store, "g2", [answer(1, "second")])
        put(store, "g3", [answer(1, failure="engine: timed out")])
    assert found(tmp_path, 1) == answer(1, "first")


def test_neighbours_of_one_group_are_read_from_the_disk_once(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        for group in range(3):
            put(store, "g", [answer(100 * group + i) for i in range(50)])

    class Counted(AnswerFile):
        loads = 0

        def _load(self, offset: int) -> list[dict[str, Any]]:
            self.loads += 1
            return super()._load(offset)

    with Counted(tmp_path / "tiny.jsonl") as file:
        index = file.index()
        for group in range(3):
            for i in range(50):
                number = 100 * group + i
                assert file.answer(key(number), index.find(key(number)) or 0).key == key(number)
        assert file.loads == 3


def test_the_largest_group_of_a_plan_has_a_place_for_every_draw(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g0", [answer(9_999)])
        put(store, "g1", [answer(i, str(i)) for i in range(4096)])
    with AnswerFile(tmp_path / "tiny.jsonl") as file:
        index = file.index()
        for number in (0, 1, 4095):
            place = index.find(key(number))
            assert place is not None
            assert file.answer(key(number), place) == answer(number, str(number))


# --- a line that was cut off ---


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    first, second = as_line("g1", [answer(1), answer(2)]), as_line("g2", [answer(3)])
    for cut in (1, 2, 7, len(second) - 65, len(second) - 1, len(second)):
        path.write_bytes(first + second[:-cut])
        with AnswerStore(tmp_path) as store:
            assert store.has("tiny", key(2))
            assert not store.has("tiny", key(3))
            assert path.read_bytes() == first
    with AnswerStore(tmp_path) as store:
        put(store, "g2", [answer(3)])
    assert path.read_bytes() == first + second


def test_a_reader_without_the_lock_passes_over_a_line_that_is_being_written(tmp_path: Path) -> None:
    (tmp_path / "tiny.jsonl").write_bytes(
        as_line("g1", [answer(1)]) + as_line("g2", [answer(2)])[:-5]
    )
    assert found(tmp_path, 1) == answer(1)
    assert found(tmp_path, 2) is None


def test_a_store_without_a_file_has_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, 1) is None


# --- a line that was changed ---


def look_at_all(folder: Path) -> None:
    with AnswerFile(folder / "tiny.jsonl") as file:
        answered = file.index().answered
        for digest, place in zip(answered.keys.tolist(), answered.places.tolist(), strict=True):
            file.answer(digest.ljust(32, b"\0").hex(), place)


def said_of(folder: Path, *, line: int) -> str:
    """The error of a reader that looks at every answer of the store."""
    with pytest.raises(Broken) as error:
        look_at_all(folder)
    said = str(error.value)
    assert said.startswith(f"{folder / 'tiny.jsonl'}: line {line}: "), said
    assert said.endswith("delete it, its draws are made again"), said
    assert "\n" not in said
    return said


def flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def test_any_single_flipped_bit_breaks_a_line() -> None:
    line = as_line("g2", [answer(2), answer(3, failure="x")])
    for place in range(len(line) - 1):
        for bit in range(8):
            with pytest.raises(ValueError, match="its checksum does not fit"):
                stores._parts(flipped(line, place, bit))


def test_one_flipped_bit_in_a_file_is_found_and_its_line_named(tmp_path: Path) -> None:
    lines = [as_line(f"g{i}", [answer(10 * i), answer(10 * i + 1)]) for i in range(3)]
    whole = b"".join(lines)
    ends = [sum(map(len, lines[: i + 1])) for i in range(3)]
    within = [(place, place % 8) for place in range(0, ends[2] - 1, 13)]
    line_feeds = [(end - 1, bit) for end in ends[:2] for bit in range(8)]
    new_line_feeds = [
        (place, bit) for bit in range(8) for place in [whole.find(10 ^ 1 << bit, 700)]
    ]
    for place, bit in within + line_feeds + [one for one in new_line_feeds if one[0] >= 0]:
        (tmp_path / "tiny.jsonl").write_bytes(flipped(whole, place, bit))
        number = next(i for i, end in enumerate(ends, 1) if place < end)
        assert "its checksum does not fit" in said_of(tmp_path, line=number)


def test_a_last_line_without_its_line_feed_is_one_that_was_cut_off(tmp_path: Path) -> None:
    whole = as_line("g1", [answer(1)]) + as_line("g2", [answer(2)])
    for bit in range(8):
        (tmp_path / "tiny.jsonl").write_bytes(flipped(whole, len(whole) - 1, bit))
        assert found(tmp_path, 1) == answer(1)
        assert found(tmp_path, 2) is None


def test_the_store_itself_names_the_line_before_any_draw_is_made(tmp_path: Path) -> None:
    line = as_line("g", [answer(1)])
    (tmp_path / "tiny.jsonl").write_bytes(line + changed(line, "happy", "happz"))
    with (
        AnswerStore(tmp_path) as store,
        pytest.raises(Broken, match=r"tiny\.jsonl: line 2: its checksum"),
    ):
        store.has("tiny", key(1))


def test_a_line_that_is_changed_between_two_readings_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    line = as_line("g", [answer(1)])
    path.write_bytes(line * 2)
    with AnswerFile(path) as file:
        place = file.index().find(key(1))
        assert place is not None
        path.write_bytes(changed(line, "happy", "happz") + line)
        with pytest.raises(Broken, match=r"tiny\.jsonl: line 1: its checksum does not fit"):
            file.answer(key(1), place)


def test_two_keys_that_were_exchanged_are_found(tmp_path: Path) -> None:
    line = as_line("g", [answer(1, "happy"), answer(2, "sad")])
    swapped = changed(changed(changed(line, key(1), "?" * 64), key(2), key(1)), "?" * 64, key(2))
    assert len(swapped) == len(line)
    (tmp_path / "tiny.jsonl").write_bytes(as_line("g", [answer(3)]) + swapped)
    assert "its checksum does not fit" in said_of(tmp_path, line=2)


def test_answers_that_stand_under_each_other_s_keys_are_found_even_if_the_checksum_fits(
    tmp_path: Path,
) -> None:
    head, _, told = as_line("g", [answer(1), answer(2)])[65:-1].partition(b"\t")
    answers = json.loads(told)
    line = with_checksum(head + b"\t" + json.dumps(answers[::-1]).encode())
    (tmp_path / "tiny.jsonl").write_bytes(line)
    assert f"found key {key(2)[:12]}…, expected {key(1)[:12]}…" in said_of(tmp_path, line=1)


HEAD = f'{{"group": "g", "keys": ["{key(1)}"], "failed": []}}'
ROW = asdict(answer(1))
CANDIDATE = asdict(answer(1).candidates[0])


@pytest.mark.parametrize(
    "rest",
    [
        HEAD,  # the tab is missing
        HEAD + " " + json.dumps([ROW]),
        "\t" + json.dumps([ROW]),
        HEAD + "\t",
        HEAD + "\t[]",
        HEAD + "\t[3]",
        HEAD + "\t{}",
        HEAD + "\t" + json.dumps([{"key": key(1)}]),
        HEAD + "\t" + json.dumps([ROW | {"candidates": 3}]),
        HEAD + "\t" + json.dumps([ROW | {"candidates": ["happy"]}]),
        HEAD + "\t" + json.dumps([ROW | {"decoding": None}]),
        HEAD + "\t" + json.dumps([ROW | {"unknown": 1}]),
        "[]\t[]",
        "3\t[]",
        '{"group": "g", "keys": 3, "failed": []}\t[]',
        '{"group": "g", "keys": [3], "failed": []}\t[]',
        '{"group": "g", "keys": ["zz"], "failed": []}\t[]',
        '{"group": "g", "keys": [], "failed": 3}\t[]',
        '{"group": "g", "keys": [], "failed": [[]]}\t[]',
        '{"group": "g"}\t[]',
        "",
    ],
)
def test_a_line_of_wrong_types_is_named_even_if_its_checksum_fits(
    rest: str, tmp_path: Path
) -> None:
    (tmp_path / "tiny.jsonl").write_bytes(as_line("g", [answer(2)]) + with_checksum(rest.encode()))
    said_of(tmp_path, line=2)


@pytest.mark.parametrize(
    "line", ["\n", "?\n", "happy\n", "[]\n", f"{'0' * 64} \n", f"{'é' * 64} x\n", f"{'0' * 64}\n"]
)
def test_a_line_that_the_store_never_wrote_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.jsonl").write_bytes(as_line("g", [answer(2)]) + line.encode())
    assert "its checksum does not fit" in said_of(tmp_path, line=2)


# --- lines of before the checksums ---


def test_lines_of_before_the_checksums_are_still_read(tmp_path: Path) -> None:
    old = [answer(1, "né 😀"), answer(2, failure="audio: is empty")]
    (tmp_path / "tiny.jsonl").write_bytes(of_before("g1", old))
    with AnswerStore(tmp_path) as store:
        assert store.has("tiny", key(1))
        assert not store.has("tiny", key(2))
        put(store, "g2", [answer(3), answer(2)])
        assert store.has("tiny", key(2))
    assert [found(tmp_path, number) for number in (1, 2, 3)] == [old[0], answer(2), answer(3)]


@pytest.mark.parametrize(
    "line",
    [
        '{"group": "g", "answers": 3}',
        '{"group": "g", "answers": [3]}',
        '{"group": "g"}',
        '{"group": "g", "answers": [',
        '{"answers": ' + "[" * 100_000 + "}",
        json.dumps({"answers": [ROW | {"key": 3}]}),
        json.dumps({"answers": [ROW | {"failure": None}]}),
        json.dumps({"answers": [ROW | {"candidates": None}]}),
        json.dumps({"answers": [ROW | {"candidates": [{"text": "happy"}]}]}),
        *(
            json.dumps({"answers": [ROW | {"candidates": [CANDIDATE | wrong]}]})
            for wrong in ({"text": 5}, {"tokens": "3"}, {"tokens": 1.5}, {"log_likelihood": "-1"})
        ),
    ],
    ids=lambda line: line[-60:],
)  # fmt: skip
def test_an_old_line_of_wrong_types_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.jsonl").write_bytes(as_line("g", [answer(2)]) + line.encode() + b"\n")
    assert "not a group of answers" in said_of(tmp_path, line=2)


# --- disk and writers ---


def test_a_full_disk_is_one_line_and_leaves_no_half_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(stores.FileIO):
        def write(self, data: Any) -> int:
            if len(data) > 40:
                return super().write(data[:40])  # a nearly full disk takes a part first
            raise OSError(errno.ENOSPC, "No space left on device")

    with AnswerStore(tmp_path) as store:
        put(store, "g1", [answer(1)])
    before = (tmp_path / "tiny.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(stores, "FileIO", FullDisk)
        with AnswerStore(tmp_path) as store:
            with pytest.raises(Broken, match=r"tiny\.jsonl: cannot write: the disk is full"):
                put(store, "g2", [answer(2, "x" * 100)])
            assert (tmp_path / "tiny.jsonl").read_bytes() == before
            assert store.has("tiny", key(1))
            assert not store.has("tiny", key(2))
    assert (tmp_path / "tiny.jsonl").read_bytes() == before
    with AnswerStore(tmp_path) as store:
        put(store, "g2", [answer(2)])
        assert store.has("tiny", key(2))


def test_two_runs_cannot_write_one_store(tmp_path: Path) -> None:
    with (
        AnswerStore(tmp_path),
        pytest.raises(BadInput, match="another run is using this answer store"),
    ):
        AnswerStore(tmp_path).__enter__()
    with AnswerStore(tmp_path):
        pass


def in_another_process(folder: str) -> str:
    try:
        with AnswerStore(Path(folder)):
            return "opened"
    except BadInput as error:
        return str(error)


def test_a_second_process_is_told_which_store_is_taken(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with AnswerStore(tmp_path):
            said = pool.apply(in_another_process, (str(tmp_path),))
        assert said.startswith(f"{tmp_path}: another run is using this answer store; wait for it")
        assert pool.apply(in_another_process, (str(tmp_path),)) == "opened"


def test_a_reader_needs_no_lock(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g", [answer(1)])
        assert found(tmp_path, 1) == answer(1)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Broken, match="file/store: cannot write"):
        AnswerStore(tmp_path / "file" / "store").__enter__()


# --- keys and seeds ---


def draw(**changes: Any) -> Draw:
    given: dict[str, Any] = {
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


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with AnswerStore(tmp_path):
        pass
    (tmp_path / ".format").write_text("3\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(BadInput, match="found an answer store of format 3, expected 2 or older"):
        AnswerStore(tmp_path).__enter__()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / ".format").write_text("2\n")
    with AnswerStore(tmp_path):
        pass


def test_the_indices_of_several_models_are_read_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, most = 0, 0
    read = AnswerFile.index

    def watched(file: AnswerFile) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.05)
        found = read(file)
        at_once -= 1
        return found

    with AnswerStore(tmp_path) as store:
        for model in ("one", "two", "three"):
            store.append(model, as_line("g", [answer(1)]))
        monkeypatch.setattr(AnswerFile, "index", watched)
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(store.has, model, key(1)) for model in ("one", "two", "three") * 2]
            assert all(one.result() for one in asked)
    assert most == 1


def test_an_answer_s_decoding_keeps_its_types() -> None:
    whole = asdict(replace(answer(1), decoding=Decoding("sample", 2, 1.0, 1.0)))
    other = asdict(replace(answer(1), decoding=Decoding("sample", 2, 1, 1)))
    kinds = [type(Answer.from_row(row).decoding.temperature) for row in (whole, other, whole)]
    assert kinds == [float, int, float]


def test_a_key_with_the_same_end_is_not_taken_for_the_answer_s(tmp_path: Path) -> None:
    """The index keeps the ends of keys only; two that end alike come from a changed line."""
    with AnswerStore(tmp_path) as store:
        put(store, "g", [answer(1)])
    other = "f" * 32 + key(1)[32:]
    with AnswerFile(tmp_path / "tiny.jsonl") as file:
        place = file.index().find(other)
        assert place is not None, "the test means a key that the index takes for the other"
        with pytest.raises(
            Broken, match=r"tiny.jsonl: line 1: found key 000000000000…, expected f{12}…"
        ):
            file.answer(other, place)


def test_a_closed_store_reads_no_index(tmp_path: Path) -> None:
    with AnswerStore(tmp_path) as store:
        put(store, "g", [answer(1)])
    torn = (tmp_path / "tiny.jsonl").read_bytes() + b"another run is writing"
    (tmp_path / "tiny.jsonl").write_bytes(torn)
    with pytest.raises(Broken, match="the answer store is closed"):
        store.has("tiny", key(1))
    assert (tmp_path / "tiny.jsonl").read_bytes() == torn
