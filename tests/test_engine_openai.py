"""The OpenAI-compatible engine against real HTTP on loopback: a small upstream that decodes the clip, and a proxy that breaks things."""

import json
import logging
import random

import numpy as np
import pytest
from servers.faulty_proxy import AFTER, BEFORE, FaultyProxy
from servers.upstream import Upstream

from ambiemo.draws import Decoding
from ambiemo.engines import Request
from ambiemo.engines.chat import messages, same_model, to_wav
from ambiemo.engines.openai import OpenAIEngine
from ambiemo.errors import BadInput
from ambiemo.models import ModelSpec, Price, model

GREEDY = Decoding("greedy", max_tokens=50)
SAMPLES = Decoding("sample", count=4, temperature=0.7, max_tokens=50)
PRICE = Price(
    text_in=10, audio_in=100, out=20, audio_tokens_per_second=10, date="2026-11-21", where="made up for a test"
)
QUICK = {"backoff_s": 0.01, "longest_wait_s": 0.2}


def spec(**changes: object) -> ModelSpec:
    base = model("gpt-4o").changed(
        weights="small", revision=None, key_env=None, base_url=None, base_url_env=None, price=None
    )
    return base.changed(**changes)


def clip(number: int, seconds: float = 0.5) -> np.ndarray:
    return np.random.default_rng(number).uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32)


def requests(count: int) -> list[Request]:
    return [Request(key=f"{n:064x}", prompt="How does it sound?", audio=clip(n), seed=n * 7919) for n in range(count)]


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def engine_at():
    made = []

    def make(url: str, specification: ModelSpec | None = None, **options: object) -> OpenAIEngine:
        made.append(OpenAIEngine(specification or spec(), base_url=url, **{**QUICK, **options}))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def proxy_to(upstream):
    made = []

    def make(fault, **options: object) -> FaultyProxy:
        made.append(FaultyProxy(upstream.url, fault, **options))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def test_an_answer_comes_back_in_order_with_what_was_applied(upstream, engine_at):
    asked = requests(5)
    answers = engine_at(upstream.url).draw(asked, GREEDY)
    assert [answer.key for answer in answers] == [request.key for request in asked]
    assert all(answer.failure == "" and answer.decoding == GREEDY for answer in answers)
    first = answers[0].candidates[0]
    assert set(json.loads(first.text)) == {"neutral", "happy", "angry", "sad"}
    assert (first.tokens, first.finish_reason, first.log_likelihood) == (20, "stop", None)
    assert (answers[0].heard_s, answers[0].prompt_tokens) == (0.5, 35)


def test_the_server_hears_the_clip(upstream, engine_at):
    one, other = requests(2)
    other = Request(key=other.key, prompt=one.prompt, audio=other.audio, seed=one.seed)
    answers = engine_at(upstream.url).draw([one, other], GREEDY)
    assert answers[0].candidates[0].text != answers[1].candidates[0].text


def test_a_16_bit_clip_survives_the_wav_unchanged():
    before = np.random.default_rng(0).integers(-32768, 32768, 16000).astype("<i2")
    assert to_wav(before / np.float32(32768))[44:] == before.tobytes()


def test_the_first_k_of_n_samples_are_the_k_samples(upstream, engine_at):
    engine = engine_at(upstream.url)
    few = engine.draw(requests(2), Decoding("sample", count=2, temperature=0.7))
    many = engine.draw(requests(2), Decoding("sample", count=6, temperature=0.7))
    for a, b in zip(few, many, strict=True):
        assert a.candidates == b.candidates[:2]
        assert len({candidate.text for candidate in b.candidates}) == 6


def test_the_log_likelihood_is_the_sum_over_tokens_where_the_model_can_tell(upstream, engine_at):
    able = spec(capabilities=frozenset({"sampling", "likelihood"}))
    assert engine_at(upstream.url, able).draw(requests(1), GREEDY)[0].candidates[0].log_likelihood == -5.0
    assert engine_at(upstream.url).draw(requests(1), GREEDY)[0].candidates[0].log_likelihood is None
    assert [body.get("logprobs") for body in upstream.bodies] == [True, None]


def test_the_prompt_hash_leaves_out_the_audio_and_nothing_else(upstream, engine_at):
    one, other = requests(2)
    changed = Request(key="c", prompt="Another question", audio=one.audio, seed=1)
    answers = engine_at(upstream.url).draw([one, other, changed], GREEDY)
    hashes = [answer.rendered_prompt_sha256 for answer in answers]
    assert hashes[0] == hashes[1] != hashes[2]
    assert messages("p", "")[0]["content"][0]["input_audio"]["data"] == ""


@pytest.mark.parametrize(("kind", "lacks"), [("beam", "no beam search"), ("forced", "no log-probabilities of answers")])
def test_a_server_without_beams_or_forced_labels_says_so_and_is_not_asked(upstream, engine_at, kind, lacks):
    answer = engine_at(upstream.url).draw(requests(1), Decoding(kind, count=5))[0]
    assert lacks in answer.failure
    assert upstream.made == []


SURVIVABLE = [fault for fault in (*BEFORE, *AFTER) if fault != "401"]


@pytest.mark.parametrize("fault", SURVIVABLE)
def test_one_fault_is_survived_and_the_answer_is_the_same(fault, upstream, proxy_to, engine_at):
    plain = engine_at(upstream.url).draw(requests(2), GREEDY)
    upstream.made.clear()
    proxy = proxy_to(lambda _, attempt: fault if attempt == 1 else "")
    answers = engine_at(proxy.url, timeout_s=2.0).draw(requests(2), GREEDY)
    assert [answer.candidates for answer in answers] == [answer.candidates for answer in plain]
    assert proxy.faults[fault] == 2
    assert len(upstream.made) == 2


def test_a_chaos_run_ends_complete_with_each_answer_made_once(upstream, proxy_to, engine_at):
    def fault(identity: str, attempt: int) -> str:
        chance = random.Random(f"{identity}{attempt}")
        return chance.choice(SURVIVABLE) if chance.random() < 0.5 else ""

    asked = requests(12)
    plain = engine_at(upstream.url).draw(asked, SAMPLES)
    upstream.made.clear()
    proxy = proxy_to(fault)
    answers = engine_at(proxy.url, timeout_s=2.0, attempts=30, concurrency=32).draw(asked, SAMPLES)
    assert [answer.failure for answer in answers] == [""] * 12
    assert [answer.candidates for answer in answers] == [answer.candidates for answer in plain]
    assert sorted(upstream.made) == sorted(f"{request.key}#{index}" for request in asked for index in range(4))
    assert len(proxy.delivered) == len(upstream.made) == 48
    assert all(
        proxy.faults[fault] for fault in ("429", "500", "503", "truncated", "wrong-json", "hang", "drip", "reset")
    )


def test_a_server_that_never_recovers_is_a_transient_failure_not_an_exception(proxy_to, engine_at):
    proxy = proxy_to(lambda *_: "500")
    answer = engine_at(proxy.url, attempts=3).draw(requests(1), GREEDY)[0]
    assert answer.failure == "no answer after 3 attempts: HTTP 500: too much"
    assert answer.candidates == ()
    assert answer.extra["transient"] is True


def test_no_server_at_all_is_a_failure_not_an_exception(engine_at):
    answer = engine_at("http://127.0.0.1:9/v1", attempts=2).draw(requests(1), GREEDY)[0]
    assert answer.failure.startswith("no answer after 2 attempts")


def test_what_was_paid_for_is_returned_when_other_samples_fail(proxy_to, engine_at):
    proxy = proxy_to(lambda identity, _: "500" if identity.endswith("#1") else "")
    answer = engine_at(proxy.url, attempts=2).draw(requests(1), SAMPLES)[0]
    assert len(answer.candidates) == 3
    assert answer.extra["indexes"] == [0, 2, 3]
    assert answer.failure.startswith("1 of 4 samples are missing: no answer after 2 attempts")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("empty", "an empty choice list"),
        ("filtered", "filtered by the provider"),
        ("other-model", "answered by another model: asked for small, got a-newer-model"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_failure_of_its_own(fault, words, proxy_to, engine_at):
    proxy = proxy_to(lambda *_: fault)
    answer = engine_at(proxy.url).draw(requests(1), GREEDY)[0]
    assert words in answer.failure
    assert answer.candidates == ()
    assert answer.extra["transient"] is False
    assert sum(proxy.seen.values()) == 1


def test_a_model_that_thought_its_tokens_away_gives_an_empty_candidate(proxy_to, engine_at):
    proxy = proxy_to(lambda *_: "thinking")
    candidate = engine_at(proxy.url).draw(requests(1), GREEDY)[0].candidates[0]
    assert (candidate.text, candidate.finish_reason) == ("", "length")


def test_hidden_reasoning_gets_room_beside_the_answer(upstream, engine_at):
    engine_at(upstream.url, spec(thinking_tokens=1000)).draw(requests(1), GREEDY)
    assert upstream.bodies[0]["max_tokens"] == 1050


def test_concurrency_is_bounded_and_falls_under_429(upstream, proxy_to, engine_at):
    proxy = proxy_to(lambda *_: "")
    engine_at(proxy.url, concurrency=3).draw(requests(20), GREEDY)
    assert 1 <= proxy.most_at_once <= 3
    busy = proxy_to(lambda _, attempt: "429" if attempt == 1 else "")
    engine = engine_at(busy.url, concurrency=8)
    engine.draw(requests(8), GREEDY)
    assert engine.pace.limit < 8


def test_the_ceiling_is_never_crossed_and_the_rest_is_reported(upstream, engine_at):
    engine = engine_at(upstream.url, spec(price=PRICE), max_dollars=0.02, concurrency=4)
    answers = engine.draw(requests(40), GREEDY)
    answered = [answer for answer in answers if answer.candidates]
    refused = [answer for answer in answers if not answer.candidates]
    assert len(answered) == len(upstream.made) > 0
    assert engine.ledger.spent <= 0.02
    assert refused
    assert all("the ceiling of $0.02" in answer.failure and answer.extra["transient"] for answer in refused)
    # 30 text tokens at 10, 5 audio tokens at 100, 20 answer tokens at 20, all per million
    assert answered[0].extra["dollars"] == pytest.approx((300 + 500 + 400) / 1e6)
    assert engine.ledger.spent == pytest.approx(len(answered) * 0.0012)


def test_an_answer_lost_on_its_way_counts_as_paid(upstream, proxy_to, engine_at):
    proxy = proxy_to(lambda _, attempt: "reset" if attempt == 1 else "", replay=False)
    engine = engine_at(proxy.url, spec(price=PRICE), max_dollars=1.0)
    engine.draw(requests(1), GREEDY)
    assert engine.ledger.spent > 2 * 0.0012
    assert engine.ledger.reserved == 0


def test_no_usage_in_the_response_counts_as_the_most_it_can_cost(proxy_to, engine_at):
    proxy = proxy_to(lambda *_: "no-usage")
    engine = engine_at(proxy.url, spec(price=PRICE), max_dollars=1.0)
    engine.draw(requests(1), GREEDY)
    assert engine.ledger.spent > 0.0012


def test_a_ceiling_without_a_price_is_refused(engine_at):
    with pytest.raises(BadInput, match="the price is unknown"):
        engine_at("http://127.0.0.1:9/v1", max_dollars=1.0)


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BadInput, match="OPENAI_API_KEY is not set"):
        OpenAIEngine(model("gpt-4o"))


def test_a_missing_address_is_named(monkeypatch):
    monkeypatch.delenv("AUDIO_FLAMINGO_2_BASE_URL", raising=False)
    with pytest.raises(BadInput, match="AUDIO_FLAMINGO_2_BASE_URL"):
        OpenAIEngine(model("audio-flamingo-2"))


def test_the_key_is_sent_and_shows_nowhere(upstream, proxy_to, engine_at, monkeypatch, caplog, tmp_path):
    secret = "sk-secret-0123456789"
    monkeypatch.setenv("SOME_KEY", secret)
    caplog.set_level(logging.DEBUG)
    keyed = spec(key_env="SOME_KEY")
    engine = engine_at(upstream.url, keyed, journal=tmp_path)
    answers = engine.draw(requests(1), GREEDY)
    assert upstream.keys == [f"Bearer {secret}"]
    echoing = Upstream()
    echoing.answer = lambda body: {"error": f"bad key {secret}"}  # a 200 that is no completion, and repeats the key
    failed = engine_at(echoing.url, keyed, attempts=1).draw(requests(1), GREEDY)
    echoing.close()
    assert "***" in failed[0].failure
    kept = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    for text in (repr(engine), str(engine), repr(answers), repr(failed), caplog.text, kept, repr(keyed)):
        assert secret not in text


def test_a_refused_key_stops_the_engine_instead_of_hammering(proxy_to, engine_at):
    proxy = proxy_to(lambda *_: "401")
    answers = engine_at(proxy.url, concurrency=1).draw(requests(10), GREEDY)
    assert all("refuses the key" in answer.failure and answer.extra["transient"] for answer in answers)
    assert sum(proxy.seen.values()) == 1


def test_a_killed_run_asks_again_for_nothing_it_has_paid_for(upstream, engine_at, tmp_path):
    first = engine_at(upstream.url, journal=tmp_path)
    before = first.draw(requests(3), SAMPLES)
    kept = next(tmp_path.glob("*.jsonl"))
    kept.write_text(kept.read_text(encoding="utf-8")[:-40], encoding="utf-8")  # the kill cut the last line
    upstream.made.clear()
    after = engine_at(upstream.url, journal=tmp_path).draw(requests(3), SAMPLES)
    assert [answer.candidates for answer in after] == [answer.candidates for answer in before]
    assert len(upstream.made) == 1


def test_only_a_dated_snapshot_is_the_same_model():
    assert same_model("gpt-4o-audio-preview-2024-12-17", "gpt-4o-audio-preview")
    assert same_model("models/gemini-2.5-pro", "gemini-2.5-pro")
    assert not same_model("gemini-3.8-flash", "gemini-2.5-pro")
    assert not same_model("gpt-4o-mini", "gpt-4o")
