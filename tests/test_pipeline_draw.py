"""Groups of draws, and what an actor does with a clip before any model hears it."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ambiemo.corpora.audio import BadAudio
from ambiemo.draws import Decoding, Draw
from ambiemo.durable import sha256_file
from ambiemo.engines import Request
from ambiemo.engines.null import NullEngine
from ambiemo.errors import BadInput
from ambiemo.models import MODELS, ModelSpec
from ambiemo.pipeline import draw as draw_stage
from ambiemo.pipeline.cluster import enough, pool_size
from ambiemo.pipeline.draw import DrawActor, _pack, _unpack, groups, load_audio, parts
from ambiemo.pipeline.restarts import Reporter
from ambiemo.plan.schema import GroupSize, ModelEntry

ONE = Draw("tiny", "r", "null", "c", "u", "a", "x", "direct", "Listen.", Decoding("greedy"), 1)
MANY = [replace(ONE, audio_sha256=str(i)) for i in range(10)]


def nothing(key: str) -> bool:
    return False


def cut(
    size: int, *questions: Callable[[Draw], Draw], has: Callable[[str], bool] = nothing
) -> list[list[Draw]]:
    return list(groups([(question, MANY) for question in questions], size, has))


def greedy(one: Draw) -> Draw:
    return one


def beams(one: Draw) -> Draw:
    return replace(one, decoding=Decoding("beam", 5))


def test_every_draw_is_in_one_group_of_at_most_so_many() -> None:
    assert [len(group) for group in cut(4, greedy)] == [4, 4, 2]
    assert [one for group in cut(4, greedy) for one in group] == MANY


def test_a_group_has_one_question_and_the_same_clips_follow_each_other_under_every_question() -> (
    None
):
    found = cut(4, greedy, beams)
    assert [{str(one.decoding) for one in group} for group in found] == [
        {"greedy"},
        {"beam(5)"},
    ] * 3
    clips_of = [tuple(one.audio_sha256 for one in group) for group in found]
    assert clips_of == [clips for clips in dict.fromkeys(clips_of) for _ in range(2)]


def test_a_resumed_run_draws_the_groups_that_are_missing_as_they_were() -> None:
    whole = cut(4, greedy, beams)
    stored = {one.key for one in whole[1] + whole[4]}
    assert cut(4, greedy, beams, has=stored.__contains__) == [whole[0], *whole[2:4], whole[5]]


def test_a_group_that_is_partly_stored_is_drawn_for_the_rest() -> None:
    stored = {MANY[1].key, MANY[2].key}
    found = groups([(greedy, MANY)], 4, stored.__contains__)
    assert found[0] == [MANY[0], MANY[3]]
    assert found.draws == 8


def test_questions_about_unlike_numbers_of_items_are_all_asked() -> None:
    few = MANY[:3]
    found = list(groups([(greedy, few), (beams, MANY)], 4, nothing))
    asked = [(str(one.decoding), one.audio_sha256) for group in found for one in group]
    assert sorted(asked) == sorted(
        [("greedy", one.audio_sha256) for one in few]
        + [("beam(5)", one.audio_sha256) for one in MANY]
    )
    assert [len(group) for group in found] == [3, 4, 4, 2]
    assert not groups([], 4, nothing)


def test_nothing_is_left_to_draw_where_everything_is_stored() -> None:
    found = cut(4, greedy, beams, has=lambda key: True)
    assert found == []


@given(
    count=st.integers(0, 40),
    size=st.integers(1, 12),
    stored=st.sets(st.integers(0, 39)),
)
def test_whatever_is_stored_every_other_draw_is_made_once_and_in_its_group(
    count: int, size: int, stored: set[int]
) -> None:
    items = [replace(ONE, audio_sha256=str(i)) for i in range(count)]
    keys = {one.key for i, one in enumerate(items) if i in stored}
    work = groups([(greedy, items), (beams, items)], size, keys.__contains__)
    made = [
        int(one.audio_sha256) for group in work for one in group if one.decoding.kind == "greedy"
    ]
    assert made == [i for i in range(count) if i not in stored]
    assert work.draws == len(made) + count
    for group in work:
        assert len({int(one.audio_sha256) // size for one in group}) == 1, (
            "as an empty store would group it"
        )


def samples(one: Draw) -> Draw:
    return replace(one, decoding=Decoding("sample", 8, 1.0))


def labels(one: Draw) -> Draw:
    return replace(one, decoding=Decoding("forced", 6, max_tokens=0))


CLIPS = [replace(ONE, audio_sha256=str(i)) for i in range(600)]
FULL = GroupSize(sequences=256)


def test_groups_by_sequences_fill_an_engine_alike_whatever_the_decoding() -> None:
    asked = [(one, CLIPS[:512]) for one in (greedy, beams, samples, labels)]
    by_decoding: dict[str, list[int]] = {}
    for group in groups(asked, FULL, nothing):
        how = group[0].decoding
        by_decoding.setdefault(str(how.kind), []).append(len(group) * how.count)
    assert by_decoding["greedy"] == [256] * 2
    assert by_decoding["sample"] == [256] * 16
    assert {round(each, -1) for each in by_decoding["beam"]} == {260}
    assert {round(each, -1) for each in by_decoding["forced"]} == {250, 260}


def test_groups_by_sequences_ask_the_smaller_ones_about_neighbours_after_each_other() -> None:
    """Where an engine keeps the encoding of some 100 clips, samples, beams and labels encode a clip
    once.
    """
    questions = [(one, CLIPS) for one in (greedy, samples, beams, labels)]
    walked = [
        int(one.audio_sha256)
        for group in groups(questions, FULL, nothing)
        if group[0].decoding.kind != "greedy"
        for one in group
    ]
    kept: dict[int, None] = {}
    encoded = 0
    for clip in walked:
        encoded += clip not in kept
        kept.pop(clip, None)
        kept[clip] = None
        if len(kept) > 100:
            del kept[next(iter(kept))]
    assert encoded == len(CLIPS)


def test_a_draw_of_more_sequences_than_a_group_is_a_group_of_its_own() -> None:
    assert [len(part) for part in parts(3, 8, GroupSize(sequences=4))] == [1, 1, 1]
    assert parts(0, 8, FULL) == []


@given(
    count=st.integers(1, 70),
    sequences=st.integers(1, 20),
    candidates=st.integers(1, 12),
    stored=st.sets(st.integers(0, 69)),
)
def test_groups_by_sequences_are_the_same_whatever_is_stored(
    count: int, sequences: int, candidates: int, stored: set[int]
) -> None:
    def asking(one: Draw) -> Draw:
        return replace(one, decoding=Decoding("sample", candidates, 1.0))

    items = [replace(ONE, audio_sha256=str(i)) for i in range(count)]
    has = {asking(one).key for i, one in enumerate(items) if i in stored}
    size = GroupSize(sequences=sequences)
    whole = list(groups([(asking, items), (greedy, items)], size, nothing))
    rest = list(groups([(asking, items), (greedy, items)], size, has.__contains__))
    expected = [[one for one in group if one.key not in has] for group in whole]
    assert rest == [group for group in expected if group]
    ours = [group for group in whole if group[0].decoding.kind == "sample"]
    assert sorted(int(one.audio_sha256) for group in ours for one in group) == [*range(count)]
    for group in ours:
        assert len(group) == 1 or (len(group) - 1) * candidates < sequences


def test_a_group_travels_without_its_keys_and_they_are_made_again() -> None:
    asked = [
        replace(one, about=f"k#{i}", prompt=f"Judge {i}.", labels=("a", "b"))
        for i, one in enumerate(MANY)
    ]
    back = _unpack(_pack(asked))
    assert [(one.key, one.seed, one.prompt, one.about) for one in back] == [
        (one.key, one.seed, one.prompt, one.about) for one in asked
    ]


def wav(path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> str:
    soundfile.write(path, samples, rate, subtype=subtype)
    return sha256_file(path)


def of_clip(path: Path, digest: str, audio: str = "clip") -> Draw:
    return replace(ONE, audio_path=str(path), audio_sha256=digest, audio=audio)


def tone(seconds: float, rate: int = 16_000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)


def test_stereo_at_another_rate_and_eight_bit_clips_are_heard(tmp_path: Path) -> None:
    stereo = wav(tmp_path / "s.wav", np.stack([tone(1, 44_100)] * 2, 1), 44_100)
    samples, cut = load_audio(of_clip(tmp_path / "s.wav", stereo), 30)
    assert (samples.dtype, samples.ndim, len(samples), cut) == (np.float32, 1, 16_000, False)
    coarse = wav(tmp_path / "u.wav", tone(1), subtype="PCM_U8")
    assert abs(float(load_audio(of_clip(tmp_path / "u.wav", coarse), 30)[0].max()) - 0.3) < 0.02


def test_a_long_clip_is_cut_to_what_the_model_hears_and_says_so(tmp_path: Path) -> None:
    digest = wav(tmp_path / "long.wav", tone(90))
    samples, cut = load_audio(of_clip(tmp_path / "long.wav", digest), 30)
    assert (len(samples), cut) == (480_000, True)


def test_silence_is_as_long_as_the_clip_and_empty(tmp_path: Path) -> None:
    digest = wav(tmp_path / "a.wav", tone(1.5))
    samples, _ = load_audio(of_clip(tmp_path / "a.wav", digest, "silence"), 30)
    assert len(samples) == 24_000
    assert not samples.any()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a sound", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"],
)
def test_what_is_no_audio_is_a_reason_not_a_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(BadAudio):
        load_audio(of_clip(path, sha256_file(path)), 30)


def test_a_clip_of_a_tenth_of_a_second_and_one_that_changed_are_reasons(tmp_path: Path) -> None:
    digest = wav(tmp_path / "short.wav", tone(0.1))
    with pytest.raises(BadAudio, match=r"0\.1"):
        load_audio(of_clip(tmp_path / "short.wav", digest), 30)
    with pytest.raises(BadAudio, match="changed since"):
        load_audio(of_clip(tmp_path / "short.wav", "0" * 64), 30)
    with pytest.raises(BadAudio, match="has no audio"):
        load_audio(replace(ONE, audio_path=""), 30)


def test_a_pool_larger_than_the_cluster_is_refused_before_ray_waits_for_ever() -> None:
    with pytest.raises(BadInput, match="2 actors with 1 GPU each need 2, Ray has 1"):
        enough("tiny", ModelEntry(id="tiny", actors=2, gpus=1), 2, [{"CPU": 8, "GPU": 1}])
    with pytest.raises(BadInput, match="needs 4 GPU on one node, found 2 at most"):
        enough("tiny", ModelEntry(id="tiny", gpus=4), 1, [{"CPU": 8, "GPU": 2}] * 3)
    enough("tiny", ModelEntry(id="tiny"), 1, [{"CPU": 2}])


@pytest.mark.parametrize(
    ("entry", "engine", "nodes", "size"),
    [
        ({"gpus": 1}, "vllm", [{"CPU": 64, "GPU": 8}] * 4, 32),
        ({"gpus": 2}, "vllm", [{"CPU": 64, "GPU": 8}, {"CPU": 64, "GPU": 3}], 5),
        ({"gpus": 1, "cpus": 8}, "vllm", [{"CPU": 32, "GPU": 8}] * 2, 7),
        ({"gpus": 0.5}, "transformers", [{"CPU": 64, "GPU": 1}], 2),
        ({}, "transformers", [{"CPU": 3}], 2),
        ({}, "transformers", [{"CPU": 1}], 1),
        ({}, "openai", [{"CPU": 64, "GPU": 8}], 1),
        ({"gpus": 1}, "vllm", [{"CPU": 64}], 1),
    ],
)
def test_auto_takes_what_the_nodes_hold(
    entry: dict, engine: str, nodes: list[dict], size: int
) -> None:
    assert pool_size(ModelEntry(id="tiny", actors="auto", **entry), engine, nodes) == size
    assert pool_size(ModelEntry(id="tiny", actors=3, **entry), engine, nodes) == 3


def test_an_alm_is_loaded_and_asked_in_one_thread_whichever_threads_ray_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    class Watched(NullEngine):
        def __init__(self, spec: ModelSpec, **options: Any) -> None:
            seen.append(threading.get_ident())
            super().__init__(spec, **options)

        def draw(self, requests: Any, decoding: Decoding) -> Any:
            seen.append(threading.get_ident())
            return super().draw(requests, decoding)

    monkeypatch.setattr(draw_stage, "engine_class", lambda name: Watched)
    actor = DrawActor(MODELS["tiny"], "null", {"deaf": True})
    batch = {"payload": np.array([_pack([ONE])], dtype=object)}
    for _ in range(2):
        with ThreadPoolExecutor(1) as caller:
            assert caller.submit(actor, batch).result()["failed"] == [0]
    assert len(seen) == 3
    assert len(set(seen)) == 1


class Meeting(NullEngine):
    """Says when it prepares and when it draws, and draws the first group until it may end."""

    def __init__(self, spec: ModelSpec, **options: Any) -> None:
        super().__init__(spec, deaf=True)
        self.seen: list[str] = []
        self.may_end = threading.Event()
        self.prepared = threading.Semaphore(0)

    def prepare(self, request: Request) -> Request:
        self.seen.append(f"prepare {request.audio_sha256}")
        self.prepared.release()
        return replace(request, prepared=request.audio_sha256)

    def draw(self, requests: Any, decoding: Decoding) -> Any:
        assert [one.prepared for one in requests] == [one.audio_sha256 for one in requests]
        first = not any(name.startswith("draw") for name in self.seen)
        self.seen.append(f"draw {requests[0].audio_sha256}")
        if first:
            self.may_end.wait(60)
        return super().draw(requests, decoding)


def asked(actor: DrawActor, draws: list[Draw]) -> dict[str, list]:
    return actor({"payload": np.array([_pack(draws)], dtype=object)})


@pytest.mark.parametrize("again", [False, True], ids=["first life", "started again"])
def test_the_next_group_is_prepared_while_this_one_is_answered_unless_the_actor_died_before(
    monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """After an end each group is prepared in turn: its own number of ends then tells which clip it
    was.
    """
    monkeypatch.setattr(draw_stage, "engine_class", lambda name: Meeting)
    monkeypatch.setattr(draw_stage, "started_again", lambda: again)
    monkeypatch.setattr(draw_stage, "own_id", lambda: "")
    actor = DrawActor(MODELS["tiny"], "null", {}, Reporter())
    engine: Any = actor.engine
    with ThreadPoolExecutor(2) as ray:
        first = ray.submit(asked, actor, MANY[:1])
        assert engine.prepared.acquire(timeout=60)
        second = ray.submit(asked, actor, MANY[1:2])
        assert engine.prepared.acquire(timeout=1 if again else 60) is not again
        engine.may_end.set()
        results = [first.result(60), second.result(60)]
    assert [one["failed"] for one in results] == [[0], [0]]
    assert sorted(engine.seen) == ["draw 0", "draw 1", "prepare 0", "prepare 1"]
    assert (engine.seen[0], engine.seen[-1]) == ("prepare 0", "draw 1")


def test_what_was_prepared_early_gives_the_same_line_as_what_was_prepared_in_turn(
    tmp_path: Path,
) -> None:
    digest = wav(tmp_path / "a.wav", tone(1))
    draws = [of_clip(tmp_path / "a.wav", digest), of_clip(tmp_path / "gone.wav", "0" * 64)]
    early = DrawActor(MODELS["tiny"], "null", {})
    in_turn = DrawActor(MODELS["tiny"], "null", {})
    in_turn.calls = itertools.count(-10)
    line = asked(early, draws)
    assert line == asked(in_turn, draws)
    assert (line["failed"], line["unasked"]) == ([1], [1])
