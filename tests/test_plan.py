"""The plan: what it may say, what it costs, and that every mistake in it is named in one line."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from ambiemo.bundle.contents import plan_file
from ambiemo.bundle.inputs import input_files
from ambiemo.bundle.shipped import verify as independent
from ambiemo.corpora import iemocap
from ambiemo.errors import BadInput
from ambiemo.labels import AMBIGUITY_RULES, FOUR, SIX, AmbiguityRule
from ambiemo.models import Price
from ambiemo.plan import sharing
from ambiemo.plan.expand import as_if_complete, expand
from ambiemo.plan.schema import check, read
from ambiemo.strategies import AGGREGATORS, SCORERS, STRATEGIES, Beam, Greedy, Sample, Strategy

PLANS = sorted((ROOT / "reproduce").glob("*.yaml"))
COMMIT = "0123456789abcdef" * 2 + "01234567"
SMALL = {
    "name": "small",
    "models": [{"id": "tiny", "engine": "null"}],
    "corpora": [{"id": "tiny", "limit": 5}],
    "strategies": ["greedy", "cot", "bon", "w_bon", "alm_v", "w_alm_v", "majority_vote"],
}


def small(**changes: object) -> dict:
    return SMALL | changes


def model(**said: object) -> dict:
    return small(models=[said])


def strategy(**said: object) -> dict:
    return small(strategies=[said])


def missing_of(content: dict) -> dict[str, str]:
    """What is missing, and what to do about it."""
    return {item.what: item.do for item in expand(check(content, "plan")).missing}


@pytest.mark.parametrize(
    "path",
    [p for p in PLANS if "models" in yaml.safe_load(p.read_text("utf-8"))],
    ids=lambda p: p.stem,
)
def test_every_plan_that_ships_is_valid(path: Path) -> None:
    assert read(path).name == path.stem


def test_the_paper_s_plan_names_all_eight_models_three_corpora_and_every_strategy() -> None:
    plan = read(ROOT / "reproduce" / "paper.yaml")
    assert len(plan.models) == 8
    assert [corpus.id for corpus in plan.corpora] == ["iemocap", "msp-podcast", "crema-d"]
    named = {entry.base or entry.name for entry in plan.strategies}
    assert named >= {
        "greedy",
        "cot",
        "bon",
        "w_bon",
        "alm_v",
        "w_alm_v",
        "majority_vote",
        "self_consistency",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            small(strategies=["greedy", "best_of_n"]),
            r"plan: strategies\.1: strategy 'best_of_n': unknown",
        ),
        (small(strategy=["greedy"]), "plan: strategy: unknown key"),
        (small(models=["qwen9"]), r"plan: models\.0: model 'qwen9': unknown"),
        (small(models=[{"id": "tiny", "engine": "onnx"}]), r"models\.0\.engine: unknown 'onnx'"),
        (small(models=[{"id": "gpt-4o", "engine": "vllm"}]), r"'vllm' does not run gpt-4o"),
        (small(corpora=["cremad"]), r"plan: corpora\.0: corpus 'cremad'.*did you mean 'crema-d'"),
        (small(verifier="nobody"), "plan: verifier: model 'nobody': unknown"),
        (
            small(verifier={"id": "gpt-4o", "engine": "vllm"}),
            r"plan: verifier\.engine: 'vllm' does not run gpt-4o",
        ),
        (small(verifier={"id": "tiny", "gpus": 1}), "plan: verifier: tiny is one of the models"),
        (small(controls=[{"name": "noise"}]), r"controls\.0\.name"),
        (
            small(controls=[{"name": "silence", "strategies": ["cot_2"]}]),
            "names 'cot_2', which is no strategy",
        ),
        (small(baselines=["random"]), "unknown baseline random"),
        (small(ambiguity={"rule": "bitz"}), "unknown rule 'bitz'"),
        (small(ambiguity={"thresholds": {"low": 1}}), "has no threshold 'low'"),
        (small(ambiguity={"rule": ["bits"]}), "unknown rule"),
        (small(ambiguity={"thresholds": 3}), r"ambiguity\.thresholds: .*found 3"),
        (small(ambiguity={"thresholds": {1: 2}}), "has no threshold '1'"),
        (
            small(ambiguity={"rule": "bits", "thresholds": {"medium_from": 2.0, "high_from": 1.0}}),
            r"plan: ambiguity\.thresholds: thresholds 2\.0, 1\.0: expected 0 <= medium_from <= high_from",
        ),
        (
            small(ambiguity={"thresholds": {"medium_from": -1}}),
            r"ambiguity\.thresholds: thresholds -1\.0, 1\.5: exp",
        ),
        (
            small(ambiguity={"thresholds": {"medium_from": float("nan")}}),
            r"ambiguity\.thresholds: .*'medium_from': found nan, expected a number of bits",
        ),
        (
            strategy(name="greedy", base="majority_vote", count=8),
            r"strategies\.0: strategy 'greedy': found majority_vote with decoding sample, count 8, .*expected what is .*"
            "choose another name, such as majority_vote_sample_8",
        ),
        (
            strategy(name="w_alm_v", base="bon"),
            "strategy 'w_alm_v': found bon .*choose another name",
        ),
        (
            strategy(name="greedy", decoding="sample"),
            "'greedy': found greedy with decoding sample, .*another name",
        ),
        (
            strategy(name="majority_vote", count=4),
            "'majority_vote': found .* count 4, .*another name",
        ),
        (
            strategy(name="uniform", base="bon"),
            "strategy 'uniform': found bon .*: a baseline, .*choose another name",
        ),
        (small(group_size=0), r"group_size\.number: .*greater than or equal to 1 \(found 0\)"),
        (small(group_size={"sequences": 0}), r"group_size\.mapping\.sequences: .*\(found 0\)"),
        (
            small(group_size={"sequence": 9}),
            "group_size.mapping.sequence: unknown key; did you mean 'sequences'",
        ),
        (small(strategies=["greedy", "greedy"]), "named twice: greedy"),
        (small(models=[]), "models"),
        (small(name="a/b"), "no plain name"),
        (
            strategy(name="greedy", count=5),
            r"strategies\.0: strategy 'greedy': found count 5, expected 1: the aggregator 'only'",
        ),
        (
            strategy(name="g8", base="greedy", decoding="sample", count=8),
            "strategy 'g8': found count 8, expected 1",
        ),
        (
            strategy(name="bon_g", base="bon", decoding="greedy"),
            "'bon_g': found decoding greedy with count 5, expected count 1: 5 equal",
        ),
        (
            strategy(name="bon_g", base="bon", decoding="greedy", count=3),
            "3 equal answers would be paid",
        ),
        (
            strategy(name="x", base="bon", scorer="none"),
            r"strategies\.0: strategy 'x': best reads scores, and there is no scorer; name one of likelihood, .*linear_pool",
        ),
        (
            strategy(name="x", base="majority_vote", scorer="verifier"),
            "vote_share reads no scores, .* for nothing",
        ),
        (
            strategy(name="x", base="bon", aggregator="linear_pool"),
            "linear_pool reads no scores, so .* likelihood",
        ),
        (
            strategy(name="x", base="bon", aggregator="only", scorer="none"),
            "found count 5, expected 1: the aggreg",
        ),
        (
            strategy(name="x", base="bon", scorer="likelyhood"),
            r"strategies\.0: scorer 'likelyhood': .*'likelihood'",
        ),
        (strategy(name="x", base="bon", aggregator="worst"), "aggregator 'worst': unknown"),
        (
            strategy(name="x", base="bon", tau=2),
            "strategy 'x': found tau, which only softmax weights use; remove it",
        ),
        (
            strategy(name="x", base="w_alm_v", tau=2),
            "strategy 'x': found tau, which only softmax weights use",
        ),
        (
            strategy(name="x", base="majority_vote", epsilon=2),
            "found concentration or epsilon, which vote_share does",
        ),
        (
            strategy(name="x", base="label_logprobs", concentration=2),
            "which weighted_mean does not use; remove it",
        ),
        (
            strategy(name="x", base="w_bon", tau=0),
            r"strategies\.0\.tau: .*greater than 0 \(found 0\)",
        ),
        (strategy(name="x", base="w_bon", epsilon=-1), r"strategies\.0\.epsilon: .*greater than 0"),
        (
            strategy(name="x", base="w_bon", concentration=float("inf")),
            r"strategies\.0\.concentration: .*finite",
        ),
        (
            strategy(name="x", base="label_logprobs", count=3),
            "forced labels take no other decoding and no count",
        ),
        (
            strategy(name="x", base="label_logprobs", decoding="beam"),
            "forced labels take no other decoding",
        ),
        (strategy(name="x", base="bon", decoding="forced"), "forced labels take no other decoding"),
        (
            strategy(name="x", base="label_logprobs", scorer="verifier"),
            "a verifier would judge bare labels",
        ),
        (
            strategy(name="w_bon", tau=2),
            "'w_bon': found w_bon with .*, tau 2, expected .*choose another name",
        ),
        (
            strategy(name="bon", scorer="verifier"),
            "'bon': found bon with .*scorer verifier.*choose another name",
        ),
        (
            model(id="ultravox-v0.3", revision="main"),
            r"models\.0\.revision: expected a commit, 40 hex digits.*found 'main'",
        ),
        (
            model(id="gpt-4o", revision="a" * 40),
            r"models\.0: revision: gpt-4o .* is not a repository with commits",
        ),
        (model(id="gpt-4o", price={"text_in": 1}), r"models\.0\.price\.audio_in: missing"),
        (model(id="gpt-4o", actors=2), r"models\.0\.actors: found 2, expected 1: .* `concurrency`"),
        (
            small(verifier={"id": "gpt-4o", "actors": 3}),
            r"plan: verifier\.actors: found 3, expected 1",
        ),
        (
            model(id="qwen2-audio-7b", options={"tensor_parallel_size": 0}),
            r"tensor_parallel_size: found 0, expected a number",
        ),
        (
            model(id="qwen2-audio-7b", options={"tensor_parallel_size": "two"}),
            r"tensor_parallel_size: found 'two'",
        ),
        ([], "found list, expected keys"),
    ],
)
def test_a_mistake_in_a_plan_is_named_by_its_key_in_one_line(content: object, said: str) -> None:
    with pytest.raises(BadInput, match=said) as error:
        check(content, "plan")
    assert "\n" not in str(error.value)


def test_a_verifier_that_only_judges_has_actors_of_its_own() -> None:
    told = {"id": "qwen2.5-omni-7b", "engine": "vllm", "gpus": 2}
    expanded = expand(check(small(strategies=["greedy", "alm_v"], verifier=told), "plan"))
    assert expanded.verifier("tiny") == "qwen2.5-omni-7b"
    assert expanded.entry("qwen2.5-omni-7b").gpus == 2
    assert {item.kind for item in expanded.missing} == {"verifier"}
    assert check(expanded.plan.model_dump(mode="json"), "the bundle's plan") == expanded.plan


def test_a_plan_that_is_no_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("name: x\nmodels: [", encoding="utf-8")
    with pytest.raises(BadInput, match=r"plan\.yaml line \d+: not YAML"):
        read(path)
    with pytest.raises(BadInput, match="cannot read the plan"):
        read(tmp_path / "absent.yaml")


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_row_of_the_table_under_its_own_name_is_itself_however_much_is_written_out(
    name: str,
) -> None:
    row = STRATEGIES[name]
    written = strategy(name=name, base=name, decoding=row.decoding.kind, count=row.count or None)
    for content in (written, small(strategies=[name])):
        assert [entry.row() for entry in check(content, "plan").strategies] == [row]


def rows_of(*entries: object) -> dict[str, Strategy]:
    """The strategies of a plan with these entries, by name."""
    return {
        entry.name: entry.row()
        for entry in check(small(strategies=list(entries)), "plan").strategies
    }


VARIANTS = [
    {"name": "bon_3", "base": "bon", "count": 3},
    {"name": "w_bon_3", "base": "w_bon", "count": 3},
    {"name": "alm_v_5", "base": "alm_v", "count": 5},
    {"name": "w_alm_v_5", "base": "w_alm_v", "count": 5},
]
BEAMS = [
    {"name": f"{base}_of_{count}", "base": base, "count": count}
    for base in ("bon", "w_bon", "alm_v", "w_alm_v")
    for count in range(2, 8)
]
OTHERS = [
    {"name": "bon_mean", "base": "bon", "scorer": "mean_likelihood"},
    {"name": "bon_pool", "base": "bon", "scorer": "none", "aggregator": "linear_pool"},
    {"name": "alm_v_mean", "base": "alm_v", "aggregator": "weighted_mean"},
    {"name": "alm_v_sampled", "base": "alm_v", "decoding": "sample", "count": 3},
    {
        "name": "greedy_votes",
        "base": "greedy",
        "decoding": "sample",
        "count": 8,
        "aggregator": "vote_share",
    },
    {"name": "w_bon_soft", "base": "w_bon", "tau": 20.0, "concentration": 3.5, "epsilon": 1e-6},
    {"name": "w_alm_v_flat", "base": "w_alm_v", "epsilon": 1.0},
    {"name": "label_soft", "base": "label_logprobs", "tau": 3.0},
    {"name": "label_mixture", "base": "label_logprobs", "aggregator": "dirichlet_mixture"},
    {"name": "label_top", "base": "label_logprobs", "aggregator": "best"},
]


def test_the_paper_s_other_numbers_of_beams_are_variants() -> None:
    rows = rows_of(*VARIANTS)
    for entry in VARIANTS:
        base = STRATEGIES[str(entry["base"])]
        assert rows[str(entry["name"])] == replace(
            base, name=str(entry["name"]), decoding=Beam(int(str(entry["count"])))
        )


def test_two_to_seven_beams_are_variants_of_every_beam_strategy_and_equal_counts_share_their_draws() -> (
    None
):
    expanded = expand(check(small(strategies=BEAMS), "plan"))
    assert [row.decoding for row in rows_of(*BEAMS).values()] == [
        Beam(count) for count in range(2, 8)
    ] * 4
    asked = sharing.questions_of(expanded)
    assert [(one.decoding.count, one.judged) for one in asked] == [
        (count, count) for count in range(2, 8)
    ]
    assert {one.name for one in asked} == {f"direct.beam-{count}" for count in range(2, 8)}
    for one in asked:
        assert set(one.serves) == {
            entry["name"] for entry in BEAMS if entry["count"] == one.decoding.count
        }


def test_a_variant_changes_the_parts_that_it_names_and_no_others() -> None:
    rows = rows_of(*OTHERS)
    bon, alm_v = STRATEGIES["bon"], STRATEGIES["alm_v"]
    assert rows["bon_mean"] == replace(bon, name="bon_mean", scorer=SCORERS["mean_likelihood"])
    pool = AGGREGATORS["linear_pool"]
    assert rows["bon_pool"] == replace(bon, name="bon_pool", scorer=None, aggregator=pool)
    mean = AGGREGATORS["weighted_mean"]
    assert rows["alm_v_mean"] == replace(alm_v, name="alm_v_mean", aggregator=mean)
    assert rows["alm_v_sampled"] == replace(alm_v, name="alm_v_sampled", decoding=Sample(3))
    votes = replace(
        STRATEGIES["greedy"],
        name="greedy_votes",
        decoding=Sample(8),
        aggregator=AGGREGATORS["vote_share"],
    )
    assert rows["greedy_votes"] == votes


def test_a_variant_has_numbers_of_its_own_and_inherits_only_those_that_it_uses() -> None:
    own = {name: row.own for name, row in rows_of(*OTHERS).items()}
    assert own["w_bon_soft"] == {"tau": 20.0, "concentration": 3.5, "epsilon": 1e-6}
    assert own["w_alm_v_flat"] == {"tau": None, "concentration": None, "epsilon": 1.0}
    assert own["label_soft"]["tau"] == 3.0
    assert own["label_mixture"]["tau"] == STRATEGIES["label_logprobs"].tau == 1.0
    assert own["label_top"] == {"tau": None, "concentration": None, "epsilon": None}


def test_a_plan_that_was_written_out_and_read_again_has_the_same_strategies(tmp_path: Path) -> None:
    entries = [*STRATEGIES, *VARIANTS, *BEAMS, *OTHERS]
    plan = check(small(strategies=entries), "plan")
    path = tmp_path / "plan.yaml"
    path.write_bytes(plan_file(plan))
    again = read(path)
    rows = rows_of(*entries)
    assert {entry.name: entry.row() for entry in again.strategies} == rows
    assert again.strategies == plan.strategies
    for entry in again.strategies:
        row = rows[entry.name]
        assert (entry.decoding, entry.count or 0) == (row.decoding.kind, row.count)
        assert entry.scorer == (row.scorer.name if row.scorer else "none"), (
            "every part is written out"
        )
        assert entry.aggregator == row.aggregator.name


PARTS = st.fixed_dictionaries(
    {"base": st.sampled_from([*STRATEGIES])},
    optional={
        "decoding": st.sampled_from(["greedy", "beam", "sample", "forced"]),
        "count": st.integers(1, 9),
        "scorer": st.sampled_from([*SCORERS, "none"]),
        "aggregator": st.sampled_from([*AGGREGATORS]),
        "tau": st.floats(1e-3, 1e3),
        "concentration": st.floats(1e-3, 1e3),
        "epsilon": st.floats(1e-3, 1e3),
    },
)


@settings(max_examples=2 * settings.default.max_examples)
@given(PARTS)
def test_any_variant_is_refused_in_one_line_or_is_the_same_when_read_again(parts: dict) -> None:
    plan, refused = None, ""
    try:
        plan = check(strategy(name="x", **parts), "plan")
    except BadInput as error:
        refused = str(error)
    if plan is None:
        assert refused.startswith("plan: strategies.0: strategy 'x': ")
        assert "\n" not in refused
        return
    again = check(plan.model_dump(mode="json"), "again")
    assert again == plan
    assert again.strategies[0].row() == plan.strategies[0].row()


def test_a_rule_of_tomorrow_judges_its_thresholds_when_the_plan_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def levels(votes: object, most: float) -> object:
        raise ValueError(f"most {most}: expected a whole number")

    monkeypatch.setitem(AMBIGUITY_RULES, "new", AmbiguityRule(levels, {"most": 3.0}, "a test"))
    with pytest.raises(
        BadInput, match=r"plan: ambiguity\.thresholds: most 2\.5: expected a whole number"
    ):
        check(small(ambiguity={"rule": "new", "thresholds": {"most": 2.5}}), "plan")


def test_a_resolved_plan_says_the_same_plan_again() -> None:
    plan = check(SMALL, "plan")
    assert check(plan.model_dump(mode="json"), "again") == plan
    assert plan.ambiguity.thresholds, "every default is written out"


def test_draws_are_counted_before_and_after_sharing() -> None:
    expanded = expand(check(SMALL, "plan"))
    counts = sharing.count_draws(expanded)
    # alone: 7 strategies ask once each an utterance, and two of them ask the verifier about 3 beams
    # each
    assert counts.alone == 5 * (7 + 2 * 3)
    # shared: greedy, cot, beam(5), beam(3), sample(8), and the 3 beams are judged once
    assert counts.shared == 5 * (5 + 3)
    assert (
        counts.shared
        == sum(1 for one in sharing.questions_of(expanded) for _ in sharing.draws(expanded, one))
        + 15
    )


def test_the_shuffled_control_costs_no_draw_and_silence_one_an_utterance() -> None:
    bare = sharing.count_draws(expand(check(SMALL, "plan"))).shared
    shuffled = small(controls=["shuffled_audio"])
    silent = small(controls=["shuffled_audio", "silence"])
    assert sharing.count_draws(expand(check(shuffled, "plan"))).shared == bare
    assert sharing.count_draws(expand(check(silent, "plan"))).shared == bare + 5


def test_a_smaller_sample_is_served_by_the_larger_one() -> None:
    half = {"name": "vote_of_4", "base": "majority_vote", "count": 4}
    expanded = expand(check(small(strategies=["majority_vote", half]), "plan"))
    (only,) = sharing.questions_of(expanded)
    assert only.decoding.count == 8
    assert set(only.serves) == {"majority_vote", "vote_of_4"}


def owners(speakers: Sequence[str], plan_seed: int = 7, turned: bool = False) -> dict[str, str]:
    """Whose clip each of the utterances u0, u1, ... is given under shuffled_audio."""
    ids, step = [f"u{i}" for i in range(len(speakers))], -1 if turned else 1
    return sharing.clip_owners(
        ids[::step], list(speakers)[::step], "shuffled_audio", plan_seed, "tiny"
    )


@pytest.mark.parametrize(
    "sizes", [(1, 1), (3, 3), (5, 4, 1), (25, 13, 12), (10,) * 5, (1,) * 50, (2, 1, 1), (50, 49, 1)]
)
def test_shuffled_audio_is_always_another_speaker_s_and_each_clip_is_given_once(
    sizes: tuple[int, ...],
) -> None:
    speakers = [f"s{who}" for who, size in enumerate(sizes) for _ in range(size)]
    for plan_seed in range(20):
        found = owners(speakers, plan_seed)
        assert sorted(found) == sorted(found.values())
        assert all(speakers[int(one[1:])] != speakers[int(clip[1:])] for one, clip in found.items())
        assert found == owners(speakers, plan_seed, turned=True)
    if len(speakers) > 5:
        assert owners(speakers, 1) != owners(speakers, 2)


def test_clips_are_given_several_times_where_one_speaker_has_most() -> None:
    speakers = ["a"] * 7 + ["b", "c"]
    found = owners(speakers)
    assert all(speakers[int(one[1:])] != speakers[int(clip[1:])] for one, clip in found.items())
    assert found == owners(speakers, turned=True)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_one_speaker_has_no_other_s_clip(count: int) -> None:
    assert owners(["a"] * count) == {}


def test_a_model_that_cannot_beam_is_skipped_with_the_reason() -> None:
    expanded = expand(check(small(models=["gpt-4o"]), "plan"))
    cells = {cell.strategy.name: cell for cell in expanded.cells}
    assert cells["bon"].cannot
    assert "gpt-4o cannot: beam" in cells["bon"].skipped
    assert not cells["greedy"].cannot


def test_one_greedy_candidate_of_a_row_that_has_several_is_a_variant_like_any_other() -> None:
    row = (
        check(strategy(name="bon_g", base="bon", decoding="greedy", count=1), "plan")
        .strategies[0]
        .row()
    )
    assert row.decoding == Greedy()


@pytest.mark.parametrize(("engine", "cannot"), [("vllm", True), ("transformers", False)])
def test_more_beams_than_the_engine_searches_with_are_skipped_with_the_reason(
    engine: str, cannot: bool
) -> None:
    wide = [{"name": f"bon_{count}", "base": "bon", "count": count} for count in (16, 32)]
    expanded = expand(
        check(small(models=[{"id": "tiny", "engine": engine}], strategies=wide), "plan")
    )
    least, most = expanded.cells
    assert (least.cannot, most.cannot) == (False, cannot)
    assert (most.skipped == "vllm searches with 16 beams at most, asked for 32") == cannot


def test_a_model_on_several_gpus_needs_its_part_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(gib: float, parts: int) -> dict[str, str]:
        monkeypatch.setattr("ambiemo.plan.preflight.gpu_memory_gib", lambda: gib)
        told = {
            "id": "qwen2-audio-7b",
            "engine": "vllm",
            "gpus": parts,
            "options": {"tensor_parallel_size": parts},
        }
        return {what: do for what, do in missing_of(small(models=[told])).items() if "GPU" in what}

    assert lacking(16, 2) == {}
    ((what, do),) = lacking(16, 1).items()
    assert what == "GPU too small: 16 GiB, the weights alone need 20 GiB"
    assert "tensor_parallel_size" in do
    assert list(lacking(8, 2)) == [
        "GPU too small: 8 GiB, the weights alone need 10 GiB on each of 2 GPUs"
    ]


def test_a_server_that_the_plan_names_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDIO_FLAMINGO_2_BASE_URL", raising=False)
    monkeypatch.setattr("ambiemo.engines.missing_module", lambda engine: None)
    told = missing_of(model(id="audio-flamingo-2"))
    assert (
        "base_url" in told["no server: environment variable AUDIO_FLAMINGO_2_BASE_URL is not set"]
    )
    assert (
        missing_of(model(id="audio-flamingo-2", options={"base_url": "http://127.0.0.1:9/v1"}))
        == {}
    )


def test_the_advice_for_an_unpinned_model_names_the_key_that_pins_it() -> None:
    (do,) = (
        do
        for what, do in missing_of(model(id="ultravox-v0.3")).items()
        if what.startswith("no pinned revision")
    )
    assert "`revision:` of the model in the plan" in do
    pinned = missing_of(model(id="ultravox-v0.3", revision=COMMIT))
    assert not any("revision" in what for what in pinned)


def test_a_plan_s_revision_reaches_the_draw_and_the_bundle_s_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ambiemo.plan.expand.lacks", lambda *asked: [])
    judge = {"id": "ultravox-v0.4", "revision": COMMIT[::-1]}
    plan = check(
        small(models=[{"id": "ultravox-v0.3", "revision": COMMIT}], verifier=judge), "plan"
    )
    expanded = expand(plan)
    judged = next(one for one in sharing.questions_of(expanded) if one.decoding.count == 3)
    draw = next(sharing.draws(expanded, judged))
    judged_draw = sharing.judging(expanded, judged)(draw, 0, ["x"])
    assert (draw.revision, judged_draw.revision) == (COMMIT, COMMIT[::-1])
    other = expand(
        check(small(models=[{"id": "ultravox-v0.3", "revision": "b" * 40}], verifier=judge), "plan")
    )
    assert next(sharing.draws(other, judged)).key != draw.key
    kept = json.loads(input_files(expanded, None)["inputs/models.json"])
    assert {name: one["revision"] for name, one in kept.items()} == {
        "ultravox-v0.3": COMMIT,
        "ultravox-v0.4": COMMIT[::-1],
    }
    assert kept["ultravox-v0.3"]["revision_note"] == "given in the plan"


def test_a_plan_s_price_takes_the_place_of_the_specification_s() -> None:
    price = {
        "text_in": 1,
        "audio_in": 2,
        "out": 3,
        "audio_tokens_per_second": 25,
        "date": "2026-11",
        "where": "a bill",
    }
    plan = check(model(id="gemini-2.0-flash", price=price), "plan")
    assert expand(plan).specs["gemini-2.0-flash"].price == Price(**price)
    assert check(plan.model_dump(mode="json"), "the bundle's plan") == plan
    written = yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    assert independent.plan_of(written)["models"][0]["price"] == price


def test_a_corpus_that_is_not_here_is_reckoned_with_its_labels() -> None:
    named = [
        {"id": "crema-d", "nominal": 2},
        {"id": "iemocap", "nominal": 2, "options": {"label_set": "all", "excited_as_happy": True}},
        {"id": "msp-podcast", "nominal": 2, "options": {"label_set": "none such"}},
    ]
    whole = as_if_complete(expand(check(small(corpora=named), "plan")))
    without_excited = tuple(label for label in iemocap.LABELS if label != "excited")
    assert [one.labels for one in whole.corpora.values()] == [SIX, without_excited, FOUR]


def test_what_is_missing_is_listed_whole_and_costs_are_reckoned_as_if_it_were_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AMBIEMO_DATA", raising=False)
    expanded = expand(read(ROOT / "reproduce" / "paper.yaml"))
    missing = {item.id for item in expanded.missing}
    assert {
        "iemocap",
        "msp-podcast",
        "crema-d",
        "gpt-4o",
        "gemini-2.5-pro",
        "audio-flamingo-2",
    } <= missing
    assert all(cell.skipped for cell in expanded.cells)
    assert sharing.count_draws(expanded).shared == 0
    whole = sharing.count_draws(as_if_complete(expanded))
    assert 0 < whole.shared < whole.alone


def test_a_corpus_with_another_count_than_expected_cannot_start() -> None:
    expanded = expand(check(small(corpora=[{"id": "tiny", "expect": 97}]), "plan"))
    assert "found 96 utterances, expected 97" in expanded.missing[0].what


def test_an_utterance_without_a_vote_in_the_label_set_is_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pyarrow as pa

    from ambiemo import corpora
    from ambiemo.corpora.utterances import load_corpus

    def one_unvoted(*given: object) -> object:
        whole = corpora_load(*given)
        votes = whole.table.column("votes").to_pylist()
        votes[3] = [0] * 6
        place = whole.table.schema.get_field_index("votes")
        field = whole.table.schema.field(place)
        return replace(
            whole, table=whole.table.set_column(place, field, pa.array(votes, field.type))
        )

    corpora_load = corpora.load
    monkeypatch.setattr("ambiemo.corpora.utterances.load", one_unvoted)
    loaded = load_corpus("tiny")
    assert len(loaded.utterances) == 95
    assert loaded.counts["no_vote_in_label_set"] == 1
