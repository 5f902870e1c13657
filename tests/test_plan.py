"""The plan: what it may say, what it costs, and that every mistake in it is named in one line."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from ambiemo.errors import BadInput
from ambiemo.plan import sharing
from ambiemo.plan.expand import as_if_complete, expand
from ambiemo.plan.schema import check, read

PLANS = sorted((ROOT / "reproduce").glob("*.yaml"))
SMALL = {
    "name": "small",
    "models": [{"id": "tiny", "engine": "null"}],
    "corpora": [{"id": "tiny", "limit": 5}],
    "strategies": ["greedy", "cot", "bon", "w_bon", "alm_v", "w_alm_v", "majority_vote"],
}


def small(**changes: object) -> dict:
    return SMALL | changes


@pytest.mark.parametrize(
    "path", [p for p in PLANS if "models" in yaml.safe_load(p.read_text("utf-8"))], ids=lambda p: p.stem
)
def test_every_plan_that_ships_is_valid(path: Path) -> None:
    assert read(path).name == path.stem


def test_the_paper_s_plan_names_all_eight_models_three_corpora_and_every_strategy() -> None:
    plan = read(ROOT / "reproduce" / "paper.yaml")
    assert len(plan.models) == 8
    assert [corpus.id for corpus in plan.corpora] == ["iemocap", "msp-podcast", "crema-d"]
    named = {entry.base or entry.name for entry in plan.strategies}
    assert named >= {"greedy", "cot", "bon", "w_bon", "alm_v", "w_alm_v", "majority_vote", "self_consistency"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (small(strategies=["greedy", "best_of_n"]), r"plan: strategies\.1: strategy 'best_of_n': unknown"),
        (small(strategy=["greedy"]), "plan: strategy: unknown key"),
        (small(models=["qwen9"]), r"plan: models\.0: model 'qwen9': unknown"),
        (small(models=[{"id": "tiny", "engine": "onnx"}]), r"models\.0\.engine: unknown 'onnx'"),
        (small(models=[{"id": "gpt-4o", "engine": "vllm"}]), r"'vllm' does not run gpt-4o"),
        (small(corpora=["cremad"]), r"plan: corpora\.0: corpus 'cremad'.*did you mean 'crema-d'"),
        (small(verifier="nobody"), "plan: verifier: model 'nobody': unknown"),
        (small(verifier={"id": "gpt-4o", "engine": "vllm"}), r"plan: verifier\.engine: 'vllm' does not run gpt-4o"),
        (small(verifier={"id": "tiny", "gpus": 1}), "plan: verifier: tiny is one of the models"),
        (small(controls=[{"name": "noise"}]), r"controls\.0\.name"),
        (small(controls=[{"name": "silence", "strategies": ["cot_2"]}]), "names 'cot_2', which is no strategy"),
        (small(baselines=["random"]), "unknown baseline random"),
        (small(ambiguity={"rule": "bitz"}), "unknown rule 'bitz'"),
        (small(ambiguity={"thresholds": {"low": 1}}), "has no threshold 'low'"),
        (small(group_size=0), "group_size"),
        (small(strategies=["greedy", "greedy"]), "named twice: greedy"),
        (small(models=[]), "models"),
        (small(name="a/b"), "no plain name"),
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


def test_a_resolved_plan_says_the_same_plan_again() -> None:
    plan = check(SMALL, "plan")
    assert check(plan.model_dump(mode="json"), "again") == plan
    assert plan.ambiguity.thresholds, "every default is written out"


def test_draws_are_counted_before_and_after_sharing() -> None:
    expanded = expand(check(SMALL, "plan"))
    counts = sharing.count_draws(expanded)
    # alone: 7 strategies ask once each an utterance, and two of them ask the verifier about 3 beams each
    assert counts.alone == 5 * (7 + 2 * 3)
    # shared: greedy, cot, beam(5), beam(3), sample(8), and the 3 beams are judged once
    assert counts.shared == 5 * (5 + 3)
    assert counts.shared == sum(1 for one in sharing.draw_sets(expanded) for _ in sharing.draws(expanded, one)) + 15


def test_the_shuffled_control_costs_no_draw_and_silence_one_an_utterance() -> None:
    bare = sharing.count_draws(expand(check(SMALL, "plan"))).shared
    shuffled = small(controls=["shuffled_audio"])
    silent = small(controls=["shuffled_audio", "silence"])
    assert sharing.count_draws(expand(check(shuffled, "plan"))).shared == bare
    assert sharing.count_draws(expand(check(silent, "plan"))).shared == bare + 5


def test_a_smaller_sample_is_served_by_the_larger_one() -> None:
    half = {"name": "vote_of_4", "base": "majority_vote", "count": 4}
    expanded = expand(check(small(strategies=["majority_vote", half]), "plan"))
    (only,) = sharing.draw_sets(expanded)
    assert only.decoding.count == 8
    assert set(only.serves) == {"majority_vote", "vote_of_4"}


def test_shuffled_audio_never_lets_an_utterance_hear_itself() -> None:
    ids = [f"u{i}" for i in range(50)]
    listens = sharing.heard(ids, "shuffled_audio", 7, "tiny")
    assert sorted(listens) == sorted(listens.values()) == sorted(ids)
    assert all(one != other for one, other in listens.items())
    assert listens == sharing.heard(ids[::-1], "shuffled_audio", 7, "tiny")
    assert listens != sharing.heard(ids, "shuffled_audio", 8, "tiny")
    assert sharing.heard(ids[:1], "shuffled_audio", 7, "tiny") == {}


def test_a_model_that_cannot_beam_is_skipped_with_the_reason() -> None:
    expanded = expand(check(small(models=["gpt-4o"]), "plan"))
    cells = {cell.strategy.name: cell for cell in expanded.cells}
    assert cells["bon"].cannot
    assert "gpt-4o cannot: beam" in cells["bon"].skipped
    assert not cells["greedy"].cannot


def test_what_is_missing_is_listed_whole_and_costs_are_reckoned_as_if_it_were_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AMBIEMO_DATA", raising=False)
    expanded = expand(read(ROOT / "reproduce" / "paper.yaml"))
    missing = {item.id for item in expanded.missing}
    assert {"iemocap", "msp-podcast", "crema-d", "gpt-4o", "gemini-2.5-pro", "audio-flamingo-2"} <= missing
    assert all(cell.skipped for cell in expanded.cells)
    assert sharing.count_draws(expanded).shared == 0
    whole = sharing.count_draws(as_if_complete(expanded))
    assert 0 < whole.shared < whole.alone


def test_a_corpus_with_another_count_than_expected_cannot_start() -> None:
    expanded = expand(check(small(corpora=[{"id": "tiny", "expect": 97}]), "plan"))
    assert "found 96 utterances, expected 97" in expanded.missing[0].what


def test_an_utterance_without_a_vote_in_the_label_set_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    from ambiemo import corpora
    from ambiemo.plan import expand as room

    def one_unvoted(*given: object) -> object:
        whole = corpora_load(*given)
        votes = whole.table.column("votes").to_pylist()
        votes[3] = [0] * 6
        place = whole.table.schema.get_field_index("votes")
        field = whole.table.schema.field(place)
        return replace(whole, table=whole.table.set_column(place, field, pa.array(votes, field.type)))

    corpora_load = corpora.load
    monkeypatch.setattr(room.corpora, "load", one_unvoted)
    loaded = room.load_corpus(check(SMALL, "plan").corpora[0].model_copy(update={"limit": None}))
    assert len(loaded.utterances) == 95
    assert loaded.counts["no_vote_in_label_set"] == 1
