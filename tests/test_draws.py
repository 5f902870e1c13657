"""A draw's key: texts of every kind have one, the strange ones too."""

from hypothesis import given
from hypothesis import strategies as st

from ambiemo.draws import Answer, Decoding, Draw
from ambiemo.durable import sha256, sha256_text
from ambiemo.seeds import canonical, seed


def draw(prompt: str) -> Draw:
    return Draw(
        "m", "r", "null", "c", "u", "a", "", "verifier", prompt, Decoding("greedy"), 1, about="k#0"
    )


def test_half_a_surrogate_pair_in_a_judged_answer_has_a_key_of_its_own() -> None:
    keys = {draw(text).key for text in ("\ud800", "\ud801", "?", "")}
    assert len(keys) == 4


def test_plain_texts_hash_as_utf_8() -> None:
    assert sha256_text("né 😀") == sha256("né 😀".encode())


def test_an_answer_stored_under_a_field_s_former_name_is_read() -> None:
    decoding = {"kind": "greedy", "count": 1, "temperature": 0.0, "top_p": 1.0, "max_tokens": 9}
    assert (
        Answer.from_row(
            {"key": "k", "candidates": [], "decoding": decoding, "heard_s": 2.5}
        ).audio_s
        == 2.5
    )


texts = st.text(max_size=12)


@given(
    st.builds(
        Draw,
        model=texts, revision=texts, engine=texts, corpus=texts, utterance_id=texts,
        audio_sha256=texts, audio_path=texts, prompt_id=texts, prompt=texts,
        decoding=st.builds(
            Decoding,
            kind=st.sampled_from(["greedy", "beam", "sample", "forced"]),
            count=st.integers(1, 99),
            temperature=st.floats(0, 1e300),
            top_p=st.floats(0, 1),
            max_tokens=st.integers(0, 10**6),
        ),
        plan_seed=st.integers(),
        audio=st.sampled_from(["clip", "silence"]),
        about=texts,
        labels=st.lists(texts, max_size=3).map(tuple),
    )
)  # fmt: skip
def test_keys_and_seeds_are_hashes_of_one_canonical_list(draw: Draw) -> None:
    same = [draw.audio_sha256, draw.audio, draw.prompt_sha256]
    rest = [draw.plan_seed, draw.about]
    keyed = [draw.model, draw.revision, draw.engine, *same, vars(draw.decoding), *rest]
    keyed += [list(draw.labels)] if draw.labels else []
    assert draw.key == sha256(canonical(keyed).encode("ascii"))
    assert draw.seed == seed("draw", draw.model, *same, vars(draw.decoding) | {"count": 0}, *rest)
