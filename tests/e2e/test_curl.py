"""curl against the edge, over HTTP/1.1 and HTTP/2."""

import contextlib
import hashlib
import json
import os
import subprocess
import threading
import time

import pytest

from harness import PATIENCE, SANITIZED, SLOW, HttpOrigin, RawOrigin

VERSIONS = ["--http1.1", "--http2"]
GIB = 1 << 30


def curl(edge, host, path="/", *options, version="--http1.1", check=True, timeout=PATIENCE, stdin=None):
    """Runs curl against a preview over TLS, with the local authority trusted; its output."""
    done = subprocess.run(
        ["curl", "-sS", version, "--cacert", edge.ca, "--resolve", f"{host}:{edge.port['tls']}:127.0.0.1", *options,
         edge.url(host, path)],
        capture_output=True, timeout=timeout, check=False, stdin=stdin or subprocess.DEVNULL)
    if check:
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout
    return done


@pytest.mark.parametrize("version", VERSIONS)
def test_get(edge, preview, version):
    out = curl(edge, preview, "/echo?a=b%20c", "-w", "\n%{http_version} %{http_code}", version=version)
    body, tail = out.rsplit(b"\n", 1)
    assert json.loads(body)["target"] == "/echo?a=b%20c"
    assert tail == (b"2 200" if version == "--http2" else b"1.1 200")


@pytest.mark.parametrize("version", VERSIONS)
def test_head(edge, preview, version):
    out = curl(edge, preview, "/bytes?n=1000000", "-I", version=version).lower()
    assert b"200" in out.splitlines()[0] and b"content-length: 1000000" in out


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upload(edge, preview, tmp_path, version, expect, framing):
    data = os.urandom(3_000_000)
    (tmp_path / "data").write_bytes(data)
    if framing == "length":
        options = ["-T", tmp_path / "data"]
    else:
        options = ["-T", "-"]
    options += ["--expect100-timeout", "60"]
    begin = time.monotonic()
    with open(tmp_path / "data", "rb") as file:
        seen = json.loads(curl(edge, preview, "/echo", "-H", expect, *options, version=version, stdin=file))
    assert seen["method"] == "PUT" and seen["body_bytes"] == len(data)
    assert seen["body_sha256"] == hashlib.sha256(data).hexdigest()
    names = {k.lower() for k, _ in seen["fields"]}
    assert ("content-length" in names) == (framing == "length")
    if "100" in expect:
        assert time.monotonic() - begin < 20  # and not for as long as curl would wait for the 100 (Continue)


@pytest.mark.parametrize("version", VERSIONS)
def test_multipart(edge, preview, tmp_path, version):
    (tmp_path / "file").write_bytes(b"x" * 200_000)
    seen = json.loads(curl(edge, preview, "/echo", "-F", f"f=@{tmp_path}/file", "-F", "a=b", version=version))
    assert seen["method"] == "POST" and seen["body_bytes"] > 200_000


@pytest.mark.parametrize("version", VERSIONS)
def test_trailers(edge, preview, version):
    out = curl(edge, preview, "/bytes?n=10&trailer=1", "-v", "-o", "/dev/null", "-H", "TE: trailers", "--raw",
               version=version, check=False)
    if version == "--http2":
        assert b"x-trailer: after" in out.stderr.lower()
    else:  # --raw shows the chunks as they came
        raw = curl(edge, preview, "/bytes?n=10&trailer=1", "--raw", "-H", "TE: trailers", version=version)
        assert raw.endswith(b"0\r\nX-Trailer: after\r\n\r\n")


@pytest.mark.parametrize("version", VERSIONS)
def test_many_requests_on_one_connection(edge, preview, version):
    port = edge.port["tls"]
    urls = [f"https://{preview}:{port}/bytes?n={n}" for n in range(1, 60)]
    done = subprocess.run(
        ["curl", "-sS", version, "--cacert", edge.ca, "--resolve", f"{preview}:{port}:127.0.0.1", "-w", "%{num_connects}\n",
         *[x for u in urls for x in ("-o", "/dev/null", u)]], capture_output=True, timeout=PATIENCE, check=True)
    assert done.stdout.split() == [b"1"] + [b"0"] * 58


def test_parallel_requests_over_http2(edge, preview):
    """curl 7.88 sometimes waits forever, with the end of each stream read: then it gets another try, if the
    edge has answered every request to its end."""
    port = edge.port["tls"]
    command = ["curl", "-sS", "--http2", "--parallel", "--parallel-max", "40", "--cacert", edge.ca, "--resolve",
               f"{preview}:{port}:127.0.0.1", "-w", "%{http_code} %{size_download}\n",
               *[x for n in range(1, 200) for x in ("-o", "/dev/null", f"https://{preview}:{port}/bytes?n={n * 997}")]]
    for _ in range(3):
        start = len(edge.access.lines)
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE * SLOW, check=True)
            break
        edge.wait_for_line(status=200, end="complete", start=start, count=199)
    assert sorted(done.stdout.split(b"\n")[:-1]) == sorted(b"200 %d" % (n * 997) for n in range(1, 200))


@pytest.mark.parametrize("version", VERSIONS)
def test_errors_are_json(edge, version):
    error = json.loads(curl(edge, "box-1.preview.box.localhost", version=version))
    assert error["code"] == "preview_not_found" and error["request_id"]


def test_wrong_name_is_refused_by_the_client(edge, preview):
    """The local authority's certificate is for the preview domain only."""
    port = edge.port["tls"]
    done = subprocess.run(["curl", "-sS", "--cacert", edge.ca, "--resolve", f"example.com:{port}:127.0.0.1",
                           f"https://example.com:{port}/"], capture_output=True, check=False)
    assert done.returncode == 60
    done = subprocess.run(["curl", "-sS", "--resolve", f"{preview}:{port}:127.0.0.1", edge.url(preview)],
                          capture_output=True, check=False)
    assert done.returncode == 60


@pytest.mark.parametrize("version", VERSIONS)
def test_a_body_that_is_cut_is_an_error_for_curl(edge, version):
    def box(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)

    with RawOrigin(box) as origin:
        done = curl(edge, edge.create_preview(origin), version=version, check=False)
        assert done.returncode in (18, 56, 92), done
        assert done.stdout == b"x" * 1000


class Peak:
    """The maximum memory of an edge during the block, sampled each 50 ms."""

    def __init__(self, edge):
        self.edge, self.peak, self._stop = edge, 0, threading.Event()

    def _sample(self):
        while not self._stop.wait(0.05):
            self.peak = max(self.peak, self.edge.rss_kib())

    def __enter__(self):
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


# Under the sanitizers the same path runs with less: they make it ten times slower, and memory is meaningless.
SIZE = GIB // 16 if SANITIZED else GIB


@pytest.mark.parametrize("version", VERSIONS)
def test_a_gibibyte_down(make_edge, version):
    edge = make_edge(workers=1)
    with HttpOrigin(record=False) as origin:
        host = edge.create_preview(origin)
        curl(edge, host, version=version)
        idle = edge.rss_kib()
        with Peak(edge) as memory:
            process = subprocess.Popen(
                ["curl", "-sS", version, "--cacert", edge.ca, "--resolve", f"{host}:{edge.port['tls']}:127.0.0.1",
                 edge.url(host, f"/bytes?n={SIZE}")], stdout=subprocess.PIPE)
            digest, size = hashlib.sha256(), 0
            while piece := process.stdout.read(1 << 20):
                digest.update(piece)
                size += len(piece)
            assert process.wait(PATIENCE) == 0
        assert size == SIZE and digest.hexdigest() == HttpOrigin.pattern_sha256(SIZE)
        assert SANITIZED or memory.peak - idle < 64 << 10


@pytest.mark.parametrize("version", VERSIONS)
def test_a_gibibyte_up(make_edge, tmp_path, version):
    edge = make_edge(workers=1)
    with HttpOrigin(record=False) as origin:
        host = edge.create_preview(origin)
        curl(edge, host, version=version)
        idle = edge.rss_kib()
        sparse = tmp_path / "sparse"
        with open(sparse, "wb") as file:
            file.truncate(SIZE)
        with Peak(edge) as memory:
            seen = json.loads(curl(edge, host, "/echo", "-T", sparse, version=version, timeout=200))
        assert seen["body_bytes"] == SIZE
        assert SANITIZED or memory.peak - idle < 64 << 10
