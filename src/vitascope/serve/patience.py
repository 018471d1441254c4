"""Clients that send or read so slowly that they only hold a place: each is given a time, and then let go.

None of them keeps another one waiting, since no thread waits for bytes; but connections are counted, and an upload that
never ends holds a file. Times and rates are far below what the slowest line does.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import TimerHandle

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from vitascope.serve.asgi import Message, Receive, Send
from vitascope.serve.problems import RefusedError
from vitascope.serve.settings import Patience


class TimelyProtocol(H11Protocol):
    """HTTP/1.1 whose requests must have a head within a time, counted from its first byte or the connection's start.

    Attributes
    ----------
    head_s : float
    """

    head_s = Patience().head_s
    _head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and look whether a head is still to come."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self._let_go)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _let_go(self) -> None:
        self._head_timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


def timely_protocol(patience: Patience) -> type[TimelyProtocol]:
    """Return the protocol with a time of one's own."""
    return type("OwnProtocol", (TimelyProtocol,), {"head_s": patience.head_s})


def timely_receive(receive: Receive, patience: Patience) -> Receive:
    """Refuse a body that does not come, or comes so slowly that it never ends.

    Raises
    ------
    RefusedError
        408, from what is returned.
    """
    waited, seen, whole = 0.0, 0, False

    async def receive_timely() -> Message:
        nonlocal waited, seen, whole
        if whole:
            return await receive()  # which waits for the client to go away, as long as it likes
        begun = time.monotonic()
        try:
            async with asyncio.timeout(patience.quiet_s):
                message = await receive()
        except TimeoutError as error:
            raise _too_slow() from error
        waited += time.monotonic() - begun
        seen += len(message.get("body", b""))
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        if not whole and waited > patience.quiet_s and seen < patience.least_bytes_s * waited:
            raise _too_slow()
        return message

    return receive_timely


def timely_send(send: Send, patience: Patience) -> Send:
    """Give up an answer that the client does not take."""

    async def send_timely(message: Message) -> None:
        async with asyncio.timeout(patience.write_s):
            await send(message)

    return send_timely


def _too_slow() -> RefusedError:
    return RefusedError(
        408,
        "The request came too slowly to be waited for.",
        "Send it again over a better line, or name files below the service's root.",
        headers={"Connection": "close"},
    )
