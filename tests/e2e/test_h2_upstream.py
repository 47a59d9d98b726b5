"""Servers of the API that speak HTTP/2, with TLS and without."""

import json
import ssl
import struct
import subprocess

import pytest

from h2c_world import API, api_config, block, code_of
from h2origin import FrameOrigin, H2Origin
from h2wire import END_HEADERS, END_STREAM, HEADERS, RST_STREAM
from harness import HttpOrigin


def call_api(edge, path, **options):
    return edge.get(API, path, fields=["X-Box-Api-Key: k-test"], **options)


def test_an_upstream_over_h2(make_edge):
    with H2Origin() as app:
        edge = make_edge(config=api_config(app))
        got = json.loads(call_api(edge, "/echo?a", method="POST", body=b"abc").body)
        fields = dict(got["fields"])
        assert fields[":authority"] == API and fields[":path"] == "/echo?a" and fields["x-box-api-key"] == "k-test"
        assert got["body_bytes"] == 3
        assert call_api(edge, "/bytes?n=300000").body == (HttpOrigin.PATTERN * 2)[:300000]
        assert code_of(call_api(edge, "/reset")) == (502, "origin_closed")
        line = edge.wait_for_line(kind="api", method="POST", status=200)
        assert line["upstream"] == "api" and len(app.connections) == 1


def test_another_server_takes_what_one_did_not_look_at(make_edge):
    def refuse(conn, stream):
        conn.send_frame(RST_STREAM, 0, stream, struct.pack(">I", 7))

    def answers(conn, stream):
        conn.send_frame(HEADERS, END_HEADERS | END_STREAM, stream, block((":status", "204")))

    with FrameOrigin(refuse) as refusing, FrameOrigin(answers) as serving:
        edge = make_edge(config=merge_upstream(api_config(refusing, serving), {"balance": "round_robin"}))
        for _ in range(6):
            assert call_api(edge, "/v2/box", method="POST", body=b"x").status == 204
        assert refusing.resets == [] and refusing.connections


def test_an_upstream_that_is_down(make_edge):
    def answers(conn, stream):
        conn.send_frame(HEADERS, END_HEADERS | END_STREAM, stream, block((":status", "204")))

    with FrameOrigin(answers) as serving, FrameOrigin(answers) as down:
        edge = make_edge(config=api_config(serving, down))
        down.stop_listening()
        for _ in range(6):
            assert call_api(edge, "/v2/box", method="POST", body=b"x").status == 204


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Self-signed, for 127.0.0.1; the paths of it and of its key."""
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "leaf.pem", folder / "leaf.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout",
                    paths[1]], check=True, capture_output=True)
    return paths


def tls_context(certificate, *protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(protocols)
    return context


def test_an_upstream_over_h2_and_tls(make_edge, certificate):
    config = {"tls": True, "tls_ca": str(certificate[0])}
    with H2Origin(tls=tls_context(certificate, "h2")) as app:
        edge = make_edge(config=merge_upstream(api_config(app), config))
        got = json.loads(call_api(edge, "/echo", method="POST", body=b"abc").body)
        assert got["body_bytes"] == 3 and dict(got["fields"])[":scheme"] == "https"
        assert call_api(edge, "/bytes?n=3000000").body[:1000] == HttpOrigin.PATTERN[:1000]
        assert len(app.connections) == 1


def test_tls_that_is_not_right(make_edge, certificate):
    """Another authority, another protocol, and no client certificate if the server asks for one: refused."""
    asking = tls_context(certificate, "h2")
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(certificate[0])
    cases = [(tls_context(certificate, "h2"), {"tls": True}),
             (tls_context(certificate, "http/1.1"), {"tls": True, "tls_ca": str(certificate[0])}),
             (asking, {"tls": True, "tls_ca": str(certificate[0])})]
    for context, config in cases:
        with H2Origin(tls=context) as app:
            edge = make_edge(config=merge_upstream(api_config(app), config))
            status, code = code_of(call_api(edge, "/echo", method="POST", body=b"abc"))
            # Over TLS 1.3 a server judges the client's certificate late, and its reset may overtake its
            # alert.
            assert status == 502 and code in ("origin_tls_failed", "origin_closed")[: 1 + (context is asking)]
            assert not app.calls


def merge_upstream(config, more):
    config["upstreams"][0] |= more
    return config
