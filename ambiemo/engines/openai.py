"""The engine for models behind an OpenAI-compatible server: GPT-4o audio, Gemini, any vLLM server,
any gateway.

One request per sample, each with a seed of its own, so the first k of N samples are the k samples
wherever the server honours seeds. Every attempt of a sample carries the same Idempotency-Key (hash
of the request, draw key, index): a gateway that knows the header replays an answer whose delivery
was cut off instead of making, and billing, it again. Where the server does not, the lost attempt
counts as paid. The journal knows every request that was sent and every answer that came, so that a
later run pays for none of them again.

What a server accepts is in the model's row (`accepts`): one unknown field makes it refuse the request.
A server that would refuse every request stops the model (`stopped`, ModelStopped):
- at once: another model's name in an answer, a refused key, an empty account, a spent daily quota;
- after `refusals` alike with no answer between them: a 4xx, an answer that is empty at the token limit.
The first requests go one at a time until the server takes one, so few are sent, and paid, for nothing.
"""

import asyncio
import base64
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ambiemo.corpora.audio import RATE
from ambiemo.draws import Answer, Candidate, Decoding, FinishReason
from ambiemo.durable import sha256, sha256_text
from ambiemo.engines import NO_ROOM, THOUGHT_AWAY, ModelStopped, Request, lost
from ambiemo.engines.chat import (
    BadAnswer,
    canonical,
    filtered,
    log_likelihood,
    message_of,
    messages,
    read_completion,
    same_model,
    to_wav,
    usage,
)
from ambiemo.engines.journal import Journal
from ambiemo.engines.pacing import Pace
from ambiemo.engines.retrying import (
    PERHAPS_BILLED,
    RETRY,
    SLOW_DOWN,
    asked_pause,
    stops,
    wait_seconds,
)
from ambiemo.engines.spending import Ledger
from ambiemo.errors import BadInput
from ambiemo.models.spec import AROUND, AUDIO_MARGIN
from ambiemo.seeds import seed

if TYPE_CHECKING:
    from ambiemo.models import ModelSpec

URL_SAFE = str.maketrans("+/", "-_")
FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "max_tokens": "length"}


@dataclass(frozen=True)
class Reply:
    """One sample as the server gave it, or the reason why there is none.

    transient: a later run should ask again (outage, ceiling, key, a request that the server
    refused). final: an answer, or the provider's word that it keeps the answer back. Only this is
    kept and never asked for again.
    """

    candidate: Candidate | None = None
    failure: str = ""
    transient: bool = False
    prompt_tokens: int = 0
    model: str = ""
    fingerprint: str = ""
    dollars: float = 0.0
    attempts: int = 0

    @property
    def final(self) -> bool:
        return self.candidate is not None or self.failure == KEPT_BACK


KEPT_BACK = "filtered by the provider"
OTHER_MODEL = "answered by another model"
THINK_LESS = (
    "the model thought until no token was left; ask for less thinking (`accepts.reasoning_effort` of its row), "
    "or give it more tokens (`thinking_tokens`)"
)
LACKS = {"beam": "beam search", "forced": "log-probabilities of answers it did not give"}
"""What the protocol cannot ask for, by the decoding that needs it."""


class OpenAIEngine:
    """An ALM behind an OpenAI-compatible chat endpoint; audio travels as base64 wav (16-bit, 16
    kHz, mono).

    base_url: else the environment variable spec.base_url_env, else spec.base_url. model_name: the
    name the server knows, else the specification's (another spelling of it; another model is
    refused). concurrency: most requests at a time. requests_per_minute, tokens_per_minute: else the
    specification's. max_dollars: a ceiling over all requests in the journal, earlier runs'
    included; no request is sent that could cross it. timeout_s bounds one attempt as a whole (a
    slow drip included); attempts bounds the tries for one sample; longest_wait_s bounds the wait
    between two of them, and a server that asks for a pause beyond longest_pause_s is asked no more.
    refusals: so many useless outcomes that are alike, with no answer between them, stop the model.
    journal: folder where every request and every answer is kept at once; the pipeline names one
    next to the answer store. Raises BadInput for a missing key, a missing address, another model's
    name or a ceiling without a price.
    """

    def __init__(
        self,
        spec: "ModelSpec",
        *,
        base_url: str | None = None,
        model_name: str | None = None,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_dollars: float | None = None,
        timeout_s: float = 120.0,
        attempts: int = 8,
        backoff_s: float = 1.0,
        longest_wait_s: float = 60.0,
        longest_pause_s: float = 600.0,
        refusals: int = 5,
        journal: str | Path | None = None,
    ) -> None:
        from openai import AsyncOpenAI

        self.spec = spec
        self.model_name = model_name or spec.location()
        if not same_model(self.model_name, spec.location()):
            raise BadInput(
                f"model {spec.id}: options.model_name '{self.model_name}' is another model than '{spec.location()}', under whose name its "
                "answers would be kept; give a name of the same model, or add a specification"
            )
        self.address = base_url or os.environ.get(spec.base_url_env or "") or spec.base_url
        if not self.address:
            raise BadInput(
                f"model {spec.id}: no address of its server; set {spec.base_url_env or 'base_url in the plan'} to one "
                "that speaks the OpenAI chat protocol (http://HOST:PORT/v1)"
            )
        if "@" in self.address.partition("://")[2].partition("/")[0]:
            raise BadInput(
                f"model {spec.id}: the address of its server has a user or password in it, expected none; put the key into "
                f"{spec.key_env or 'the variable that the model names'}"
            )
        self._key = key_from_environment(spec)
        if max_dollars is not None and spec.price is None:
            raise BadInput(
                f"model {spec.id}: a ceiling of ${max_dollars:g} needs a price, and the price is unknown; "
                f"give models.{spec.id}.price in the plan, or leave the ceiling out"
            )
        self.journal = Journal(journal)
        self.ledger = Ledger(max_dollars, self.journal.spent)
        self.pace = Pace(
            concurrency,
            requests_per_minute or spec.requests_per_minute,
            tokens_per_minute or spec.tokens_per_minute,
        )
        self.attempts = attempts
        self.timeout_s = timeout_s
        self.backoff_s = backoff_s
        self.longest_wait_s = longest_wait_s
        self.longest_pause_s = longest_pause_s
        self.refusals = refusals
        self.requests_sent = 0
        self.stopped = ""
        self._useless: Counter[str] = Counter()
        self._taken = False
        self._first = asyncio.Lock()
        self._runner = asyncio.Runner()
        # The retries are ours: the library's would hide every 429 from the pace and the ledger.
        self._client = AsyncOpenAI(
            api_key=self._key, base_url=self.address, max_retries=0, timeout=timeout_s
        )

    def __repr__(self) -> str:
        return f"OpenAIEngine({self.spec.id} at {self.address})"

    def draw(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]:
        """One answer per request, in order. A sample that never came is a failure; what was paid
        for is always returned.

        Where some samples of a draw are missing, the answer holds the ones that came, `failure`
        says how many are missing and why, and extra["indexes"] which ones there are.
        extra["transient"] is True where a later run should ask again. Raises ModelStopped if an
        earlier call ended with `stopped` set.
        """
        if decoding.kind in LACKS:
            reason = f"this server has no {LACKS[decoding.kind]}: draw samples, or leave the strategy out"
            return [Answer(request.key, (), decoding, failure=reason) for request in requests]
        if self.stopped:
            raise ModelStopped(f"model {self.spec.id}: stopped: {self.stopped}")
        return self._runner.run(self._draw(requests, decoding))

    def close(self) -> None:
        """Close the connections and the journal."""
        self._runner.run(self._client.close())
        self._runner.close()
        self.journal.close()

    async def _draw(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]:
        asked = (self._answer(request, decoding) for request in requests)
        # exceptions come back as values: raised at once, the first would leave the others' requests
        # running unheard, and paid
        return [
            one if isinstance(one, Answer) else lost(request, decoding, one)
            for request, one in zip(
                requests, await asyncio.gather(*asked, return_exceptions=True), strict=True
            )
        ]

    async def _answer(self, request: Request, decoding: Decoding) -> Answer:
        wav = base64.b64encode(to_wav(request.audio)).decode("ascii")
        samples = (self._sample(request, wav, index, decoding) for index in range(decoding.count))
        replies: list[Reply] = []
        for one in await asyncio.gather(*samples, return_exceptions=True):
            if isinstance(one, BaseException):
                raise one
            replies.append(one)
        came = [
            (index, reply) for index, reply in enumerate(replies) if reply.candidate is not None
        ]
        missing = [reply for reply in replies if reply.candidate is None]
        failure = missing[0].failure if missing else ""
        if missing and came:
            failure = f"{len(missing)} of {len(replies)} samples are missing: {failure}"
        return Answer(
            key=request.key,
            candidates=tuple(reply.candidate for _, reply in came if reply.candidate is not None),
            decoding=decoding,
            failure=failure,
            rendered_prompt_sha256=sha256_text(canonical(self._messages(request, ""))),
            prompt_tokens=max((reply.prompt_tokens for reply in replies), default=0),
            audio_s=len(request.audio) / RATE,
            truncated=request.truncated,
            extra={
                "served_model": sorted({reply.model for _, reply in came if reply.model}),
                "system_fingerprint": sorted(
                    {reply.fingerprint for _, reply in came if reply.fingerprint}
                ),
                "dollars": round(sum(reply.dollars for reply in replies), 9),
                "attempts": sum(reply.attempts for reply in replies),
                **(
                    {
                        "indexes": [index for index, _ in came],
                        "transient": any(r.transient for r in missing),
                    }
                    if missing
                    else {}
                ),
            },
        )

    async def _sample(self, request: Request, wav: str, index: int, decoding: Decoding) -> Reply:
        body = self._body(request, wav, index, decoding)
        identity = self._identity(body, request, wav, index)
        if kept := self.journal.get(identity):
            return Reply(
                **{
                    **kept,
                    "candidate": Candidate(**kept["candidate"]) if kept["candidate"] else None,
                }
            )
        most = self._highest_price(request, decoding)
        dollars, reason, retry_after = 0.0, "", None
        for attempt in range(1, self.attempts + 1):
            if attempt > 1:
                await asyncio.sleep(
                    wait_seconds(
                        identity, attempt, retry_after, self.backoff_s, self.longest_wait_s
                    )
                )
            async with (
                self._one_at_a_time_at_first(),
                self.pace.turn(self._tokens(request, decoding)),
            ):
                if self.stopped:
                    return Reply(
                        failure=self.stopped, transient=True, dollars=dollars, attempts=attempt - 1
                    )
                if not await self.ledger.reserve(most):
                    return Reply(
                        failure=f"{NO_ROOM} ${self.ledger.ceiling:g} leaves no room for it",
                        transient=True,
                        dollars=dollars,
                        attempts=attempt - 1,
                    )
                so_far = Reply(dollars=dollars, attempts=attempt)
                reply, paid, reason, retry_after = await self._attempt(
                    body, identity, most, request, so_far
                )
            dollars += paid
            if reply is not None:
                return reply
        return Reply(
            failure=f"no answer after {self.attempts} attempts: {reason}",
            transient=True,
            dollars=dollars,
            attempts=self.attempts,
        )

    async def _attempt(
        self, body: dict[str, Any], identity: str, most: float, request: Request, so_far: Reply
    ) -> tuple[Reply | None, float, str, float | None]:
        """One request: (reply or None = try again, dollars paid, reason, Retry-After in seconds).

        so_far: the dollars of the attempts before it, and how many attempts there are with it.
        """
        from openai import APIConnectionError, APIStatusError

        reply: Reply | None = None
        retry_after: float | None = None
        reason = ""
        paid = most  # until we know better, it may have been billed
        try:
            number = self.journal.asked(most)
        except OSError as error:
            await self.ledger.settle(most, 0.0)
            self.stopped = self._unwritable(error)
            return Reply(failure=self.stopped, transient=True), 0.0, self.stopped, None
        self.requests_sent += 1
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self._client.chat.completions.with_raw_response.create(
                    **body, extra_headers={"Idempotency-Key": identity}
                )
            completion = read_completion(self._without_key(response.http_response.text))
            paid = self._price(completion, request, most)
            reply = self._reply(completion)
            self.pace.speed_up()
            self._weigh(reply)
        except APIStatusError as error:
            paid = most if error.status_code in PERHAPS_BILLED else 0.0
            reason = self._clean(
                f"HTTP {error.status_code}: {message_of(error.body) or 'no message'}"
            )
            text = self._without_key(error.response.text)
            retry_after = asked_pause(error.response.headers, text)
            for_good = stops(error.status_code, text, retry_after, self.longest_pause_s)
            if for_good:
                self.stopped = f"{for_good} ({reason})"
                reply = Reply(failure=self.stopped, transient=True)
            elif error.status_code not in RETRY:
                reply = Reply(failure=f"the server refuses the request: {reason}", transient=True)
                self._weigh(reply)
            elif error.status_code in SLOW_DOWN:
                self.pace.slow_down(retry_after)
        except APIConnectionError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else "connection error"
            reason = self._clean(f"{cause}: {error.__cause__ or error}")
            if "Connect" in cause:  # nothing was sent
                paid = 0.0
        except TimeoutError:
            reason = f"no whole answer in {self.timeout_s:g} s"
        except BadAnswer as error:
            reason = self._clean(str(error))
        finally:
            if (
                reply is None
            ):  # a fault on the way says nothing about what the server thinks of the request
                self._taken = True
            else:
                reply = replace(reply, dollars=so_far.dollars + paid, attempts=so_far.attempts)
            kept = asdict(reply) if reply is not None and reply.final else None
            try:
                self.journal.ended(number, paid, identity, kept)
            except OSError as error:  # what came is given out all the same
                self.stopped = self._unwritable(error)
            await self.ledger.settle(most, paid)
        return reply, paid, reason, retry_after

    @asynccontextmanager
    async def _one_at_a_time_at_first(self) -> AsyncIterator[None]:
        """Hold back the other requests until the server has taken one."""
        if not self._taken:
            async with self._first:
                if not self._taken:
                    yield
                    return
        yield

    def _weigh(self, reply: Reply) -> None:
        """Stop the model at another model's name, or at the `refusals`-th useless reply of one
        kind.
        """
        if reply.final:
            self._taken = True
            self._useless.clear()
            return
        if reply.failure.startswith(OTHER_MODEL):
            self.stopped = reply.failure
            return
        self._useless[reply.failure] += 1
        if self._useless[reply.failure] >= self.refusals:
            self.stopped = f"{self.refusals} requests in a row ended alike: {reply.failure}"

    def _unwritable(self, error: OSError) -> str:
        return f"not asked: the journal cannot be written ({error.strerror or error}); make room, then run the same command again"

    def _body(self, request: Request, wav: str, index: int, decoding: Decoding) -> dict[str, Any]:
        accepts = self.spec.accepts
        body: dict[str, Any] = {
            "model": self.model_name,
            "messages": self._messages(request, wav),
            accepts.limit: decoding.max_tokens + self.spec.thinking_tokens,
            "temperature": decoding.temperature if decoding.kind == "sample" else 0.0,
        }
        if accepts.seed:
            body["seed"] = (
                seed("sample", request.seed, index) >> 32
            )  # 31 bits: some servers take no more
        if accepts.reasoning_effort:
            body["reasoning_effort"] = accepts.reasoning_effort
        if decoding.kind == "sample":
            body["top_p"] = decoding.top_p
        if "likelihood" in self.spec.can("openai"):
            body["logprobs"] = True
        return body

    def _messages(self, request: Request, wav: str) -> list[dict[str, Any]]:
        return messages(request.prompt, wav, self.spec.accepts.audio)

    def _identity(self, body: dict[str, Any], request: Request, wav: str, index: int) -> str:
        """Name of a sample: BODY/KEY#INDEX. BODY is a hash of all that is sent: another request is
        another sample.
        """
        sent = body | {"messages": self._messages(request, sha256(wav.encode("ascii")))}
        return f"{sha256_text(canonical(sent))[:16]}/{request.key}#{index}"

    def _reply(self, completion: dict[str, Any]) -> Reply:
        counts = usage(completion)
        about = Reply(
            prompt_tokens=int(counts.get("prompt_tokens", 0)),
            model=str(completion.get("model") or ""),
            fingerprint=str(completion.get("system_fingerprint") or ""),
        )
        if about.model and not same_model(about.model, self.model_name):
            return replace(
                about, failure=f"{OTHER_MODEL}: asked for {self.model_name}, got {about.model}"
            )
        if not completion["choices"]:
            return replace(
                about, failure="an empty choice list (the provider may have filtered the answer)"
            )
        choice = completion["choices"][0]
        if filtered(choice):
            return replace(about, failure=KEPT_BACK)
        tokens = int(counts.get("completion_tokens", 0))
        candidate = Candidate(
            text=str(choice["message"].get("content") or choice["message"].get("refusal") or ""),
            tokens=tokens,
            log_likelihood=log_likelihood(choice, tokens),
            finish_reason=FINISH.get(str(choice.get("finish_reason")).lower(), "stop"),
        )
        if candidate.finish_reason == "length" and not candidate.text.strip():
            return replace(about, failure=f"{THOUGHT_AWAY}: {THINK_LESS}", transient=True)
        return replace(about, candidate=candidate)

    def _highest_price(self, request: Request, decoding: Decoding) -> float:
        """Upper bound of one request's price: a token a byte of prompt, twice the expected audio
        tokens, every answer token.
        """
        if self.spec.price is None:
            return 0.0
        text = len(request.prompt.encode("utf-8")) + AROUND
        return self.spec.price.dollars(
            text,
            AUDIO_MARGIN * len(request.audio) / RATE,
            decoding.max_tokens + self.spec.thinking_tokens,
        )

    def _price(self, completion: dict[str, Any], request: Request, most: float) -> float:
        """What the reported usage costs; the upper bound where the server reports none."""
        counts = usage(completion)
        if self.spec.price is None:
            return 0.0
        if not counts.get("prompt_tokens"):
            return most
        asked = counts["prompt_tokens"]
        audio = counts.get(
            "audio_tokens",
            min(asked, len(request.audio) / RATE * self.spec.price.audio_tokens_per_second),
        )
        # Thinking tokens are billed; some servers count them in the total only.
        answered = max(counts.get("completion_tokens", 0), counts.get("total_tokens", 0) - asked)
        price = self.spec.price
        return (
            (asked - audio) * price.text_in + audio * price.audio_in + answered * price.out
        ) / 1e6

    def _tokens(self, request: Request, decoding: Decoding) -> float:
        """Tokens a request is expected to cost of the rate: four bytes a text token, the audio, the
        whole answer.
        """
        a_second = self.spec.price.audio_tokens_per_second if self.spec.price else 25.0
        return len(request.prompt) / 4 + len(request.audio) / RATE * a_second + decoding.max_tokens

    def _without_key(self, text: str) -> str:
        """A text with the whole key replaced, which must happen before anything is cut out of
        it.
        """
        for form in forms_of(self._key) if self.spec.key_env else ():
            text = text.replace(form, "***")
        return text

    def _clean(self, text: str) -> str:
        """One short line without the key."""
        return " ".join(self._without_key(text).split())[:300]


@cache
def forms_of(key: str) -> tuple[str, ...]:
    """A key and what a server may make of it in an error: percent-encoded, in hex, hashed, in
    Base64 at any place in a longer text.
    """
    data = key.encode("utf-8")
    coded = [
        base64.b64encode(bytes(lead) + data).decode()[
            -(-lead * 8 // 6) : (lead + len(data)) * 8 // 6
        ]
        for lead in range(3)
    ]
    forms = {
        key,
        quote(key, safe=""),
        data.hex(),
        sha256(data),
        *coded,
        *(one.translate(URL_SAFE) for one in coded),
    }
    return tuple(
        sorted((one for one in forms if len(one) >= 8 or one == key), key=len, reverse=True)
    )


def key_from_environment(spec: "ModelSpec") -> str:
    """The API key from the variable the specification names; "none" for a model that needs none.
    Raises BadInput if unset.
    """
    if spec.key_env is None:
        return "none"
    key = os.environ.get(spec.key_env, "").strip()
    if not key:
        raise BadInput(
            f"model {spec.id}: environment variable {spec.key_env} is not set; export the API key in it"
        )
    return key
