"""The pinned weights come before the run: which repositories are asked for, at which commits; and
what is said where they cannot be had.
"""

from pathlib import Path

import pytest

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason="the transformers extra is not installed"
)

from ambiemo.errors import BadInput, Broken  # noqa: E402
from ambiemo.models import MODELS, WeightsPart  # noqa: E402
from ambiemo.models.fetching import fetch, part_folder, repositories  # noqa: E402

COMMIT = "c" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """huggingface.co by way of its own client's one function: writes a file of weights, and lists
    what was asked for.
    """
    asked = []

    def download(repository, revision=None, ignore_patterns=None):
        asked.append((repository, revision))
        assert "original/*" in ignore_patterns
        folder = tmp_path / repository.replace("/", "--") / revision
        folder.mkdir(parents=True, exist_ok=True)
        if "empty" not in repository:
            (folder / "model.safetensors").write_bytes(b"0" * 1000)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def test_a_model_s_repository_and_its_parts_are_fetched_at_their_commits(hub):
    said = []
    spec = MODELS["ultravox-v0.3"].changed(revision=COMMIT)
    done = fetch([spec, MODELS["qwen2-audio-7b"]], said.append)
    assert hub == [
        ("fixie-ai/ultravox-v0_3", COMMIT),
        ("meta-llama/Llama-3.1-8B-Instruct", "0e9e39f249a16976918f6564b8830bc894c89659"),
        ("openai/whisper-small", "973afd24965f72e36ca33b3055d56a652f456b4d"),
        ("Qwen/Qwen2-Audio-7B-Instruct", MODELS["qwen2-audio-7b"].revision),
    ]
    assert said[0] == "ultravox-v0.3: fixie-ai/ultravox-v0_3@cccccccccccc: 0.00 GB"
    assert [one.weight_bytes for one in done] == [1000] * 4
    assert done[0].folder.is_dir()


def test_folders_and_models_behind_a_server_need_nothing(hub):
    assert fetch([MODELS["tiny"], MODELS["gpt-4o"], MODELS["audio-flamingo-2"]]) == []
    assert hub == []


def test_an_unpinned_model_is_named_before_anything_is_downloaded(hub):
    with pytest.raises(
        BadInput, match=r"ultravox-v0\.4: fixie-ai/ultravox-v0_4 has no pinned commit"
    ):
        fetch([MODELS["qwen2-audio-7b"], MODELS["ultravox-v0.4"]])
    assert hub == []


def test_a_commit_without_weights_that_an_engine_reads_is_said(hub):
    with pytest.raises(Broken, match=r"owner/empty@c+ has no \*\.safetensors"):
        fetch([MODELS["qwen2-audio-7b"].changed(weights="owner/empty", revision=COMMIT)])


def test_a_gated_repository_that_refuses_says_what_to_accept(monkeypatch):
    def refuse(*_, **__):
        raise OSError("403 Client Error.\nAccess to model meta-llama is restricted.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    spec = MODELS["ultravox-v0.3"].changed(revision=COMMIT)
    with pytest.raises(
        Broken, match=r"cannot be fetched: 403 Client Error\.; .*accept the licence"
    ) as error:
        fetch([spec])
    assert "\n" not in str(error.value)


def test_every_part_of_our_rows_is_pinned_and_v0_3_hears_with_whisper_small():
    for spec in MODELS.values():
        assert all(not part.is_unpinned for part in spec.parts)
        assert all(pinned for _, pinned in repositories(spec)[1:])
    names = {part.weights for part in MODELS["ultravox-v0.3"].parts}
    assert names == {"meta-llama/Llama-3.1-8B-Instruct", "openai/whisper-small"}
    assert "Whisper small" in MODELS["ultravox-v0.3"].title


def test_an_unpinned_part_is_never_loaded():
    with pytest.raises(BadInput, match="no pinned commit"):
        part_folder("openai/whisper-small", None)
    assert part_folder("file:/a/folder", None) == Path("/a/folder")
    assert WeightsPart(key="k", weights="a/b").is_unpinned
