"""The demo app, by itself and behind a preview. The quickstart shows it, and other tests stream with it."""

import asyncio
import hashlib
import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import websockets

import harness
from harness import SLOW

LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n"


class Demo:
    """A running demo app."""

    def __init__(self):
        self.process = subprocess.Popen(
            [str(harness.BINARY), "demo-app", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"demo app on http://127\.0\.0\.1:(\d+)/\n", line)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(15 * SLOW) == 0, self.process.stderr.read()
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def demo():
    running = Demo()
    yield running
    running.stop()


@pytest.fixture(params=["alone", "behind the edge"], scope="module")
def base(request, demo):
    """The address of the app: its own, or that of its preview on a plain listener, with the fields for it."""
    if request.param == "alone":
        yield f"http://127.0.0.1:{demo.port}", {}
    else:
        edge = request.getfixturevalue("edge")
        yield f"http://127.0.0.1:{edge.port['plain']}", {"Host": edge.create_preview(demo)}


def fetch(base, path, data=None, method=None, timeout=harness.PATIENCE * SLOW):
    url, fields = base
    request = urllib.request.Request(url + path, data, fields, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_page(base):
    status, fields, body = fetch(base, "/?<script>alert(1)</script>")
    text = body.decode()
    assert status == 200 and fields["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in fields["Content-Security-Policy"]
    assert "User-Agent" in text and "Python-urllib" in text
    assert "alert(1)" in text and "<script>alert" not in text
    assert not re.search(r"(src|href)=.?(https?:)?//", text)


def test_headers(base):
    seen = json.loads(fetch(base, "/headers?a=%20b")[2])
    fields = {name.lower(): value for name, value in seen["headers"]}
    assert seen["method"] == "GET" and seen["path"] == "/headers?a=%20b" and seen["client"] == "127.0.0.1"
    assert fields["host"] == base[1].get("Host", base[0][7:])
    assert json.loads(fetch(base, "/headers", method="DELETE")[2])["method"] == "DELETE"


@pytest.mark.parametrize("query", ["", "&chunked"])
@pytest.mark.parametrize("count", [0, 1, 64, 65535, 65536, 65537, 10_000_000])
def test_bytes(base, count, query):
    status, fields, body = fetch(base, f"/bytes?n={count}{query}")
    assert status == 200 and body == (LINE * (count // 64 + 1))[:count]
    if not query:
        assert int(fields["Content-Length"]) == count
    status, fields, body = fetch(base, f"/bytes?n={count}{query}", method="HEAD")
    assert status == 200 and body == b""


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_upload(base, size):
    data = bytes(i * 7 & 0xFF for i in range(256)) * (size // 256 + 1)
    data = data[:size]
    status, _, body = fetch(base, "/upload", data, "POST")
    assert status == 200 and json.loads(body) == {"bytes": size, "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize(
    "path, method, status",
    [
        ("/status/418", "GET", 418),
        ("/status/500", "POST", 500),
        ("/status/204", "GET", 204),
        ("/status/199", "GET", 400),
        ("/status/600", "GET", 400),
        ("/status/", "GET", 400),
        ("/upload", "GET", 405),
        ("/", "POST", 405),
        ("/echo", "GET", 426),
        ("/bytes", "GET", 400),
        ("/bytes?n=x", "GET", 400),
        ("/slow?ms=60001", "GET", 400),
        ("/nothing", "GET", 404),
    ],
)
def test_statuses(base, path, method, status):
    assert fetch(base, path, method=method)[0] == status


def test_slow(base):
    start = time.monotonic()
    assert fetch(base, "/slow?ms=300")[2] == b"Here after 300 ms.\n"
    assert time.monotonic() - start >= 0.3


def test_events(base):
    """Each arrives when it is produced."""
    url, fields = base
    with urllib.request.urlopen(urllib.request.Request(url + "/events", headers=fields), timeout=20 * SLOW) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for count in (1, 2, 3):
            assert answer.readline() == b"id: %d\n" % count
            event = json.loads(answer.readline().removeprefix(b"data: "))
            assert event["count"] == count and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
            assert answer.readline() == b"\n"


def talk(base, conversation):
    """Runs `conversation` (a coroutine function) with a connection to /echo."""
    url, fields = base

    async def run():
        sock = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        host = fields.get("Host", url[7:])
        async with websockets.connect(f"ws://{host}/echo", sock=sock, max_size=1 << 21) as connection:
            await conversation(connection)

    asyncio.run(asyncio.wait_for(run(), 60 * SLOW))


def test_echo(base):
    async def conversation(connection):
        for message in ("hello", "", "gr\u00fc\u00dfe", b"\x00\xff", "x" * 70000, b"y" * (1 << 20)):
            await connection.send(message)
            assert await connection.recv() == message
        await connection.send(["in ", "three ", "parts"])
        assert await connection.recv() == "in three parts"
        await (await connection.ping(b"x"))
        await connection.send(b"z" * ((1 << 20) + 1))
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await connection.recv()
        assert closed.value.rcvd.code == 1009

    talk(base, conversation)


def test_many_messages_at_once(base):
    messages = [str(i) * 1000 for i in range(2000)]

    async def conversation(connection):
        async def send():
            for message in messages:
                await connection.send(message)

        sending = asyncio.create_task(send())
        for message in messages:
            assert await connection.recv() == message
        await sending

    talk(base, conversation)


def test_goodbye_is_answered(base):
    async def conversation(connection):
        await connection.close(4001, "bye")
        assert connection.close_code == 4001

    talk(base, conversation)


def test_a_reader_that_stops_costs_no_memory(demo):
    """Ten clients that ask for a terabyte and read nothing."""

    def rss_kib():
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{demo.process.pid}/status").read())[1])

    before = rss_kib()
    held = []
    for _ in range(10):
        sock = socket.create_connection(("127.0.0.1", demo.port))
        sock.sendall(b"GET /bytes?n=1099511627776 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(15) == b"HTTP/1.1 200 OK"
        held.append(sock)
    assert fetch((f"http://127.0.0.1:{demo.port}", {}), "/bytes?n=5")[2] == b"01234"
    assert harness.SANITIZED or rss_kib() - before < 10 * 1024
    for sock in held:
        sock.close()


def test_a_second_one_on_the_port_says_so(demo):
    done = subprocess.run(
        [str(harness.BINARY), "demo-app", "--port", str(demo.port)], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 1 and "in use" in done.stderr
    for arguments in (["--port", "x"], [], ["--port"], ["--port", "65536"], ["--colour", "1"]):
        done = subprocess.run([str(harness.BINARY), "demo-app", *arguments], capture_output=True, check=False, timeout=20)
        assert done.returncode == 2
    done = subprocess.run(
        [str(harness.BINARY), "demo-app", "--port", "0", "--address", "here"], capture_output=True, check=False, timeout=20
    )
    assert done.returncode == 1
