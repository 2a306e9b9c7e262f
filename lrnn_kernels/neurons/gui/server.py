"""Serving the page to this computer, and to nobody else."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from .controller import MOST_BYTES

HOST, PORT = "127.0.0.1", 8477
#: Bytes of a request that hold a file of MOST_BYTES, and what a form has around it.
MOST_OF_A_REQUEST = MOST_BYTES + 2**16

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

#: Nothing comes from, nor goes to, anywhere else; Vue's templates are compiled in the browser.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws://{host}; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Guard:
    """ASGI middleware that answers this computer's own page only.

    Refused are requests for another host name, as a foreign page makes that has its name point
    here (DNS rebinding); requests and sockets from the pages of another origin; and requests of
    more than MOST_OF_A_REQUEST bytes, before the application sees any of them.
    """

    def __init__(self, app: Callable, port: int, most: int = MOST_OF_A_REQUEST) -> None:
        self.app, self.most = app, most
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        host, foreign = self._names(scope)
        if foreign:
            await _refuse(scope, send, 403, foreign)
            return
        if scope["type"] == "http":
            body = await self._body(scope, receive)
            if body is None:
                await _refuse(scope, send, 413, "the request is too large")
                return
            receive, send = _again(body, receive), _headed(send, host)
        await self.app(scope, receive, send)

    def _names(self, scope: Scope) -> tuple[str, str]:
        """The host that was asked for, and why it is not answered; empty where it is."""
        said: dict[bytes, list[str]] = {b"host": [], b"origin": []}
        for name, value in scope["headers"]:
            if name.lower() in said:
                said[name.lower()].append(value.decode("latin-1").lower())
        hosts, origins = said[b"host"], said[b"origin"]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return "", "another host was asked for"
        if any(origin not in self.origins for origin in origins):
            return "", "another page asks"
        return hosts[0], ""

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """All of it, or None where it is too large, whatever the request says of its length."""
        lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
        if any(not value.isdigit() or int(value) > self.most for value in lengths):
            return None
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break  # the client is gone
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > self.most:
                return None
            parts.append(part)
        return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, then what else there is."""
    given = False

    async def next_message() -> dict[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


def _headed(send: Send, host: str) -> Send:
    """Adds what a browser is to hold to."""
    headers = [
        (b"content-security-policy", _POLICY.format(host=host).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]

    async def sent(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return sent


async def _refuse(scope: Scope, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    text = f"Refused: {why}.\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def listen(wanted: int | None) -> socket.socket:
    """Listens at the port that is asked for, or the default one, or any other where that is taken.
    Raises OSError where the one that is asked for is.

    From here on the port is held: two pages that are started at once get two ports."""
    for port in (PORT, 0) if wanted is None else (wanted,):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError:
            listener.close()
            if port and wanted is None:
                continue
            raise
        return listener
    raise AssertionError("unreachable")


def serve(listener: socket.socket, browser: bool) -> None:
    """Until Ctrl-C."""
    from nicegui import app, background_tasks, ui
    from nicegui.server import Server
    from starlette.formparsers import MultiPartParser

    from .page import page

    port = listener.getsockname()[1]

    async def announce() -> None:
        while not Server.instance.started:
            await asyncio.sleep(0.02)
        print(f"The page is at http://{HOST}:{port} ; Ctrl-C ends it.", flush=True)

    # It says so where its own loops take long to end, and they end all the same.
    logging.getLogger("nicegui").addFilter(lambda record: record.funcName != "teardown")
    # NiceGUI's way to uvicorn has no place for a socket that listens already.
    run = Server.run
    Server.run = lambda server, sockets=None: run(server, [listener])
    # Files are held in memory, whatever their size: none is written to the disk.
    MultiPartParser.spool_max_size = MOST_OF_A_REQUEST
    app.add_middleware(Guard, port=port)
    app.on_startup(lambda: background_tasks.create(announce()))
    ui.run(
        page,
        host=HOST,
        port=port,
        title="Twins of recorded neurons",
        favicon="\N{BRAIN}",
        show=browser,
        reload=False,
        tailwind=False,
        show_welcome_message=False,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
