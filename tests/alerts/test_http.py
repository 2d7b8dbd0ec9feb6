"""What becomes of a request when the other side misbehaves. All of it over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from alerts.answers import Outcome, Unanswered, maybe_heard, outcome_of, retry_after_s
from alerts.channel import Request
from alerts.http import ANSWER_BYTES_MAX, HttpPoster
from alerts.settings import ReceiverSettings
from bytetracker.embedded.process import free_port

REQUEST_BODY = b'{"x": 1}'


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does with each connection what the test wants; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5.0)
                with suppress(OSError):  # the client has gone, as it should
                    behave(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    done.set()
    thread.join()
    listener.close()


def read(connection: socket.socket) -> bytes:
    """A whole request."""
    found = b""
    while REQUEST_BODY not in found and (more := connection.recv(65_536)):
        found += more
    return found


def post(url: str, **options: float) -> tuple[int, float, str]:
    settings = ReceiverSettings("r", "slack", url, **{"deadline_s": 1.0, "connect_timeout_s": 0.5, **options})  # type: ignore[arg-type]
    poster = HttpPoster(settings)
    try:
        answer = poster.post(Request(url, {"Content-Type": "application/json"}, REQUEST_BODY))
        return answer.status, answer.wait_s, answer.text
    finally:
        poster.close()


def test_an_answer() -> None:
    def behave(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nlater")

    with serving(behave) as url:
        assert post(url) == (503, 7.0, "later")


def test_no_more_of_an_answer_is_read_than_is_wanted() -> None:
    def behave(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(b"HTTP/1.1 400 No\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with serving(behave) as url:
        status, _, text = post(url)
    assert (status, len(text)) == (400, ANSWER_BYTES_MAX)


@pytest.mark.parametrize(
    "drip", [b"HTTP/1.1 200 OK\r\nX-" + b"a" * 10_000, b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
def test_a_byte_at_a_time_ends_at_the_deadline(drip: bytes) -> None:
    def behave(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(drip[:20])
        for at in range(20, len(drip)):
            connection.sendall(drip[at : at + 1])
            time.sleep(0.02)
        time.sleep(5.0)

    with serving(behave) as url, pytest.raises(Unanswered) as raised:
        post(url)
    assert raised.value.reason == "DeadlineExceeded"
    assert raised.value.maybe_heard


def test_nobody_listens() -> None:
    with pytest.raises(Unanswered) as raised:
        post(f"http://127.0.0.1:{free_port()}/secret")
    assert not raised.value.maybe_heard
    assert "secret" not in str(raised.value)


def test_a_connection_that_breaks_may_have_been_heard() -> None:
    def behave(connection: socket.socket) -> None:
        read(connection)

    with serving(behave) as url, pytest.raises(Unanswered) as raised:
        post(url)
    assert raised.value.maybe_heard


def test_nonsense_is_no_answer() -> None:
    def behave(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(b"220 mail.example.net ESMTP\r\n")

    with serving(behave) as url, pytest.raises(Unanswered):
        post(url)


def test_redirections_are_not_followed() -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(read(connection))
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    with serving(behave) as url:
        assert post(url)[0] == 302
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("status", "outcome", "heard"),
    [
        *((status, Outcome.DELIVERED, False) for status in (200, 202, 204)),
        *((status, Outcome.REFUSED, False) for status in (400, 413, 422)),
        *((status, Outcome.FAILED, False) for status in (302, 401, 403, 404, 408, 429)),
        *((status, Outcome.FAILED, True) for status in (500, 502, 504)),
    ],
)
def test_what_a_status_means(status: int, outcome: Outcome, heard: bool) -> None:
    assert outcome_of(status) is outcome
    assert outcome is Outcome.DELIVERED or maybe_heard(status) is heard


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [(None, 0), ("5", 5), (" 5 ", 5), ("999999", 600), ("-1", 0), ("²", 0), ("Wed, 21 Oct 2015", 0)],
)
def test_how_long_a_receiver_wants_to_be_left_alone(value: str | None, wait_s: float) -> None:
    assert retry_after_s(value) == wait_s
