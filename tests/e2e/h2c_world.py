"""Shared parts of the tests of HTTP/2 servers: an edge, an app behind a preview, and readers of their
answers."""

import json

import hpack
import pytest

from h2origin import H2Origin
from harness import Edge


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """With one worker: workers do not share connections."""
    running = Edge(tmp_path_factory.mktemp("edge"), workers=1)
    yield running
    running.close()


@pytest.fixture
def app(edge):
    with H2Origin() as origin:
        origin.host = edge.create_preview(origin, "box", "--protocol", "h2c")
        yield origin


def json_of(answer):
    return json.loads(bytes(answer.body))


def code_of(response):
    return response.status, json.loads(response.body)["code"]


def block(*fields):
    return hpack.Encoder().encode(list(fields))


API = "api.boxes.localhost"


def api_config(*servers):
    upstream = {"name": "api", "protocol": "h2", "retry_percent": 100,
                "servers": [f"127.0.0.1:{s.port}" for s in servers]}
    return {"api": {"hosts": [API]}, "upstreams": [upstream]}
