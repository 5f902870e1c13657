"""The procedure on worlds where nothing is to be found, and where something was planted: the seeded
small version of reproduce/bench/false_positives.py.

With few worlds a rate is coarse: the bounds here catch a procedure that calls 20 % of the worlds,
not one that calls 7 %.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCH = Path(__file__).resolve().parent.parent / "reproduce" / "bench"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCH))
    try:
        spec = importlib.util.spec_from_file_location(
            "false_positives", BENCH / "false_positives.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCH))


@pytest.fixture(scope="module")
def stored(bench):
    return bench.Stored()


def test_the_stored_answers_are_read_whole(stored):
    assert stored.votes.shape == (96, 6)
    assert {"greedy", "w_bon", "alm_v"} <= set(stored.predictions)
    assert stored.pools["direct", "beam", 5].shape == (96, 5, 6)


def test_strategies_exchanged_within_speaker_are_hardly_ever_called(bench, stored):
    found = bench.n1(stored, 120, ("js_divergence_bits", "macro_f1"))
    assert found["family"] == 23
    assert found["js_divergence_bits"]["sign_flip"]["rate"] <= 0.1
    assert found["js_divergence_bits"]["jackknife_t"]["rate"] <= 0.1
    assert found["macro_f1"]["jackknife_t"]["rate"] <= 0.1


def test_scores_that_know_nothing_choose_nothing(bench, stored):
    found = bench.n2(stored, 80)
    assert found["differs_from_a_single_candidate"]["rate"] <= 0.12
    assert found["choice_better_than_the_pool"]["rate"] <= 0.05


def test_where_no_clip_is_more_ambiguous_no_gain_grows(bench, stored):
    found = bench.n3(stored, 12)
    assert found["any_holds"]["rate"] == 0


def test_models_exchanged_within_speaker_are_hardly_ever_called(bench, stored):
    assert bench.n4(stored, 200)["any_called"]["rate"] <= 0.1


def test_skewed_effects_in_unequal_clusters_are_hardly_ever_called(bench):
    found = bench.n5(150, ((12, "unequal, moderately skewed"),))
    assert found["12 clusters, unequal, moderately skewed"]["sign_flip"]["rate"] <= 0.12


def test_the_gain_that_grows_is_found_and_flattening_is_not(bench, monkeypatch):
    monkeypatch.delenv("AMBIEMO_DATA", raising=False)
    cases = (
        ("grows", "calibrated", None),
        ("falls", "calibrated", None),
        ("shrunk", "calibrated", None),
        ("same_truth", "one_hot", None),
        ("over_flattened", "sharp", None),
    )
    found = bench.planted(3, cases)
    verdicts = {case: found[f"{case[0]}, {case[1]}"]["verdicts"] for case in cases}
    assert found["source"] == "simulated panels"
    assert verdicts[cases[0]] == {"HOLDS": 1}
    assert verdicts[cases[1]] == {"NOT REPRODUCED": 1}
    for case in cases[2:]:
        assert "HOLDS" not in verdicts[case], case
    # The withdrawn contrast, from the votes that score, calls a difference where all clips are
    # alike.
    assert found["same_truth, one_hot"]["levels_from_the_same_votes"]["up"] == 1


def test_the_interval_covers_about_as_often_as_it_says(bench):
    found = bench.coverage(60)
    assert len(found) == 12
    for shape, numbers in found.items():
        assert numbers["mean"] >= 0.85, shape
        assert numbers["macro_f1"] >= 0.8, shape
