"""Clients and apps at a distance of 100 ms, TCP included: the bounds on the kernel's queues
(docs/operations.md) hold for those that read slowly, and do not limit the bytes under way to those that read
fast."""

import contextlib
import os
import re
import subprocess

import pytest

import tcp_table
from dataplane import metric
from far_net import FAR, NEAR, FarNet, Unavailable
from h2origin import H2Origin
from harness import Edge, HttpOrigin

BOUND = 256 * 1024
FAST = 2 * BOUND  # a fast reader has more bytes than that under way; without any bound, some 2.5 MB
BODY = 150_000_000  # of which little is sent: the downloads end when the answer is known


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    try:
        with FarNet(tmp_path_factory.mktemp("far"), 100) as running:
            yield running
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def edge(net, tmp_path_factory):
    with net.near():
        running = Edge(tmp_path_factory.mktemp("edge"), kinds=("plain", "tls"), start=False, boxes=[
            {"id": "box", "address": "127.0.0.1"}, {"id": "far", "address": FAR}])
        running.config["listeners"] = [
            {"kind": kind, "address": f"0.0.0.0:{port}"} for kind, port in running.port.items()]
        running.start()
        yield running
        running.close()


@pytest.fixture(scope="module")
def host(edge):
    with HttpOrigin() as app:
        yield edge.create_preview(app)


@contextlib.contextmanager
def curl(namespace, edge, host, path, kind, *options, server=NEAR):
    """A download that runs in a namespace until it is ended."""
    port = edge.port[kind]
    with namespace:
        download = subprocess.Popen(["curl", "-sSf", "--cacert", edge.ca, "--connect-to",
                                     f"{host}:{port}:{server}:{port}", "-o", os.devnull, *options,
                                     edge.url(host, path, kind)])
    with download:
        try:
            yield download
        finally:
            download.kill()


def queues(port):
    """Bytes that the kernel still has to send on each connection of a port."""
    return [row.sending for row in tcp_table.rows() if row.local[1] == port and row.state == tcp_table.ESTABLISHED]


CASES = [("plain", "--http1.1"), ("tls", "--http1.1"), ("tls", "--http2")]


@pytest.mark.parametrize("kind, version", CASES)
def test_a_fast_client_has_much_under_way(net, edge, host, kind, version):
    most = 0
    with net.near(), curl(net.far(), edge, host, f"/bytes?n={BODY}", kind, version) as download:
        while download.poll() is None and most <= FAST:
            most = max([most, *queues(edge.port[kind])])
    assert most > FAST


@pytest.mark.parametrize("kind, version", CASES)
def test_a_slow_client_has_little(net, edge, host, kind, version):
    """A client that reads 50 kB a second. The first bytes are under way before its own kernel is full."""
    def is_bounded():
        held = metric(edge, "buffered_bytes")
        return held >= 65536 and 0 < max(queues(edge.port[kind]), default=0) <= BOUND

    with net.near(), curl(net.far(), edge, host, f"/bytes?n={BODY}", kind, version, "--limit-rate", "50k"):
        edge.wait_until(is_bounded, what="the edge to hold the rest itself")
    edge.wait_until(lambda: metric(edge, "buffered_bytes") == 0, what="the end")


@pytest.mark.parametrize("app, protocol", [(HttpOrigin, "http1"), (H2Origin, "h2c")])
def test_the_window_of_a_far_app_grows(net, edge, app, protocol):
    """A near one's does not (test_memory.py)."""
    with contextlib.ExitStack() as stack:
        with net.far():
            far = stack.enter_context(app(address=FAR))
        host = edge.create_preview(far, "far", "--protocol", protocol)
        stack.enter_context(net.near())
        most, rows = 0, ["ss", "-tnmH", f"dst {FAR}:{far.port}"]
        with curl(net.near(), edge, host, f"/bytes?n={BODY}", "plain", server="127.0.0.1") as download:
            while download.poll() is None and most <= 4 * BOUND:
                out = subprocess.run(rows, capture_output=True, text=True, check=True).stdout
                most = max([most, *map(int, re.findall(r"skmem:\(r\d+,rb(\d+)", out))])
        assert most > 4 * BOUND
