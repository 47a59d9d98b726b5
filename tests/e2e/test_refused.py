"""Boxes that refuse a connection: the edge tries both loopback addresses of this machine, and asks once for
the reason of a refusal."""

import contextlib
import json
import socket

import pytest

from h2origin import H2Origin
from harness import Edge
from origins import HttpOrigin


@pytest.fixture(name="edge", scope="module")
def fixture_edge(tmp_path_factory):
    boxes = [{"id": "four", "address": "127.0.0.1"}, {"id": "six", "address": "[::1]"}]
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
            yield stack.enter_context(Edge(tmp_path_factory.mktemp("refused"), workers=1, boxes=boxes))
            return
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize("box, address", [("four", "::1"), ("six", "127.0.0.1")])
def test_a_static_box_is_reached_at_the_other_loopback_address(edge, box, address):
    with HttpOrigin(address=address) as origin:
        host = edge.create_preview(origin.port, box)
        for _ in range(2):
            assert edge.get(host, "/echo").status == 200
        assert edge.get(host, "/echo", method="POST", body=b"x" * 100000).status == 200
    answer = edge.get(host)
    assert (answer.status, json.loads(answer.body)["code"]) == (502, "port_not_listening")


def test_an_app_over_http2_too(edge):
    with H2Origin(address="::1") as origin:
        host = edge.create_preview(origin.port, "four", "--protocol", "h2c")
        for _ in range(3):
            assert edge.get(host).status == 200
        assert len(origin.connections) == 1
    assert json.loads(edge.get(host).body)["code"] == "port_not_listening"
