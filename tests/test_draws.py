"""A draw's key: texts of every kind have one, the strange ones too."""

from ambiemo.draws import Answer, Decoding, Draw
from ambiemo.durable import sha256, sha256_text


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
