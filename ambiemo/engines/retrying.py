"""When a request to a server is sent again, after how long, and when nothing more is sent.

status in RETRY      again, after `wait_seconds`; in SLOW_DOWN, with less at once
`stops`              every further request would fail in the same way: the model stops
else                 the server refuses this one request; it is not sent again
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import time

from ambiemo.seeds import seed

SLOW_DOWN = {429, 503, 529}
RETRY = {408, 409, 425, 429} | set(range(500, 600))
PERHAPS_BILLED = (RETRY - SLOW_DOWN) - {425}
"""After these the answer may have been made and lost on its way; after any other error status
nothing was.
"""
REFUSED = {
    401: "the server refuses the key",
    402: "the account cannot pay",
    403: "the server refuses the key for this model",
    404: "the server knows no such model",
}
REFUSED_IN_WORDS = {
    "insufficient_quota": "the account has no quota left",
    "API_KEY_INVALID": "the server refuses the key",
    "API key not valid": "the server refuses the key",
}
"""What an error body says, whatever its status, when every further request would fail in the same
way.
"""


def stops(status: int, body: str, retry_after: float | None, longest_pause_s: float) -> str:
    """Why nothing more should be asked after this error; "" where there is no such reason."""
    if status == 429 and (quota := spent_quota(body)):
        return f"the quota is spent ({quota}); run the same command again when it is refilled"
    if retry_after is not None and retry_after > longest_pause_s:
        return f"the server asks for a pause of {retry_after:.0f} s, longer than longest_pause_s; run the same command again after it"
    return next(
        (why for words, why in REFUSED_IN_WORDS.items() if words in body),
        REFUSED.get(status, ""),
    )


def wait_seconds(
    identity: str, attempt: int, retry_after: float | None, backoff_s: float, longest_s: float
) -> float:
    """Seconds before an attempt (the second is the first to wait): doubling up to `longest_s`, with
    a jitter of its own per sample, and not before the server allows it.
    """
    jitter = 0.5 + (seed("backoff", identity, attempt) % 1000) / 1000
    return max(min(longest_s, backoff_s * 2 ** (attempt - 2) * jitter), retry_after or 0.0)


def asked_pause(headers: Mapping[str, str], body: str) -> float | None:
    """Seconds that the server asks to wait, in its headers or else in the body."""
    seconds = retry_after_seconds(headers)
    return retry_info_seconds(body) if seconds is None else seconds


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds of retry-after-ms, else of a Retry-After header (number or date, GMT); None where
    there is none to read.
    """
    milliseconds, value = _number(headers.get("retry-after-ms")), headers.get("retry-after")
    seconds = _number(value) if milliseconds is None else milliseconds / 1000
    if seconds is None and value:
        try:
            date = parsedate_to_datetime(value)
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if seconds is None else max(0.0, seconds)


RETRY_INFO = re.compile(r"""retryDelay\\*["']\s*:\s*\\*["']([\d.]+)s|Please retry in ([\d.]+)s""")
DAYS_QUOTA = re.compile(r"\w*PerDay[\w-]*|(?:requests|tokens) per day")
NO_QUOTA = re.compile(r"Quota exceeded for metric: [^,]*, limit: 0\b")


def retry_info_seconds(body: str) -> float | None:
    """Seconds of the RetryInfo in Google's error body; None where there is none. It comes without a
    Retry-After header.

    The text is searched, not parsed: gateways pack the body into a string inside another body.
    """
    match = RETRY_INFO.search(body)
    return _number(match[1] or match[2]) if match else None


def spent_quota(body: str) -> str:
    """Name of the quota in an error body that no pause within a run refills; "" where there is
    none.

    Google names the day's quotas in `quotaId`, and a limit of 0 in the message; OpenAI writes
    "requests per day".
    """
    day, none = DAYS_QUOTA.search(body), NO_QUOTA.search(body)
    return day[0] if day else "a limit of 0" if none else ""


def _number(text: str | None) -> float | None:
    """A finite number, or None."""
    try:
        number = float(text or "nan")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
