"""Every entry of the registry resolves, and says what it needs."""

import re
from importlib import import_module

import pytest
from pydantic import ValidationError

from ambiemo.engines import ENGINES, missing_module
from ambiemo.errors import BadInput, Broken
from ambiemo.models import CAPABILITIES, MODELS, PROMPTS, ModelSpec, model, prompt, render
from ambiemo.models.spec import folder_sha256

PAPERS_EIGHT = {
    "qwen2-audio-7b",
    "qwen2.5-omni-7b",
    "audio-flamingo-2",
    "ultravox-v0.3",
    "ultravox-v0.4",
    "gpt-4o",
    "gemini-2.0-flash",
    "gemini-2.5-pro",
}  # fmt: skip


def test_the_papers_eight_are_on_and_the_stand_in_is_off():
    on = {spec.id for spec in MODELS.values() if spec.default_on}
    assert on == PAPERS_EIGHT | {"tiny"}
    stand_in = MODELS["audio-flamingo-3"]
    assert not stand_in.default_on
    assert stand_in.stands_in_for in MODELS


@pytest.mark.parametrize("name", MODELS)
def test_an_entry_resolves(name):
    spec = MODELS[name]
    assert model(name) is spec
    assert spec.id == name
    assert spec.capabilities <= set(CAPABILITIES)
    assert spec.licence
    assert spec.parameters
    assert re.match(r"[PSI]: ", spec.source)
    assert spec.engines
    for engine in spec.engines:
        row = ENGINES[engine]
        assert spec.can(engine) <= spec.capabilities
        missing = missing_module(engine)
        if missing:
            assert row.extra, f"{engine} lacks {missing} and no extra installs it"
            continue
        target, _, attribute = row.target.partition(":")
        assert hasattr(import_module(target), attribute)
    for prompt_id in ("direct", "cot", "label", "verifier"):
        assert "{labels}" in prompt(spec, prompt_id)


@pytest.mark.parametrize("name", MODELS)
def test_a_revision_is_a_commit_a_snapshot_or_a_stated_gap(name):
    spec = MODELS[name]
    if spec.path():
        assert spec.revision is None or re.fullmatch(r"[0-9a-f]{64}", spec.revision)
    elif spec.is_repository:
        assert spec.revision is None or re.fullmatch(r"[0-9a-f]{40}", spec.revision)
    else:
        assert spec.revision
    if spec.revision is None and not spec.path():
        assert spec.revision_note.startswith("not pinned: ")


@pytest.mark.parametrize("name", MODELS)
def test_what_is_remote_names_its_key_or_its_address_and_has_no_beams(name):
    spec = MODELS[name]
    if spec.is_remote:
        assert spec.key_env or spec.base_url_env
        assert not {"beam", "label_logprobs"} & spec.capabilities
        assert spec.price or spec.price_note
    else:
        assert spec.memory_gib > 0
        assert spec.key_env is None


def test_every_engine_class_resolves_or_names_its_extra():
    for name, row in ENGINES.items():
        if missing_module(name):
            assert row.extra
        else:
            target, _, attribute = row.target.partition(":")
            assert callable(getattr(import_module(target), attribute).draw)


def test_the_openai_protocol_takes_beams_away():
    assert "beam" in model("tiny").can("vllm")
    assert "beam" not in model("tiny").can("openai")
    assert "likelihood" in model("tiny").can("openai")


def test_an_unknown_model_or_prompt_names_the_nearest():
    with pytest.raises(BadInput, match="did you mean 'qwen2-audio-7b'"):
        model("qwen2-audio-7B")
    with pytest.raises(BadInput, match="did you mean 'direct'"):
        prompt(model("tiny"), "dirct")
    with pytest.raises(BadInput, match="unknown"):
        prompt(model("tiny"), "../prompts/direct")


@pytest.mark.parametrize("branch", ["main", "latest", "v1.0", "a" * 39])
def test_a_branch_is_no_revision(branch):
    with pytest.raises(ValidationError, match="ambiemo models --resolve"):
        model("qwen2-audio-7b").changed(revision=branch)


def test_a_changed_specification_is_validated():
    changed = model("qwen2-audio-7b").changed(revision="b" * 40)
    assert changed.revision == "b" * 40
    assert model("qwen2-audio-7b").revision != changed.revision
    with pytest.raises(ValidationError):
        model("tiny").changed(no_such_field=1)
    with pytest.raises(ValidationError):
        ModelSpec(id="x")


def test_the_candidate_goes_into_the_prompt_verbatim():
    text = render("{labels} | {candidate}", ("happy", "sad"), candidate="{labels} {x} \\1")
    assert text == "happy, sad | {labels} {x} \\1"


def test_a_familys_own_prompt_comes_before_the_shared_one(tmp_path, monkeypatch):
    monkeypatch.setattr("ambiemo.models.PROMPTS", tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "direct.txt").write_text("shared\n", encoding="utf-8")
    (tmp_path / "cot.txt").write_text("shared cot\n", encoding="utf-8")
    (tmp_path / "own" / "direct.txt").write_text("own\n", encoding="utf-8")
    spec = model("tiny").changed(id="other", prompts="own")
    assert (prompt(spec, "direct"), prompt(spec, "cot")) == ("own", "shared cot")


def test_a_folders_hash_changes_with_its_weights_and_not_with_its_card(tmp_path):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"123")
    before = folder_sha256(tmp_path)
    (tmp_path / "README.md").write_text("a card", encoding="utf-8")
    assert folder_sha256(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    assert folder_sha256(tmp_path) != before
    assert model("tiny").changed(weights=f"file:{tmp_path}").revision == folder_sha256(tmp_path)


def test_prompt_files_are_plain_utf8_with_known_placeholders():
    for file in PROMPTS.rglob("*.txt"):
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"\{(\w+)\}", text)) <= {"labels", "candidate"}
        assert "{candidate}" in text or file.stem != "verifier"


def test_resolving_prints_a_line_for_every_model_even_without_a_network(monkeypatch):
    from ambiemo.models import resolving

    def offline(spec):
        raise Broken(f"{spec.weights}: no network")

    monkeypatch.setattr(resolving, "resolve", offline)
    lines = resolving.resolved_lines(MODELS.values())
    assert len(lines) == len(MODELS)
    assert [line for line in lines if "no network" in line]
    monkeypatch.setattr(resolving, "resolve", lambda spec: "c" * 40)
    pinned = MODELS["qwen2-audio-7b"].changed(revision="c" * 40)
    assert resolving.resolved_lines([pinned]) == [
        f"qwen2-audio-7b: Qwen/Qwen2-Audio-7B-Instruct@{'c' * 40} (pinned)"
    ]
