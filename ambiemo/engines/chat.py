"""The OpenAI chat protocol as plain functions: what is sent, and what comes back. No network here."""

import io
import json
import wave
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import numpy as np

RATE = 16000


class BadAnswer(Exception):
    """A response that is no chat completion: cut off, no JSON, or without what every completion has."""


def messages(prompt: str, wav: str) -> list[dict[str, Any]]:
    """The chat: one user turn, the clip (base64 wav; "" = left out, for the hash) and then the prompt."""
    audio = {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}}
    return [{"role": "user", "content": [audio, {"type": "text", "text": prompt}]}]


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces, the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def to_wav(audio: np.ndarray) -> bytes:
    """A float clip in [-1, 1] at 16 kHz as a 16-bit wav file; loses nothing of a clip that was 16-bit before."""
    pcm = np.clip(np.rint(np.asarray(audio, dtype=np.float64) * 32768), -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()


def read_completion(text: str) -> dict[str, Any]:
    """A response body as a chat completion. Raises BadAnswer for anything else."""
    try:
        body = json.loads(text)
    except ValueError:
        raise BadAnswer(f"the response is no JSON: {text[:80]!r}") from None
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        raise BadAnswer(f"the response has no choices: {text[:80]!r}")
    for choice in body["choices"]:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise BadAnswer(f"a choice has no message: {text[:80]!r}")
        if not isinstance(choice["message"].get("content"), str | None):
            raise BadAnswer("the answer is no text")
    if not isinstance(body.get("usage"), dict | None):
        raise BadAnswer("the usage is no object")
    return body


def log_likelihood(choice: dict[str, Any], tokens: int) -> float | None:
    """Sum of the token log-probabilities (nats); None if the server gave none, or not one for every token it counted."""
    content = (choice.get("logprobs") or {}).get("content")
    if not content or len(content) != tokens:
        return None
    try:
        return float(sum(float(token["logprob"]) for token in content))
    except (KeyError, TypeError, ValueError):
        return None


def same_model(served: str, asked: str) -> bool:
    """True if a server's model name is the one asked for: equal, or one is a dated snapshot of the other."""
    if served == asked:
        return True
    one, other = (name.rsplit("/", 1)[-1].lower() for name in (served, asked))
    longer, shorter = sorted((one, other), key=len, reverse=True)
    rest = longer.removeprefix(shorter)
    return longer.startswith(shorter) and (rest == "" or rest.replace("-", "").isdigit())


def message_of(body: object) -> str:
    """The message in an error body, however deep the server puts it."""
    while isinstance(body, dict | list):
        first = body[0] if isinstance(body, list) and body else body
        body = (
            next((first[key] for key in ("message", "error", "detail") if first.get(key)), "")
            if isinstance(first, dict)
            else ""
        )
    return str(body or "")


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header (number or date) or of retry-after-ms; None where there is none to read."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, TypeError):
        return None
