"""Traces: which requests have one, what the receiver gets and the app sees, and a receiver that does not take them."""

import contextlib
import json
import ssl

import pytest

from control_plane import BOX_NETWORK, BoxAddresses, ControlPlane
from dataplane import accept_for, box, open_tunnel
from h2wire import Client
from harness import PATIENCE, SLOW, HttpOrigin
from otlp_receiver import Receiver
from processes import upgraded
from test_metrics_listener import certificate
from test_wake import World, metric

LONG = PATIENCE * SLOW
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"
TRACE, SPAN = PARENT.split("-")[1:3]
EVERY = {"accept", "access", "first_byte", "response"}


@pytest.fixture(name="receiver")
def fixture_receiver():
    with Receiver() as receiver:
        yield receiver


def tracing(make_edge, receiver, **settings):
    return make_edge(config={"tracing": {"otlp": receiver.url, "rate": 1, **settings}})


def seen(answer):
    """The traceparent that the app got."""
    assert answer.status == 200
    fields = {name.lower(): value for name, value in json.loads(answer.body)["fields"]}
    return fields.get("traceparent")


def metrics(edge, name):
    return metric(edge, name)


def dropped(edge, reason):
    return metric(edge, f'traces_dropped_total{{reason="{reason}"}}')


def line(edge, path):
    return edge.wait_for_line(lambda one: one["path"].split("?")[0] == path)


def test_a_request_of_an_app(make_edge, receiver):
    edge = tracing(make_edge, receiver)
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        parent = seen(edge.get(host, "/echo?x=1&preview_token=secret"))
        trace = receiver.trace("/echo")
    root, logged = trace.root, line(edge, "/echo")
    assert parent == f"00-{root.trace}-{root.id}-01"
    assert root.name == "GET" and root.parent is None and not root.failed
    assert set(trace.below) == EVERY | {"connect"}
    assert root.attributes == {
        "http.request.method": "GET", "url.scheme": "http", "url.path": "/echo",
        "url.query": root.attributes["url.query"], "server.address": host, "server.port": edge.port["plain"],
        "client.address": "127.0.0.1", "client.port": root.attributes["client.port"],
        "network.protocol.name": "http", "network.protocol.version": "1.1", "http.response.status_code": 200,
        "boxedge.request_id": logged["request_id"], "boxedge.kind": "preview", "boxedge.box": "box",
        "boxedge.port": origin.port, "boxedge.origin": f"127.0.0.1:{origin.port}",
    }
    assert root.attributes["url.query"].startswith("x=1") and "secret" not in root.attributes["url.query"]
    assert root.resource["service.name"] == "boxedge" and root.resource["service.instance.id"] == "test"
    assert logged["trace_id"] == root.trace
    assert trace.below["response"].end == root.end and trace.below["connect"].end <= trace.below["first_byte"].start


def test_http2_over_a_pooled_connection(make_edge, receiver):
    edge = tracing(make_edge, receiver)
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with Client(edge, host) as client:
            for path in ("/status?code=200", "/echo"):
                answer = client.answer(client.request(path))
                client.until(lambda answer=answer: answer.ended, LONG)
                assert answer.status == 200
        first, second = receiver.trace("/status"), receiver.trace("/echo")
    assert first.root.attributes["network.protocol.version"] == "2" and "connect" in first.below
    assert first.root.attributes["url.scheme"] == "https"
    assert set(second.below) == EVERY and second.root.trace != first.root.trace


def test_a_wake(make_edge, receiver):
    with BoxAddresses(1) as (place,), ControlPlane() as plane, HttpOrigin(address=place) as origin:
        edge = make_edge(config={"tracing": {"otlp": receiver.url, "rate": 1}, "control_plane": {"url": plane.url},
                                 "origins": {"allow": [BOX_NETWORK]}, "wake": {"per_client": 0}})
        world = World(edge, plane, place, origin)
        try:
            asker = world.ask(path="/echo")
            world.wait_waiters(1)
            world.gate.set()
            assert asker.join().status == 200
        finally:
            world.gate.set()
        trace = receiver.trace("/echo")
        assert set(trace.below) == EVERY | {"wake", "connect"}
        wake = trace.below["wake"]
        assert not wake.failed and wake.end <= trace.below["connect"].start


def test_answers_of_the_edge(make_edge, receiver):
    """A refused access is no error of the server; a port without a server is one."""
    edge = tracing(make_edge, receiver)
    with HttpOrigin() as origin:
        private = edge.create_preview(origin, "box", "--bearer")
        assert edge.get(private, "/private").status == 401
        trace = receiver.trace("/private")
    assert set(trace.below) == {"accept", "access", "response"} and trace.below["access"].failed
    assert trace.root.attributes["http.response.status_code"] == 401 and not trace.root.failed
    assert trace.root.attributes["boxedge.code"] and "error.type" not in trace.root.attributes
    with HttpOrigin() as gone:
        host = edge.create_preview(gone)
    assert edge.get(host, "/gone").status == 502
    trace = receiver.trace("/gone")
    assert trace.root.failed and trace.root.attributes["error.type"] == "port_not_listening"
    assert trace.below["connect"].failed and "first_byte" not in trace.below
    assert edge.get("unknown.example", "/unknown").status == 421
    assert set(receiver.trace("/unknown").below) == {"accept", "response"}
    assert edge.get("x", "/healthz", kind="health").status == 200
    assert edge.get(host, "/redirected", kind="redirect").status == 308
    assert receiver.trace("/redirected").root.attributes["boxedge.kind"] == "redirect"
    assert not [one for one in receiver.traces if one.root.attributes["url.path"] == "/healthz"]


def test_a_failure_of_the_app(make_edge, receiver):
    edge = tracing(make_edge, receiver)
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        assert edge.get(host, "/status?code=500").status == 500
        trace = receiver.trace("/status")
    assert trace.root.failed and trace.root.attributes["error.type"] == "500"
    assert "boxedge.code" not in trace.root.attributes


def test_a_websocket(make_edge, receiver):
    """Its span lasts as long as it."""
    edge = tracing(make_edge, receiver)

    def echo(conn):
        conn.send(accept_for(conn.read_request()))
        conn.read_to_end()

    with box(edge, echo) as (origin, host):
        open_tunnel(edge, host).close()
        trace = receiver.trace("/ws")
        assert origin.requests[0].get("traceparent") == f"00-{trace.root.trace}-{trace.root.id}-01"
    assert set(trace.below) == EVERY | {"connect"}
    assert trace.root.attributes["http.response.status_code"] == 101


def test_the_decision_of_the_client(make_edge, receiver):
    """Without a valid one, the rate decides: here 0."""
    edge = tracing(make_edge, receiver, rate=0)
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)

        def ask(*values):
            return seen(edge.get(host, "/echo", fields=[f"traceparent: {value}" for value in values]))

        assert ask() is None
        assert ask(PARENT + "0") == PARENT + "0"
        assert ask(PARENT + "2") == PARENT + "2"
        assert ask(PARENT.upper() + "1") is None
        assert ask("00-" + "0" * 32 + PARENT[35:] + "1") is None
        assert ask(PARENT + "1", PARENT + "1") is None
        parent = ask(PARENT + "1")
        trace = receiver.trace("/echo")
    assert (trace.root.trace, trace.root.parent) == (TRACE, SPAN) and trace.root.id != SPAN
    assert parent == f"00-{TRACE}-{trace.root.id}-01"
    traced = [one.get("trace_id") for one in edge.access.lines if one["request_id"] ==
              trace.root.attributes["boxedge.request_id"]]
    assert traced == [TRACE]
    assert metrics(edge, "traces_sent_total") == 1


def test_without_a_receiver(edge, origin, preview):
    assert seen(edge.get(preview, "/echo")) is None
    assert seen(edge.get(preview, "/echo", fields=[f"traceparent: {PARENT}1"])) == PARENT + "1"


def test_clients_cannot_make_it_send_without_bound(make_edge, receiver):
    """The flag of clients and the rate have a bound of their own. A trace over it is the client's as it came."""
    edge = tracing(make_edge, receiver, per_second=1, rate=0)
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain", host) as client:
            request = f"GET /echo HTTP/1.1\r\nHost: {host}\r\ntraceparent: {PARENT}1\r\n\r\n".encode()
            edge.wait_until(lambda: seen(client.request(request)) == PARENT + "1", LONG, "two in a second")

        def counted():
            assert edge.get(host, "/echo", fields=[f"traceparent: {PARENT}1"]).status == 200
            return dropped(edge, "limit") > 0

        edge.wait_until(counted, LONG, "what was left out is counted, with the next trace")


def test_over_tls(make_edge, tmp_path):
    files = certificate(tmp_path, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["tls_certificate"], files["tls_key"])
    with Receiver(context) as receiver, HttpOrigin() as origin:
        edge = tracing(make_edge, receiver, ca_file=files["tls_certificate"])
        host = edge.create_preview(origin)
        assert edge.get(host, "/echo").status == 200
        receiver.trace("/echo")


def test_a_receiver_that_refuses(make_edge, receiver):
    """Traces are lost and counted; the log has it once, and its end."""
    receiver.status = 400
    edge = tracing(make_edge, receiver)
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        assert edge.get(host, "/echo").status == 200
        edge.wait_until(lambda: dropped(edge, "receiver") == 1, LONG, "a failed call")
        edge.said("does not take them: its status is 400")
        receiver.status, receiver.answer = 200, b'{"partialSuccess":{"rejectedSpans":"2"}}'
        assert edge.get(host, "/status?code=204").status == 204
        receiver.trace("/status")
        edge.wait_until(lambda: metrics(edge, "traces_sent_total") == 1, LONG, "a call that is taken")
        assert metrics(edge, "trace_spans_rejected_total") == 2
        edge.said("the receiver of traces takes them again")


@pytest.mark.parametrize("how", ["down", "mute"])
def test_a_receiver_that_is_not_there(make_edge, how):
    """Requests and the admin socket are served; the queue is bounded."""
    with Receiver() as receiver, HttpOrigin(record=False) as origin:
        if how == "down":
            receiver.server.shutdown()
            receiver.server.server_close()
        receiver.open.clear()
        edge = tracing(make_edge, receiver, per_second=100000, timeout="10m" if how == "mute" else "5s")
        host = edge.create_preview(origin)
        with edge.connect("plain", host) as client:
            request = f"GET /status?code=204 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            sent = 0

            def lost():
                nonlocal sent
                for _ in range(100):
                    assert client.request(request).status == 204
                    sent += 1
                return dropped(edge, "queue" if how == "mute" else "receiver") > 0

            edge.wait_until(lost, 4 * LONG, "lost traces")
        assert metrics(edge, "traces_sent_total") == 0
        assert "ready" in edge.command("status")
        if how == "down":
            edge.said("does not take them")
        receiver.open.set()


@contextlib.contextmanager
def stopped(edge):
    edge.stop()
    yield


@pytest.mark.parametrize("ended", [stopped, upgraded], ids=["drain", "upgrade"])
def test_the_end_of_the_controller_loses_none(make_edge, receiver, ended):
    """Traces that wait for others are sent at once."""
    edge = tracing(make_edge, receiver)
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        for i in range(3):
            assert edge.get(host, f"/echo?n={i}").status == 200
        with ended(edge):
            receiver.until(lambda: len(receiver.traces) == 3, "three traces")


def test_a_receiver_that_never_answers_holds_no_end_up(make_edge, receiver):
    edge = tracing(make_edge, receiver, timeout="10m")
    receiver.open.clear()
    with HttpOrigin() as origin:
        assert edge.get(edge.create_preview(origin), "/echo").status == 200
        edge.stop()  # fails if a process had to be killed


def test_a_reload_begins_and_ends_it(make_edge, receiver):
    edge = make_edge()
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        assert seen(edge.get(host, "/echo")) is None
        edge.config["tracing"] = {"otlp": receiver.url, "rate": 1}
        edge.write_config()
        edge.command("reload")
        assert seen(edge.get(host, "/echo")) is not None
        receiver.trace("/echo")
        del edge.config["tracing"]
        edge.write_config()
        edge.command("reload")
        assert seen(edge.get(host, "/echo")) is None
