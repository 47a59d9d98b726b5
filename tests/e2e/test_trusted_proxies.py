"""Behind proxies in trusted_proxies: every limit, block and log line uses the client that the proxy names,
and the proxy may declare that its client came over https. The tests' own connections from 127.0.0.1 play the
proxy; 127.0.0.2 is a stranger."""

import contextlib
import json
import secrets

import pytest

import wire
from access_world import COOKIE, H2, SIGN_IN, App, Made, connect, get, preflights_at_once, session_in
from api_world import api_config, call
from harness import PATIENCE, Edge, HttpOrigin, RawOrigin
from sleepers import Sleepers

PAGE = "Accept: text/html"
STRANGER = "127.0.0.2"
PROXIES = {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}


def of(client):
    return f"X-Forwarded-For: 6.6.6.6, {client}, 10.0.0.1"


def wrong():
    return f"Authorization: Bearer {secrets.token_urlsafe(32)}"


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    running = Edge(tmp_path_factory.mktemp("proxies"), workers=2, config=PROXIES)
    for listener in running.config["listeners"]:
        if listener["kind"] == "plain":
            listener["tls_terminated"] = True
    running.write_config()
    running.command("reload")
    yield running
    running.close()


@pytest.fixture
def app():
    with App() as running:
        yield running


# ---- the client's identity


def test_a_stranger_locks_nobody_else_out(edge, app):
    made = Made(edge, "box", app.port, "bearer")
    host, right = edge.host(app), f"Authorization: Bearer {made.token}"
    for _ in range(11):
        get(edge, host, fields=[wrong(), of("192.0.2.66")])
    locked = get(edge, host, fields=[right, of("192.0.2.66")])
    assert (locked.status, locked.json["code"]) == (429, "locked")
    assert get(edge, host, fields=[right, of("192.0.2.67")]).status == 200
    assert get(edge, host, fields=[right]).status == 200  # the proxy itself
    # The field of a stranger does not count: its own address locks it out.
    for i in range(11):
        get(edge, host, fields=[wrong(), of(f"192.0.2.{i}")], source=STRANGER)
    assert get(edge, host, fields=[right, of("192.0.2.67")], source=STRANGER).status == 429


def test_a_block_is_of_the_named_client(edge, app):
    host = edge.create_preview(app)
    edge.command("block", "cidr", "198.51.100.0/24")
    try:
        assert get(edge, host, fields=[of("198.51.100.9")]).json["code"] == "blocked"
        assert get(edge, host, fields=[of("198.51.101.9")]).status == 200
        assert get(edge, host, fields=[of("198.51.100.9")], source=STRANGER).status == 200
        assert get(edge, host, fields=[of("198.51.100.9")], kind="redirect").json["code"] == "blocked"
    finally:
        edge.command("unblock", "cidr", "198.51.100.0/24")


def test_a_block_ends_the_named_clients_tunnels(edge, app):
    host = edge.create_preview(app)
    handshake = ["GET /ws HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    with contextlib.ExitStack() as stack:
        tunnels = []
        for client in ("198.18.1.1", "198.18.2.1"):
            tunnels.append(stack.enter_context(edge.connect("plain")))
            tunnels[-1].send("\r\n".join([*handshake, of(client)]).encode() + b"\r\n\r\n")
            assert tunnels[-1].read_message(request_method="GET").status == 101
        edge.command("block", "cidr", "198.18.1.0/24")
        try:
            assert tunnels[0].read_exactly(4)[:1] == b"\x88"  # Close
            line = edge.wait_for_line(tunnel=True, reason="blocked")
            assert line["client"] == "198.18.1.1"
            tunnels[1].send(b"\x89\x80\0\0\0\0")
            assert get(edge, host, fields=[of("198.18.2.1")]).status == 200
        finally:
            edge.command("unblock", "cidr", "198.18.1.0/24")


def test_logs_and_boxes_are_told_the_same(edge, app):
    host = edge.create_preview(app)
    for n, (fields, source, client) in enumerate([
            ([of("203.0.113.9")], None, "203.0.113.9"), ([of("2001:db8::9")], None, "2001:db8::9"),
            (["X-Forwarded-For: unknown"], None, "127.0.0.1"), ([], None, "127.0.0.1"),
            ([of("203.0.113.9")], STRANGER, STRANGER)]):
        forged = ["X-Real-IP: 6.6.6.6", "x_real_ip: 6.6.6.6", "True-Client-IP: 6.6.6.6", "CF-Connecting-IP: 6.6.6.6",
                  "Forwarded: for=6.6.6.6", "X-Client-IP: 6.6.6.6", "X-Cluster-Client-IP: 6.6.6.6",
                  "Fastly-Client-IP: 6.6.6.6", "X-Original-Forwarded-For: 6.6.6.6", "Proxy: http://6.6.6.6"]
        assert get(edge, host, f"/told/{n}", [*fields, *forged], source=source).status == 200
        seen = app.seen[f"/told/{n}"]
        assert (seen.all("x-forwarded-for"), seen.all("x-real-ip")) == ([client], [client])
        assert "6.6.6.6" not in str(seen.fields)
        line = edge.wait_for_line(path=f"/told/{n}")
        assert line["client"] == client
        assert line.get("proxy") == (None if source else "127.0.0.1")


@pytest.mark.parametrize(("field", "value"), [
    ("Forwarded", "for=6.6.6.6, for=\"[2001:db8::7]:80\";proto=https"), ("X-Real-IP", "2001:db8::7"),
    ("CF-Connecting-IP", "2001:db8::7"), ("X-Forwarded-For", "6.6.6.6, 2001:db8::7")])
def test_the_field_of_a_proxy(make_edge, app, field, value):
    edge = make_edge(config={"trusted_proxies": [{"network": "127.0.0.1", "client_field": field}]})
    host = edge.create_preview(app)
    fields = {name: "6.6.6.6" for name in ("Forwarded", "X-Real-IP", "CF-Connecting-IP", "X-Forwarded-For")}
    lines = [f"{name}: {text}" for name, text in {**fields, field: value}.items()]
    assert get(edge, host, "/one", lines, kind="plain").status == 200
    assert app.seen["/one"].all("x-forwarded-for") == ["2001:db8::7"]
    assert "6.6.6.6" not in str(app.seen["/one"].fields)
    assert edge.wait_for_line(path="/one")["client"] == "2001:db8::7"


def test_connections_are_counted_for_the_named_client(make_edge):
    edge = make_edge(workers=2, config={**PROXIES, "limits": {"connections_per_client": 3}})
    with RawOrigin(lambda conn: conn.read_request() and conn.read_some(timeout=3600)) as silent, HttpOrigin() as quick:
        slow, host = edge.create_preview(silent), edge.create_preview(quick)
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(edge.connect("plain")) for _ in range(3)]
            for client in held:
                client.send(f"GET / HTTP/1.1\r\nHost: {slow}\r\n{of('192.0.2.3')}\r\n\r\n".encode())
            silent.wait_requests(3)
            # The proxy's connection is kept: only this client's request is refused.
            proxy = stack.enter_context(edge.connect("plain"))

            def ask(client):
                return proxy.request(f"GET / HTTP/1.1\r\nHost: {host}\r\n{of(client)}\r\n\r\n".encode())

            refused = ask("192.0.2.3")
            assert (refused.status, json.loads(refused.body)["code"]) == (429, "too_many_connections")
            assert ask("192.0.2.4").status == 200
            held[0].close()
            edge.wait_until(lambda: ask("192.0.2.3").status == 200, what="the place given back")


def test_wakes_are_counted_for_the_named_client(make_edge):
    with contextlib.closing(Sleepers()) as sleepers:
        edge = make_edge(config={**sleepers.config, **PROXIES, "wake": {"per_client": 1}})
        hosts = [edge.create_preview(box.port, box.id) for box in (sleepers.add(f"sleeps-{n}", ready=True) for n in range(2))]
        assert edge.get(hosts[0], fields=[of("192.0.2.31")]).status == 200
        refused = edge.get(hosts[1], fields=[of("192.0.2.31")])
        assert (refused.status, json.loads(refused.body)["code"]) == (429, "wake_rate")
        assert edge.get(hosts[1], fields=[of("192.0.2.32")]).status == 200


def test_preflights_are_counted_for_the_named_client(edge, app):
    Made(edge, "box", app.port, "bearer")

    def ask(client, count):
        name, value = of(client).split(": ")
        return preflights_at_once(edge, edge.host(app), count, [(name.lower(), value)])

    assert ask("192.0.2.41", 125) == [200] * 100 + [429] * 25
    assert ask("192.0.2.42", 1) == [200]


def test_the_plan_without_a_key_is_of_the_named_client(make_edge):
    plans = [{"name": "two", "rate": "1/h", "burst": 2}]
    with RawOrigin() as server:
        config = api_config([server.port], plans=plans, api={"client_plan": "two"}) | PROXIES
        edge = make_edge(config=config)
        for client in ("192.0.2.5", "192.0.2.6"):
            assert [call(edge, key=None, fields=[of(client)]).status for _ in range(3)] == [401, 401, 429]


def test_what_one_client_resets_ends_no_streams_of_others(edge, app):
    """A proxy that speaks HTTP/2 forwards its clients' cancellations: 2,000 of a single one, together."""
    host = edge.create_preview(app)
    with H2(edge, host) as proxy:
        for _ in range(2000):
            stream = proxy.request("/gone", fields=[tuple(of("192.0.2.7").lower().split(": "))])
            proxy.h2.reset_stream(stream)
        proxy.flush()
        answer = proxy.send_request("fetch", "/other", [tuple(of("192.0.2.8").split(": "))])
        assert answer.status == 200 and not proxy.eof
        assert app.seen["/other"].all("x-forwarded-for") == ["192.0.2.8"]


# ---- https


def test_signing_in_behind_a_proxy_that_speaks_tls(edge, app):
    made = Made(edge, "box", app.port, "bearer")
    host, https = edge.host(app), ["X-Forwarded-Proto: https", of("192.0.2.9")]
    page = get(edge, host, "/deep?a", [PAGE, *https], kind="plain")
    assert page.status == 401 and b"<form" in page.body
    form = get(edge, host, SIGN_IN, ["Content-Type: application/x-www-form-urlencoded", *https], "POST",
               f"token={made.token}&next=/deep?a".encode(), kind="plain")
    assert form.status == 303 and form.get("location") == f"https://{host}:{edge.port['plain']}/deep?a"
    session = session_in(form.all("set-cookie"))
    assert session is not None
    cookie = f"Cookie: {COOKIE}={session}"
    assert get(edge, host, "/in", [cookie, *https], kind="plain").status == 200
    seen = app.seen["/in"]
    assert (seen.get("x-forwarded-proto"), seen.get("x-forwarded-port")) == ("https", str(edge.port["tls"]))
    assert edge.wait_for_line(path="/in")["tls"] is True
    link = get(edge, host, f"/x?preview_token={made.token}", [PAGE, *https], kind="plain")
    assert link.status == 303 and session_in(link.all("set-cookie"))
    # The same without the proxy's field, or with more than one.
    for fields, source in [([], None), (["X-Forwarded-Proto: http"], None), (["X-Forwarded-Proto: https"] * 2, None),
                           (["X-Forwarded-Proto: https,http"], None), (https, STRANGER)]:
        assert get(edge, host, fields=[cookie, *fields], kind="plain", source=source).status == 401
        answer = get(edge, host, SIGN_IN, ["Content-Type: application/x-www-form-urlencoded", *fields], "POST",
                     f"token={made.token}".encode(), kind="plain", source=source)
        assert answer.json["code"] == "tls_required"
        link = get(edge, host, f"/x?preview_token={made.token}", [PAGE, *fields], kind="plain", source=source)
        assert link.status == 401 and not link.all("set-cookie")
        assert get(edge, host, "/told", [f"X-Preview-Token: {made.token}", *fields], kind="plain", source=source).status == 200
        assert app.seen["/told"].all("x-forwarded-proto") == ["http"]


def test_a_plain_listener_that_does_not_ask_for_it(make_edge, app):
    edge = make_edge(config=PROXIES)
    Made(edge, "box", app.port, "bearer")
    answer = get(edge, edge.host(app), fields=[PAGE, "X-Forwarded-Proto: https"], kind="plain")
    assert answer.status == 401 and b"<form" not in answer.body


def test_a_reload_turns_it_on(make_edge, app):
    edge = make_edge(workers=2, config=PROXIES)
    Made(edge, "box", app.port, "bearer")

    def has_form():
        with connect(edge, edge.host(app), kind="plain") as client:
            answer = client.request(f"GET / HTTP/1.1\r\nHost: {edge.host(app)}\r\n{PAGE}\r\nX-Forwarded-Proto: https\r\n"
                                    f"Connection: close\r\n\r\n".encode())
            return b"<form" in answer.body

    assert not has_form()
    next(one for one in edge.config["listeners"] if one["kind"] == "plain")["tls_terminated"] = True
    edge.write_config()
    edge.command("reload")
    with contextlib.suppress(wire.WireError):
        edge.wait_until(has_form, what="the form")
    assert has_form()
