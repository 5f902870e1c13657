"""Too little memory is one line with the numbers, before a single weight is read."""

from pathlib import Path

import pytest

from ambiemo import models
from ambiemo.engines import memory
from ambiemo.engines.memory import enough_memory, free_host_gib, needed_gib
from ambiemo.errors import BadInput
from ambiemo.plan.preflight import lacks

TINY = models.model("tiny")


def test_the_weights_need_what_the_specification_says_and_at_least_their_files() -> None:
    assert needed_gib(models.model("qwen2-audio-7b")) == models.model("qwen2-audio-7b").memory_gib > 10
    folder = TINY.path()
    assert folder is not None
    bare = TINY.changed(memory_gib=0.0)
    assert needed_gib(bare) == pytest.approx((folder / "model.safetensors").stat().st_size / 2**30)


def test_too_little_memory_names_the_model_and_both_numbers() -> None:
    with pytest.raises(BadInput, match=r"qwen2-audio-7b: needs about 10\.00 GiB of GPU memory, 6\.00 GiB are free"):
        enough_memory(models.model("qwen2-audio-7b"), 6.0, "GPU memory", parts=2)
    enough_memory(models.model("qwen2-audio-7b"), None, "GPU memory")


def test_the_transformers_engine_reads_nothing_where_the_weights_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the transformers extra is not installed")
    from ambiemo.engines import transformers as engine

    monkeypatch.setattr(engine, "free_host_gib", lambda: 0.001)
    monkeypatch.setattr(engine.AutoConfig, "from_pretrained", lambda *a, **k: pytest.fail("it began to load"))
    with pytest.raises(BadInput, match=r"tiny: needs about 0\.10 GiB of main memory, 0\.00 GiB are free"):
        engine.TransformersEngine(TINY, device="cpu")


def test_the_dry_run_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambiemo.plan.preflight.free_host_gib", lambda: 0.001)
    assert any(what.startswith("too little memory: 0.00 GiB are free") for what, _ in lacks(TINY, "transformers"))


def container(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, used: int, files: int) -> float | None:
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


def test_where_nobody_tells_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "absent")
    assert free_host_gib() is None
