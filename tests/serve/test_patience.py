"""Clients that send or read a byte now and then: they are let go, and nobody waits for them."""

import asyncio
import socket
import threading
import time

import pytest
import uvicorn

from vitascope.serve.access import Gate
from vitascope.serve.app import Service, create_app
from vitascope.serve.job_store import JobStore
from vitascope.serve.patience import timely_protocol, timely_receive, timely_send
from vitascope.serve.problems import RefusedError
from vitascope.serve.settings import Patience, ServiceSettings
from vitascope.serve.supervisor import Supervisor

SHORT = Patience(head_s=0.6, quiet_s=0.6, least_bytes_s=1000, write_s=0.6)


def pieces(messages, pauses):
    waiting = iter(zip(messages, pauses, strict=True))

    async def receive():
        message, pause = next(waiting)
        await asyncio.sleep(pause)
        return message

    return receive


def body(size, more=True):
    return {"type": "http.request", "body": bytes(size), "more_body": more}


def run(receive, times):
    async def all_of_it():
        found = []
        for _ in range(times):
            found.append(await receive())
        return found

    return asyncio.run(all_of_it())


def test_a_body_that_comes_in_time_is_let_through_and_its_end_waits_as_long_as_it_likes():
    sent = [body(500), body(500, more=False), {"type": "http.disconnect"}]
    assert run(timely_receive(pieces(sent, (0, 0.01, 0.9)), SHORT), 3) == sent


@pytest.mark.parametrize(
    ("sent", "pauses"),
    [([body(1)], [5.0]), ([body(1)] * 9, [0.15] * 9), ([body(90)] * 9, [0.2] * 9)],
    ids=["nothing", "a byte now and then", "a few bytes now and then"],
)
def test_a_body_that_does_not_come_is_408(sent, pauses):
    with pytest.raises(RefusedError) as told:
        run(timely_receive(pieces(sent, pauses), SHORT), len(sent))
    assert (told.value.status, told.value.headers["Connection"]) == (408, "close")
    assert told.value.hint


def test_an_answer_that_is_not_taken_is_given_up():
    async def never(message):
        await asyncio.sleep(9)

    with pytest.raises(TimeoutError):
        asyncio.run(timely_send(never, SHORT)({"type": "http.response.body"}))


@pytest.fixture
def address(tmp_path):
    """A service in a thread of this process, with little patience."""
    (tmp_path / "data").mkdir()
    settings = ServiceSettings(root=tmp_path, data=tmp_path / "data", patience=SHORT)
    store = JobStore(settings.data)
    service = Service(settings, store, Supervisor(settings, store), ())
    config = uvicorn.Config(
        Gate(create_app(service), settings),
        http=timely_protocol(SHORT),
        log_level="error",
        port=0,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not server.started and time.monotonic() < end:
        time.sleep(0.02)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join(30)


def closes(there, seconds=20):
    """Read until the server closes; return what it said."""
    there.settimeout(seconds)
    said = b""
    while piece := there.recv(4096):
        said += piece
    return said


def health(address):
    with socket.create_connection(address, timeout=20) as there:
        there.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return closes(there)


def test_a_head_that_never_ends_closes_its_connection_alone(address):
    with socket.create_connection(address) as silent, socket.create_connection(address) as slow:
        slow.sendall(b"GET /health HT")
        assert b"200 OK" in health(address)
        begun = time.monotonic()
        assert closes(silent) == b""
        assert closes(slow) == b""
        assert time.monotonic() - begun < 10
    with socket.create_connection(address) as kept:
        request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        kept.sendall(request)
        assert b"200 OK" in kept.recv(4096)
        kept.sendall(request[:20])  # the second head of a connection that is kept
        assert b"200 OK" not in closes(kept)


def test_a_body_of_a_byte_now_and_then_is_refused_and_others_are_answered_meanwhile(address):
    head = (
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 1000000\r\n\r\n--b\r\n"
    )
    with socket.create_connection(address) as there:
        there.sendall(head)
        for _ in range(4):
            time.sleep(0.2)
            there.sendall(b"x")
            assert b"200 OK" in health(address)
        said = closes(there)
    assert b"408 Request Timeout" in said
    assert b'"hint":"Send it again over a better line' in said
