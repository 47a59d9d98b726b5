"""HTTP/1 by RFC 9112 and the rules of docs/design.md ("HTTP rules"): the edge refuses an ambiguous request, passes none
of it to the box, and closes the connection."""

import json

import pytest

from harness import PATIENCE, HttpOrigin, RawOrigin, WireError

# The cases: bytes with HOST in place of the preview's name, and the status of the refusal. A separate request
# follows each on the same connection, smuggled or pipelined; it must not be answered and must not arrive.
LENGTH_AND_FRAMING = {
    "length_and_chunked": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked_and_length": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two_lengths_that_differ": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "two_lengths_that_agree": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "length_list": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
    "length_plus": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +5\r\n\r\nhello", 400),
    "length_minus": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -5\r\n\r\nhello", 400),
    "length_hex": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0x5\r\n\r\nhello", 400),
    "length_word": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: abc\r\n\r\nhello", 400),
    "length_empty": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length:\r\n\r\nhello", 400),
    "length_inner_space": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1 0\r\n\r\nhello", 400),
    "length_overflow": (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 18446744073709551617\r\n\r\nhello", 400),
    "coding_unknown": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", {400, 501}),
    "coding_list": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "coding_identity": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", {400, 501}),
    "coding_twice": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "coding_chunked_twice": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "coding_quoted": (b'POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', {400, 501}),
    "coding_empty": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", {400, 501}),
    "coding_vertical_tab": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "coding_in_http_1_0": (b"POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding_name_with_space": (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
}
HOSTS = {
    "no_host": (b"GET / HTTP/1.1\r\nX: HOST\r\n\r\n", 400),
    "two_hosts": (b"GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", 400),
    "host_empty": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "host_with_user": (b"GET / HTTP/1.1\r\nHost: user@HOST\r\n\r\n", 400),
    "host_with_path": (b"GET / HTTP/1.1\r\nHost: HOST/path\r\n\r\n", 400),
    "host_with_space": (b"GET / HTTP/1.1\r\nHost: HOST other\r\n\r\n", 400),
    "host_with_comma": (b"GET / HTTP/1.1\r\nHost: HOST,other\r\n\r\n", 400),
    "absolute_target_of_another_host": (b"GET http://other.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "absolute_target_with_user": (b"GET http://user@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
}
LINES = {
    "folded_field": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX: a\r\n b\r\n\r\n", 400),
    "folded_first_field": (b"GET / HTTP/1.1\r\n Host: HOST\r\n\r\n", 400),
    "folded_with_tab": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX: a\r\n\tb\r\n\r\n", 400),
    "bare_lf_in_head": (b"GET / HTTP/1.1\nHost: HOST\r\n\r\n", 400),
    "bare_lf_after_field": (b"GET / HTTP/1.1\r\nHost: HOST\nX: y\r\n\r\n", 400),
    "bare_lf_at_the_end": (b"GET / HTTP/1.1\r\nHost: HOST\r\n\n", 400),
    "all_bare_lf": (b"GET / HTTP/1.1\nHost: HOST\n\n", 400),
    "bare_cr_in_value": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX: a\rb\r\n\r\n", 400),
    "bare_cr_in_request_line": (b"GET /\r HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "nul_in_value": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX: a\x00b\r\n\r\n", 400),
    "nul_in_name": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX\x00: a\r\n\r\n", 400),
    "nul_in_target": (b"GET /\x00 HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "control_in_value": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX: a\x07b\r\n\r\n", 400),
    "space_before_colon": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX : y\r\n\r\n", 400),
    "tab_before_colon": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX\t: y\r\n\r\n", 400),
    "no_colon": (b"GET / HTTP/1.1\r\nHost: HOST\r\nnonsense\r\n\r\n", 400),
    "empty_name": (b"GET / HTTP/1.1\r\nHost: HOST\r\n: y\r\n\r\n", 400),
    "name_with_space": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX Y: z\r\n\r\n", 400),
    "name_with_slash": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX/Y: z\r\n\r\n", 400),
    "name_not_ascii": (b"GET / HTTP/1.1\r\nHost: HOST\r\nX\xe9: z\r\n\r\n", 400),
    "method_with_slash": (b"GE/T / HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "method_missing": (b" / HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "two_spaces_in_request_line": (b"GET  / HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "tab_in_request_line": (b"GET\t/ HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "space_in_target": (b"GET /a b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "space_after_version": (b"GET / HTTP/1.1 \r\nHost: HOST\r\n\r\n", 400),
    "target_not_ascii": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "target_with_fragment": (b"GET /#x HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "target_relative": (b"GET index.html HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "target_star_for_get": (b"GET * HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "connect": (b"CONNECT HOST:443 HTTP/1.1\r\nHost: HOST:443\r\n\r\n", {400, 405, 501}),
    "version_missing": (b"GET /\r\nHost: HOST\r\n\r\n", 400),
    "version_2_0": (b"GET / HTTP/2.0\r\nHost: HOST\r\n\r\n", {400, 505}),
    "version_1_2": (b"GET / HTTP/1.2\r\nHost: HOST\r\n\r\n", {400, 505}),
    "version_lower_case": (b"GET / http/1.1\r\nHost: HOST\r\n\r\n", 400),
    "version_long": (b"GET / HTTP/1.10\r\nHost: HOST\r\n\r\n", {400, 505}),
    "http2_preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "tls_hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n", 400),
}
CONNECTION_OPTIONS = {
    f"connection_names_{name.lower().replace('-', '_')}": (
        b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: keep-alive, " + name.encode() + b"\r\n\r\n", 400)
    for name in ("Host", "Content-Length", "Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Proto",
                 "X-Forwarded-Host")
}
REFUSED = {**LENGTH_AND_FRAMING, **HOSTS, **LINES, **CONNECTION_OPTIONS}
SECOND = b"GET /second HTTP/1.1\r\nHost: HOST\r\n\r\n"


@pytest.fixture(scope="module")
def recorder(edge):
    """A box that answers everything and remembers it; the same for all cases."""
    with HttpOrigin() as origin:
        origin.host = edge.create_preview(origin).encode()
        yield origin


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_request_is_refused(edge, recorder, name):
    request, status = REFUSED[name]
    before = len(recorder.requests)
    with edge.connect("plain") as client:
        client.send((request + SECOND).replace(b"HOST", recorder.host))
        response = client.read_message(request_method="GET")
        assert response.status in (status if isinstance(status, set) else {status}), response.raw_head
        assert response.get("connection", "").lower() == "close"
        # Closed, and the request behind it was not answered.
        assert client.read_to_end() == b""
        assert client.ended in ("eof", "reset")
    error = json.loads(response.body)
    assert set(error) >= {"error", "code", "request_id"}
    line = edge.wait_for_line(request_id=error["request_id"])
    assert line["status"] == response.status and line["reason"] == error["code"]
    assert recorder.requests[before:] == [], "something reached the box"


CHUNKS_REFUSED = {
    "size_with_prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size_with_sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "size_negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size_empty": b"\r\nhello\r\n0\r\n\r\n",
    "size_with_leading_space": b" 5\r\nhello\r\n0\r\n\r\n",
    "size_over_16_digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "size_huge": b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "bare_lf_after_size": b"5\nhello\r\n0\r\n\r\n",
    "bare_lf_after_data": b"5\r\nhello\n0\r\n\r\n",
    "bare_cr_after_size": b"5\rXhello\r\n0\r\n\r\n",
    "data_longer_than_size": b"5\r\nhelloX\r\n0\r\n\r\n",
    "data_shorter_than_size": b"5\r\nhell\r\n0\r\n\r\n",
    "extension_with_nul": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "extension_with_bare_lf": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "extension_of_a_megabyte": b"5;" + b"a" * (1 << 20) + b"\r\nhello\r\n0\r\n\r\n",
    "extensions_without_end": b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 20000 + b"0\r\n\r\n",
    "trailer_content_length": b"5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n",
    "trailer_transfer_encoding": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer_host": b"5\r\nhello\r\n0\r\nHost: other\r\n\r\n",
    "trailer_authorization": b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "trailer_folded": b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "trailer_bare_lf": b"5\r\nhello\r\n0\r\nX: a\n\r\n",
    "trailers_of_a_megabyte": b"5\r\nhello\r\n0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 30000 + b"\r\n",
}


@pytest.mark.parametrize("name", CHUNKS_REFUSED)
def test_bad_chunks_are_refused(edge, recorder, name):
    before = len(recorder.requests)
    head = b"POST /echo HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n"
    with edge.connect("plain") as client:
        try:
            client.send((head + CHUNKS_REFUSED[name] + SECOND).replace(b"HOST", recorder.host))
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed in the middle of a long one
        try:
            response = client.read_message(request_method="POST")
            assert response.status == 400, response.raw_head
            assert response.get("connection", "").lower() == "close"
            assert client.read_to_end() == b""
        except (WireError, ConnectionResetError):
            assert client.ended == "reset", "neither a 400 nor closed"
    assert edge.get(recorder.host.decode(), "/alive").status == 200
    # The head may have gone to the box, but neither as a whole request nor with the bytes behind it.
    new = recorder.requests[before:]
    assert [r.target for r in new] == ["/alive"]


def test_good_chunks_pass(edge, recorder):
    """Unusual but valid: extensions, upper-case and zero-padded sizes, trailers."""
    body = b"5;name=value;other\r\nhello\r\n00000A\r\n0123456789\r\n0;last\r\nX-Sum: 15\r\n\r\n"
    with edge.connect("plain") as client:
        response = client.request(b"POST /echo HTTP/1.1\r\nHost: " + recorder.host
                                  + b"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + body)
        seen = json.loads(response.body)
        assert seen["body_bytes"] == 15
        assert seen["trailers"] == []  # apps over HTTP/1 get none
        # The connection lives on.
        assert client.request(b"GET /echo HTTP/1.1\r\nHost: " + recorder.host + b"\r\n\r\n").status == 200


@pytest.mark.parametrize("head, status", [
    (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: HOST\r\n\r\n", {414, 431}),
    (b"GET / HTTP/1.1\r\nHost: HOST\r\nX: " + b"a" * 40000 + b"\r\n\r\n", {431}),
    (b"GET / HTTP/1.1\r\nHost: HOST\r\n" + b"X: y\r\n" * 101 + b"\r\n", {431}),
    (b"GET / HTTP/1.1\r\nHost: HOST\r\n" + b"X: y\r\n" * 100 + b"\r\n", {431}),
])
def test_heads_beyond_the_limits(edge, recorder, head, status):
    before = len(recorder.requests)
    with edge.connect("plain") as client:
        response = client.request(head.replace(b"HOST", recorder.host), "GET")
        assert response.status in status
        assert client.wait_closed() in ("eof", "reset")
    assert recorder.requests[before:] == []


def test_heads_at_the_limits(edge, recorder):
    with edge.connect("plain") as client:
        fields = b"".join(b"X-%d: y\r\n" % i for i in range(99))
        response = client.request(b"GET /echo HTTP/1.1\r\nHost: " + recorder.host + b"\r\n" + fields + b"\r\n")
        assert response.status == 200
        head = b"GET /echo HTTP/1.1\r\nHost: " + recorder.host + b"\r\nX: "
        response = client.request(head + b"a" * (32768 - len(head) - 4) + b"\r\n\r\n")
        assert response.status == 200


def ask(edge, origin, request):
    """Sends a request's bytes and returns the response and the request at the box."""
    with edge.connect("plain") as client:
        response = client.request(request.replace(b"HOST", origin.host))
    seen = json.loads(response.body)
    seen["names"] = {}
    for name, value in seen["fields"]:
        seen["names"].setdefault(name.lower(), []).append(value)
    return response, seen


@pytest.mark.parametrize("target", [
    "/", "/a//b/../c/./d", "/%2e%2e/%2F?x=%00&y=%zz", "/?", "/a?b?c=/d//", "/;params;=,'()*!$&+@:~",
    "/%C3%A9", "/a%20b+c", "//double", "/\"<>\\^`{|}",
])
def test_the_target_passes_byte_for_byte(edge, recorder, target):
    request = b"GET " + target.encode() + b" HTTP/1.1\r\nHost: HOST\r\n\r\n"
    with edge.connect("plain") as client:
        response = client.request(request.replace(b"HOST", recorder.host))
    if response.status == 400:  # the edge may refuse characters outside of the grammar of RFC 3986, but not change them
        assert set(target) & set('"<>\\^`{|}')
        return
    assert recorder.requests[-1].target == target


def test_absolute_form(edge, recorder):
    _, seen = ask(edge, recorder, b"GET http://HOST/echo?x=1 HTTP/1.1\r\nHost: HOST\r\n\r\n")
    assert seen["target"] == "/echo?x=1"
    assert seen["names"]["host"] == [recorder.host.decode()]


def test_options_star(edge, recorder):
    _, seen = ask(edge, recorder, b"OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n")
    assert (seen["method"], seen["target"]) == ("OPTIONS", "*")


def test_http_1_0(edge, recorder):
    """A client of 1.0 gets no chunks and no kept connection unless it asks."""
    with edge.connect("plain") as client:
        client.send(b"GET /bytes?n=100000&chunked=1 HTTP/1.0\r\nHost: " + recorder.host + b"\r\n\r\n")
        response = client.read_message(request_method="GET")
        assert response.status == 200 and response.get("transfer-encoding") is None
        assert len(response.body) == 100000 and client.ended == "eof"
    with edge.connect("plain") as client:
        ask10 = b"GET /echo HTTP/1.0\r\nHost: " + recorder.host + b"\r\nConnection: keep-alive\r\n\r\n"
        assert client.request(ask10).get("connection", "").lower() == "keep-alive"
        assert client.request(ask10).status == 200


def test_hop_by_hop_fields_do_not_pass(edge, recorder):
    _, seen = ask(edge, recorder,
                  b"GET /echo HTTP/1.1\r\nHost: HOST\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n"
                  b"Proxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
                  b"Proxy-Authorization: Basic eDp5\r\nX-Kept: 2\r\n\r\n")
    for name in ("x-mine", "keep-alive", "proxy-connection", "upgrade", "http2-settings"):
        assert name not in seen["names"], name
    assert seen["names"]["x-kept"] == ["2"]
    assert "close" not in [v.lower() for v in seen["names"].get("connection", [])]


def test_the_edges_fields_cannot_be_forged(edge, recorder):
    _, seen = ask(edge, recorder,
                  b"GET /echo HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n"
                  b"X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\n"
                  b"x_forwarded-proto: gopher\r\nX-Request-Id: mine\r\nForwarded: for=6.6.6.6\r\n\r\n")
    names = seen["names"]
    assert names["x-forwarded-for"] == ["127.0.0.1"]
    assert names["x-forwarded-proto"] == ["http"]
    assert names["x-forwarded-host"] == [recorder.host.decode()]
    assert "x_forwarded_for" not in names and "x_forwarded-proto" not in names
    assert len(names["x-request-id"]) == 1 and names["x-request-id"] != ["mine"]
    assert "6.6.6.6" not in json.dumps(seen["fields"])
    assert names["cdn-loop"] == [f"boxedge-test;host={recorder.host.decode()}"]
    assert "traceparent" not in names  # one of the edge's own would switch the app's tracing off


def test_a_trusted_proxys_fields_count(make_edge):
    edge = make_edge(config={"trusted_proxies": ["127.0.0.0/8"]})
    with HttpOrigin() as origin:
        origin.host = edge.create_preview(origin).encode()
        _, seen = ask(edge, origin,
                      b"GET /echo HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
                      b"X-Request-Id: 0af7651916cd43dd8448eb211c80319c\r\n\r\n")
        assert "192.0.2.7" in seen["names"]["x-forwarded-for"][0]
        assert seen["names"]["x-forwarded-proto"] == ["https"]
        assert seen["names"]["x-request-id"] == ["0af7651916cd43dd8448eb211c80319c"]


def test_a_loop_is_cut(edge, recorder):
    with edge.connect("plain") as client:
        mark = b"boxedge-test;host=" + recorder.host
        response = client.request(b"GET / HTTP/1.1\r\nHost: " + recorder.host + b"\r\nCDN-Loop: other, " + mark + b"\r\n\r\n")
        assert response.status == 508
    _, seen = ask(edge, recorder, b"GET /echo HTTP/1.1\r\nHost: HOST\r\nCDN-Loop: other\r\n\r\n")
    assert ", ".join(seen["names"]["cdn-loop"]) == "other, " + mark.decode()


def test_an_app_may_ask_another_preview(edge):
    """A dev server that passes requests on to the preview of another: no loop until the same host comes
    again."""
    hosts = []

    def passes_on(conn):
        request = conn.read_request()
        at = [name for name, _ in hosts].index(request.get("host"))
        fields = [f"CDN-Loop: {request.get('cdn-loop')}"]
        answer = edge.get(hosts[(at + 1) % len(hosts)][0], fields=fields)
        conn.send(f"HTTP/1.1 {answer.status} x\r\nContent-Length: {len(answer.body)}\r\n\r\n".encode() + answer.body)

    with RawOrigin(passes_on) as one, RawOrigin(passes_on) as two, RawOrigin() as last:
        hosts += [(edge.create_preview(origin), origin) for origin in (one, two, last)]
        assert edge.get(hosts[0][0]).status == 200
        assert len(last.requests) == 1
        del hosts[2]  # and now a loop
        assert edge.get(hosts[0][0]).status == 508
        assert len(one.requests) == 2 and len(two.requests) == 2


def test_passes_are_bounded(edge, recorder):
    marks = [f"boxedge-test;host=box-{n}.other" for n in range(5)]
    assert edge.get(recorder.host.decode(), "/echo", fields=[f"CDN-Loop: {', '.join(marks[:4])}"]).status == 200
    assert edge.get(recorder.host.decode(), "/echo", fields=[f"CDN-Loop: {', '.join(marks)}"]).status == 508


def test_traceparent_is_kept(edge, recorder):
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _, seen = ask(edge, recorder, b"GET /echo HTTP/1.1\r\nHost: HOST\r\ntraceparent: " + parent + b"\r\n\r\n")
    assert seen["names"]["traceparent"] == [parent.decode()]


def test_a_foreign_authorization_and_cookies_pass(edge, recorder):
    _, seen = ask(edge, recorder, b"GET /echo HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer app\r\nCookie: a=1; b=2\r\n\r\n")
    assert seen["names"]["authorization"] == ["Bearer app"]
    assert seen["names"]["cookie"] == ["a=1; b=2"]


HANDSHAKE = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]


@pytest.mark.parametrize("mode", ["localhost", "localhost-bare"])
@pytest.mark.parametrize("more", [[], HANDSHAKE], ids=["request", "handshake"])
def test_an_app_that_knows_localhost_only(edge, more, mode):
    """The request names localhost, and the names of the app in its answer lead back. With localhost-bare no field
    names the public host."""
    def box(conn):
        request = conn.read_request()
        own = request.get("host")
        conn.send("\r\n".join([
            "HTTP/1.1 302 Found", f"Location: http://{own}/x?y", f"Content-Location: http://127.0.0.1:{origin.port}/c",
            f"Refresh: 1; url=http://{own}/r", "Set-Cookie: a=1; Domain=localhost; Path=/",
            f"Access-Control-Allow-Origin: {request.get('origin')}",
            f"Content-Security-Policy: default-src 'self'; connect-src ws://{own} {own}",
            f"Content-Security-Policy-Report-Only: img-src http://[::1]:{origin.port}/x", "Content-Length: 0", "", ""]).encode())

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin, "box", "--host-header", mode)
        authority = f"{host}:{edge.port['tls']}"
        with edge.connect("tls", host) as client:
            lines = ["GET / HTTP/1.1", f"Host: {authority}", f"Origin: https://{authority}",
                     f"Referer: https://{authority}/from?q", *more]
            response = client.request("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert (response.status, response.get("location")) == (302, f"https://{authority}/x?y")
        (seen,) = origin.requests
        assert (seen.get("host"), seen.get("origin")) == (f"localhost:{origin.port}", f"http://localhost:{origin.port}")
        assert seen.get("referer") == f"http://localhost:{origin.port}/from?q"
        forwarded = [seen.get(f"x-forwarded-{name}") for name in ("host", "proto", "port", "for")]
        # Absolute URLs are made of the first three. Some apps compare them with Host (Rails, Next.js).
        assert forwarded == [*([authority, "https", str(edge.port["tls"])] if mode == "localhost" else [None] * 3), "127.0.0.1"]
        assert response.get("set-cookie") == "a=1; Path=/"
        assert response.get("content-location") == f"https://{authority}/c"
        assert response.get("refresh") == f"1; url=https://{authority}/r"
        assert response.get("access-control-allow-origin") == f"https://{authority}"
        assert response.get("content-security-policy") == f"default-src 'self'; connect-src wss://{authority} {authority}"
        assert response.get("content-security-policy-report-only") == f"img-src https://{authority}/x"


@pytest.mark.parametrize("host, status", [
    ("box-1.preview.box.localhost", 404), ("nobox-3000.preview.box.localhost", 404), ("box.preview.box.localhost", 404),
    ("box-03000.preview.box.localhost", 404), ("box-99999.preview.box.localhost", 404),
    ("-3000.preview.box.localhost", 404), ("a.box-3000.preview.box.localhost", 404),
    ("preview.box.localhost", {404, 421}), ("localhost", 421), ("127.0.0.1", 421), ("example.com", 421),
    ("box-3000.preview.box.localhost.example.com", 421), ("box-3000xpreview.box.localhost", 421),
])
def test_hosts_that_are_not_there(edge, host, status):
    response = edge.get(host)
    assert response.status in (status if isinstance(status, set) else {status})
    assert json.loads(response.body)["code"]


def test_host_is_compared_without_case_dot_and_port(edge, recorder):
    name = recorder.host.decode()
    for host in (name.upper(), name + ".", name + ":8443", name.upper() + ".:1"):
        assert edge.get(host, "/echo").status == 200, host


def test_pipelined_requests_are_answered_in_order(edge, recorder):
    with edge.connect("plain") as client:
        client.send(b"".join(
            b"GET /%s?n=%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (b"bytes" if i % 2 else b"echo", i, recorder.host)
            for i in range(40)))
        for i in range(40):
            response = client.read_message(request_method="GET")
            if i % 2:
                assert len(response.body) == i
            else:
                assert json.loads(response.body)["target"] == f"/echo?n={i}"


def test_bodies_between_pipelined_requests(edge, recorder):
    with edge.connect("plain") as client:
        client.send((b"POST /echo HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello"
                     b"POST /echo HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                     b"GET /echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n").replace(b"HOST", recorder.host))
        sizes = [json.loads(client.read_message(request_method="X").body)["body_bytes"] for _ in range(3)]
        assert sizes == [5, 3, 0]
        assert client.wait_closed() == "eof"


def test_a_head_in_single_bytes(edge, recorder):
    with edge.connect("plain") as client:
        client.send_slowly(b"POST /echo HTTP/1.1\r\nHost: " + recorder.host
                           + b"\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n")
        assert json.loads(client.read_message(request_method="POST").body)["body_bytes"] == 5
    with edge.connect("tls", recorder.host.decode()) as client:
        client.send_slowly(b"GET /echo HTTP/1.1\r\nHost: " + recorder.host + b"\r\n\r\n")
        assert client.read_message(request_method="GET").status == 200


def test_a_client_that_half_closes_gets_its_response(edge, recorder):
    for kind in ("plain", "tls"):
        with edge.connect(kind, recorder.host.decode()) as client:
            client.send(b"GET /slow?ms=300 HTTP/1.1\r\nHost: " + recorder.host + b"\r\n\r\n")
            client.half_close()
            assert client.read_message(request_method="GET").status == 102
            assert client.read_message(request_method="GET").status == 200
            assert client.wait_closed() == "eof"
        with edge.connect(kind, recorder.host.decode()) as client:  # to which no interim response may be sent
            client.send(b"GET /slow?ms=300 HTTP/1.0\r\nHost: " + recorder.host + b"\r\n\r\n")
            client.half_close()
            assert client.read_message(request_method="GET").status == 200
            assert client.wait_closed() == "eof"


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_a_client_that_closes_after_its_request_is_gone(edge, kind):
    """Its FIN may be a half-close; its kernel reports the departure when bytes are sent to it."""
    with RawOrigin(lambda conn: (conn.read_request(), conn.wait_closed(timeout=600))) as origin:
        host = edge.create_preview(origin)
        client = edge.connect(kind, host)
        client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        origin.wait_requests(1)
        client.close()
        assert origin.connections[0].done.wait(PATIENCE)
        assert edge.wait_for_line(host=host)["end"] == "client_gone"


def test_a_client_that_leaves_in_a_body_is_gone(edge):
    """FIN in the middle of a request is a departure: the box sees its connection end, not a shorter body."""
    with RawOrigin(lambda conn: conn.read_request()) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nhalf".encode())
            origin.wait_connections(1)
            client.half_close()
            assert origin.connections[0].done.wait(10)
            assert origin.requests == [] or not origin.requests[0].complete
            line = edge.wait_for_line(host=host)
            assert line["end"] == "client_gone"


def test_expect_continue_is_answered_after_the_checks(edge, recorder):
    with edge.connect("plain") as client:  # refused: no 100 first
        client.send(b"POST / HTTP/1.1\r\nHost: box-1.preview.box.localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_head().status == 404
    with edge.connect("plain") as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: " + recorder.host + b"\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_head().status == 100
        client.send(b"hello")
        response = client.read_message(request_method="POST")
        assert json.loads(response.body)["body_bytes"] == 5
        client.send(b"POST /echo HTTP/1.1\r\nHost: " + recorder.host + b"\r\nContent-Length: 5\r\nExpect: something\r\n\r\n")
        assert client.read_message(request_method="POST").status == 417


def test_an_upload_that_is_refused(edge):
    """The response arrives although the client is still sending, and the connection is closed."""
    with edge.connect("plain") as client:
        client.send(b"POST / HTTP/1.1\r\nHost: box-1.preview.box.localhost\r\nContent-Length: 100000\r\n\r\n")
        client.send(b"x" * 50000)
        assert client.read_message(request_method="POST").status == 404
        assert client.wait_closed() in ("eof", "reset")


def test_redirect_listener(edge, recorder):
    host = recorder.host.decode()
    response = edge.get(host + ":80", "/a%2Fb?c=d", kind="redirect")
    assert response.status == 308
    port = edge.port["tls"]
    assert response.get("location") == f"https://{host}:{port}/a%2Fb?c=d"
    secret = edge.get(host, "/", kind="redirect", fields=["Authorization: Bearer secret"])
    assert secret.status == 403
    assert edge.get("example.com", "/", kind="redirect").status == 421


def test_health_listener(edge):
    assert edge.get("any", "/healthz", kind="health").status == 200
    assert edge.get("any", "/readyz", kind="health").status == 200
    assert edge.get("any", "/metrics", kind="health").status == 404
