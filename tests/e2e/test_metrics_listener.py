"""Listeners of kind metrics: their answers, their access, and reloads, upgrades and deaths."""

import contextlib
import http.client
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess

import pytest
from harness import DOMAIN, PATIENCE, PORTS, SLOW
from processes import upgraded
from wire import is_closed

LONG = PATIENCE * SLOW
KIND = "text/plain; version=0.0.4; charset=utf-8"
PLACES = 64 + 16  # admin_listeners.c, local_server.h


@pytest.fixture(name="port")
def fixture_port():
    return PORTS.take()


def listening(make_edge, port, host="127.0.0.1", start=True, **listener):
    """An edge with a listener of kind metrics beside the usual ones."""
    edge = make_edge(start=False)
    address = f"[{host}]" if ":" in host else host
    edge.config["listeners"].insert(0, {"kind": "metrics", "address": f"{address}:{port}", **listener})
    if start:
        edge.start()
    return edge


def get(port, path="/metrics", method="GET", host="127.0.0.1", fields=(), context=None):
    """(status, type, body)"""
    kind = http.client.HTTPSConnection if context is not None else http.client.HTTPConnection
    options = {"context": context} if context is not None else {}
    with contextlib.closing(kind(host, port, timeout=LONG, **options)) as connection:
        connection.request(method, path, headers=dict(fields))
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()


def certificate(folder, name, days=2):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days),
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                    folder / "metrics.key", "-out", folder / "metrics.pem"], check=True, capture_output=True, timeout=60)
    return {"tls_certificate": str(folder / "metrics.pem"), "tls_key": str(folder / "metrics.key")}


def reload(edge):
    edge.write_config()
    edge.command("reload")


def test_served(make_edge, port):
    edge = listening(make_edge, port)
    status, kind, body = get(port)
    assert (status, kind) == (200, KIND)
    assert re.search(r"^boxedge_worker_up\{worker=\"0\"\} 1$", body, re.M)
    assert get(port, method="HEAD") == (200, KIND, "")
    assert get(port, "/metrics?format=text&x")[:2] == (200, KIND)  # a query changes nothing
    assert get(port, "/healthz")[::2] == (200, "ok\n")
    assert get(port, "/readyz")[::2] == (200, "ready\n")
    assert any(f"metrics 127.0.0.1:{port}" in line for line in edge.stderr.lines if ": ready: " in line)


def test_nothing_else_is_served(make_edge, port):
    """None of the admin API, and nothing that changes the edge."""
    listening(make_edge, port)
    for path in ("/", "/v1/status", "/v1/previews", "/v1/messages", "/metrics/", "/metricsx", "//metrics", "/v1/status?/metrics", "/Metrics"):
        assert get(port, path)[0] == 404, path
    for path in ("/metrics", "/healthz", "/readyz"):
        for method in ("POST", "DELETE", "PUT", "OPTIONS"):
            assert get(port, path, method)[0] == 405, (path, method)
    for method in ("POST", "DELETE"):
        assert get(port, "/v1/blocks", method, fields={"Content-Type": "application/json"})[0] == 404
    assert get(port, fields={"Host": f"box-3000.{DOMAIN}"})[0] == 200


def test_over_ipv6(make_edge, port):
    listening(make_edge, port, host="::1")
    assert get(port, host="::1")[0] == 200


def test_a_token(make_edge, port, tmp_path):
    """Only /metrics asks for it; it is in no message. A reload reads the file again."""
    file = tmp_path / "token"
    file.write_text("first-secret\n")
    file.chmod(0o600)
    edge = listening(make_edge, port, token_file=str(file))

    def asks(token):
        return get(port, fields={"Authorization": f"Bearer {token}"})[0]

    assert get(port)[0] == asks("first-secre") == asks("first-secret2") == asks("") == 401
    assert get(port, fields={"Authorization": "Basic Zmlyc3Qtc2VjcmV0Og=="})[0] == 401
    assert asks("first-secret") == 200
    assert get(port, "/healthz")[0] == get(port, "/readyz")[0] == 200
    file.write_text("second-secret\n")
    reload(edge)
    assert (asks("first-secret"), asks("second-secret")) == (401, 200)
    file.unlink()
    done = edge.command("reload", check=False)
    assert done.returncode == 1 and "listeners.token_file" in done.stderr
    assert asks("second-secret") == 200
    assert not any("secret" in line for line in edge.stderr.lines)
    file.write_text("second-secret\n")


def test_tls(make_edge, port, tmp_path):
    """With a certificate of its own, over HTTP/1 only; a new certificate needs no reload."""
    files = certificate(tmp_path, "first")
    edge = listening(make_edge, port, **files)

    def trusting():
        context = ssl.create_default_context(cafile=files["tls_certificate"])
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    first = trusting()
    assert get(port, context=first)[:2] == (200, KIND)
    with first.wrap_socket(socket.create_connection(("127.0.0.1", port), LONG), server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"
    with pytest.raises(ssl.SSLCertVerificationError):
        get(port, context=edge.context())  # the edge's own certificates are not shown here
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        assert get(port)[0] != 200
    certificate(tmp_path, "second")

    def is_new():
        with contextlib.suppress(ssl.SSLCertVerificationError):
            return get(port, context=trusting())[0] == 200
        return False

    edge.wait_until(is_new, LONG, "the new certificate")
    pathlib.Path(files["tls_key"]).write_text("no key\n")
    done = edge.command("reload", check=False)
    assert done.returncode == 1 and "tls_key" in done.stderr
    assert is_new()


@pytest.mark.parametrize("listener, sentence", [
    ({"kind": "metrics", "proxy_protocol": True}, "proxy_protocol: is not for a listener of the kind metrics"),
    ({"kind": "metrics", "tls_key": "/nowhere"}, "tls_certificate: is missing"),
    ({"kind": "health", "address": "127.0.0.1:1", "token_file": "/nowhere"}, "token_file: is for a listener of the kind"),
    ({"kind": "health"}, "address: is missing; needed: an address with a port"),
])
def test_wrong_configurations(make_edge, listener, sentence):
    edge = make_edge(start=False)
    edge.config["listeners"].append(listener)
    edge.write_config()
    done = edge.command("check", check=False)
    assert done.returncode == 1 and sentence in done.stdout + done.stderr


def test_the_default_address(make_edge):
    edge = make_edge(start=False)
    edge.config["listeners"].append({"kind": "metrics"})
    edge.write_config()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # another edge of this machine may have it
            taken.bind(("127.0.0.1", 9464))
            taken.listen()
        done = edge.command("check", check=False)
    assert done.returncode == 1 and "cannot listen on 127.0.0.1:9464" in done.stdout + done.stderr


def test_reloads_keep_its_connections(make_edge, port):
    """A listener comes and goes with the configuration, and a connection of one that stays does not notice."""
    edge = listening(make_edge, port)
    other = PORTS.take()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)) as connection:
        connection.connect()
        sock = connection.sock
        for kind in ("metrics", "health"):
            edge.config["listeners"].append({"kind": kind, "address": f"127.0.0.1:{other}"})
            reload(edge)
            connection.request("GET", "/readyz")
            assert connection.getresponse().read() == b"ready\n"
            assert connection.sock is sock
            assert get(other, "/healthz")[0] == 200 and get(other)[0] == (200 if kind == "metrics" else 404)
            del edge.config["listeners"][-1]
    reload(edge)
    with pytest.raises(ConnectionError):
        get(other)


def test_an_upgrade_and_deaths(make_edge, port):
    """The socket is the supervisor's: a scrape that comes between two controllers waits."""
    edge = listening(make_edge, port)
    edge.expect_deaths = True
    (controller,) = edge.pids("controller")
    os.kill(controller, signal.SIGKILL)
    assert get(port)[0] == 200
    edge.wait_until(lambda: edge.pids("controller") not in ([], [controller]), LONG, "a new controller")
    with upgraded(edge):
        assert get(port)[0] == 200


def test_readiness(make_edge, port):
    """One judgement with the health listener: an edge that drains is not ready."""
    edge = listening(make_edge, port, start=False)
    edge.config["timeouts"]["drain_delay"] = "1h"
    edge.start()
    edge.process.terminate()
    edge.wait_until(lambda: get(port, "/readyz")[::2] == (503, "draining\n"), LONG, "503")
    assert get(edge.port["health"], "/readyz")[::2] == (503, "draining\n")
    assert get(port, "/healthz")[0] == get(port)[0] == 200
    edge.process.terminate()
    assert edge.process.wait(LONG) == 0
    edge.kill()


def test_a_node_without_workers_is_not_ready(make_edge, port):
    edge = listening(make_edge, port)
    edge.expect_deaths = True
    (worker,) = edge.pids("worker")
    os.kill(worker, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    seen = set()
    while "ready\n" not in seen or len(seen) == 1 and edge.pids("worker") == [worker]:
        seen.add(get(port, "/readyz")[2])
    assert seen <= {"ready\n", "no worker serves\n"}


@pytest.mark.parametrize("tls", [False, True])
def test_idle_clients_lock_nobody_out(make_edge, port, tmp_path, tls):
    """The connection without a request for longest makes room; silent ones before TLS count too."""
    files = certificate(tmp_path, "x") if tls else {}
    context = ssl.create_default_context(cafile=files["tls_certificate"]) if tls else None
    edge = listening(make_edge, port, **files)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port), LONG)) for _ in range(PLACES + 5)]
        assert get(port, context=context)[0] == 200
        assert [is_closed(sock) for sock in held] == [True] * 6 + [False] * (PLACES - 1)
        edge.said("listener of kind metrics has no place left")
