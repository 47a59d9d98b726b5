"""The access line of a 400, 502 or 504 has the cause in `detail`; the client sees no address and no errno of it. The
harness holds the first for every test (Edge.check_reports)."""

import json
import re

import pytest

from api_world import answer, api_config, call
from harness import PORTS, Edge, RawOrigin

REFUSED = "connect: Connection refused"


@pytest.fixture(name="edge", scope="module")
def fixture_edge(tmp_path_factory):
    # Nobody has this address (RFC 5737): the network refuses it, or the time ends.
    config = {"boxes": [{"id": "box", "address": "127.0.0.1"}, {"id": "far", "address": "192.0.2.1"}],
              "timeouts": {"connect": "200ms"}}
    with Edge(tmp_path_factory.mktemp("details"), workers=1, config=config) as made:
        yield made


def close_at_once(connection):
    connection.read_request(timeout=3600)


ROWS = {
    "port_not_listening": ("closed", REFUSED),
    "origin_closed": ("rude", "The app in the box closed the connection without an answer."),
    "bad_response": ("wrong", ""),
    "box_unreachable|connect_timeout|port_not_listening": ("far", "connect: "),
}


@pytest.mark.parametrize("codes", list(ROWS))
def test_a_failure_of_a_box(edge, codes):
    which, detail = ROWS[codes]
    with RawOrigin(close_at_once) as rude, RawOrigin(b"nonsense\r\n\r\n") as wrong:
        port = {"closed": PORTS.take(), "rude": rude.port, "wrong": wrong.port, "far": 80}[which]
        host = edge.create_preview(port, "far" if which == "far" else "box")
        start = len(edge.access.lines)
        got = edge.get(host, "/x", fields=["Accept: application/json"])
    line = edge.wait_for_line(path="/x", start=start)
    assert line["reason"] in codes.split("|") and line["status"] == got.status
    assert re.match(detail, line["detail"]), line
    assert json.loads(got.body)["code"] == line["reason"] and b"connect:" not in got.body


def test_a_refused_request(edge):
    with edge.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        assert client.read_message(20, "GET").status == 400
    line = edge.wait_for_line(status=400)
    assert line["reason"] == "bad_request" and "Host" in line["detail"]


def test_a_server_of_the_api(tmp_path):
    """Another server's answer after a failed attempt leaves no cause."""
    with RawOrigin(answer("ok")) as good:
        config = api_config([good.port, PORTS.take()], upstream={"balance": "round_robin", "eject_failures": 0,
                                                                 "retry_percent": 0})
        with Edge(tmp_path, config=config) as edge:
            seen = {call(edge).status for _ in range(20)}
            assert seen == {200, 502}
            failed = edge.wait_for_line(status=502)
            assert (failed["reason"], failed["detail"]) == ("server_unreachable", REFUSED)
            assert not [line for line in edge.access.lines if line["status"] == 200 and "detail" in line]
