"""The dry run's costs: what it calls "at most" is no less than what the engine would set aside."""

from collections import defaultdict

import numpy as np
import pytest

from ambiemo.engines import Request
from ambiemo.plan import sharing
from ambiemo.plan.dry_run import READ_AGAIN, costs
from ambiemo.plan.expand import expand
from ambiemo.plan.schema import check

PLAN = {
    "name": "paid",
    "models": ["gpt-4o", "gemini-2.5-pro"],
    "corpora": [{"id": "tiny", "limit": 3}],
    "strategies": [
        "greedy",
        "self_consistency",
        {"name": "alm_v_sampled", "base": "alm_v", "decoding": "sample", "count": 3},
    ],
    "controls": ["silence"],
    "verifier": "gpt-4o",
}


@pytest.fixture
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason="the openai extra is not installed")
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "sk-nothing-is-sent")


@pytest.mark.usefixtures("_keys")
def test_dollars_are_what_the_engine_would_set_aside_for_the_longest_answers() -> None:
    from ambiemo.engines.openai import OpenAIEngine

    expanded = expand(check(PLAN, "plan"))
    engines = {name: OpenAIEngine(spec) for name, spec in expanded.specs.items()}

    def aside(draw, utterance) -> float:
        audio = np.zeros(round(utterance.duration_s * 16_000), np.float32)
        one = engines[draw.model]._highest_price(
            Request(draw.key, draw.prompt, audio, draw.seed), draw.decoding
        )
        return one * draw.decoding.count

    expected: dict[str, float] = defaultdict(float)
    for which in sharing.questions_of(expanded):
        longest = which.decoding.max_tokens + expanded.specs[which.model].thinking_tokens
        for utterance, draw in zip(
            expanded.corpora["tiny"].utterances, sharing.draws(expanded, which), strict=True
        ):
            expected[draw.model] += aside(draw, utterance)
            for index in range(which.judged):
                score = sharing.judging(expanded, which)(
                    draw, index, ["x" * READ_AGAIN * longest] * which.judged
                )
                expected[score.model] += aside(score, utterance)
    for engine in engines.values():
        engine.close()
    told = {one.model: one.dollars for one in costs(expanded)}
    assert set(told) == set(expected)
    for name, dollars in expected.items():
        assert dollars <= told[name] <= dollars + 0.02


def test_samples_of_a_server_are_paid_one_by_one_and_a_null_engine_costs_nothing() -> None:
    def cost(engine: str, count: int):
        strategies = [{"name": "vote", "base": "majority_vote", "count": count}]
        plan = {"name": "p", "corpora": PLAN["corpora"], "strategies": strategies}
        return costs(expand_ready(plan | {"models": [{"id": "gpt-4o", "engine": engine}]}))[0]

    one, eight = cost("openai", 1), cost("openai", 8)
    assert (one.draws, one.answers, eight.draws, eight.answers) == (3, 3, 3, 24)
    assert eight.prompt_tokens == 8 * one.prompt_tokens
    assert eight.dollars == pytest.approx(8 * one.dollars, abs=0.1)
    nothing = cost("null", 8)
    assert (nothing.prompt_tokens, nothing.dollars) == (one.prompt_tokens, 0.0)


def expand_ready(content: dict):
    """The plan as it is on a machine that lacks nothing."""
    from ambiemo.plan.expand import as_if_complete

    return as_if_complete(expand(check(content, "plan")))
