"""Too little memory is one line with the numbers, before a single weight is read."""

from pathlib import Path

import pytest

from ambiemo import models
from ambiemo.engines import memory
from ambiemo.engines.memory import enough_memory, free_host_gib, needed_gib
from ambiemo.errors import BadInput
from ambiemo.plan.preflight import gpu_memory_gib, lacks

TINY = models.model("tiny")


def test_the_weights_need_what_the_specification_says_and_at_least_their_files() -> None:
    assert (
        needed_gib(models.model("qwen2-audio-7b")) == models.model("qwen2-audio-7b").memory_gib > 10
    )
    folder = TINY.path()
    assert folder is not None
    bare = TINY.changed(memory_gib=0.0)
    assert needed_gib(bare) == pytest.approx((folder / "model.safetensors").stat().st_size / 2**30)


def test_too_little_memory_names_the_model_and_both_numbers() -> None:
    with pytest.raises(
        BadInput, match=r"qwen2-audio-7b: needs about 10\.00 GiB of GPU memory, 6\.00 GiB are free"
    ):
        enough_memory(models.model("qwen2-audio-7b"), 6.0, "GPU memory", parts=2)
    enough_memory(models.model("qwen2-audio-7b"), None, "GPU memory")


def test_the_transformers_engine_reads_nothing_where_the_weights_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="the transformers extra is not installed")
    from ambiemo.engines import transformers as engine

    monkeypatch.setattr(engine, "free_host_gib", lambda: 0.001)
    monkeypatch.setattr(
        engine.AutoConfig, "from_pretrained", lambda *a, **k: pytest.fail("it began to load")
    )
    with pytest.raises(
        BadInput, match=r"tiny: needs about 0\.10 GiB of main memory, 0\.00 GiB are free"
    ):
        engine.TransformersEngine(TINY, device="cpu")


def test_the_dry_run_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambiemo.plan.preflight.free_host_gib", lambda: 0.001)
    assert any(
        what.startswith("too little memory: 0.00 GiB are free")
        for what, _ in lacks(TINY, "transformers")
    )


def container(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, used: int, files: int
) -> float | None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {files}\n")
    (folder / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    8388608 kB\n")
    monkeypatch.setattr(memory, "CGROUP", folder)
    monkeypatch.setattr(memory, "MEMINFO", folder / "meminfo")
    return free_host_gib()


def test_a_container_s_limit_counts_and_what_the_kernel_would_drop_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert container(tmp_path, monkeypatch, "max", 0, 0) == 8.0
    assert container(tmp_path, monkeypatch, str(4 * 2**30), 3 * 2**30, 2**30) == 2.0
    assert container(tmp_path, monkeypatch, str(2**30), 2 * 2**30, 0) == 0.0


def test_where_nobody_tells_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "absent")
    assert free_host_gib() is None


@pytest.mark.parametrize(("free", "fit"), [(22.0, False), (22.3, True)])
def test_preflight_and_engine_have_one_rule(
    free: float, fit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 GiB of weights, of which vLLM takes 0.9 of what is free: 22.2 GiB."""
    spec = models.model("qwen2-audio-7b")
    monkeypatch.setattr("ambiemo.plan.preflight.gpu_memory_gib", lambda: free)
    told = [what for what, _ in lacks(spec, "vllm", "image") if "GPU" in what]
    assert told == (
        []
        if fit
        else [
            "GPU too small: 22 GiB (of which the engine takes 0.9), the weights alone need 20 GiB"
        ]
    )
    if fit:
        enough_memory(spec, free, "GPU memory", share=0.9)
    else:
        with pytest.raises(BadInput, match=r"22\.00 GiB are free \(the engine takes 0\.9 of it\)"):
            enough_memory(spec, free, "GPU memory", share=0.9)


def test_what_is_free_on_a_gpu_counts_and_not_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text(
        '#!/bin/sh\ncase "$1" in *memory.free*) echo 1024; echo 2048;; *) echo 81920;; esac\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu_memory_gib() == 2.0


def test_every_local_row_sets_a_bound_for_its_cache_that_its_longest_clip_fits_into() -> None:
    """Ultravox's 131,072 positions want 16 GiB of cache for one sequence, and vLLM then refuses a
    GPU of 24 GiB.
    """
    for spec in models.MODELS.values():
        if spec.is_repository and not spec.is_remote:
            heard = 25 * (spec.audio_seconds or 0)  # Whisper's 50 frames a second, halved
            assert heard + 600 <= spec.max_model_len <= 16384, spec.id
