"""Shared parts of the tests of the API host: a configuration with servers, calls, answers."""

import hashlib
import json
import socket

from harness import PATIENCE

API = "api.boxes.localhost"


def answer(text, status="200 OK", fields=()):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(text)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + text.encode()


def api_config(servers, keys=None, **more):
    """`keys`: shown key -> (name, plan)."""
    upstream = {"name": "api", "servers": [f"127.0.0.1:{port}" for port in servers], **more.pop("upstream", {})}
    section = {"hosts": [API], **more.pop("api", {})}
    if keys:
        section["keys"] = [{"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "plan": plan}
                           for key, (name, plan) in keys.items()]
    return {"upstreams": [upstream], "api": section, **more}


def call(edge, path="/v2/box", key="k-test", method="GET", body=b"", fields=(), **options):
    shown = [f"X-Box-Api-Key: {key}"] if key else []
    return edge.get(API, path, fields=[*shown, *fields], method=method, body=body, **options)


def error(response):
    return json.loads(response.body)["code"]


def metrics(edge):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(edge.admin_socket))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return data.decode()
