"""A connection to the admin API of an edge, as the tests use it."""

import http.client
import json
import socket

import pytest

import harness
from harness import SLOW

JSON = {"Content-Type": "application/json"}


class Admin(http.client.HTTPConnection):
    """A connection to an admin socket."""

    def __init__(self, path):
        super().__init__("boxedge", timeout=harness.PATIENCE * SLOW)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, target, body=None, headers=None):
        """Status, fields and body (parsed if it is JSON)."""
        if headers is None:
            headers = JSON if method in ("POST", "PATCH", "DELETE") else {}
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        self.request(method, target, data, headers)
        answer = self.getresponse()
        raw = answer.read()
        is_json = answer.headers.get("Content-Type") == "application/json" and method != "HEAD"
        return answer.status, answer.headers, json.loads(raw) if is_json else raw

    def create(self, box, port, **more):
        return self.call("POST", "/v1/previews", {"box": box, "port": port, **more})

    def previews(self, query=""):
        status, _, body = self.call("GET", "/v1/previews" + query)
        assert status == 200, body
        return body


@pytest.fixture
def admin(edge):
    connection = Admin(edge.admin_socket)
    yield connection
    connection.close()
