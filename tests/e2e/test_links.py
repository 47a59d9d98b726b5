"""Links that open one preview: the exchange for a session, the session's end, links that open once and links for
reading, over HTTP/1.1 and HTTP/2."""

import itertools
import json
import os
import signal
import threading

import pytest

import h2wire
from access_world import App, Preview, get
from harness import Edge, WebSocketOrigin
from links_world import COOKIE, NAVIGATION, PAGE, Link, ask, session_in, upgrade
from test_access_rules import closed_for_policy
from test_clock import TEN_DAYS, ShiftedEdge, shim  # noqa: F401  pylint: disable=unused-import

BOXES = [{"id": "box", "address": "127.0.0.1"}, {"id": "other", "address": "127.0.0.1"}]
SOURCES = (f"127.1.{i // 200 + 3}.{i % 200 + 1}" for i in itertools.count())
both_versions = pytest.mark.parametrize("version", ["h1", "h2"])


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    with Edge(tmp_path_factory.mktemp("links"), workers=2, boxes=BOXES) as running:
        yield running


@pytest.fixture
def app():
    with App() as running:
        yield running


@pytest.fixture
def preview(edge, app):
    return Preview(edge, app, "bearer")


@pytest.fixture
def link(preview):
    return Link(preview.edge, "box", preview.app.port)


def refused(answer, status, code):
    assert answer.status == status, (answer.status, answer.body)
    assert code.encode() in answer.body or answer.get("content-type").startswith("text/html"), answer.body
    assert answer.get("cache-control") == "no-store"
    return True


# ---- the exchange

@both_versions
def test_a_link_begins_a_session(edge, preview, version):
    link = Link(edge, "box", preview.app.port, "--path", f"/start-{version}?a=b", "--label", "for review")
    answer = link.ask(version, fields=NAVIGATION)
    assert answer.status == 303 and answer.get("location") == f"https://{link.host}:{edge.port['tls']}/start-{version}?a=b"
    assert answer.get("referrer-policy") == "no-referrer" and answer.get("cache-control") == "no-store"
    cookie = f"Cookie: {COOKIE}={session_in(answer)}; theirs=1"
    opened = ask(version, edge, link.host, f"/start-{version}", fields=[cookie])
    assert opened.status == 200
    seen = preview.app.seen[f"/start-{version}"]
    assert seen.get("cookie") == "theirs=1"
    line = edge.wait_for_line(path=f"/start-{version}", status=200, link=link.id)
    assert line["link"] == link.id and line["box"] == "box"
    shown = link.shown()
    assert shown["opened"] == 1 and shown["last_used_at"] >= shown["created_at"] and shown["label"] == "for review"
    assert link.key not in json.dumps(shown) and "sha" not in json.dumps(shown)
    # Its secret is for this path only.
    for fields in ([f"Authorization: Bearer {link.secret}"], [f"X-Preview-Token: {link.secret}"],
                   [f"X-Preview-Token: {link.key}"]):
        assert ask(version, edge, link.host, "/", fields=fields, **source()).status == 401


def source():
    return {"source": next(SOURCES)}


@both_versions
def test_a_session_is_for_one_preview(edge, preview, link, version):
    cookie = link.open(version)
    assert ask(version, edge, link.host, fields=[cookie]).status == 200
    other = edge.host(preview.app, "other")
    assert ask(version, edge, other, fields=[cookie]).status == 401
    assert ask(version, edge, other, link.target).status == 404
    for bad in (cookie[:-1], cookie.replace("l1.", "v1."), cookie[:30] + ("0" if cookie[30] != "0" else "1") + cookie[31:]):
        assert ask(version, edge, link.host, fields=[bad]).status == 401
    # The session alone opens what a session of the preview opens.
    page = [cookie, "Origin: https://elsewhere.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"]
    assert refused(ask(version, edge, link.host, fields=page), 403, "cross_site")


@both_versions
def test_the_link_opened_again_keeps_the_session(edge, link, version):
    cookie = link.open(version)
    answer = link.ask(version, fields=[cookie])
    assert answer.status == 303 and answer.all("set-cookie") == []
    assert link.shown()["opened"] == 1
    assert link.ask(version, method="HEAD").status == 303 and link.shown()["opened"] == 1


@both_versions
def test_the_owner_keeps_the_stronger_session(edge, preview, version):
    own = f"__Host-boxedge={preview.cookie}"
    link = Link(edge, "box", preview.app.port, "--read-only")
    answer = link.ask(version, fields=[f"Cookie: {own}", *NAVIGATION])
    assert answer.status == 303 and answer.all("set-cookie") == [] and link.shown()["opened"] == 0
    weak = link.open(version).removeprefix("Cookie: ")
    for fields in ([f"Cookie: {own}; {weak}"], [f"Cookie: {weak}; {own}"],
                   [f"Cookie: {weak}", f"Authorization: Bearer {preview.made.token}"],
                   [f"Cookie: {weak}", f"X-Preview-Token: {preview.made.token}"]):
        assert ask(version, edge, link.host, "/owner", "POST", fields, b"x").status == 200
        assert "cookie" not in [name.lower() for name, _ in preview.app.seen["/owner"].fields]
        assert "link" not in edge.wait_for_line(path="/owner", status=200)
    assert ask(version, edge, link.host, "/", "POST", [f"Cookie: {weak}"], b"x").status == 405
    # A sign-in beside the link's session makes the preview's own.
    answer = ask(version, edge, link.host, f"/?preview_token={preview.made.token}", fields=[f"Cookie: {weak}", *NAVIGATION])
    assert answer.status == 303 and answer.get("set-cookie").startswith("__Host-boxedge=v1.")


@both_versions
def test_wrong_secrets_open_nothing_and_count(edge, preview, link, version):
    own = source()
    for target in (PAGE, PAGE + "?", PAGE + "?key=", PAGE + "?key=x", f"{PAGE}?key={link.id}",
                   f"{PAGE}?key={link.key}x", f"{PAGE}?KEY={link.key}", f"{PAGE}?key={link.key}&a=b", PAGE + "/" + link.key):
        assert ask(version, edge, link.host, target, **own).status == 404, target
    assert link.ask(version, **own).status == 303  # none of them was a guess
    for _ in range(10):
        assert refused(link.ask(version, link.wrong, **own), 404, "link_not_found")
    assert refused(link.ask(version, **own), 429, "locked")
    assert ask(version, edge, link.host, fields=[f"Authorization: Bearer {preview.made.token}"], **own).status == 429
    assert link.ask(version).status == 303


@both_versions
def test_no_secret_in_the_clear(edge, link, version):
    for kind in ("redirect",):
        answer = get(edge, link.host, link.target, kind=kind)
        assert answer.status == 403 and answer.json["code"] == "tls_required" and answer.get("location") is None
    answer = ask(version, edge, link.host, PAGE, "PUT")
    assert answer.status == 405 and answer.get("allow") == "GET, HEAD, POST"


@both_versions
def test_a_link_keeps_its_last_sessions(edge, link, version):
    first = link.open(version)
    others = [link.open(version) for _ in range(15)]
    assert ask(version, edge, link.host, fields=[first]).status == 200
    others.append(link.open(version))
    for _ in range(4):  # on every worker
        assert ask(version, edge, link.host, fields=[first]).status == 401
        assert ask(version, edge, link.host, fields=[others[0]]).status == 200
        assert ask(version, edge, link.host, fields=[others[-1]]).status == 200
    assert link.shown()["opened"] == 17


def test_a_link_does_not_write_without_end(edge, link):
    with h2wire.Client(edge, link.host) as client:
        client.catch_up()
        streams = [client.request(link.target, flush=False) for _ in range(60)]
        client.flush()
        answers = [client.finish(stream) for stream in streams]
        statuses = [answer.status for answer in answers]
    assert statuses.count(303) >= 32 and statuses.count(429) >= 1 and len(set(statuses)) == 2, statuses
    refused_one = next(answer for answer in answers if answer.status == 429)
    assert json.loads(bytes(refused_one.body))["code"] == "link_busy" and refused_one.fields["retry-after"] == "1"


def test_sign_out_ends_both_sessions(edge, preview, link):
    answer = preview.post_form({}, "/.well-known/boxedge/sign-out", [link.open()])
    assert answer.status == 303
    assert sorted(line.split("=")[0] for line in answer.all("set-cookie")) == ["__Host-boxedge", COOKIE]


def test_public_previews_have_no_links(edge, app):
    edge.command("preview", "create", "box", app.port, "--public")
    done = edge.command("preview", "link", "create", "box", app.port, check=False)
    assert done.returncode == 1 and "public" in done.stderr
    assert get(edge, edge.host(app), PAGE).status == 404


def test_commands(edge, preview):
    port = preview.app.port
    link = Link(edge, "box", port, "--expires", "2h", "--label", "for review", "--once", "--read-only")
    table = edge.command("preview", "link", "list", "box", port)
    assert link.id in table and "once, read" in table and "for review" in table and link.secret not in table
    text = edge.command("preview", "link", "create", "box", port)
    assert text.startswith(f"https://box-{port}.") and text.count("\n") == 1
    for words, status in ((["create", "box"], 2), (["create", "box", "0"], 2), (["create", "Box", port], 2),
                          (["create", "box", port, "--expires", "never"], 2), (["create", "box", port, "--path", "x"], 1),
                          (["create", "box", port, "--path", "//x"], 1), (["create", "box", port, "--expires", "367d"], 1),
                          (["create", "box", port, "--allow-websocket"], 1), (["create", "box", port, "--bearer"], 2),
                          (["create", "nobody", port], 1), (["list"], 2), (["revoke", "x"], 2),
                          (["revoke", "0123456789abcdef"], 1), (["list", "box", port, "--once"], 2), ([], 2)):
        done = edge.command("preview", "link", *words, check=False)
        assert done.returncode == status and done.stderr.startswith("boxedge"), (words, done)
    assert "revoked" in edge.command("preview", "link", "revoke", link.id)
    assert link.shown() is None


# ---- the end of a link

@both_versions
def test_revocation_ends_sessions_and_tunnels_at_once(edge, preview, version):
    link, other = (Link(edge, "box", preview.app.port) for _ in range(2))
    cookie, others = link.open(version), other.open(version)
    tunnels = [upgrade(edge, link.host, [cookie]) for _ in range(4)]
    kept, client = upgrade(edge, link.host, [others])
    assert kept.status == 101 and all(answer.status == 101 for answer, _ in tunnels)
    link.revoke()
    for _ in range(4):
        assert ask(version, edge, link.host, fields=[cookie]).status == 401
        assert ask(version, edge, link.host, fields=[others]).status == 200
    assert all(closed_for_policy(tunnel) for _, tunnel in tunnels)
    assert edge.wait_for_line(link=link.id, tunnel=True)["reason"] == "withdrawn"
    assert refused(link.ask(version), 404, "link_not_found")
    assert client.is_silent(0.3)
    client.close()


@both_versions
def test_a_link_ends_with_the_credentials_of_its_preview(edge, preview, version):
    port = preview.app.port
    link = Link(edge, "box", port)
    cookie = link.open(version)
    edge.command("preview", "update", "box", port, "--label", "new")
    assert ask(version, edge, link.host, fields=[cookie]).status == 200
    edge.command("preview", "update", "box", port, "--bearer")
    assert ask(version, edge, link.host, fields=[cookie]).status == 401 and link.ask(version).status == 404
    assert link.shown() is None
    link = Link(edge, "box", port)
    cookie = link.open(version)
    edge.command("preview", "delete", "box", port)
    assert ask(version, edge, link.host, fields=[cookie]).status == 404
    edge.command("preview", "create", "box", port, "--bearer")
    assert ask(version, edge, link.host, fields=[cookie]).status == 401 and link.ask(version).status == 404


def test_expiry_under_a_held_clock(tmp_path, shim):  # noqa: F811  pylint: disable=redefined-outer-name
    with App() as app, ShiftedEdge(tmp_path, shim, workers=2, boxes=BOXES) as edge:
        edge.command("preview", "create", "box", app.port, "--bearer")
        short, long = Link(edge, "box", app.port, "--expires", "1h"), Link(edge, "box", app.port, "--expires", "30d")
        cookies = [short.open(), long.open()]
        (_, ending), (_, staying) = [upgrade(edge, short.host, [cookie]) for cookie in cookies]
        edge.shift(3 * 3600)
        assert closed_for_policy(ending)
        assert edge.wait_for_line(link=short.id, tunnel=True)["reason"] == "expired"
        for version in ("h1", "h2"):
            assert [ask(version, edge, short.host, fields=[cookie]).status for cookie in cookies] == [401, 200]
            assert refused(short.ask(version), 404, "link_not_found")
        assert short.shown() is None and long.shown() is not None
        edge.shift(TEN_DAYS)  # the session has ended, the link has not
        assert ask("h1", edge, long.host, fields=[cookies[1]]).status == 401 and long.ask().status == 303
        edge.shift(0)
        assert ask("h1", edge, short.host, fields=[cookies[0]]).status == 200  # as a preview, it is back with the clock
        staying.close()


def test_a_hundred_links(edge, app):
    edge.command("preview", "create", "box", app.port, "--bearer")
    made = [Link(edge, "box", app.port) for _ in range(100)]
    done = edge.command("preview", "link", "create", "box", app.port, check=False)
    assert done.returncode == 1 and "100 links" in done.stderr
    made[7].revoke()
    assert Link(edge, "box", app.port).open()


# ---- once

def scan(version, link):
    """A scanner of mail: it opens the address and all that it finds, by GET and HEAD."""
    for method in ("GET", "HEAD"):
        for fields in ((), NAVIGATION, ("Sec-Purpose: prefetch", *NAVIGATION), ("User-Agent: scanner",)):
            answer = link.ask(version, method=method, fields=fields)
            assert answer.status == 200 and answer.all("set-cookie") == [], (method, fields, answer.status)
        link.ask(version, PAGE, method)


@both_versions
def test_once_needs_the_button(edge, preview, version):
    link = Link(edge, "box", preview.app.port, "--once", "--label", "for <you>", "--path", "/one")
    scan(version, link)
    page = link.ask(version, fields=NAVIGATION)
    assert page.get("content-type").startswith("text/html") and b'method="post"' in page.body
    assert link.key.encode() in page.body and b"for &lt;you&gt;" in page.body
    assert page.get("referrer-policy") == "strict-origin" and page.get("cache-control") == "no-store"
    assert "frame-ancestors 'none'" in page.get("content-security-policy") and "form-action 'self'" in page.get("content-security-policy")
    own = f"https://{preview.authority}"
    for fields in (["Origin: https://elsewhere.example"], ["Sec-Fetch-Site: same-site"], ["Origin: null"]):
        assert refused(link.post(version, fields=fields), 403, "cross_site")
    assert link.ask(version, PAGE, "POST", body=b"key=" + link.key.encode()).status == 415
    assert refused(link.post(version, key=link.wrong.split("=")[1]), 404, "link_not_found")
    assert link.shown()["opened"] == 0
    answer = link.post(version, fields=[f"Origin: {own}", "Sec-Fetch-Site: same-origin"])
    assert answer.status == 303 and answer.get("location") == own + "/one" and answer.get("referrer-policy") == "no-referrer"
    cookie = f"Cookie: {COOKIE}={session_in(answer)}"
    assert ask(version, edge, link.host, fields=[cookie]).status == 200
    for answer in (link.ask(version), link.post(version)):
        assert refused(answer, 404, "link_not_found")
    assert link.ask(version, fields=[cookie]).status == 303  # the browser that has used it
    assert link.shown()["opened"] == 1


@both_versions
def test_one_of_many_browsers_wins(edge, preview, version):
    for _ in range(5):
        link = Link(edge, "box", preview.app.port, "--once")
        start, answers = threading.Barrier(6), []

        def race():
            start.wait()
            answers.append(link.post(version))  # noqa: B023  pylint: disable=cell-var-from-loop

        threads = [threading.Thread(target=race) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status for answer in answers) == [303] + 5 * [404]


def test_used_is_used_after_crash_and_restart(tmp_path):
    with App() as app, Edge(tmp_path, workers=1, boxes=BOXES) as edge:
        edge.expect_deaths = True
        edge.command("preview", "create", "box", app.port, "--bearer")
        link, fresh = Link(edge, "box", app.port, "--once"), Link(edge, "box", app.port, "--once")
        cookie = link.open()
        for process in ("controller", "worker"):
            (pid,) = edge.pids(process)
            os.kill(pid, signal.SIGKILL)
            edge.wait_until(lambda process=process, pid=pid: edge.pids(process) not in ([], [pid]), what="a successor")
            assert link.post().status == 404 and ask("h1", edge, link.host, fields=[cookie]).status == 200
        edge.stop()
        edge.start()
        assert link.post().status == 404 and ask("h2", edge, link.host, fields=[cookie]).status == 200
        assert fresh.open()


# ---- read only

@both_versions
def test_reading(edge, preview, version):
    link = Link(edge, "box", preview.app.port, "--read-only")
    cookie = link.open(version)
    overrides = ["X-HTTP-Method-Override: DELETE", "X-HTTP-Method: PUT", "x-method-override: PATCH", "X-Method: kept"]
    for method in ("GET", "HEAD", "OPTIONS"):
        assert ask(version, edge, link.host, "/read", method, [cookie, *overrides]).status == 200
        names = {name.lower() for name, _ in preview.app.seen.pop("/read").fields}
        assert not names & {"x-http-method-override", "x-http-method", "x-method-override"} and "x-method" in names
    for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get"):
        answer = ask(version, edge, link.host, "/write", method, [cookie], b"x")
        assert refused(answer, 405, "link_reads_only") and answer.get("allow") == "GET, HEAD, OPTIONS"
        assert "/write" not in preview.app.seen
    answer, client = upgrade(edge, link.host, [cookie])
    client.close()
    assert answer.status == 403 and b"link_reads_only" in answer.body
    assert edge.wait_for_line(path="/write", reason="link_reads_only", link=link.id)


def test_reading_with_websockets(edge, preview):
    link = Link(edge, "box", preview.app.port, "--read-only", "--allow-websocket")
    cookie = link.open()
    answer, client = upgrade(edge, link.host, [cookie])
    client.close()
    assert answer.status == 101 and ask("h1", edge, link.host, "/", "POST", [cookie], b"x").status == 405


def test_other_links_leave_override_fields(edge, preview, link):
    ask("h1", edge, link.host, "/more", "POST", [link.open(), "X-HTTP-Method-Override: DELETE"], b"x")
    assert preview.app.seen["/more"].get("x-http-method-override") == "DELETE"
