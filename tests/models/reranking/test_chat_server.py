"""A reranker on a server, good and bad ones: on loopback, by the protocol."""

from __future__ import annotations

import base64
import io
import math
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from models.errors import RerankerError, RerankerLate
from models.reranking.chat_protocol import by_label
from models.reranking.chat_server import ATTEMPTS, ChatServerComparer, check_url
from models.reranking.listwise import ListwiseReranker
from models.reranking.listwise_prompt import Question
from models.reranking.protocol import Candidate
from tests.models.fake_juices import encoded, juice
from tests.servers.chat_server import FLOOR, Answer, ChatServer, chat_server, completion

PICTURE = np.full((900, 1200, 3), (200, 40, 40), np.uint8)
QUESTION = Question("red shoe", PICTURE, ("blue cap", "red shoe", "red"), (None, PICTURE, None))
KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def comparer(server: ChatServer, clock: Clock) -> Iterator[ChatServerComparer]:
    made = ChatServerComparer(server.url, "qwen3-vl", KEY, clock, clock.sleep)
    yield made
    made.close()


def test_log_probabilities_of_the_first_token_are_the_scores(
    server: ChatServer, comparer: ChatServerComparer
) -> None:
    (compared,) = comparer.compare([QUESTION], 10.0)
    assert compared.scores.tolist() == [-6.0, -0.5, -1.0]
    assert compared.null == -3.0
    assert compared.probabilities is None
    (chat,) = server.asked
    assert (chat["model"], chat["max_tokens"], chat["temperature"]) == ("qwen3-vl", 1, 0)
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 20)
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_pictures_are_small_data_uris_in_their_places(
    server: ChatServer, comparer: ChatServerComparer
) -> None:
    comparer.compare([QUESTION], 10.0)
    parts = server.asked[0]["messages"][1]["content"]
    kinds = [part["type"] for part in parts]
    assert kinds.count("image_url") == 2
    assert parts[0]["text"].startswith("Query")
    assert kinds[1] == "image_url"
    head, _, body = parts[1]["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as shown:
        assert shown.width * shown.height <= 80 * 32 * 32
        assert shown.width > shown.height


def test_a_whole_list_is_ranked_chunk_by_chunk(
    server: ChatServer, comparer: ChatServerComparer
) -> None:
    titles = [f"thing {at}" for at in range(25)]
    titles[17] = "red shoe"
    candidates = [
        Candidate(f"i{at}", 1 - at / 100, juice(at), title) for at, title in enumerate(titles)
    ]
    reranker = ListwiseReranker(comparer)
    ranked = reranker.rerank(encoded(1), "red shoe", candidates)
    assert ranked[0].index == 17
    assert len(server.asked) == 3
    assert reranker.none_of_these(ranked) < 0.5
    assert reranker.none_of_these(reranker.rerank(encoded(1), "xyz", candidates)) > 0.5
    assert "not calibrated" in reranker.note


def test_what_is_not_among_the_most_probable_gets_the_floor(
    server: ChatServer, comparer: ChatServerComparer
) -> None:
    server.script = [Answer(body=completion({"2": -0.1, "N": -2.5, "The": FLOOR}))]
    (compared,) = comparer.compare([QUESTION], 10.0)
    assert compared.scores.tolist() == [FLOOR, FLOOR, -0.1]
    assert compared.null == -2.5


def test_tokens_are_answers_of_the_chunk_or_nothing() -> None:
    top = [(" 1", math.log(0.2)), ("1", math.log(0.3)), ("NU", -1.0), ("NULL", -2.0), ("", -0.1)]
    top += [("7", -0.2), ("12", -0.2), ("null", -0.2), ("Document", -0.1)]
    found = by_label(top, 3)
    assert set(found) == {"1", "NULL"}
    assert found["1"] == pytest.approx(math.log(0.5))


def test_the_only_model_of_a_server_needs_no_name(server: ChatServer, clock: Clock) -> None:
    comparer = ChatServerComparer(server.url + "/", clock=clock, sleep=clock.sleep)
    comparer.compare([QUESTION] * 2, 10.0)
    comparer.compare([QUESTION], 10.0)
    assert [chat["model"] for chat in server.asked] == ["qwen3-vl"] * 3
    assert server.paths.count("/v1/models") == 1
    assert comparer.check() == f"qwen3-vl at {server.url}"
    assert server.keys[0] is None
    comparer.close()


def test_a_name_is_needed_where_there_are_several_and_it_must_be_one_of_them() -> None:
    with chat_server("a", "b\x1b[2J") as server:
        unnamed, wrong = ChatServerComparer(server.url), ChatServerComparer(server.url, "c")
        for comparer in (unnamed, wrong):
            with pytest.raises(RerankerError, match=r"it has a, b \[2J.*#NAME") as caught:
                comparer.check()
            assert "\x1b" not in str(caught.value)
            comparer.close()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(
    server: ChatServer, comparer: ChatServerComparer, clock: Clock, status: int
) -> None:
    server.script = [Answer(status, b"busy"), Answer(status, b"busy", {"Retry-After": "3"})]
    (compared,) = comparer.compare([QUESTION], 10.0)
    assert compared.scores[1] == -0.5
    assert clock.slept == [pytest.approx(0.1), 3.0]


def test_a_server_that_wants_to_be_left_alone_for_longer_than_there_is_time_is(
    server: ChatServer, comparer: ChatServerComparer, clock: Clock
) -> None:
    server.script = [Answer(429, b"", {"Retry-After": "3600"})]
    with pytest.raises(RerankerError, match="429"):
        comparer.compare([QUESTION], 10.0)
    assert not clock.slept
    server.script = [Answer(429, b"", {"Retry-After": "9" * 400})]
    with pytest.raises(RerankerError, match="429"):
        comparer.compare([QUESTION], math.inf)
    assert not clock.slept


def test_a_server_that_keeps_failing_is_given_up(
    server: ChatServer, comparer: ChatServerComparer
) -> None:
    server.script = [Answer(500, b"CUDA error \x1b]0;title\x07 here")] * ATTEMPTS
    with pytest.raises(RerankerError, match=r"500.*CUDA error.*the server's log") as caught:
        comparer.compare([QUESTION], 10.0)
    assert "\x1b" not in str(caught.value)
    assert len(server.asked) == ATTEMPTS


def test_a_key_that_is_refused_is_said_and_not_shown(
    server: ChatServer, comparer: ChatServerComparer
) -> None:
    server.script = [Answer(401, f"bad key {KEY}".encode())]
    with pytest.raises(RerankerError, match="LOOKSTREAM_MODELS__RERANKER_KEY") as caught:
        comparer.compare([QUESTION], 10.0)
    assert KEY not in f"{caught.value!r}{comparer!r}"
    assert len(server.asked) == 1
    server.script = [Answer(400, f"what is {KEY}?".encode())]
    with pytest.raises(RerankerError, match=r"what is …\?"):
        comparer.compare([QUESTION], 10.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(404, b'{"error": "model `x` does not exist"}'), r"#NAME \(404.*does not exist"),
        (Answer(400, b"max_logprobs is 5"), "refuses the request.*max_logprobs is 5"),
        (Answer(302, b"", {"Location": "http://127.0.0.1:9/"}), "302"),
        (Answer(body=b'{"choices": [{"message": {"content": "1"}}]}'), "no log-probabilities"),
        (Answer(body=b'{"choices": [{"logprobs": {"content": []}}]}'), "no log-probabilities"),
        (Answer(body=b'{"choices": []}'), "no log-probabilities"),
        (Answer(body=b"<html>hello</html>"), "does not answer as OpenAI's protocol"),
        (Answer(body=b'{"choices": 3}'), "does not answer as OpenAI's protocol"),
        (Answer(body=completion({"<think>": -0.1, "\x1b[0m": -3.0})), "instead of an index"),
        (Answer(body=b" " * 1_100_000), "more than 1,000,000 bytes"),
    ],
)
def test_a_bad_answer_says_what_to_do(
    server: ChatServer, comparer: ChatServerComparer, answer: Answer, said: str
) -> None:
    server.script = [answer]
    with pytest.raises(RerankerError, match=said):
        comparer.compare([QUESTION], 10.0)
    assert len(server.asked) == 1


def test_an_answer_that_is_cut_is_asked_for_again(
    server: ChatServer, comparer: ChatServerComparer
) -> None:
    server.script = [Answer(body=completion({"1": -0.5}), cut=True)]
    (compared,) = comparer.compare([QUESTION], 10.0)
    assert compared.scores[1] == -0.5
    assert len(server.asked) == 2


def test_a_server_that_is_away_says_so(clock: Clock) -> None:
    with chat_server() as server:
        url = server.url
    comparer = ChatServerComparer(url, "m", KEY, clock, clock.sleep)
    with pytest.raises(RerankerError, match=r"does not answer.*start it") as caught:
        comparer.compare([QUESTION], 10.0)
    assert KEY not in str(caught.value)
    comparer.close()


def test_a_server_that_is_slow_is_left_when_the_time_is_over(server: ChatServer) -> None:
    comparer = ChatServerComparer(server.url, "qwen3-vl")
    release = threading.Event()
    server.script = [Answer(hold=release)]
    try:
        with pytest.raises(RerankerLate, match=r"query\.rerank_s"):
            comparer.compare([QUESTION], time.monotonic() + 0.05)
        with pytest.raises(RerankerLate):
            comparer.compare([QUESTION], time.monotonic() - 1)
    finally:
        release.set()
        comparer.close()


@pytest.mark.parametrize(
    "url",
    ["ftp://h/v1", "http://", "http:///v1", "http://h:99999/v1", "http://h/v1?key=1", "h:80/v1"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(RerankerError, match="mllm:http://HOST:PORT/v1"):
        check_url(url)


def test_an_address_holds_no_password() -> None:
    with pytest.raises(RerankerError, match="no password") as caught:
        check_url("http://me:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)
