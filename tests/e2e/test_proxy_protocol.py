"""Client addresses: the PROXY protocol on listeners that require it, X-Forwarded-For, and attempts to forge them."""

import contextlib
import json
import shutil
import socket
import ssl
import struct
import subprocess
import time

import pytest

import wire
from harness import PATIENCE, PORTS, SLOW, Edge, WireError

V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "192.0.2.77"
CLIENT6 = "2001:db8::77"
# Shorter than a test's patience, longer than a handshake under the sanitizers.
HEADER_SECONDS = 2 * SLOW


def v1(client=CLIENT, port=4711):
    family = "TCP6" if ":" in client else "TCP4"
    server = "::1" if ":" in client else "198.51.100.1"
    return f"PROXY {family} {client} {server} {port} 443\r\n".encode()


def v2(client=CLIENT, port=4711, command=0x21, tlvs=b""):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    server = "::1" if ":" in client else "198.51.100.1"
    block = socket.inet_pton(family, client) + socket.inet_pton(family, server) + struct.pack(">HH", port, 443) + tlvs
    return V2_SIGNATURE + bytes([command, 0x21 if ":" in client else 0x11]) + struct.pack(">H", len(block)) + block


LOCAL = V2_SIGNATURE + b"\x20\x00\x00\x00"


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """Every listener of the usual kinds requires the header; `open` is a plain one that does not."""
    running = Edge(tmp_path_factory.mktemp("edge"), workers=2, start=False)
    running.port["open"] = PORTS.take()
    running.config["listeners"] = [
        {"kind": "plain" if kind == "open" else kind, "address": f"127.0.0.1:{port}", "proxy_protocol": kind != "open"}
        for kind, port in running.port.items()
    ]
    running.config["timeouts"]["handshake"] = f"{HEADER_SECONDS}s"
    running.config["trusted_proxies"] = ["203.0.113.0/24"]
    running.config["limits"] = {"connections_per_client": 4}
    running.start()
    yield running
    running.close()


@contextlib.contextmanager
def connected(edge, header, host, kind="plain", step=0):
    """A Stream behind a header; with `step` the header goes in pieces of that many bytes, each a segment."""
    sock = edge.socket(kind)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.closing(sock):
        for at in range(0, len(header), step or max(1, len(header))):
            sock.sendall(header[at : at + (step or len(header))])
        if kind == "tls":
            yield wire.Stream(sock, edge.context(), host)
        else:
            yield wire.Stream(sock)


def get(host, fields=b"", path=b"/echo", close=True):
    end = b"Connection: close\r\n\r\n" if close else b"\r\n"
    return b"GET " + path + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + fields + end


def seen(message):
    """Fields at the box, with lower-case names."""
    assert message.status == 200, message.body
    return {name.lower(): value for name, value in json.loads(message.body)["fields"]}


def metric(edge, name):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(edge.admin_socket))
        text = wire.Stream(sock).request(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").body.decode()
    return int(next(line for line in text.splitlines() if line.startswith(f"boxedge_{name} ")).split()[1])


HEADERS = {
    "v1": (v1(), CLIENT),
    "v1-six": (v1(CLIENT6), CLIENT6),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "v2": (v2(), CLIENT),
    "v2-six": (v2(CLIENT6), CLIENT6),
    "v2-mapped": (v2("::ffff:" + CLIENT), CLIENT),
    "v2-tlvs": (v2(tlvs=b"\xea" + struct.pack(">H", 4000) + bytes(4000)), CLIENT),
    "v2-local": (LOCAL, "127.0.0.1"),
}


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("name", HEADERS)
def test_the_address_in_the_header_is_the_clients(edge, preview, name, kind):
    header, address = HEADERS[name]
    with connected(edge, header, preview, kind) as client:
        fields = seen(client.request(get(preview, path=f"/echo?{name}-{kind}".encode())))
    assert fields["x-forwarded-for"] == address
    assert edge.wait_for_line(path=f"/echo?{name}-{kind}")["client"] == address


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("name", ["v1", "v2", "v2-local", "v1-unknown"])
def test_headers_come_byte_by_byte(edge, preview, name, kind):
    header, address = HEADERS[name]
    with connected(edge, header, preview, kind, step=1) as client:
        assert seen(client.request(get(preview)))["x-forwarded-for"] == address


@pytest.mark.parametrize("name", ["v1", "v2", "v2-tlvs"])
def test_what_follows_in_the_same_segment_is_not_lost(edge, preview, name):
    header, address = HEADERS[name]
    with connected(edge, header + get(preview), preview) as client:
        assert seen(client.read_message(request_method="GET"))["x-forwarded-for"] == address
    # Two requests, the first with a body that looks like a header.
    body = v1("198.51.100.99")
    first = b"POST /echo HTTP/1.1\r\nHost: " + preview.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with connected(edge, header + first + get(preview), preview) as client:
        assert seen(client.read_message(request_method="POST"))["x-forwarded-for"] == address
        assert seen(client.read_message(request_method="GET"))["x-forwarded-for"] == address


def test_a_client_hello_in_the_same_segment_is_not_lost(edge, preview):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = edge.context().wrap_bio(incoming, outgoing, server_hostname=preview)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with contextlib.closing(edge.socket("tls")) as sock:
        sock.sendall(v2() + outgoing.read())
        while True:
            incoming.write(sock.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        tls.write(get(preview))
        sock.sendall(outgoing.read())
        answer = b""
        while b'"connection"' not in answer:
            incoming.write(sock.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                while piece := tls.read(65536):
                    answer += piece
        assert CLIENT.encode() in answer


NO_HEADERS = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
    "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "v1-bad-port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    "v1-bare-lf": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    "v1-endless": b"PROXY UNKNOWN " + b"x" * 200,
    "v2-version": V2_SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
    "v2-too-long": V2_SIGNATURE + b"\x21\x11\xff\xff",
    "v2-bad-crc": v2(tlvs=b"\x03\x00\x04\xde\xad\xbe\xef"),
}


@pytest.mark.parametrize("kind", ["plain", "tls", "redirect", "health"])
@pytest.mark.parametrize("name", NO_HEADERS)
def test_nothing_is_accepted_without_a_right_header(edge, name, kind):
    before = metric(edge, "proxy_protocol_failures_total")
    exchanges = metric(edge, "exchanges_total")
    begin = time.monotonic()
    with contextlib.closing(edge.socket(kind)) as sock:
        sock.sendall(NO_HEADERS[name])
        client = wire.Stream(sock)
        assert client.read_to_end() == b""
        assert client.ended in ("eof", "reset")
    assert time.monotonic() - begin < HEADER_SECONDS, "refused at once, not when the time is over"
    assert metric(edge, "proxy_protocol_failures_total") == before + 1
    assert metric(edge, "exchanges_total") == exchanges


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("part", [b"", b"PROXY TCP4 192.0.2.1", V2_SIGNATURE + b"\x21"])
def test_a_header_that_does_not_come_ends_the_connection(edge, kind, part):
    before = metric(edge, "proxy_protocol_failures_total")
    begin = time.monotonic()
    with contextlib.closing(edge.socket(kind)) as sock:
        if part:
            sock.sendall(part)
        assert wire.Stream(sock).wait_closed() in ("eof", "reset")
    took = time.monotonic() - begin
    assert HEADER_SECONDS * 0.9 <= took < HEADER_SECONDS + 5 * SLOW
    assert metric(edge, "proxy_protocol_failures_total") == before + 1


def test_dripping_bytes_gains_no_time(edge):
    header = v1()
    begin = time.monotonic()
    with contextlib.closing(edge.socket()) as sock, pytest.raises(OSError):
        for byte in header:
            sock.sendall(bytes([byte]))
            # The drip itself: a tenth of the whole time each, so that the header would take four times too
            # long.
            if wire.wait_readable(sock, HEADER_SECONDS / 10) and not sock.recv(1):
                raise ConnectionResetError
    assert time.monotonic() - begin < HEADER_SECONDS + 5 * SLOW


def test_a_part_and_then_fin_costs_no_turns(edge):
    before = metric(edge, "proxy_protocol_failures_total")
    with contextlib.closing(edge.socket()) as sock:
        sock.sendall(b"PROXY TCP4 19")
        sock.shutdown(socket.SHUT_WR)
        assert wire.Stream(sock).wait_closed(HEADER_SECONDS * 0.8) in ("eof", "reset")
    assert metric(edge, "proxy_protocol_failures_total") == before + 1


def test_waiting_for_the_rest_costs_no_cpu(edge):
    with contextlib.closing(edge.socket()) as sock:
        sock.sendall(v2(tlvs=b"\x04" + struct.pack(">H", 4000) + bytes(4000))[:3000])
        before = edge.cpu_seconds("worker")
        assert wire.Stream(sock).is_silent(HEADER_SECONDS / 2)
        assert edge.cpu_seconds("worker") - before < HEADER_SECONDS / 8


@pytest.mark.parametrize("name", HEADERS)
def test_a_listener_that_does_not_ask_refuses_the_bytes(edge, preview, name):
    header, _ = HEADERS[name]
    before = metric(edge, "proxy_protocol_failures_total")
    start = len(edge.access.lines)
    with connected(edge, header + get(preview), preview, kind="open") as client:
        message = client.read_message(request_method="GET")
    assert message.status == 400
    assert metric(edge, "proxy_protocol_failures_total") == before
    assert edge.wait_for_line(start=start, status=400)["client"] == "127.0.0.1"


def test_a_tls_listener_that_does_not_ask_refuses_the_bytes(make_edge):
    edge = make_edge()
    for header in (v1(), v2()):
        with contextlib.closing(edge.socket("tls")) as sock, pytest.raises((ssl.SSLError, ConnectionError)):
            sock.sendall(header)
            wire.Stream(sock, edge.context(), edge.host(1))


def test_only_the_first_header_counts(edge, preview):
    with connected(edge, v1() + v1("198.51.100.9") + get(preview), preview) as client:
        assert client.read_message(request_method="GET").status == 400


def test_limits_count_by_the_address_in_the_header(edge, preview):
    refused = metric(edge, "connections_refused_total")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(edge, v1("192.0.2.200"), preview)) for _ in range(4)]
        for client in held:
            client.send(get(preview, close=False))
            assert client.read_message(request_method="GET").status == 200
        fifth = stack.enter_context(connected(edge, v1("192.0.2.200"), preview))
        assert fifth.wait_closed() in ("eof", "reset")
        assert metric(edge, "connections_refused_total") == refused + 1
        other = stack.enter_context(connected(edge, v1("192.0.2.201"), preview))
        assert other.request(get(preview)).status == 200
        # The proxy's own connections (health checks) and trusted networks have no limit.
        for header in [LOCAL] * 6 + [v1("203.0.113.5")] * 6:
            more = stack.enter_context(connected(edge, header, preview))
            more.send(get(preview, close=False))
            assert more.read_message(request_method="GET").status == 200
        held[0].close()
        edge.wait_until(lambda: connects(edge, "192.0.2.200", preview), what="the place given back")
    edge.wait_until(lambda: metric(edge, "connections_open") == 0, what="every count given back")


def connects(edge, address, host):
    with connected(edge, v1(address) + get(host), host) as client:
        try:
            return client.read_message(request_method="GET").status == 200
        except WireError:
            return False


FORGED = b"X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_forwarded_for_counts_by_the_address_in_the_header(edge, preview, kind):
    with connected(edge, v1(), preview, kind) as client:
        assert seen(client.request(get(preview, FORGED)))["x-forwarded-for"] == CLIENT
    with connected(edge, v1("203.0.113.5"), preview, kind) as client:
        assert seen(client.request(get(preview, FORGED)))["x-forwarded-for"] == "6.6.6.6"


def test_forwarded_for_is_not_believed_where_the_proxy_is_trusted_but_its_client_is_not(make_edge, origin):
    """The peer's address is trusted, but its client is not."""
    edge = make_edge(start=False, config={"trusted_proxies": ["127.0.0.0/8"]})
    for listener in edge.config["listeners"]:
        listener["proxy_protocol"] = True
    edge.start()
    host = edge.create_preview(origin)
    with connected(edge, v1(), host) as client:
        assert seen(client.request(get(host, FORGED)))["x-forwarded-for"] == CLIENT
    with connected(edge, LOCAL, host) as client:
        assert seen(client.request(get(host, FORGED)))["x-forwarded-for"] == "6.6.6.6"


def test_redirects_and_health_checks_behind_a_header(edge, preview):
    with connected(edge, v1(), preview, kind="redirect") as client:
        assert client.request(get(preview)).status == 308
    with connected(edge, LOCAL, preview, kind="health") as client:
        assert client.request(get("health", path=b"/readyz")).status == 200


def test_a_reload_turns_it_on_and_off(make_edge, origin):
    edge = make_edge(workers=2)
    host = edge.create_preview(origin)
    assert edge.get(host).status == 200
    for asks in (True, False):
        for listener in edge.config["listeners"]:
            listener["proxy_protocol"] = asks
        edge.write_config()
        edge.command("reload")

        def answers(header):
            with connected(edge, header + get(host), host) as client:
                try:
                    return client.read_message(request_method="GET").status
                except WireError:
                    return None

        edge.wait_until(lambda: [answers(v1()) for _ in range(8)] == [200 if asks else 400] * 8, what="the new listener")
        assert answers(b"") == (None if asks else 200)


HAPROXY = """
global
    maxconn 64
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen one
    bind 127.0.0.1:{front}
    server edge 127.0.0.1:{edge} {options}
"""


@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not there")
@pytest.mark.parametrize("options", [
    "send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c",
    "send-proxy-v2 check-send-proxy check inter 50ms"])
def test_behind_haproxy(edge, preview, tmp_path, options):
    """A third-party sender; with `check` it also sends LOCAL headers."""
    front = PORTS.take()
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(front=front, edge=edge.port["tls"], options=options))
    process = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def answer():
            try:
                with contextlib.closing(socket.create_connection(("127.0.0.1", front), PATIENCE,
                                                                 source_address=("127.0.0.3", 0))) as sock:
                    return seen(wire.Stream(sock, edge.context(), preview).request(get(preview)))
            except (ConnectionError, WireError, ssl.SSLError):
                return None

        fields = edge.wait_until(answer, what="haproxy")
        assert fields["x-forwarded-for"] == "127.0.0.3"
    finally:
        process.terminate()
        process.wait(PATIENCE)
