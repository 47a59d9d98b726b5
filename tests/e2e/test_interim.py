"""Interim responses (1xx) and reason phrases, from each kind of app to each kind of client."""

import contextlib

import pytest

from h2origin import H2Origin
from h2wire import Client
from harness import RawOrigin


def hints(n):
    return b"".join(b"HTTP/1.1 103 Early Hints\r\nX-Number: %d\r\n\r\n" % i for i in range(n))


@pytest.fixture(params=["http1", "h2c"])
def app(request, edge):
    """A function that makes an app which sends that many hints in one packet; its host and path."""
    with contextlib.ExitStack() as stack:

        def make(n):
            if request.param == "h2c":
                origin = stack.enter_context(H2Origin())
                return edge.create_preview(origin, "box", "--protocol", "h2c"), f"/hints?n={n}"
            answer = hints(n) + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            return edge.create_preview(stack.enter_context(RawOrigin(answer))), "/"

        yield make


@pytest.mark.parametrize("n", [2, 16])
def test_every_hint_reaches_a_client_over_http2(edge, app, n):
    host, path = app(n)
    with Client(edge, host) as client:
        for _ in range(2):
            answer = client.get(path)
            assert answer.status == 200 and answer.ended
            assert [one["x-number"] for one in answer.informational] == [str(i) for i in range(n)]


@pytest.mark.parametrize("n", [2, 16])
def test_every_hint_reaches_a_client_over_http1(edge, app, n):
    host, path = app(n)
    with edge.connect("plain") as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        heads = [client.read_head() for _ in range(n)]
        assert [head.get("x-number") for head in heads] == [str(i) for i in range(n)]
        assert client.read_message(request_method="GET").status == 200


def test_no_hint_to_http_1_0(edge, app):
    host, path = app(2)
    with edge.connect("plain") as client:
        client.send(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        assert client.read_message(request_method="GET").status == 200


def test_more_than_sixteen(edge, app):
    host, path = app(17)
    with Client(edge, host) as client:
        answer = client.get(path)
        assert answer.status == 502 and len(answer.informational) == 16


# ---- reason phrases


@pytest.mark.parametrize(
    "phrase", [b"Quota \"Gold\" Exceeded", b"caf\xe9", b"x" * 4000, b"  two  spaces", b"\ttab"],
    ids=["words", "obs-text", "long", "spaces", "tab"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_reason_phrase_passes(edge, phrase, version):
    with RawOrigin(b"HTTP/1.1 429 " + phrase + b"\r\nContent-Length: 0\r\n\r\n") as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            message = client.request(f"GET / HTTP/{version}\r\nHost: {host}\r\n\r\n".encode())
            assert message.start == b"HTTP/1.1 429 " + phrase


@pytest.mark.parametrize("line", [b"HTTP/1.1 404 ", b"HTTP/1.1 404"])
def test_without_one_the_usual_one_is_sent(edge, line):
    with RawOrigin(line + b"\r\nContent-Length: 0\r\n\r\n") as origin:
        host = edge.create_preview(origin)
        assert edge.get(host).start == b"HTTP/1.1 404 Not Found"


@pytest.mark.parametrize("phrase", [b"a\rb", b"a\0b", b"a\x7fb"])
def test_a_bad_one_is_refused(edge, phrase):
    with RawOrigin(b"HTTP/1.1 200 " + phrase + b"\r\nContent-Length: 0\r\n\r\n") as origin:
        assert edge.get(edge.create_preview(origin)).status == 502


def test_http2_has_none(edge):
    with RawOrigin(b"HTTP/1.1 200 Very Well\r\nContent-Length: 0\r\n\r\n") as origin:
        with Client(edge, edge.create_preview(origin)) as client:
            assert client.get().status == 200
