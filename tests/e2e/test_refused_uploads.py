"""Uploads that are answered before their end: every client reads the status, whatever it still sends.

tests/unit/downstream/test_linger.c checks the bounds on reading the rest, with a held clock.
"""

import http.client
import json
import os
import pathlib
import shutil
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from harness import DOMAIN, PATIENCE, SLOW, HttpOrigin, RawOrigin

HERE = pathlib.Path(__file__).parent
UPLOAD_BYTES = 20_000_000
TIMEOUT = PATIENCE * SLOW * 3


class Here(http.client.HTTPSConnection):
    """Names are not looked up."""

    def __init__(self, edge, host, **kw):
        super().__init__(host, edge.port["tls"], context=edge.context(), timeout=TIMEOUT, **kw)
        self._create_connection = lambda address, *rest, **kw: edge.socket("tls")


def by_curl(version):
    def upload(edge, host, file, *_):
        done = subprocess.run(
            ["curl", "-sS", version, "--cacert", edge.ca, "--resolve", f"{host}:{edge.port['tls']}:127.0.0.1",
             "-T", file, "-H", "Expect:", "-o", "/dev/null", "-w", "%{http_code}", edge.url(host, "/")],
            capture_output=True, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr.decode()
        return int(done.stdout)

    return upload


def by_urllib(edge, host, file, *_):
    class Handler(urllib.request.HTTPSHandler):
        def https_open(self, request):
            return self.do_open(lambda name, **kw: Here(edge, host), request)

    opener = urllib.request.build_opener(Handler())
    request = urllib.request.Request(edge.url(host, "/"), data=file.read_bytes(), method="POST")
    with pytest.raises(urllib.error.HTTPError) as error:
        opener.open(request, timeout=TIMEOUT)
    return error.value.code


def by_http_client(edge, host, file, *_):
    """As requests and urllib3 send: the whole body, and only then a look at the answer."""
    connection = Here(edge, host)
    with open(file, "rb") as body:
        connection.request("POST", "/", body=body, headers={"Content-Length": str(UPLOAD_BYTES)})
    response = connection.getresponse()
    response.read()
    return response.status


def by_http_client_chunked(edge, host, file, *_):
    connection = Here(edge, host)
    with open(file, "rb") as body:
        connection.request("POST", "/", body=body, encode_chunked=True)
    response = connection.getresponse()
    response.read()
    return response.status


def by_node(what):
    def upload(edge, host, file, *_):
        if not shutil.which("node"):
            pytest.skip("node is not there")
        done = subprocess.run(
            ["node", "uploads.mjs", what, host, str(edge.port["tls"]), file], cwd=HERE, capture_output=True, text=True,
            timeout=TIMEOUT, check=False, env={**os.environ, "NODE_EXTRA_CA_CERTS": str(edge.ca)})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["status"]

    return upload


CLIENTS = {
    "curl": by_curl("--http1.1"),
    "curl-http2": by_curl("--http2"),
    "urllib": by_urllib,
    "http.client": by_http_client,
    "http.client-chunked": by_http_client_chunked,
    "node": by_node("https"),
    "node-fetch": by_node("fetch"),
    "node-http2": by_node("http2"),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "data"
    path.write_bytes(os.urandom(1 << 20) * (UPLOAD_BYTES >> 20) + bytes(UPLOAD_BYTES % (1 << 20)))
    return path


@pytest.fixture(params=["missing", "private", "refused by the app"])
def refused(request, edge):
    """A host that refuses every request, and its status."""
    if request.param == "missing":
        yield f"none-1.{DOMAIN}", 404
        return
    over = threading.Event()

    def answer(conn):
        conn.read_until(b"\r\n\r\n")
        conn.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
        over.wait(TIMEOUT)

    if request.param == "private":
        with HttpOrigin() as origin:
            yield edge.create_preview(origin, "box", "--bearer"), 401
        return
    with RawOrigin(answer) as origin:
        yield edge.create_preview(origin), 413
        over.set()


@pytest.mark.parametrize("client", CLIENTS)
def test_the_status_is_read(edge, refused, file, client):
    host, status = refused
    assert CLIENTS[client](edge, host, file) == status
