"""The OpenAI-compatible engine against real HTTP on loopback: a small upstream that decodes the
clip, and a proxy that breaks things.
"""

import json
import logging
import random
import time

import numpy as np
import pytest
from servers.faulty_proxy import AFTER, BEFORE, FaultyProxy
from servers.upstream import Refusal, Upstream

from ambiemo.draws import Decoding
from ambiemo.engines import THOUGHT_AWAY, ModelStopped, Request
from ambiemo.engines.chat import (
    messages,
    same_model,
    to_wav,
)
from ambiemo.engines.journal import Journal
from ambiemo.engines.openai import OpenAIEngine
from ambiemo.engines.retrying import retry_after_seconds, retry_info_seconds
from ambiemo.errors import BadInput
from ambiemo.models import MODELS, Accepts, ModelSpec, Price, model

GREEDY = Decoding("greedy", max_tokens=50)
SAMPLES = Decoding("sample", count=4, temperature=0.7, max_tokens=50)
PRICE = Price(
    text_in=10,
    audio_in=100,
    out=20,
    audio_tokens_per_second=10,
    date="2026-11-21",
    where="made up for a test",
)
ONE_ANSWER = (30 * 10 + 5 * 100 + 20 * 20) / 1e6
"""Dollars of one answer of the upstream server to half a second: 30 text tokens, 5 of audio, 20 of
answer.
"""
QUICK = {"backoff_s": 0.01, "longest_wait_s": 0.2}


def spec(**changes: object) -> ModelSpec:
    base = model("gpt-4o").changed(
        weights="small", revision=None, key_env=None, base_url=None, base_url_env=None, price=None
    )
    return base.changed(**changes)


def clip(number: int, seconds: float = 0.5) -> np.ndarray:
    return np.random.default_rng(number).uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32)


def requests(count: int) -> list[Request]:
    return [
        Request(key=f"{n:064x}", prompt="How does it sound?", audio=clip(n), seed=n * 7919)
        for n in range(count)
    ]


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
    assert (answers[0].audio_s, answers[0].prompt_tokens) == (0.5, 35)


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
    assert (
        engine_at(upstream.url, able).draw(requests(1), GREEDY)[0].candidates[0].log_likelihood
        == -5.0
    )
    assert engine_at(upstream.url).draw(requests(1), GREEDY)[0].candidates[0].log_likelihood is None
    assert [body.get("logprobs") for body in upstream.bodies] == [True, None]


def test_the_prompt_hash_leaves_out_the_audio_and_nothing_else(upstream, engine_at):
    one, other = requests(2)
    changed = Request(key="c", prompt="Another question", audio=one.audio, seed=1)
    answers = engine_at(upstream.url).draw([one, other, changed], GREEDY)
    hashes = [answer.rendered_prompt_sha256 for answer in answers]
    assert hashes[0] == hashes[1] != hashes[2]
    assert messages("p", "")[0]["content"][0]["input_audio"]["data"] == ""


@pytest.mark.parametrize(
    ("kind", "lacks"), [("beam", "no beam search"), ("forced", "no log-probabilities of answers")]
)
def test_a_server_without_beams_or_forced_labels_says_so_and_is_not_asked(
    upstream, engine_at, kind, lacks
):
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
        if attempt == 1:
            key, _, index = identity.rpartition("/")[2].partition("#")
            return SURVIVABLE[(4 * int(key, 16) + int(index)) % len(SURVIVABLE)]
        chance = random.Random(f"{identity}{attempt}")
        quick = [one for one in SURVIVABLE if one not in ("hang", "drip", "429-date")]
        return chance.choice(quick) if chance.random() < 0.5 else ""

    asked = requests(12)
    plain = engine_at(upstream.url).draw(asked, SAMPLES)
    upstream.made.clear()
    proxy = proxy_to(fault)
    answers = engine_at(proxy.url, timeout_s=2.0, attempts=30, concurrency=32).draw(asked, SAMPLES)
    assert [answer.failure for answer in answers] == [""] * 12
    assert [answer.candidates for answer in answers] == [answer.candidates for answer in plain]
    made = sorted(identity.rpartition("/")[2] for identity in upstream.made)
    assert made == sorted(f"{request.key}#{index}" for request in asked for index in range(4))
    assert sum(proxy.delivered.values()) == len(proxy.delivered) == len(upstream.made) == 48
    assert sum(proxy.seen.values()) == 48 + sum(proxy.faults.values()) - proxy.faults[""]
    assert set(SURVIVABLE) <= set(proxy.faults)


def test_without_a_gateway_that_replays_the_ledger_never_says_less_than_was_billed(
    upstream, proxy_to, engine_at
):
    faults = ["429", "500", "504", "truncated", "wrong-json", "reset", "", ""]

    def fault(identity: str, attempt: int) -> str:
        return random.Random(f"{attempt}{identity}").choice(faults)

    proxy = proxy_to(fault, replay=False)
    engine = engine_at(proxy.url, spec(price=PRICE), timeout_s=2.0, attempts=30, concurrency=32)
    answers = engine.draw(requests(8), SAMPLES)
    assert [answer.failure for answer in answers] == [""] * 8
    assert len(upstream.made) > 32
    assert engine.ledger.spent >= len(upstream.made) * ONE_ANSWER - 1e-12
    assert engine.ledger.spent == pytest.approx(sum(answer.extra["dollars"] for answer in answers))


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


def test_a_model_that_thought_its_tokens_away_is_a_failure_of_its_own_and_asked_again(
    proxy_to, engine_at, tmp_path
):
    thinking = [True]
    proxy = proxy_to(lambda *_: "thinking" if thinking else "", replay=False)
    answer = engine_at(proxy.url, journal=tmp_path).draw(requests(1), GREEDY)[0]
    assert answer.candidates == ()
    assert answer.failure.startswith(THOUGHT_AWAY)
    assert answer.extra["transient"] is True
    thinking.clear()
    assert engine_at(proxy.url, journal=tmp_path).draw(requests(1), GREEDY)[0].failure == ""


def test_a_model_that_thinks_every_answer_away_stops_after_a_few(upstream, proxy_to, engine_at):
    engine = engine_at(proxy_to(lambda *_: "thinking").url, concurrency=16, refusals=4)
    answers = engine.draw(requests(50), GREEDY)
    assert len(upstream.made) == 4
    assert "4 requests in a row ended alike: empty at the token limit" in engine.stopped
    assert all(answer.failure for answer in answers)


def gemini(server: Upstream) -> Upstream:
    """A server that refuses as Gemini's compatible endpoint does: a field that it does not know
    makes a 400 of the request.
    """
    usual = server.answer

    def strict(body: dict) -> dict:
        if "seed" in body:
            what = 'Invalid JSON payload received. Unknown name \\"seed\\": Cannot find field.'
            raise Refusal(
                400, [{"error": {"code": 400, "message": what, "status": "INVALID_ARGUMENT"}}]
            )
        return usual(body | {"seed": 0})

    server.answer = strict
    return server


def test_a_server_that_knows_no_seed_is_sent_none(upstream, engine_at):
    row = spec(accepts=Accepts(seed=False, reasoning_effort="low", limit="max_completion_tokens"))
    answers = engine_at(gemini(upstream).url, row).draw(requests(2), SAMPLES)
    assert [answer.failure for answer in answers] == [""] * 2
    assert {body["reasoning_effort"] for body in upstream.bodies} == {"low"}
    assert {body["max_completion_tokens"] for body in upstream.bodies} == {50}
    assert not {"seed", "max_tokens"} & set(upstream.bodies[0])


@pytest.mark.parametrize("name", ["gemini-2.0-flash", "gemini-2.5-pro"])
def test_the_rows_of_gemini_send_what_its_server_takes(name, engine_at, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    server = gemini(Upstream(MODELS[name].weights))
    answer = engine_at(server.url, MODELS[name]).draw(requests(1), GREEDY)[0]
    server.close()
    assert answer.failure == ""
    assert server.bodies[0].get("reasoning_effort") == ("low" if name == "gemini-2.5-pro" else None)


def test_a_clip_travels_as_a_data_url_where_the_row_says_so(engine_at, monkeypatch):
    server, heard = Upstream(), []

    def answer(body: dict) -> dict:
        heard.append(body["messages"][0]["content"][0])
        return {"choices": [{"message": {"content": "{}"}}]}

    server.answer = answer
    engine_at(server.url, spec(accepts=Accepts(audio="audio_url"))).draw(requests(1), GREEDY)
    server.close()
    assert heard[0]["audio_url"]["url"].startswith("data:audio/wav;base64,UklGR")


def test_a_refused_request_is_not_final_and_the_same_refusal_stops_the_model(
    upstream, engine_at, tmp_path
):
    asked = requests(50)
    first = engine_at(gemini(upstream).url, journal=tmp_path, concurrency=16)
    answers = first.draw(asked, GREEDY)
    assert upstream.refused == 5
    assert upstream.made == []
    assert first.stopped.startswith(
        "5 requests in a row ended alike: the server refuses the request: HTTP 400"
    )
    assert all(answer.failure and answer.extra["transient"] for answer in answers)
    with pytest.raises(
        ModelStopped, match=r"model gpt-4o: stopped: 5 requests in a row .* Unknown name"
    ):
        first.draw(asked, GREEDY)
    assert upstream.refused == 5
    mended = engine_at(upstream.url, spec(accepts=Accepts(seed=False)), journal=tmp_path)
    assert [answer.failure for answer in mended.draw(asked, GREEDY)] == [""] * 50


def test_refusals_between_answers_stop_nothing(upstream, engine_at):
    usual = upstream.answer

    def answer(body: dict) -> dict:
        if len(upstream.made) % 2 == 0 and upstream.refused == len(upstream.made) // 2:
            raise Refusal(400, {"error": {"message": "no"}})
        return usual(body)

    upstream.answer = answer
    engine = engine_at(upstream.url, concurrency=1, refusals=2)
    engine.draw(requests(12), GREEDY)
    assert upstream.refused >= 4
    assert engine.stopped == ""


def test_the_journal_gives_no_answer_to_another_request(upstream, engine_at, tmp_path):
    engine_at(upstream.url, journal=tmp_path).draw(requests(1), GREEDY)
    engine_at(upstream.url, journal=tmp_path).draw(requests(1), GREEDY)
    assert len(upstream.made) == 1
    engine_at(upstream.url, spec(thinking_tokens=100), journal=tmp_path).draw(requests(1), GREEDY)
    assert len(upstream.made) == 2
    assert upstream.made[0] != upstream.made[1]


def test_another_model_under_the_name_stops_the_model_at_the_first_answer(
    upstream, proxy_to, engine_at, tmp_path
):
    proxy = proxy_to(lambda *_: "other-model")
    engine = engine_at(proxy.url, journal=tmp_path, concurrency=16)
    answers = engine.draw(requests(50), GREEDY)
    assert len(upstream.made) == 1
    assert engine.stopped == "answered by another model: asked for small, got a-newer-model"
    assert all(answer.failure == engine.stopped for answer in answers)
    with pytest.raises(ModelStopped, match="got a-newer-model"):
        engine.draw(requests(1), GREEDY)


def test_another_model_half_way_costs_no_more_than_what_is_under_way(upstream, proxy_to, engine_at):
    proxy = proxy_to(lambda *_: "other-model" if len(upstream.made) >= 20 else "")
    engine = engine_at(proxy.url, concurrency=4)
    answers = engine.draw(requests(100), GREEDY)
    assert sum(not answer.failure for answer in answers) >= 16
    assert (
        len(upstream.made) <= 20 + 2 * 4
    )  # those under way when the server changes, and when the engine hears of it


QUOTA = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota. Please retry in 36.5s.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "NAME"}],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36s"},
        ],
    }
}
DAILY = json.dumps([QUOTA]).replace("NAME", "GenerateRequestsPerDayPerProjectPerModel-FreeTier")


@pytest.mark.parametrize(
    "said",
    [
        DAILY,
        json.dumps({"error": {"message": DAILY}}),
        json.dumps([QUOTA]).replace(
            "quota.", "quota. * Quota exceeded for metric: g.com/requests, limit: 0, model: m"
        ),
        json.dumps(
            {
                "error": {
                    "message": "Rate limit reached on requests per day (RPD): Limit 200, Used 200"
                }
            }
        ),
    ],
    ids=["quotaId", "packed into a string", "a limit of nothing", "OpenAI's"],
)
def test_a_daily_quota_stops_the_model_at_once(said, upstream, engine_at):
    def answer(body: dict) -> dict:
        raise Refusal(429, json.loads(said))

    upstream.answer = answer
    engine = engine_at(upstream.url, concurrency=16)
    engine.draw(requests(50), GREEDY)
    assert upstream.refused == 1
    assert engine.stopped.startswith("the quota is spent (")


def test_the_pause_of_google_s_retry_info_is_kept(upstream, engine_at):
    asked, usual = [], upstream.answer

    def answer(body: dict) -> dict:
        asked.append(time.monotonic())
        if len(asked) == 1:
            raise Refusal(
                429,
                json.loads(json.dumps([QUOTA]).replace('"36s"', '"0.6s"').replace("36.5s", "soon")),
            )
        return usual(body)

    upstream.answer = answer
    assert (
        engine_at(upstream.url, backoff_s=0.001, longest_wait_s=0.002)
        .draw(requests(1), GREEDY)[0]
        .failure
        == ""
    )
    assert asked[1] - asked[0] >= 0.6


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ('"retryDelay": "36s"', 36.0),
        ('\\"retryDelay\\": \\"1.25s\\"', 1.25),
        ("Please retry in 45.578569677s.", 45.578569677),
        ('"retryDelay": "soon"', None),
        ("{}", None),
    ],
)
def test_retry_info_is_read_in_every_form(body, seconds):
    assert retry_info_seconds(body) == seconds


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
    assert all(
        "the ceiling of $0.02" in answer.failure and answer.extra["transient"] for answer in refused
    )
    assert answered[0].extra["dollars"] == pytest.approx(ONE_ANSWER)
    assert engine.ledger.spent == pytest.approx(len(answered) * ONE_ANSWER)


def test_the_ceiling_holds_over_all_runs_that_share_a_journal(upstream, engine_at, tmp_path):
    for run in range(3):
        engine = engine_at(upstream.url, spec(price=PRICE), max_dollars=0.02, journal=tmp_path)
        engine.draw(requests(40)[run:], GREEDY)
    assert 10 < len(upstream.made) <= 0.02 / ONE_ANSWER


def test_a_request_that_a_killed_run_had_sent_counts_as_paid_in_full(upstream, engine_at, tmp_path):
    killed = Journal(tmp_path)
    killed.asked(0.5)
    killed.ended(killed.asked(0.25), 0.125)
    killed.close()
    assert (
        engine_at(upstream.url, spec(price=PRICE), max_dollars=1.0, journal=tmp_path).ledger.spent
        == 0.625
    )


@pytest.mark.parametrize(
    ("fault", "paid"), [("429", False), ("503", False), ("504", True), ("500", True)]
)
def test_an_error_after_which_the_answer_may_have_been_made_counts_as_paid(
    fault, paid, proxy_to, engine_at
):
    proxy = proxy_to(lambda *_: fault)
    engine = engine_at(proxy.url, spec(price=PRICE), attempts=2)
    engine.draw(requests(1), GREEDY)
    assert (engine.ledger.spent > 2 * ONE_ANSWER) is paid
    assert engine.ledger.reserved == 0


def test_an_answer_lost_on_its_way_counts_as_paid(upstream, proxy_to, engine_at):
    proxy = proxy_to(lambda _, attempt: "reset" if attempt == 1 else "", replay=False)
    engine = engine_at(proxy.url, spec(price=PRICE), max_dollars=1.0)
    engine.draw(requests(1), GREEDY)
    assert engine.ledger.spent > 2 * ONE_ANSWER
    assert engine.ledger.reserved == 0


def test_no_usage_in_the_response_counts_as_the_most_it_can_cost(proxy_to, engine_at):
    proxy = proxy_to(lambda *_: "no-usage")
    engine = engine_at(proxy.url, spec(price=PRICE), max_dollars=1.0)
    engine.draw(requests(1), GREEDY)
    assert engine.ledger.spent > ONE_ANSWER


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {"prompt_tokens": "35 (est.)", "completion_tokens": None}},
        {"usage": {"prompt_tokens": 35, "completion_tokens": 20, "prompt_tokens_details": 3}},
        {"usage": [35, 20]},
        {"usage": {"prompt_tokens": -1, "completion_tokens": 1e400, "total_tokens": True}},
    ],
)
def test_odd_bookkeeping_of_a_server_costs_no_answer_and_counts_as_paid(odd, upstream, engine_at):
    usual = upstream.answer
    upstream.answer = lambda body: usual(body) | odd
    engine = engine_at(upstream.url, spec(price=PRICE))
    answers = engine.draw(requests(3), GREEDY)
    assert [answer.failure for answer in answers] == [""] * 3
    assert len(upstream.made) == 3
    assert engine.ledger.spent >= 3 * ONE_ANSWER - 1e-12


def test_log_probabilities_that_are_none_leave_the_likelihood_untold(upstream, engine_at):
    usual = upstream.answer

    def odd(body: dict) -> dict:
        answer = usual(body)
        answer["choices"][0]["logprobs"] = [1]
        return answer

    upstream.answer = odd
    able = spec(capabilities=frozenset({"sampling", "likelihood"}))
    assert (
        engine_at(upstream.url, able).draw(requests(1), GREEDY)[0].candidates[0].log_likelihood
        is None
    )


def test_a_journal_that_cannot_be_written_loses_no_answer_and_asks_for_no_more(
    upstream, engine_at, tmp_path, monkeypatch
):
    engine = engine_at(upstream.url, journal=tmp_path, concurrency=1)
    whole = engine.journal._write

    def full(line: dict) -> None:
        if "paid" in line:
            raise OSError(28, "No space left on device")
        whole(line)

    monkeypatch.setattr(engine.journal, "_write", full)
    answers = engine.draw(requests(3), GREEDY)
    assert [bool(answer.candidates) for answer in answers] == [True, False, False]
    assert "No space left" in answers[1].failure
    assert len(upstream.made) == 1


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


def test_the_key_is_sent_and_shows_nowhere(
    upstream, proxy_to, engine_at, monkeypatch, caplog, tmp_path
):
    secret = "sk-secret-0123456789"
    monkeypatch.setenv("SOME_KEY", secret)
    caplog.set_level(logging.DEBUG)
    keyed = spec(key_env="SOME_KEY")
    engine = engine_at(upstream.url, keyed, journal=tmp_path)
    answers = engine.draw(requests(1), GREEDY)
    assert upstream.keys == [f"Bearer {secret}"]
    echoing = Upstream()
    echoing.answer = lambda body: {
        "error": f"bad key {secret}"
    }  # a 200 that is no completion, and repeats the key
    failed = engine_at(echoing.url, keyed, attempts=1).draw(requests(1), GREEDY)
    echoing.close()
    assert "***" in failed[0].failure
    kept = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    for text in (
        repr(engine),
        str(engine),
        repr(answers),
        repr(failed),
        caplog.text,
        kept,
        repr(keyed),
    ):
        assert secret not in text


@pytest.mark.parametrize("before", range(0, 100, 7))
def test_no_part_of_a_long_key_shows_wherever_the_reason_is_cut(
    before, upstream, engine_at, monkeypatch
):
    secret = "sk-proj-" + "".join(f"{number:03}A" for number in range(39))
    monkeypatch.setenv("SOME_KEY", secret)
    upstream.answer = lambda body: {"error": "x" * before + secret}
    failed = engine_at(upstream.url, spec(key_env="SOME_KEY"), attempts=1).draw(
        requests(1), GREEDY
    )[0]
    assert failed.failure
    assert secret[:12] not in failed.failure


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"error": {"message": "pay first"}}),
        (
            400,
            [
                {
                    "error": {
                        "message": "API key not valid. Please pass a valid API key.",
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ],
        ),
        (429, {"error": {"message": "no quota", "code": "insufficient_quota"}}),
        (429, {"error": {"message": "come back tomorrow"}}),
    ],
    ids=["cannot pay", "Gemini's bad key", "no quota", "a pause of a day"],
)
def test_an_error_that_every_request_would_meet_stops_the_engine(
    status, body, proxy_to, engine_at, monkeypatch
):
    proxy = proxy_to(lambda *_: "401")
    said = json.dumps(body).encode()
    monkeypatch.setattr(
        proxy,
        "refuse",
        lambda handler, _: proxy.send(handler, status, said, headers={"Retry-After": "86400"}),
    )
    answers = engine_at(proxy.url, concurrency=1).draw(requests(10), GREEDY)
    assert all(answer.failure and answer.extra["transient"] for answer in answers)
    assert sum(proxy.seen.values()) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_in_every_form(headers, seconds, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    monkeypatch.setattr("ambiemo.engines.retrying.time", lambda: 60.0)
    assert retry_after_seconds(headers) == seconds
    monkeypatch.undo()
    time.tzset()


def test_the_pause_a_server_asks_for_is_kept(proxy_to, engine_at, monkeypatch):
    asked = []

    def fault(_: str, attempt: int) -> str:
        asked.append(time.monotonic())
        return "429" if attempt == 1 else ""

    proxy = proxy_to(fault)
    monkeypatch.setattr(
        proxy,
        "refuse",
        lambda handler, _: proxy.send(handler, 429, b"{}", headers={"Retry-After": "0.6"}),
    )
    engine_at(proxy.url, backoff_s=0.001, longest_wait_s=0.002).draw(requests(1), GREEDY)
    assert len(asked) == 2
    assert asked[1] - asked[0] >= 0.6


def test_a_refused_key_stops_the_engine_instead_of_hammering(proxy_to, engine_at):
    proxy = proxy_to(lambda *_: "401")
    answers = engine_at(proxy.url, concurrency=1).draw(requests(10), GREEDY)
    assert all(
        "refuses the key" in answer.failure and answer.extra["transient"] for answer in answers
    )
    assert sum(proxy.seen.values()) == 1


def test_a_killed_run_asks_again_for_nothing_it_has_paid_for(upstream, engine_at, tmp_path):
    first = engine_at(upstream.url, journal=tmp_path)
    before = first.draw(requests(3), SAMPLES)
    kept = next(tmp_path.glob("*.jsonl"))
    kept.write_text(
        kept.read_text(encoding="utf-8")[:-40], encoding="utf-8"
    )  # the kill cut the last line
    upstream.made.clear()
    after = engine_at(upstream.url, journal=tmp_path).draw(requests(3), SAMPLES)
    assert [answer.candidates for answer in after] == [answer.candidates for answer in before]
    assert len(upstream.made) == 1


@pytest.mark.parametrize(
    "reason", ["content_filter", "SAFETY", "RECITATION", "content_filter: PROHIBITED_CONTENT"]
)
@pytest.mark.parametrize("with_message", [True, False])
def test_a_filtered_answer_is_never_an_empty_one_and_is_asked_for_once(
    reason, with_message, upstream, engine_at, tmp_path
):
    usual = upstream.answer

    def kept_back(body: dict) -> dict:
        answer = usual(body)
        answer["choices"] = [
            {"finish_reason": reason} | ({"message": {"content": None}} if with_message else {})
        ]
        return answer

    upstream.answer = kept_back
    for _ in range(2):
        answer = engine_at(upstream.url, journal=tmp_path).draw(requests(1), GREEDY)[0]
        assert (answer.failure, answer.candidates) == ("filtered by the provider", ())
        assert answer.extra["transient"] is False
    assert len(upstream.made) == 1


def test_a_name_of_another_model_is_refused_before_anything_is_asked(engine_at):
    assert engine_at("http://127.0.0.1:9/v1", model_name="owner/small").model_name == "owner/small"
    with pytest.raises(BadInput, match="'large' is another model than 'small'"):
        engine_at("http://127.0.0.1:9/v1", model_name="large")


def test_only_a_dated_snapshot_is_the_same_model():
    assert same_model("gpt-4o-audio-preview-2024-12-17", "gpt-4o-audio-preview")
    assert same_model("models/gemini-2.5-pro", "gemini-2.5-pro")
    assert not same_model("gemini-3.8-flash", "gemini-2.5-pro")
    assert same_model("gemini-2.0-flash-001", "gemini-2.0-flash")
    assert not same_model("gpt-4o-mini", "gpt-4o")
    assert not same_model("qwen-72", "qwen-7")
    assert not same_model("qwen-7-2", "qwen-7")
    assert not same_model("gpt-4o-audio-preview-2025-06-03", "gpt-4o-audio-preview-2024-12-17")
