"""The transformers engine on the tiny ALM: what it says it did is what it did, and the clip is
heard.
"""

import json
import logging
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ambiemo import models
from ambiemo.corpora import load
from ambiemo.corpora.audio import decode
from ambiemo.draws import Answer, Decoding
from ambiemo.engines import ENGINES, Request
from ambiemo.labels import SIX

torch = pytest.importorskip("torch", reason="the transformers extra is not installed")

GREEDY = Decoding("greedy", max_tokens=96)
SAMPLE_8 = Decoding("sample", 8, 1.0, 1.0, 96)


@pytest.fixture(scope="module")
def engine():
    from ambiemo.engines.transformers import TransformersEngine

    return TransformersEngine(models.model("tiny"))


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    corpus = load("tiny")
    paths = sorted(corpus.table.column("audio_path").to_pylist())[:40:10]
    return [decode(corpus.root / path).samples for path in paths]


def request(clip: np.ndarray, seed: int = 5, prompt_id: str = "direct") -> Request:
    prompt = models.render(
        models.prompt(models.model("tiny"), prompt_id), SIX, candidate='{"anger": 1.0}'
    )
    return Request(f"{seed}", prompt, clip, seed)


def texts(answer: Answer) -> list[str]:
    return [candidate.text for candidate in answer.candidates]


def test_no_thread_is_asked_for_where_the_plan_says_none(monkeypatch) -> None:
    """Ray says how many cores an actor has, and torch obeys (test_end_to_end)."""
    from ambiemo.engines.transformers import TransformersEngine

    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    TransformersEngine(models.model("tiny"))
    assert asked == []
    TransformersEngine(models.model("tiny"), threads=3)
    assert asked == [3]


def test_two_clips_give_two_features(engine, clips) -> None:
    rendered = engine.render("Listen.")
    one, other = (engine.inputs([rendered], [clip])["input_features"] for clip in clips[:2])
    assert not torch.equal(one, other)


def test_the_clip_changes_the_answer_s_likelihood(engine, clips) -> None:
    told = engine.draw(
        [request(clips[0]), request(clips[1]), request(np.zeros_like(clips[0]))], GREEDY
    )
    assert len({answer.candidates[0].log_likelihood for answer in told}) == 3


def test_the_old_argument_that_drops_the_audio_is_an_error(engine, clips, monkeypatch) -> None:
    processor, rendered = engine.processor, engine.render("Listen.")

    def deaf(text, audio, **rest):
        return processor(text=text, audios=audio, **rest)

    monkeypatch.setattr(engine, "processor", deaf)
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        engine.inputs([rendered], [clips[0]])


def test_a_broken_context_is_an_error_not_a_line_in_a_log(engine) -> None:
    with pytest.raises(RuntimeError, match="right-padding"):
        logging.getLogger("transformers.generation.utils").warning(
            "A decoder-only architecture is being used, but right-padding was detected!"
        )


def test_the_first_samples_of_many_are_the_few(engine, clips) -> None:
    few = engine.draw([request(clips[0])], Decoding("sample", 3, 1.0, 1.0, 96))[0]
    many = engine.draw([request(clips[0])], SAMPLE_8)[0]
    assert texts(few) == texts(many)[:3]
    assert len(set(texts(many))) > 1


def test_the_same_seed_says_the_same_and_another_seed_another_thing(engine, clips) -> None:
    first, again, other = (
        engine.draw([request(clips[0], seed)], SAMPLE_8)[0] for seed in (1, 1, 2)
    )
    assert first == again
    assert texts(first) != texts(other)


def test_a_batch_answers_as_its_members_do_alone(engine, clips) -> None:
    requests = [request(clip, seed) for seed, clip in enumerate(clips)]
    for decoding in (GREEDY, SAMPLE_8, Decoding("beam", 3, max_tokens=96)):
        together = engine.draw(requests, decoding)
        for one, told in zip(requests, together, strict=True):
            alone = engine.draw([one], decoding)[0]
            assert texts(alone) == texts(told)
            for a, b in zip(alone.candidates, told.candidates, strict=True):
                assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-3)


def teacher_forced(engine, one: Request, text: str, stopped: bool) -> float:
    """Sum of log-probabilities of an answer, from one forward pass over prompt and answer
    together.
    """
    inputs = engine.inputs([engine.render(one.prompt)], [one.audio])
    answer = engine.tokenizer(text, add_special_tokens=False)["input_ids"] + (
        engine.ends[:1] if stopped else []
    )
    ids = torch.cat([inputs["input_ids"], torch.tensor([answer])], 1)
    inputs["input_ids"], inputs["attention_mask"] = ids, torch.ones_like(ids)
    with torch.inference_mode():
        logits = engine.model(**inputs).logits[0, -len(answer) - 1 : -1].double()
    return float(logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum())


def test_a_group_beyond_one_batch_is_answered_as_its_batches_are(
    engine, clips, monkeypatch
) -> None:
    asked = [request(clip, seed) for seed, clip in enumerate(clips[:3])]
    by_hand = [*engine.draw(asked[:2], SAMPLE_8), *engine.draw(asked[2:], SAMPLE_8)]
    whole, sizes = engine._prefill, []
    monkeypatch.setattr(
        engine, "_prefill", lambda i, **how: sizes.append(len(i["input_ids"])) or whole(i, **how)
    )
    monkeypatch.setattr(engine, "batch", 2)
    assert engine.draw(asked, SAMPLE_8) == by_hand
    assert sizes == [2, 1]


@pytest.mark.parametrize(
    "decoding", [GREEDY, SAMPLE_8, Decoding("beam", 5, max_tokens=96)], ids=str
)
def test_the_log_likelihood_is_the_plain_sum_over_the_answer_s_tokens(
    engine, clips, decoding
) -> None:
    one = request(clips[0])
    checked = 0
    for candidate in engine.draw([one], decoding)[0].candidates:
        stopped = candidate.finish_reason == "stop"
        answer = engine.tokenizer(candidate.text, add_special_tokens=False)["input_ids"]
        if (
            len(answer) + stopped == candidate.tokens
        ):  # another spelling in tokens of the same text has another likelihood
            assert candidate.log_likelihood == pytest.approx(
                teacher_forced(engine, one, candidate.text, stopped), abs=2e-3
            )
            checked += 1
    assert checked


def test_a_forced_label_has_the_likelihood_of_answering_so(engine, clips) -> None:
    asked = [replace(request(clip), labels=SIX) for clip in clips[:2]]
    answers = engine.draw(asked, Decoding("forced", 6, max_tokens=0))
    for one, answer in zip(asked, answers, strict=True):
        assert texts(answer) == list(SIX)
        assert {candidate.finish_reason for candidate in answer.candidates} == {"forced"}
        for candidate in answer.candidates:
            assert candidate.tokens == len(
                engine.tokenizer(candidate.text, add_special_tokens=False)["input_ids"]
            )
            expected = teacher_forced(engine, one, candidate.text, stopped=False)
            assert candidate.log_likelihood == pytest.approx(expected, abs=2e-3)
    assert len({candidate.tokens for candidate in answers[0].candidates}) > 1, (
        "labels of one length prove no padding"
    )


def test_greedy_is_the_library_s_greedy(engine, clips) -> None:
    one = request(clips[1])
    inputs = engine.inputs([engine.render(one.prompt)], [one.audio])
    out = engine.model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=96)
    text = engine.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert texts(engine.draw([one], GREEDY)[0]) == [text]


def test_beams_come_best_first_and_the_best_is_no_worse_than_greedy(engine, clips) -> None:
    one = request(clips[2])
    beams = [
        c.log_likelihood
        for c in engine.draw([one], Decoding("beam", 5, max_tokens=96))[0].candidates
    ]
    assert beams == sorted(beams, reverse=True)
    greedy = engine.draw([one], GREEDY)[0].candidates[0].log_likelihood
    assert beams[0] >= greedy - 1e-3


def test_a_checkpoint_s_own_settings_for_generating_change_no_beam(engine, clips, tmp_path) -> None:
    from ambiemo.engines.transformers import TransformersEngine

    shutil.copytree(models.model("tiny").path(), tmp_path, dirs_exist_ok=True)
    file = tmp_path / "generation_config.json"
    settings = {"repetition_penalty": 1.3, "temperature": 0.5, "no_repeat_ngram_size": 2}
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | settings), "utf-8")
    other = TransformersEngine(models.model("tiny").changed(weights=f"file:{tmp_path}"))
    beams = Decoding("beam", 5, max_tokens=96)
    assert other.draw([request(clips[0])], beams) == engine.draw([request(clips[0])], beams)
    assert other.ends == engine.ends


def test_an_answer_cut_off_says_so_and_counts_its_tokens(engine, clips) -> None:
    for decoding in (Decoding("greedy", max_tokens=4), Decoding("beam", 2, max_tokens=4)):
        for candidate in engine.draw([request(clips[0])], decoding)[0].candidates:
            assert (candidate.tokens, candidate.finish_reason) == (4, "length")


def test_what_was_asked_for_is_what_is_recorded(engine, clips) -> None:
    cool = Decoding("sample", 4, 0.2, 0.9, 64)
    answer = engine.draw([request(clips[0])], cool)[0]
    assert answer.decoding == cool
    assert len(answer.candidates) == 4
    assert answer.audio_s == pytest.approx(len(clips[0]) / 16_000, abs=1e-3)
    hot = engine.draw([request(clips[0])], Decoding("sample", 4, 3.0, 1.0, 64))[0]
    assert np.mean([c.log_likelihood for c in hot.candidates]) < np.mean(
        [c.log_likelihood for c in answer.candidates]
    )


def test_inverse_cdf_draws_each_token_as_often_as_its_probability_says() -> None:
    from ambiemo.engines.transformers import inverse_cdf

    probability = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    chance = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    rows = probability.log().expand(1000, 4)
    assert torch.bincount(inverse_cdf(rows, chance, 1.0, 1.0), minlength=4).tolist() == [
        500,
        300,
        150,
        50,
    ]
    nucleus = torch.bincount(inverse_cdf(rows, chance, 1.0, 0.79), minlength=4)
    assert nucleus.tolist() == [625, 375, 0, 0]
    sharp = torch.bincount(inverse_cdf(rows, chance, 0.5, 1.0), minlength=4) / 1000
    assert sharp[0] == pytest.approx(0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), abs=2e-3)


def test_every_engine_of_the_table_is_there_or_says_what_installs_it() -> None:
    from importlib.util import find_spec

    for row in ENGINES.values():
        assert find_spec(row.target.partition(":")[0]), row.target


def test_uniform_numbers_depend_on_seed_and_index_alone() -> None:
    from ambiemo.engines.transformers import uniforms

    both = uniforms([3, 4], 2, 5)
    assert torch.equal(both[2:], uniforms([4], 2, 5))
    assert torch.equal(both[:1], uniforms([3], 1, 5))
    assert len({tuple(row) for row in both.tolist()}) == 4
    assert math.isclose(float(uniforms(range(200), 1, 100).mean()), 0.5, abs_tol=0.01)
