"""Who may come in, and how the page is started and ended."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from lrnn_kernels.neurons.gui import __main__ as command
from lrnn_kernels.neurons.gui import server
from lrnn_kernels.neurons.gui.server import HOST, MOST_OF_A_REQUEST, Guard, listen
from tests import ROOT

from . import running

PORT = 4242


def ask(kind="http", method="GET", body=(b"",), most=100, **headers):
    """What Guard answers, and what the application behind it got: (first message, body or None)."""
    got = []

    async def application(scope, receive, send):
        message, parts = await receive(), []
        while message["type"] == "http.request":
            parts.append(message["body"])
            if not message["more_body"]:
                break
            message = await receive()
        got.append(b"".join(parts))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"page"})
        else:
            await send({"type": "websocket.accept"})

    left = [
        {"type": "http.request", "body": part, "more_body": k + 1 < len(body)}
        for k, part in enumerate(body)
    ]
    if kind == "websocket":
        left = [{"type": "websocket.connect"}]

    async def receive():
        return left.pop(0)

    sent = []

    async def send(message):
        sent.append(message)

    pairs = [
        (name.replace("_", "-").encode(), value.encode())
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    scope = {"type": kind, "method": method, "path": "/", "headers": pairs}
    asyncio.run(Guard(application, PORT, most)(scope, receive, send))
    return sent[0], got[0] if got else None


OURS = f"127.0.0.1:{PORT}"
FOREIGN = {
    "another host": {"host": f"evil.example:{PORT}"},
    "a host that begins like ours": {"host": f"127.0.0.1.evil.example:{PORT}"},
    "another port": {"host": "127.0.0.1:80"},
    "no port": {"host": "127.0.0.1"},
    "no host": {},
    "two hosts": {"host": [OURS, "evil.example"]},
    "an address of the network": {"host": f"192.168.1.2:{PORT}"},
    "any address": {"host": f"0.0.0.0:{PORT}"},
    "another origin": {"host": OURS, "origin": "http://evil.example"},
    "an origin of another port": {"host": OURS, "origin": "http://127.0.0.1:80"},
    "an origin of another scheme": {"host": OURS, "origin": f"https://{OURS}"},
    "no origin that may be named": {"host": OURS, "origin": "null"},
    "two origins": {"host": OURS, "origin": [f"http://{OURS}", "http://evil.example"]},
}
OWN = {
    "a host": {"host": OURS},
    "localhost": {"host": f"localhost:{PORT}"},
    "capitals": {"host": f"LocalHost:{PORT}"},
    "an origin": {"host": OURS, "origin": f"http://{OURS}"},
    "localhost's": {"host": f"localhost:{PORT}", "origin": f"http://localhost:{PORT}"},
}


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_pages_are_refused(kind, name):
    answer, got = ask(kind, **FOREIGN[name])
    assert got is None
    assert answer.get("status", 403) == 403
    assert (
        answer["type"]
        == {
            "http": "http.response.start",
            "websocket": "websocket.close",
        }[kind]
    )


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("name", OWN)
def test_our_page_is_answered(kind, name):
    answer, got = ask(kind, **OWN[name])
    assert got is not None
    assert answer["type"] in ("http.response.start", "websocket.accept")


@pytest.mark.parametrize(
    "body", [(b"a" * 100,), (b"a" * 60, b"b" * 40), (b"",), (b"a", b"", b"b")], ids=len
)
@pytest.mark.parametrize("stated", [False, True])
def test_a_request_arrives_whole(body, stated):
    length = {"content_length": str(len(b"".join(body)))} if stated else {}
    answer, got = ask(method="POST", body=body, host=OURS, **length)
    assert answer["status"] == 200
    assert got == b"".join(body)


@pytest.mark.parametrize(
    ("body", "length"),
    [
        ((b"a" * 101,), None),
        ((b"a" * 60, b"b" * 41), None),
        ((b"a" * 101,), "5"),  # a lie
        ((b"a",), "101"),
        ((b"a",), "1e9"),
        ((b"a",), "-1"),
        ((b"a",), "9" * 30),
    ],
    ids=str,
)
def test_a_request_that_is_too_large(body, length):
    lengths = {} if length is None else {"content_length": length}
    answer, got = ask(method="POST", body=body, host=OURS, **lengths)
    assert answer["status"] == 413
    assert got is None


def test_what_the_browser_is_to_hold_to():
    headers = dict(ask(host=OURS)[0]["headers"])
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"connect-src 'self' ws://{OURS};" in policy
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_ports(monkeypatch):
    with listen(None) as one:
        port = one.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listen(port)
        monkeypatch.setattr(server, "PORT", port)
        with listen(None) as other:
            assert other.getsockname()[1] not in (port, 0)
    with listen(port) as again:
        assert again.getsockname() == (HOST, port)


def test_two_pages_at_once(tmp_path):
    with running.page(tmp_path) as (_, one), running.page(tmp_path) as (_, other):
        assert one != other
        for address in (one, other):
            with urllib.request.urlopen(f"{address}/") as answer:
                assert answer.status == 200


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "1.5", ""])
def test_a_port_that_is_none(port, capsys):
    with pytest.raises(SystemExit) as error:
        command.main(["--port", port])
    assert error.value.code == 2
    assert "from 1 to 65535" in capsys.readouterr().err


def test_a_port_that_is_taken(capsys):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        assert command.main(["--port", str(taken.getsockname()[1])]) == 2
    said = capsys.readouterr().err
    assert "in use" in said
    assert said.count("\n") == 1


def test_without_nicegui(capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert command.main([]) == 2
    said = capsys.readouterr().err
    assert "pip install 'lrnn-kernels[gui]'" in said
    assert said.count("\n") == 1


def test_the_extra_is_what_the_message_says():
    text = (ROOT / "pyproject.toml").read_text()
    assert "\ngui = [" in text


def test_started_and_ended(tmp_path):
    """The page answers on this computer's own address alone, writes no file, is there within 5 s of
    the processor's time, and Ctrl-C ends it with nothing but what it has to say."""
    with running.page(tmp_path) as (process, address):
        with urllib.request.urlopen(f"{address}/") as answer:
            assert answer.status == 200
            assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert _seconds(process.pid) < 5
        port = int(address.rpartition(":")[2])
        own = {"Host": f"{HOST}:{port}"}
        socket_of = "/_nicegui_ws/socket.io/?EIO=4&transport="
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        foreign = {**own, "Origin": "http://evil.example"}
        for expected, method, path, headers, body in (
            (200, "GET", "/", own, None),
            (403, "GET", "/", {"Host": f"evil.example:{port}"}, None),
            (403, "POST", "/", foreign, b""),
            (200, "GET", f"{socket_of}polling", own, None),
            (403, "GET", f"{socket_of}polling", foreign, None),
            (101, "GET", f"{socket_of}websocket", {**own, **upgrade}, None),
            (403, "GET", f"{socket_of}websocket", {**foreign, **upgrade}, None),
            (413, "POST", "/", {**own, "Content-Length": str(MOST_OF_A_REQUEST + 1)}, None),
        ):
            connection = http.client.HTTPConnection(HOST, port, timeout=60)
            connection.request(method, path, body, headers)
            assert connection.getresponse().status == expected, (method, path, headers)
            connection.close()
        assert _listening(port) == {"0100007F"}  # 127.0.0.1
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
    assert process.returncode == 0
    assert error == ""
    assert out.strip() == ""
    assert list(tmp_path.iterdir()) == []


def _seconds(pid: int) -> float:
    """The processor's time of a process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _listening(port: int) -> set[str]:
    """At which addresses someone listens, of IPv4 and of IPv6."""
    found = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as file:
            for line in list(file)[1:]:
                _, local, _, state, *_ = line.split()
                address, at = local.split(":")
                if state == "0A" and int(at, 16) == port:
                    found.add(address)
    return found


def test_the_command_says_what_it_is():
    done = subprocess.run(
        [sys.executable, "-m", "lrnn_kernels.neurons.gui", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--no-browser" in done.stdout
