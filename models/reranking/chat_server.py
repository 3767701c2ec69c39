"""A vision-language model on a server that speaks OpenAI's protocol, such as vLLM, as a comparer.

Each chunk is one request for a single token with its log-probabilities (`logprobs`,
`top_logprobs`); those of the index tokens and of NULL are the comparative scores, as the logits are
in `models.reranking.mllm`. What is not among them gets the smallest log-probability that is: it
cannot have more. Hidden states are not sent, so there is no head and no calibration.

The key goes into the header of requests alone; it is in no message and no log.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from models.errors import RerankerError, RerankerLate
from models.reranking.chat_protocol import Completion, Models, by_label, messages, shown
from models.reranking.listwise import UNCALIBRATED, Compared, Comparer
from models.reranking.listwise_prompt import Question, labels

TOP = 20
"""Log-probabilities that are asked for: more than ten indices and NULL, and what vLLM allows."""
ATTEMPTS = 3
PARALLEL = 10
"""Requests at a time: the chunks of a hundred candidates."""
CONNECT_S = 2.0
CHECK_S = 5.0
RETRIED = {408, 425, 429, 500, 502, 503, 504}
MAX_WAIT_S = 60.0
"""A server that wants to be left alone for longer is not asked again for this query."""
MAX_ANSWER_BYTES = 1_000_000
SERVER_NOTE = f"the reranker is a server, which sends no states: {UNCALIBRATED}"
KEY_SETTING = "LOOKSTREAM_MODELS__RERANKER_KEY"


class _Transient(RerankerError):
    """A failure that another try may not have; `wait_s` is how long the server wants to be left."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class ChatServerComparer(Comparer):
    """A `Comparer` that asks a server.

    Args:
        url: up to its version, http://HOST:PORT/v1.
        model: its name there; None for the only one that the server has.
        key: sent as a bearer token, if there is one.
        clock, sleep: of `time`; others in tests.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        key: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_url(url)
        self.url = url.rstrip("/")
        self.note = SERVER_NOTE
        self._model = model
        self._key = key
        self._clock = clock
        self._sleep = sleep
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Neither proxies of the environment nor redirects: the key is for this server alone.
        self._client = httpx.Client(headers=headers, trust_env=False, follow_redirects=False)

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def compare(self, questions: Sequence[Question], until: float) -> list[Compared]:
        """See `models.reranking.listwise.Comparer`; chunks are asked side by side."""
        model = self._model or self._only_model(until)
        threads = ThreadPoolExecutor(PARALLEL, thread_name_prefix="reranker")
        asked = [threads.submit(self._compare, model, one, until) for one in questions]
        try:
            return [one.result() for one in asked]
        finally:  # after a failure nobody waits for the rest, which ends by `until`
            threads.shutdown(wait=False, cancel_futures=True)

    def check(self) -> str:
        """The model, if the server has it; one request without retries."""
        until = self._clock() + CHECK_S
        names = self._names(until, attempts=1)
        if self._model is None:
            return f"{self._one_of(names)} at {self.url}"
        if self._model not in names:
            raise RerankerError(self._no_model(names))
        return f"{self._model} at {self.url}"

    def _compare(self, model: str, question: Question, until: float) -> Compared:
        body = {
            "model": model,
            "messages": messages(question),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP,
        }
        answer = self._ask("POST", "chat/completions", body, until, ATTEMPTS)
        try:
            completion = msgspec.json.decode(answer, type=Completion)
        except msgspec.DecodeError as error:
            raise RerankerError(
                f"{self.url} does not answer as OpenAI's protocol has it ({error}): "
                "check that models.reranker names such a server, with its /v1"
            ) from error
        return self._read(completion, len(question.texts))

    def _read(self, completion: Completion, count: int) -> Compared:
        logprobs = completion.choices[0].logprobs if completion.choices else None
        content = logprobs.content if logprobs else None
        top = content[0].top_logprobs if content else []
        if not top:
            raise RerankerError(
                f"{self.url} sends no log-probabilities, by which candidates are compared: use a "
                f"server that has `logprobs` for chats (vLLM does, with --max-logprobs {TOP} or "
                "more)"
            )
        found = by_label([(one.token, one.logprob) for one in top], count)
        if not found:
            said = shown(top[0].token, 20)
            raise RerankerError(
                f"the model at {self.url} begins its answer with {said!r} instead of an index or "
                "NULL: take an instruct model that does not think aloud"
            )
        floor = min(one.logprob for one in top)
        scores = [found.get(label, floor) for label in labels(count)]
        return Compared(np.array(scores[:-1], np.float64), scores[-1])

    def _only_model(self, until: float) -> str:
        self._model = self._one_of(self._names(until, ATTEMPTS))
        return self._model

    def _names(self, until: float, attempts: int) -> list[str]:
        answer = self._ask("GET", "models", None, until, attempts)
        try:
            return [one.id for one in msgspec.json.decode(answer, type=Models).data]
        except msgspec.DecodeError as error:
            raise RerankerError(
                f"{self.url}/models is no list of models ({error}): check models.reranker"
            ) from error

    def _one_of(self, names: Sequence[str]) -> str:
        if len(names) != 1:
            raise RerankerError(self._no_model(names))
        return names[0]

    def _no_model(self, names: Sequence[str] = ()) -> str:
        has = f"it has {', '.join(shown(name, 80) for name in names[:5])}" if names else ""
        wrong = f"no model {self._model!r}" if self._model else "no single model"
        return (
            f"{self.url} has {wrong}{f' ({has})' if has else ''}: name one in the setting, "
            f"models.reranker = mllm:{self.url}#NAME"
        )

    def _ask(self, method: str, path: str, body: object, until: float, attempts: int) -> bytes:
        """The body of the answer, by `until`.

        Raises:
            RerankerLate: it did not come by then.
            RerankerError: it was refused, or still failed at the last try.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(_Transient),
            stop=lambda state: stop_after_attempt(attempts)(state) or self._too_late(state, until),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        data: bytes = retrying(self._ask_once, method, path, body, until)
        return data

    def _too_late(self, state: RetryCallState, until: float) -> bool:
        wait_s = _wait(state)
        return wait_s > MAX_WAIT_S or self._clock() + wait_s >= until

    def _ask_once(self, method: str, path: str, body: object, until: float) -> bytes:
        left = until - self._clock()
        if left <= 0:
            raise RerankerLate(f"{self.url} did not answer in time (query.rerank_s)")
        limit = None if math.isinf(left) else left
        timeout = httpx.Timeout(limit, connect=min(CONNECT_S, left))
        try:
            with self._client.stream(
                method,
                f"{self.url}/{path}",
                content=None if body is None else msgspec.json.encode(body),
                headers={} if body is None else {"Content-Type": "application/json"},
                timeout=timeout,
            ) as response:
                data = self._read_all(response, until)
        except httpx.TimeoutException as error:
            if self._clock() >= until or not isinstance(error, httpx.ConnectTimeout):
                raise RerankerLate(f"{self.url} did not answer in time (query.rerank_s)") from error
            raise _Transient(f"{self.url} cannot be reached: {self._away()}") from error
        except httpx.HTTPError as error:
            why = shown(str(error)) or type(error).__name__
            raise _Transient(f"{self.url} does not answer ({why}): {self._away()}") from error
        self._check_status(response, data)
        return data

    def _read_all(self, response: httpx.Response, until: float) -> bytes:
        data = bytearray()
        for piece in response.iter_bytes():
            data += piece
            if len(data) > MAX_ANSWER_BYTES:
                raise RerankerError(f"{self.url} sends more than {MAX_ANSWER_BYTES:,} bytes")
            # Each read has its own time: a server may send a byte now and then.
            if self._clock() >= until:
                raise RerankerLate(f"{self.url} did not answer in time (query.rerank_s)")
        return bytes(data)

    def _check_status(self, response: httpx.Response, data: bytes) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        said = shown(self._without_key(data.decode(errors="replace")))
        if status in RETRIED:
            raise _Transient(
                f"{self.url} answers {status} ({said}): see the server's log",
                _retry_after_s(response.headers.get("Retry-After")),
            )
        if status in (401, 403):
            raise RerankerError(
                f"{self.url} refuses the key ({status}): set {KEY_SETTING}, or "
                "models.reranker_key_file"
            )
        if status == 404:
            raise RerankerError(f"{self._no_model()} ({status}: {said})")
        raise RerankerError(f"{self.url} refuses the request ({status}): {said}")

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text

    def _away(self) -> str:
        return "start it, or correct models.reranker; meanwhile lists keep retrieval's order"


def check_url(url: str) -> None:
    """Raise RerankerError unless it is http(s)://HOST[:PORT][/PATH] without a user."""
    try:
        split = urlsplit(url)
        good = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:
        good = False
    if not good or split.query or split.fragment:
        raise RerankerError(
            f"mllm:{shown(url.rpartition('@')[2])} is no server: write mllm:http://HOST:PORT/v1, "
            "or mllm:http://HOST:PORT/v1#MODEL"
        )
    if "@" in split.netloc:
        raise RerankerError(
            "the address of the reranker's server may hold no password, since it is shown: set "
            f"{KEY_SETTING}"
        )


def _wait(state: RetryCallState) -> float:
    """As long as the server asks for, or a moment that grows."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_s if isinstance(error, _Transient) else None
    return 0.1 * 2.0 ** (state.attempt_number - 1) if asked is None else asked


def _retry_after_s(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks to wait; None where it says nothing readable."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
