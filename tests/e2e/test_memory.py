"""The share of limits.memory that one client may take: small versions of the attacks of bench/attack, and the
service for others meanwhile. The attack comes from 127.0.0.1, the others from 127.0.0.2."""

import concurrent.futures
import contextlib
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading

import pytest

import tcp_table
from h2origin import H2Origin
from harness import PATIENCE, ROOT, SANITIZED, SLOW, HttpOrigin, RawOrigin, Stream
from wire import WireError

sys.path.append(str(pathlib.Path(ROOT, "bench/lib")))
import attacks  # noqa: E402

BOXES = [{"id": "box", "address": "127.0.0.1"}, {"id": "other", "address": "127.0.0.1"}]
MIB = 1 << 20
PING, GOAWAY = 6, 7
MAX_CONCURRENT_STREAMS = 3


@pytest.fixture
def edge(make_edge, origin):
    edge = make_edge(workers=1, kinds=("plain", "tls"), boxes=BOXES,
                     config={"limits": {"memory": "8MiB", "connections_per_client": 0}})
    edge.attacked = edge.create_preview(origin)
    edge.other = edge.create_preview(origin, "other")
    return edge


@contextlib.contextmanager
def attack(*args, **kw):
    socks = attacks.over_http2(*args, **kw)
    try:
        yield socks
    finally:
        for sock in socks:
            sock.close()


def ask(edge, host, source="127.0.0.2"):
    """The response to a request from another address."""
    sock = socket.create_connection(("127.0.0.1", edge.port["plain"]), PATIENCE, (source, 0))
    with Stream(sock) as client:
        return client.request(f"GET /echo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())


def metric(edge, name):
    text = subprocess.run(["curl", "-s", "--unix-socket", str(edge.admin_socket), "http://admin/metrics"],
                          capture_output=True, text=True, check=True).stdout
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"boxedge_{name}"))


def served(edge, times=20):
    for _ in range(times):
        assert ask(edge, edge.other).status == 200


def check_growth(edge, before, mib=40):
    """Not under the sanitizers, which keep freed memory."""
    if not SANITIZED:
        assert (edge.rss_kib("worker") - before) / 1024 < mib


def test_heads_count(edge):
    """128 heads of 31 KiB a connection, a few bytes each on the wire, to a preview that does not exist, and
    windows of 0: the answers stay, and so would the heads."""
    served(edge, 3)
    before = edge.rss_kib("worker")
    target = attacks.Target(edge, edge.attacked, "none-1.preview.box.localhost")
    with attack(target, 1, 16, "/", host=target.missing, big_heads=True):
        edge.wait_until(lambda: metric(edge, "shed_total") > 0, what="something to be refused")
        served(edge)
        check_growth(edge, before)
    edge.stderr.wait_for(lambda line: "boxedge[worker 0]: memory is no longer short" in line)
    (line,) = [line for line in edge.stderr.lines if "memory is short" in line]
    assert "of the 8388608 bytes of limits.memory are held" in line


def test_heads_from_many_addresses(edge):
    """Each address is within its share; together they hold more than the total. An address that holds little
    is served the whole time, the wait for the stalled streams' end included."""
    target = attacks.Target(edge, edge.attacked, "none-1.preview.box.localhost", lambda i: f"127.1.0.{i + 1}")
    with attack(target, 1, 40, "/", host=target.missing, big_heads=True):
        edge.wait_until(lambda: metric(edge, "shed_total") > 0, what="something to be refused")

        def served_until_reset():
            served(edge, 5)
            return metric(edge, "memory_resets_total") > 0

        edge.wait_until(served_until_reset, 30, what="stalled streams to be reset")


@pytest.mark.parametrize("protocol", ["http1", "h2c"])
def test_heads_for_an_app_that_is_silent(edge, protocol):
    """Over HTTP/2 the heads stay, as the app may refuse each stream until it answers: they count for as long. The first connections ask for 93 MiB; the bound of new requests is 6 MiB. They have their TLS before the first head, as
    an address over its share gets none. A head holds less once the app's kernel has its copy, and 128 of them may be
    within the bound: the attack takes the freed memory, so that memory stays short until the first are stalled. The heads arrive together, and connections end their streams after all of them have been read: streams that are cut hold no head."""
    with H2Origin(streams=4096) if protocol == "h2c" else RawOrigin(lambda conn: conn.wait_closed(60)) as silent, \
            contextlib.ExitStack() as stack:
        before = edge.rss_kib("worker")
        host = edge.create_preview(silent, "box", "--protocol", protocol)
        target = attacks.Target(edge, host, "none-1.preview.box.localhost")
        heads = attacks.heads(host, "/hang", big=True)

        def connect():
            return stack.enter_context(target.connect_h2(window=0))

        def reset():
            with attacks.refusals():
                connect().sendall(heads)
            return metric(edge, "memory_resets_total") > 0

        for sock in [connect() for _ in range(24)]:
            with attacks.refusals():
                sock.sendall(heads)
        edge.wait_until(lambda: metric(edge, "shed_total") > 0, what="something to be refused")
        served(edge)
        check_growth(edge, before)
        edge.wait_until(reset, 30, what="stalled streams to be reset")


def test_responses_that_nobody_takes(edge):
    """Windows of 0 and large responses: the memory of a connection is bounded, and freed after some
    seconds."""
    before = edge.rss_kib("worker")
    target = attacks.Target(edge, edge.attacked, "none-1.preview.box.localhost")
    with attack(target, 1, 16, "/bytes?n=1000000", streams=64) as socks:
        edge.wait_until(lambda: metric(edge, "buffered_bytes") >= 6 * MIB, 30, what="memory to be short")
        served(edge)
        check_growth(edge, before)
        edge.wait_until(lambda: metric(edge, "memory_resets_total") > 0, 30, what="stalled streams to be reset")
        edge.wait_until(lambda: metric(edge, "buffered_bytes") < 6 * MIB, 30, what="memory to come back")
        assert len(socks) >= 6  # further ones may be refused, as their address holds too much


@contextlib.contextmanager
def slow_download(edge, host, size):
    """A client whose download never stops. Calling the returned function makes it read the rest, and waits
    for that. Its receive buffer is small: a client reads megabytes from its kernel for seconds, without
    progress from the edge's view."""
    step, hurry = 20_000, threading.Event()
    with edge.connect("plain") as client, concurrent.futures.ThreadPoolExecutor() as threads:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        client.send(f"GET /bytes?n={size} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        client.read_head()

        def read():
            left = size
            while not hurry.wait(0.02):
                client.read_exactly(step)
                left -= step
            client.read_exactly(left, PATIENCE * SLOW)

        def rest():
            hurry.set()
            done.result()

        done = threads.submit(read)
        try:
            yield rest
        finally:
            hurry.set()


def ask_while_short(edge, host, source):
    """The status; None if none came, as from 7/8 of the memory on."""
    try:
        return ask(edge, host, source).status
    except (WireError, OSError):
        return None


def test_who_gets_further_stays(edge):
    """All clients have one address. A download that makes progress while memory is short does not end with
    the stalled ones, and new requests are served again once those are gone."""
    host = edge.attacked
    target = attacks.Target(edge, host, "none-1.preview.box.localhost")
    statuses = []

    def is_served():
        statuses.append(ask_while_short(edge, host, "127.0.0.1"))
        return statuses[-1] == 200

    with slow_download(edge, host, 40_000_000) as rest, attack(target, 1, 16, "/bytes?n=1000000", streams=64):
        edge.wait_until(lambda: metric(edge, "memory_resets_total") > 0, 30, what="stalled streams to be reset")
        rest()
        edge.wait_until(is_served, 30, what="service")
    assert set(statuses) <= {None, 200, 503}
    if None in statuses:  # each of them ended for want of memory, and for nothing else
        edge.wait_for_line(path="/echo", client="127.0.0.1", reason="overloaded", status=0, count=statuses.count(None))


def answers_pings(sock):
    """Whether an HTTP/2 connection lives, whatever came on it before."""
    sock.sendall(attacks.frame(PING, payload=bytes(8)))
    buffer = b""
    while data := sock.recv(65536):
        buffer += data
        while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
            if buffer[3] == PING and buffer[4] & 1:
                return True
            buffer = buffer[end:]
    return False


def test_a_trusted_proxy_keeps_its_connections(make_edge, origin):
    """Memory that one of its clients holds without progress is reset; the connections carry other clients,
    too."""
    edge = make_edge(workers=1, kinds=("plain", "tls"), boxes=BOXES, config={
        "limits": {"memory": "8MiB", "connections_per_client": 0}, "trusted_proxies": ["127.0.0.1/32"]})
    host = edge.create_preview(origin)
    other = edge.create_preview(origin, "other")
    target = attacks.Target(edge, host, "")
    named = b"\x00" + attacks.string(b"x-forwarded-for") + attacks.string(b"192.0.2.1")
    heads = b"".join(attacks.frame(attacks.HEADERS, attacks.END_STREAM | attacks.END_HEADERS, 2 * n + 1,
                                   attacks.head(host, "/bytes?n=1000000", named)) for n in range(64))
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(target.connect_h2(i, 0)) for i in range(16)]
        for sock in socks:
            sock.sendall(heads)
        edge.wait_until(lambda: metric(edge, "memory_resets_total") > 0, 30, what="stalled streams to be reset")
        edge.wait_until(lambda: metric(edge, "buffered_bytes") < 6 * MIB, 30, what="memory to come back")
        assert all(answers_pings(sock) for sock in socks)
        assert edge.get(other, fields=["X-Forwarded-For: 192.0.2.2"]).status == 200
    assert metric(edge, "memory_closes_total") == 0


class Holder:
    """A connection over HTTP/2 whose streams have a window of 0. It opens a stream for each that the edge
    resets for want of memory. `moves`: the first stream is a download that makes progress all the time."""

    CALM = 11  # RFC 9113 section 7: ENHANCE_YOUR_CALM

    def __init__(self, target, streams=32, path="/bytes?n=1000000", moves=False):
        self.target, self.path, self.moving = target, path, 1 if moves else None
        self.sock = target.connect_h2(window=0)
        self.resets = self.moved = self.next_id = 0
        self.goaway, self.buffer = None, b""
        self.over, self.streams = threading.Event(), streams

    def begin(self):
        if self.moving:
            self._open(1, "/bytes?n=100000000")
            self._grant(20_000)
        self._open(self.streams, self.path)

    def _open(self, streams, path):
        heads = b""
        for _ in range(streams):
            heads += attacks.frame(attacks.HEADERS, attacks.END_STREAM | attacks.END_HEADERS, 2 * self.next_id + 1,
                                   attacks.head(self.target.host, path))
            self.next_id += 1
        self.sock.sendall(heads)

    def _grant(self, n):
        self.sock.sendall(attacks.frame(attacks.WINDOW_UPDATE, stream=self.moving, payload=struct.pack(">I", n)))

    def _take(self, kind, stream, payload):
        if kind == attacks.DATA and stream == self.moving:
            self.moved += len(payload)
            self.over.wait(0.01)
            self._grant(len(payload))
        elif kind == attacks.RST_STREAM and int.from_bytes(payload, "big") == self.CALM:
            self.resets += 1
            self._open(1, self.path)
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")

    def hold(self):
        """Returns when the connection has ended, or `over` is set; True: it has ended."""
        self.begin()
        self.sock.settimeout(0.2)
        with contextlib.suppress(OSError):  # a reset
            while not self.over.is_set():
                try:
                    data = self.sock.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    break
                self.buffer += data
                while len(self.buffer) >= 9 and len(self.buffer) >= (end := 9 + int.from_bytes(self.buffer[:3], "big")):
                    kind, stream = self.buffer[3], int.from_bytes(self.buffer[5:9], "big")
                    payload, self.buffer = self.buffer[9:end], self.buffer[end:]
                    self._take(kind, stream, payload)
        return not self.over.is_set()


@contextlib.contextmanager
def holding(holders):
    """Each in a separate thread; returns their futures."""
    with concurrent.futures.ThreadPoolExecutor(len(holders)) as threads:
        futures = [threads.submit(holder.hold) for holder in holders]
        try:
            yield futures
        finally:
            for holder in holders:
                holder.over.set()
    for holder in holders:
        holder.sock.close()


def test_connections_that_hold_again_are_closed(edge):
    """Streams of window 0 return whenever the edge takes them, so their connections close; one of the same
    address with a progressing download stays, though it does the same beside it."""
    target = attacks.Target(edge, edge.attacked, "none-1.preview.box.localhost")
    moving = Holder(target, 16, moves=True)
    with holding([moving]) as (stays,):
        edge.wait_until(lambda: moving.moved > 0, what="the download to begin")
        holders = [Holder(target) for _ in range(16)]
        with holding(holders) as futures:
            edge.wait_until(lambda: metric(edge, "memory_resets_total") > 0, 30, what="stalled streams to be reset")
            edge.wait_until(lambda: metric(edge, "memory_closes_total") > 0, 30, what="connections to be closed")
            edge.wait_until(lambda: any(future.done() and holder.goaway == Holder.CALM and holder.resets > 0
                                        for holder, future in zip(holders, futures)), what="a client to see it")
            before = moving.moved
            edge.wait_until(lambda: moving.moved > before + 100_000, what="the download to go on")
            assert moving.resets > 0 and moving.goaway is None and not stays.done()
            served(edge)
    reason = "Memory is short, and this client holds some without making progress."
    edge.wait_for_line(reason="overloaded", detail=reason)
    edge.stderr.wait_for(lambda line: f"an HTTP/2 connection of 127.0.0.1 ends with ENHANCE_YOUR_CALM: {reason}" in line)


def addresses(sources):
    return (lambda i: "127.0.0.1") if sources == "one" else (lambda i: f"127.1.0.{i % 250 + 1}")


def idle_connection(edge, source, protocol):
    """A client over TLS that has had a response."""
    target = attacks.Target(edge, edge.other, "", lambda i: source)
    if protocol == "http2":
        sock = target.connect_h2()
        sock.sendall(attacks.frame(attacks.HEADERS, attacks.END_STREAM | attacks.END_HEADERS, 1,
                                   attacks.head(edge.other, "/echo")))
        assert answers_pings(sock)
    else:
        sock = edge.context(("http/1.1",)).wrap_socket(target.connect("tls"), server_hostname=edge.other)
        sock.sendall(f"GET /echo HTTP/1.1\r\nHost: {edge.other}\r\n\r\n".encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    return sock


@pytest.mark.parametrize("sources", ["one", "many"])
@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_idle_connections_are_given_up_and_requests_served(edge, protocol, sources):
    """Idle connections over TLS keep half of limits.memory at most: the longest idle ones make room for new
    ones, and no request is refused, not even one of the address that holds most."""
    source_of = addresses(sources)
    with contextlib.ExitStack() as stack:
        for i in range(450):
            source = source_of(i)
            stack.enter_context(idle_connection(edge, source, protocol))
            if i % 50 == 0:
                assert ask(edge, edge.other).status == 200
                assert ask(edge, edge.other, source).status == 200
        edge.wait_until(lambda: metric(edge, "connections_given_up_total") > 0, what="connections to be given up")
        edge.wait_until(lambda: metric(edge, "buffered_bytes") > 3 * MIB, what="idle connections to count")
        assert metric(edge, "buffered_bytes") < 4.5 * MIB
        assert metric(edge, "shed_total") == 0 and metric(edge, "memory_closes_total") == 0


def client_hello(edge):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = edge.context(("h2",)).wrap_bio(incoming, outgoing, server_hostname=edge.other)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def open_handshakes(stack, edge, count, first, source):
    for i in range(count):
        with attacks.refusals():
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", edge.port["tls"]), PATIENCE,
                                                                (source(i), 0)))
            sock.sendall(first)


@pytest.mark.parametrize("sources", ["one", "many"])
def test_handshakes_that_stop(make_edge, origin, sources):
    """OpenSSL's memory for them counts from their first byte on. They close after some seconds, long before
    the timeout; others are served meanwhile."""
    edge = make_edge(workers=1, kinds=("plain", "tls"), boxes=BOXES, config={
        "limits": {"memory": "8MiB", "connections_per_client": 0}, "timeouts": {"handshake": "10m"}})
    edge.other = edge.create_preview(origin, "other")
    hello = client_hello(edge)
    source = addresses(sources)
    with contextlib.ExitStack() as stack:
        open_handshakes(stack, edge, 200, b"", source)
        assert metric(edge, "buffered_bytes") < MIB  # clients that send nothing cost little
        open_handshakes(stack, edge, 100, hello[:1], source)
        open_handshakes(stack, edge, 200, hello, source)
        edge.wait_until(lambda: metric(edge, "buffered_bytes") > 6 * MIB, what="handshakes to count")
        served(edge)
        edge.wait_until(lambda: metric(edge, "memory_closes_total") > 0, 30, what="handshakes to be ended")
        edge.wait_until(lambda: metric(edge, "buffered_bytes") < 8 * MIB, 30, what="memory to come back")
        served(edge)


def send_queues(port):
    """Bytes that the kernel still has to send on each connection of a port."""
    return [row.sending for row in tcp_table.rows() if row.local[1] == port and row.state == tcp_table.ESTABLISHED]


def test_what_the_kernel_holds_for_a_slow_reader(edge):
    """Not megabytes: the edge stops writing while little waits, and its own bound holds from there on."""
    with edge.connect("plain") as client:
        client.send(f"GET /bytes?n=50000000 HTTP/1.1\r\nHost: {edge.attacked}\r\n\r\n".encode())
        client.read_head()
        edge.wait_until(lambda: metric(edge, "buffered_bytes") >= 65536, what="the edge to hold some itself")
        assert 0 < max(send_queues(edge.port["plain"])) <= 256 * 1024


def towards(port):
    """Bytes that the kernel still has to send on each of the edge's connections to an app."""
    return [row.sending for row in tcp_table.rows() if row.remote[1] == port and row.state == tcp_table.ESTABLISHED]


@contextlib.contextmanager
def app_that_reads_nothing(streams=100):
    """Over HTTP/2 it grants the largest windows, to a number of streams."""
    over = threading.Event()
    settings = struct.pack(">HIHI", attacks.INITIAL_WINDOW_SIZE, (1 << 31) - 1, MAX_CONCURRENT_STREAMS, streams)

    def handler(conn):
        if conn.sock.recv(3) == b"PRI":
            conn.sock.sendall(attacks.frame(attacks.SETTINGS, payload=settings) +
                              attacks.frame(attacks.WINDOW_UPDATE, payload=struct.pack(">I", (1 << 31) - 65536)))
            if conn.index == 0:
                settle(conn.sock)
        over.wait(60)

    def settle(sock):
        """The first connection is read until the edge knows its settings."""
        seen = b""
        while attacks.frame(attacks.SETTINGS, 1) not in seen:
            seen += sock.recv(4096)
        app.settled.set()

    with RawOrigin(handler, receive_buffer=4096) as app:
        app.settled = threading.Event()
        yield app
        over.set()


@pytest.mark.parametrize("protocol", ["http1", "h2c"])
def test_what_the_kernel_holds_for_an_app_that_does_not_read(edge, protocol):
    with app_that_reads_nothing() as app, edge.connect("plain") as client:
        host = edge.create_preview(app, "box", "--protocol", protocol)
        client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 50000000\r\n\r\n".encode())
        client.sock.setblocking(False)

        def is_full():
            try:
                client.sock.send(bytes(1 << 20))
            except BlockingIOError:
                return max(towards(app.port), default=0) > 0 and metric(edge, "buffered_bytes") >= 65536
            return False

        edge.wait_until(is_full, what="everything on the way to be full")
        assert max(towards(app.port)) <= 256 * 1024


@pytest.mark.parametrize("protocol", ["http1", "h2c"])
def test_what_the_kernel_may_hold_from_an_app(edge, protocol):
    """The bound stays the same while a fast client reads, which would let the kernel's grow."""
    with contextlib.ExitStack() as stack:
        app = stack.enter_context(H2Origin() if protocol == "h2c" else HttpOrigin())
        host = edge.create_preview(app, "box", "--protocol", protocol)
        client = stack.enter_context(edge.connect("plain"))
        client.send(f"GET /bytes?n=200000000 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        client.read_head()
        client.read_exactly(100_000_000)
        out = subprocess.run(["ss", "-tnmH", f"dport = :{app.port}"], capture_output=True, text=True, check=True).stdout
        bounds = [int(found) for found in re.findall(r"skmem:\(r\d+,rb(\d+)", out)]
        assert bounds and max(bounds) <= 256 * 1024


def test_what_the_kernel_may_hold_from_an_app_for_one_of_many(edge):
    """A client's 17th simultaneous connection has a tighter bound; another client's has not."""
    with contextlib.ExitStack() as stack:
        app = stack.enter_context(RawOrigin(lambda conn: conn.wait_closed(60)))
        host = edge.create_preview(app)

        def bounds():
            out = subprocess.run(["ss", "-tnmH", f"dport = :{app.port}"], capture_output=True, text=True, check=True).stdout
            return sorted(map(int, re.findall(r"skmem:\(r\d+,rb(\d+)", out)))

        for n, source in enumerate(["127.0.0.1"] * 17 + ["127.0.0.2"]):
            sock = socket.create_connection(("127.0.0.1", edge.port["plain"]), PATIENCE, (source, 0))
            stack.enter_context(sock).sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            app.wait(lambda _: len(app.connections) > n)
        edge.wait_until(lambda: bounds() == [64 * 1024] + [256 * 1024] * 17, what="the bounds")


# ---- bytes that the kernel holds for exchanges that stand still


def unread_http1(edge, stack):
    """60 connections, each with a large response."""
    for _ in range(60):
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", edge.port["plain"]), PATIENCE))
        sock.sendall(f"GET /bytes?n=100000000 HTTP/1.1\r\nHost: {edge.attacked}\r\n\r\n".encode())


def unread_http2(edge, stack):
    """One connection with 120 streams, with windows of 0."""
    target = attacks.Target(edge, edge.attacked, "none-1.preview.box.localhost")
    stack.enter_context(attack(target, 1, 1, "/bytes?n=1000000", streams=120))


def post(edge, stack, host, size):
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", edge.port["plain"]), PATIENCE))
    sock.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size))


def untaken_http1(edge, stack):
    """80 whole requests to an app that does not read."""
    host = edge.create_preview(stack.enter_context(app_that_reads_nothing()))
    for _ in range(80):
        post(edge, stack, host, 90000)


def untaken_h2c(edge, stack):
    """110 whole requests to an app that does not read, and that allows one a connection."""
    app = stack.enter_context(app_that_reads_nothing(streams=1))
    host = edge.create_preview(app, "box", "--protocol", "h2c")
    post(edge, stack, host, 0)
    app.settled.wait(PATIENCE)
    for _ in range(110):
        post(edge, stack, host, 60000)  # within the first window
    app.wait(lambda _: len(app.connections) > 110)


@pytest.mark.parametrize("protocol", ["http1", "h2c"])
def test_a_trickle_does_not_hide_what_the_kernel_holds(edge, protocol):
    """The kernel's queue has room for some bytes now and then, though the app reads none."""
    with app_that_reads_nothing(streams=1) as app, contextlib.ExitStack() as stack:
        host = edge.create_preview(app, "box", "--protocol", protocol)
        if protocol == "h2c":
            post(edge, stack, host, 0)
            app.settled.wait(PATIENCE)
        client = stack.enter_context(edge.connect("plain"))
        client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 64000\r\n\r\n".encode() + bytes(60000))

        def counts():
            client.send(b"x")
            return metric(edge, "kernel_bytes") >= 50000

        edge.wait_until(counts, what="the kernel's bytes to count")


@pytest.mark.parametrize("begin", [unread_http1, unread_http2, untaken_http1, untaken_h2c])
def test_what_the_kernel_holds_for_who_stands_still(edge, begin):
    """The edge itself holds little of it. It counts, and is freed after some seconds; others are served the
    whole time."""
    with contextlib.ExitStack() as stack:
        begin(edge, stack)
        seen = []

        def served_until_ended():
            served(edge, 5)
            seen.append((metric(edge, "buffered_bytes"), metric(edge, "kernel_bytes")))
            return metric(edge, "memory_resets_total") + metric(edge, "memory_closes_total") > 0

        edge.wait_until(served_until_ended, 30, what="exchanges to be ended")
        assert max(own for own, _ in seen) < 6 * MIB  # that alone is no reason
        edge.wait_until(lambda: sum(metric(edge, name) for name in ("buffered_bytes", "kernel_bytes")) < 6 * MIB, 30,
                        what="the kernel to hold less")
        served(edge, 5)
