"""The rules of access beside the table: guessing, signing in, links, plain listeners, blocks, tunnels, and answers
about missing previews."""

import contextlib
import itertools
import secrets

import pytest

import wire
from access_world import (COOKIE, H2, SIGN_IN, SIGN_OUT, App, Made, Preview, base64_text, browser_fields, connect, get,
                          preflights_at_once, send_h1, session_in)
from harness import Edge
from test_proxy_protocol import v1

BOXES = [{"id": "box", "address": "127.0.0.1"}, {"id": "other", "address": "127.0.0.1"},
         {"id": "nobody", "address": "127.0.0.1"}]
PAGE = "Accept: text/html"
FRIEND = "https://friend.example"
SOURCES = (f"127.0.{i // 200 + 3}.{i % 200 + 1}" for i in itertools.count())


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    running = Edge(tmp_path_factory.mktemp("rules"), workers=2, boxes=BOXES)
    yield running
    running.close()


@pytest.fixture
def app():
    with App() as running:
        yield running


@pytest.fixture
def bearer(edge, app):
    return Preview(edge, app, "bearer")


@pytest.fixture
def both(edge, app):
    return Preview(edge, app, "both", options=("--allow-origin", FRIEND, "--label", "mine <b>&\""))


@pytest.fixture
def source():
    """A separate address for the client, so that no test locks another out."""
    return next(SOURCES)


def with_token(token):
    return [f"Authorization: Bearer {token}"]


def wrong():
    return with_token(secrets.token_urlsafe(32))


# ---- guessing


def lock(edge, preview, source, count=10):
    for _ in range(count):
        assert get(edge, preview.host, fields=wrong(), source=source).status == 401


def is_locked(answer):
    if answer.status != 429:
        return False
    assert answer.json["code"] == "locked" and 1 <= int(answer.get("retry-after")) <= 60
    return True


def test_the_tenth_wrong_secret_locks(edge, bearer, source):
    right = with_token(bearer.made.token)
    lock(edge, bearer, source, 9)
    assert get(edge, bearer.host, fields=right, source=source).status == 200
    lock(edge, bearer, source, 1)
    # From here on, right and wrong secrets are refused alike, on every worker, however they are shown.
    for _ in range(6):
        assert is_locked(get(edge, bearer.host, fields=right, source=source))
        assert is_locked(get(edge, bearer.host, fields=wrong(), source=source))
    assert is_locked(get(edge, bearer.host, fields=[f"X-Preview-Token: {bearer.made.token}"], source=source))
    a, b = (get(edge, bearer.host, fields=shown, source=source) for shown in (right, wrong()))
    hide = {"x-request-id", "date", "retry-after"}
    assert [f for f in a.fields if f[0] not in hide] == [f for f in b.fields if f[0] not in hide]
    assert a.json | {"request_id": ""} == b.json | {"request_id": ""}
    form = get(edge, bearer.host, SIGN_IN, ["Content-Type: application/x-www-form-urlencoded"], "POST",
               b"token=" + bearer.made.token.encode(), source)
    assert form.status == 429 and not form.all("set-cookie")
    link = get(edge, bearer.host, f"/?preview_token={bearer.made.token}", [PAGE], source=source)
    assert link.status == 429 and not link.all("set-cookie")
    # Sessions continue, requests without credentials are as before, and no other client is affected.
    assert get(edge, bearer.host, fields=[f"Cookie: {COOKIE}={bearer.cookie}"], source=source).status == 200
    assert get(edge, bearer.host, source=source).status == 401
    assert get(edge, bearer.host, fields=right, source=next(SOURCES)).status == 200
    assert get(edge, edge.host(bearer.app, "other"), fields=with_token(bearer.other.token), source=source).status == 200
    # New credentials make a new preview.
    again = Made(edge, "box", bearer.app.port, "bearer")
    assert get(edge, bearer.host, fields=with_token(again.token), source=source).status == 200


def test_what_does_not_count(edge, both, source):
    repeated = wrong()
    shown = [repeated] * 15 + [[]] * 5 + [["Authorization: Token x"]] * 5
    shown += [[f"Cookie: {COOKIE}=v1.{i}.x"] for i in range(15)]
    shown += [[f"Authorization: Basic {'x' * i}"] for i in range(12)]  # no user and password
    for fields in shown:
        assert get(edge, both.host, fields=fields, source=source).status == 401
    assert get(edge, both.host, fields=with_token(both.made.token), source=source).status == 200


def embedded(dest, site="cross-site"):
    return [PAGE, f"Sec-Fetch-Mode: {'navigate' if dest == 'iframe' else 'no-cors'}", f"Sec-Fetch-Dest: {dest}",
            f"Sec-Fetch-Site: {site}"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_others_lock_no_visitor_out(edge, both, source, site):
    """Frames and images with wrong tokens lock frames and images out, and not the person who looks at
    them."""
    for i in range(11):
        get(edge, both.host, f"/?preview_token=wrong-{i}", embedded("iframe", site), source=source)
        get(edge, both.host, fields=[*embedded("image", site), f"Authorization: Bearer also-{i}"], source=source)
    frame = get(edge, both.host, f"/?preview_token={both.made.token}", embedded("iframe", site), source=source)
    assert frame.status == 429 and b"wrong credentials" in frame.body
    link = get(edge, both.host, f"/?preview_token={both.made.token}", [PAGE], source=source)
    assert link.status == 303 and session_in(link.all("set-cookie"))
    assert get(edge, both.host, fields=with_token(both.made.token), source=source).status == 200
    # A lockout applies to requests from frames too.
    lock(edge, both, source)
    assert is_locked(get(edge, both.host, fields=[*embedded("empty", site)[1:], *with_token(both.made.token)], source=source))


def test_a_frame_is_judged_as_ever(edge, both, source):
    assert get(edge, both.host, "/?preview_token=wrong", embedded("iframe"), source=source).status == 401
    answer = get(edge, both.host, f"/?preview_token={both.made.token}", embedded("iframe"), source=source)
    assert answer.status == 303 and session_in(answer.all("set-cookie"))


def test_every_kind_of_secret_counts(edge, both, source):
    tries = [wrong(), ["Authorization: Basic " + base64_text("user:" + secrets.token_hex(8))],
             [f"X-Preview-Token: {secrets.token_hex(8)}"]]
    for fields in tries * 2:
        fields = [f + secrets.token_hex(2) if "Basic" not in f else "Authorization: Basic " +
                  base64_text("user:" + secrets.token_hex(8)) for f in fields]
        assert get(edge, both.host, fields=fields, source=source).status == 401
    for i in range(2):
        assert get(edge, both.host, f"/?preview_token={secrets.token_hex(8)}", [PAGE], source=source).status == 401
    for form in (f"token={secrets.token_hex(8)}", f"username=user&password={secrets.token_hex(8)}"):
        answer = get(edge, both.host, SIGN_IN, ["Content-Type: application/x-www-form-urlencoded"], "POST", form.encode(), source)
        assert answer.status == 401
    assert is_locked(get(edge, both.host, fields=with_token(both.made.token), source=source))


def test_ipv6_counts_by_64(make_edge, app):
    edge = make_edge(workers=2, start=False)
    for listener in edge.config["listeners"]:
        listener["proxy_protocol"] = True
    edge.start()
    made = Made(edge, "box", app.port, "bearer")
    host = edge.host(app)

    def ask(client, fields):
        with contextlib.closing(edge.socket("plain")) as sock:
            sock.sendall(v1(client))
            lines = ["GET /echo HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
            return wire.Stream(sock).request("\r\n".join(lines).encode() + b"\r\n\r\n").status

    assert {ask(f"2001:db8:1:2::{i:x}", wrong()) for i in range(10)} == {401}
    assert ask("2001:db8:1:2:ffff::1", with_token(made.token)) == 429
    assert ask("2001:db8:1:3::1", with_token(made.token)) == 200
    # IPv4 counts by address.
    assert {ask("192.0.2.1", wrong()) for _ in range(10)} == {401}
    assert (ask("192.0.2.1", with_token(made.token)), ask("192.0.2.2", with_token(made.token))) == (429, 200)


# ---- the cost of a refusal


def test_a_refused_request_connects_to_no_box(edge, app):
    preview = Preview(edge, app, "both")
    connections = len(app.connections)
    for request in ("fetch", "navigation", "upload", "upgrade"):
        assert send_h1(edge, preview, request, "/echo", browser_fields(preview, request, "own")).status == 401
    assert len(app.connections) == connections


@pytest.mark.parametrize("expect", [True, False])
def test_a_refused_upload_costs_no_body(edge, bearer, expect):
    """A client that sends its body anyway sees the answer, then an end; over HTTP/2 its neighbours
    continue."""
    head = (f"POST /echo HTTP/1.1\r\nHost: {bearer.host}\r\nContent-Length: 100000000\r\n"
            + ("Expect: 100-continue\r\n" if expect else "") + "\r\n").encode()
    with connect(edge, bearer.host) as client:
        client.send(head)
        answer = client.read_message(request_method="POST")
        assert answer.status == 401
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                client.send(b"x" * 65536)
        assert client.wait_closed() in ("eof", "reset")
    with H2(edge, bearer.host) as client:
        stream = client.request("/echo", "POST", [("content-length", "100000000")], end=False)
        answer = client.finish(stream)
        assert answer.status == 401 and not answer.informational
        assert client.get("/echo", fields=[("authorization", f"Bearer {bearer.made.token}")]).status == 200


# ---- signing in


@pytest.mark.parametrize("form", ["token", "password"])
def test_the_form(edge, both, form):
    made = both.made
    values = {"token": made.token} if form == "token" else {"username": made.user, "password": made.password}
    answer = both.post_form(values | {"next": "/a/b?c=%20d&e=//f"}, fields=[f"Origin: https://{both.authority}"])
    assert answer.status == 303 and answer.get("location") == f"https://{both.authority}/a/b?c=%20d&e=//f"
    assert answer.get("cache-control") == "no-store" and answer.get("referrer-policy") == "no-referrer"
    session = session_in(answer.all("set-cookie"))
    assert get(edge, both.host, fields=[f"Cookie: {COOKIE}={session}"]).status == 200
    assert not any(path.startswith("/.well-known") for path in both.app.seen)


@pytest.mark.parametrize("values", [
    {"token": "wrong"}, {"token": ""}, {}, {"username": "user"}, {"username": "user", "password": "wrong"},
    {"password": "{password}"}, {"username": "{password}", "password": "user"}, {"username": "user:{password}"},
    {"token": "{password}"}, {"username": "user", "password": "{token}"}, {"Token": "{token}"}])
def test_a_wrong_form_shows_the_page_again(both, values):
    made = {"password": both.made.password, "token": both.made.token}
    answer = both.post_form({k: v.format(**made) for k, v in values.items()} | {"next": '/x"><b>'}, fields=[PAGE])
    assert answer.status == 401 and not answer.all("set-cookie")
    assert b'role="alert"' in answer.body and b'<form method="post"' in answer.body
    assert b'"><b>' not in answer.body and b"mine &lt;b&gt;&amp;&quot;" in answer.body
    for value in made.values():
        assert value.encode() not in answer.body


@pytest.mark.parametrize("next_path", [
    "//elsewhere.example/", "/\\elsewhere.example", "\\\\elsewhere.example", "https://elsewhere.example/", "elsewhere",
    "", "/a\r\nX: y", "/\t/elsewhere.example", "javascript:alert(1)", "/%", "/ä", "/" + "x" * 5000])
def test_a_form_leads_nowhere_else(edge, bearer, next_path):
    answer = bearer.post_form({"token": bearer.made.token, "next": next_path})
    assert answer.status == 303
    location = answer.get("location")
    own = f"https://{bearer.authority}/"
    assert location == own or (next_path == "/%" and location == own + "%")
    assert answer.get("x") is None


FOREIGN = [["Origin: https://elsewhere.example"], ["Origin: null"], ["Sec-Fetch-Site: cross-site"],
           ["Sec-Fetch-Site: same-site"], ["Origin: OTHER", "Sec-Fetch-Site: same-site"],
           ["Origin: http://OWN"], [f"Origin: {FRIEND}"]]


@pytest.mark.parametrize("path", [SIGN_IN, SIGN_OUT])
@pytest.mark.parametrize("fields", FOREIGN)
def test_forms_of_other_sites_are_refused(edge, both, fields, path):
    other = browser_fields(both, "fetch", "other")
    fields = [f.replace("OTHER", dict(other)["Origin"]).replace("OWN", both.authority) for f in fields]
    answer = both.post_form({"token": both.made.token}, path, fields)
    assert answer.status == 403 and answer.json["code"] == "cross_site" and not answer.all("set-cookie")


def test_forms_of_other_kinds_are_refused(edge, bearer):
    body = f"token={bearer.made.token}".encode()
    for kind, status in (("text/plain", 415), ("application/json", 415), ("multipart/form-data; boundary=x", 415),
                         ("application/x-www-form-urlencodedx", 415),
                         ("application/x-www-form-urlencoded; charset=utf-8", 303)):
        assert get(edge, bearer.host, SIGN_IN, [f"Content-Type: {kind}"], "POST", body).status == status
    assert get(edge, bearer.host, SIGN_IN, [], "POST", body).status == 415
    assert bearer.post_form({"token": bearer.made.token, "x": "y" * 10000}).status == 413


def test_the_reserved_paths(edge, both):
    for path in (SIGN_IN, SIGN_OUT):
        page = get(edge, both.host, path, [PAGE])
        assert page.status == 200 and b"<form" in page.body and page.get("cache-control") == "no-store"
        assert get(edge, both.host, path, [PAGE], "HEAD").status == 200
        assert get(edge, both.host, path, [], "PUT").status == 405
    for path in ("/.well-known/boxedge/", "/.well-known/boxedge/x", SIGN_IN + "/", "/.well-known/boxedge/sign-in%20"):
        assert get(edge, both.host, path, with_token(both.made.token)).status == 404
    # Other well-known paths are the app's.
    assert get(edge, both.host, "/.well-known/other", with_token(both.made.token)).status == 200
    assert list(both.app.seen)[-1:] == ["/.well-known/other"]


def test_signing_out(edge, bearer):
    answer = bearer.post_form({}, SIGN_OUT, [f"Origin: https://{bearer.authority}", f"Cookie: {COOKIE}={bearer.cookie}"])
    assert answer.status == 303 and answer.get("location") == f"https://{bearer.authority}/"
    (line,) = answer.all("set-cookie")
    pieces = [piece.strip() for piece in line.split(";")]
    assert pieces[0] == f"{COOKIE}=" and "Max-Age=0" in pieces and {"Path=/", "Secure", "Partitioned"} <= set(pieces)


def test_signing_out_of_a_preview_with_a_password_only(edge, app):
    """The right Basic credentials on a page set the session too."""
    basic = Preview(edge, app, "basic")
    assert basic.cookie and basic.post_form({}, SIGN_OUT).status == 303
    password = "Authorization: Basic " + base64_text(basic.made.basic)
    assert [get(edge, basic.host, fields=[password, *more]).get("cache-control") for more in ([PAGE], [])] == ["private", None]
    assert get(edge, basic.host, SIGN_IN, [PAGE]).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path,left", [
    ("/?preview_token=T", "/"), ("/a%2Fb?x=%20&preview_token=T&y", "/a%2Fb?x=%20&y"), ("/?%70review%5Ftoken=T&a", "/?a"),
    ("//elsewhere.example/?preview_token=T", None), ("/\\elsewhere.example?preview_token=T", None),
    ("/?preview_token=T&preview_token=wrong", "/"), ("/?a=preview_token=T&preview_token=T", "/?a=preview_token=T")])
def test_links(edge, bearer, path, left, method):
    answer = get(edge, bearer.host, path.replace("T", bearer.made.token), [PAGE], method)
    if left is None:
        # Never to another host, however browsers read the path.
        assert answer.status == 400 or answer.get("location") == f"https://{bearer.authority}/"
        return
    assert answer.status == 303 and session_in(answer.all("set-cookie")) and answer.body.find(bearer.made.token.encode()) < 0
    assert answer.get("location") == f"https://{bearer.authority}" + left.replace("T", bearer.made.token)


def test_a_wrong_link_makes_no_session_longer(edge, bearer):
    session = f"Cookie: {COOKIE}={bearer.cookie}"
    for token, renewed in (("wrong", False), (bearer.made.token, True)):
        answer = get(edge, bearer.host, f"/x?preview_token={token}&y", [PAGE, session])
        assert answer.status == 303 and answer.get("location") == f"https://{bearer.authority}/x?y"
        assert bool(answer.all("set-cookie")) == renewed


def test_no_secret_in_a_query_is_logged(edge, bearer):
    for path, logged in ((f"{SIGN_IN}?token=SECRET", f"{SIGN_IN}?***"), ("/x1?token=SECRET&a=b", "/x1?token=***&a=b"),
                         ("/x2?X-Box-Api-Key=SECRET", "/x2?X-Box-Api-Key=***")):
        for kind in ("tls", "plain", "redirect"):
            answer = get(edge, bearer.host, path, [PAGE], kind=kind)
            line = edge.wait_for_line(status=answer.status, path=logged, tls=kind == "tls")
            assert "SECRET" not in str(line)
    # Refused before it is parsed.
    for refused in (b"GET /x3?token=SECRET HTTP/1.1\r\n\r\n", b"GET /x4?token=SECRET HTTP/1.1\r\nHost: a b\r\n\r\n",
                    b"GET https://u:SECRET@%s/x5?token=SECRET HTTP/1.1\r\nHost: %s\r\n\r\n" % ((bearer.host.encode(),) * 2),
                    b"GET /x6?token=SECRET HTTP/3.9\r\nHost: x\r\n\r\n"):
        seen = len(edge.access.lines)
        with connect(edge, bearer.host, kind="plain") as client:
            assert client.request(refused).status in (400, 421, 505)
        edge.wait_for_line(start=seen)
    assert "SECRET" not in str(edge.access.lines) + str(edge.stderr.lines)


@pytest.mark.parametrize("kind", ["tls", "plain", "redirect"])
def test_no_box_proves_that_it_owns_its_host(edge, app, kind):
    host = edge.create_preview(app)
    for path in ("/.well-known/acme-challenge/token", "/.well-known/acme-challenge", "/.well-known/acme-challenge/a?b",
                 "/.Well-Known/ACME-Challenge/token", "/.well-known/pki-validation/fileauth.txt"):
        answer = get(edge, host, path, kind=kind)
        assert (answer.status, answer.json["code"]) == (404, "not_found"), path
    assert not app.seen
    if kind != "redirect":
        assert get(edge, host, "/.well-known/acme-challenger", kind=kind).status == 200
    assert get(edge, host, "/.well-known/acme-challenge/x", [PAGE], kind=kind).status == 404


def test_signing_in_can_be_found_in_the_log(edge, bearer):
    """The page, the form's answer and the sign-out page show their request id."""
    answers = [get(edge, bearer.host, fields=[PAGE]), bearer.post_form({"token": bearer.made.token, "next": "/"}),
               get(edge, bearer.host, SIGN_OUT)]
    assert [answer.status for answer in answers] == [401, 303, 200]
    for answer in answers:
        assert edge.wait_for_line(request_id=answer.get("x-request-id"))["status"] == answer.status


def test_two_tokens_are_judged_by_the_first(edge, bearer, source):
    right, other = f"X-Preview-Token: {bearer.made.token}", "X-Preview-Token: wrong"
    assert get(edge, bearer.host, fields=[right, other], source=source).status == 200
    assert get(edge, bearer.host, fields=[other, right], source=source).status == 401
    assert "wrong" not in str(bearer.app.seen["/"].fields)


# ---- other origins


@pytest.mark.parametrize("referer, form", [
    (FRIEND + "/a?b", True), (FRIEND, True), (None, True), ("https://elsewhere.example/", False),
    (FRIEND + ".example/", False), (FRIEND + ":444/", False), ("http:" + FRIEND[6:], False), ("x", False)])
def test_a_frame_elsewhere_offers_a_tab(edge, both, referer, form):
    """If some origins may frame the page, other origins get no form either: their browsers would not show
    it."""
    fields = [PAGE, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: cross-site"]
    answer = get(edge, both.host, "/inside", fields + ([f"Referer: {referer}"] if referer else []))
    assert answer.status == 401 and (b"<form" in answer.body) == form
    assert (b'href="/inside" target="_blank"' in answer.body) != form
    assert ("frame-ancestors" in answer.get("content-security-policy")) == form


def test_a_page_that_keeps_its_referrer_back(edge, both):
    """Its own forms send "Origin: null"; Sec-Fetch-Site, which no script can set, proves that they are its
    own."""
    session = f"Cookie: {COOKIE}={both.cookie}"
    for site, status in (("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("none", 403), (None, 403)):
        fields = [session, "Origin: null", *([f"Sec-Fetch-Site: {site}"] if site else [])]
        assert get(edge, both.host, "/echo", fields, "POST", b"a=b").status == status, site
        form = both.post_form({"token": both.made.token, "next": "/"}, fields=fields[1:])
        assert form.status == (303 if status == 200 else 403), site


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_origins_that_are_allowed(edge, both, version):
    cookie = ("Cookie", f"{COOKIE}={both.cookie}")
    for origin, opens in ((FRIEND, True), (FRIEND.upper(), True), (FRIEND + ":444", False), ("http://friend.example", False),
                          ("https://friend.example.evil", False), ("https://notfriend.example", False), ("null", False)):
        for request in ("fetch", "upload", "upgrade"):
            fields = [("Origin", origin), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors"), cookie]
            if version == "2":
                with H2(edge, both.host) as client:
                    answer = client.send_request(request, "/echo", fields)
            else:
                answer = send_h1(edge, both, request, "/echo", fields)
            assert answer.status in ((200, 101) if opens else (403,)), (origin, request)
    policy = get(edge, both.host, fields=[PAGE]).get("content-security-policy")
    assert f"frame-ancestors 'self' {FRIEND}" in policy and "form-action 'self'" in policy


EXPOSED = ("Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
           "X-Request-Id")


def test_every_answer_of_the_edge_can_be_read_by_scripts(edge, both, source):
    """With its fields; and with credentials from the origins on the preview's list."""
    nobody, redirected = both.host.replace("box-", "no-such-"), {"kind": "redirect"}
    for host, path, fields, status, more in (
            (both.host, "/", [], 401, {}), (both.host, "/", [PAGE], 401, {}),
            (both.host, "/", [f"Cookie: {COOKIE}={both.cookie}", "Sec-Fetch-Site: cross-site"], None, {}),
            (both.host, "/.well-known/boxedge/none", [], 404, {}), (both.host, SIGN_IN, [], 200, {}),
            (both.host, SIGN_IN, [], 405, {"method": "PUT"}), (both.host, SIGN_IN, [], 403, {"method": "POST", "body": b"x"}),
            (both.host, f"/?preview_token={both.made.token}", [PAGE], 303, {}),
            (both.host, "/.well-known/boxedge/wake", with_token(both.made.token), 200, {}),
            (nobody, "/", [], 404, {}), (both.host, "/", [], 308, redirected),
            (both.host, "/", with_token("x"), 403, redirected), (both.host, "/.well-known/acme-challenge/x", [], 404, {})):
        for origin in (FRIEND, "https://elsewhere.example", "null", None):
            answer = get(edge, host, path, [*fields, *([f"Origin: {origin}"] if origin else [])], source=source, **more)
            if status is None and answer.status == 200:
                continue  # of the app, which decides
            assert answer.status == (status or 403) or (origin is None and answer.status in (303, 401, 415)), (path, origin)
            allowed = origin == FRIEND and host == both.host
            assert answer.get("access-control-allow-origin") == origin, (path, origin)
            assert answer.get("access-control-expose-headers") == (EXPOSED if origin else None), (path, origin)
            assert answer.get("access-control-allow-credentials") == ("true" if allowed else None), (path, origin)
            assert ("Origin" in answer.all("vary")) == bool(origin)
            assert answer.get("x-request-id") and answer.get("cache-control") == "no-store"


def test_preflights_are_bounded(edge, app, source):
    """One client may send many, and no flood; others are not affected."""
    preview = Preview(edge, app, "bearer")
    assert preflights_at_once(edge, preview.host, 125, source=source) == [200] * 100 + [429] * 25
    assert preflights_at_once(edge, preview.host, 1, source=next(SOURCES)) == [200]


def test_a_field_that_held_the_session_only_goes_with_it(edge, bearer):
    assert get(edge, bearer.host, "/echo", [f"Cookie: {COOKIE}={bearer.cookie}"]).status == 200
    assert bearer.app.seen["/echo"].get("cookie") is None


def test_a_preflight_shows_no_body(edge, bearer):
    """Apps that ignore the method answer it with the content of a GET."""
    fields = browser_fields(bearer, "preflight", "cross")
    paths = {"/echo": "application/json", "/bytes?n=300000": "application/octet-stream", "/bytes?n=300000&trailer=1": "application/octet-stream",
             "/sse?n=100000": "text/event-stream"}
    with H2(edge, bearer.host) as client:
        for path, kind in paths.items():
            for answer in (send_h1(edge, bearer, "preflight", path, fields), client.send_request("preflight", path, fields)):
                assert (answer.status, answer.get("content-type"), answer.body) == (200, kind, b"")


# ---- without TLS


def test_a_plain_listener_takes_secrets_but_no_sessions(edge, both):
    plain = lambda path="/", fields=(), **kw: get(edge, both.host, path, fields, kind="plain", **kw)  # noqa: E731
    made = both.made
    assert plain(fields=with_token(made.token)).status == 200
    assert plain(fields=[f"X-Preview-Token: {made.token}"]).status == 200
    page = plain(fields=[PAGE, "Authorization: Basic " + base64_text(made.basic)])
    assert page.status == 200 and not page.all("set-cookie")
    assert plain(fields=[f"Cookie: {COOKIE}={both.cookie}"]).status == 401
    page = plain(fields=[PAGE])
    assert page.status == 401 and b"<form" not in page.body and b"https" in page.body
    assert plain(f"/x?preview_token={made.token}", [PAGE]).status == 401
    assert plain(f"/x?preview_token={made.token}&a", with_token(made.token)).status == 200
    assert both.app.seen["/x"].target == "/x?a"
    for path in (SIGN_IN, SIGN_OUT):
        answer = both.post_form({"token": made.token}, path, kind="plain")
        assert answer.status == 403 and answer.json["code"] == "tls_required" and not answer.all("set-cookie")


# ---- disclosures


def bytes_of(answer):
    return [f for f in answer.fields if f[0] not in ("x-request-id", "date")], answer.body.replace(
        (answer.get("x-request-id") or "-").encode(), b"ID").replace(b"<wbr>", b"")  # where a name may break


@pytest.mark.parametrize("fields", [[], [PAGE], ["Authorization: Bearer x"], ["Origin: https://a.example"]])
def test_previews_that_are_not_there_answer_alike(edge, app, fields):
    edge.command("preview", "create", "box", app.port, "--bearer", "--expires", "1s")
    host = edge.host(app)
    edge.wait_until(lambda: get(edge, host).status == 404, what="the expiry")
    edge.command("preview", "create", "nowhere", app.port, check=False)
    hosts = [host, edge.host(app, "nobody"), edge.host(app, "nowhere"), edge.host(1), f"no-such-{app.port}.{host.split('.', 1)[1]}"]
    answers = [get(edge, h, "/x", fields) for h in hosts]
    assert {a.status for a in answers} == {404}
    same = [(f, body.replace(h.encode(), b"HOST").replace(b"%d" % len(body), b"N")) for (f, body), h in zip(map(bytes_of, answers), hosts)]
    for fields_of_one, body in same:
        assert body == same[0][1]
        assert [k for k, _ in fields_of_one] == [k for k, _ in same[0][0]]
    if PAGE not in fields:
        assert len({str(bytes_of(a)) for a in answers}) == 1 and answers[0].json["code"] == "preview_not_found"


# ---- blocks and tunnels


def open_tunnel(edge, preview, source=None):
    client = connect(edge, preview.host, source)
    lines = ["GET /ws HTTP/1.1", f"Host: {preview.host}:{edge.port['tls']}", "Connection: Upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *with_token(preview.made.token)]
    assert client.request("\r\n".join(lines).encode() + b"\r\n\r\n").status == 101
    return client


def closed_for_policy(client):
    """Whether a Close frame with 1008 came, and then the end."""
    data = client.read_to_end()
    return data[:1] == b"\x88" and int.from_bytes(data[2:4], "big") == 1008


@pytest.mark.parametrize("what", ["box", "preview", "cidr"])
def test_blocks(edge, bearer, source, what):
    value = {"box": "box", "preview": f"box-{bearer.app.port}", "cidr": source + "/32"}[what]
    right = with_token(bearer.made.token)
    tunnels = [open_tunnel(edge, bearer, source) for _ in range(4)]
    assert get(edge, bearer.host, fields=right, source=source).status == 200
    assert get(edge, bearer.host, source=source, kind="redirect").status == 308
    edge.command("block", what, value)
    try:
        answer = get(edge, bearer.host, source=source, kind="redirect")
        assert answer.status == 403 and answer.json["code"] == "blocked"
        for fields in (right, [], wrong(), [f"Cookie: {COOKIE}={bearer.cookie}"]):
            for _ in range(3):
                answer = get(edge, bearer.host, fields=fields, source=source)
                assert answer.status == 403 and answer.json["code"] == "blocked"
        assert get(edge, bearer.host, fields=[PAGE], source=source).get("content-type").startswith("text/html")
        assert bearer.post_form({"token": bearer.made.token}).status == (303 if what == "cidr" else 403)
        assert all(closed_for_policy(tunnel) for tunnel in tunnels)
        if what != "box":
            other = edge.host(bearer.app, "other")
            fields = with_token(bearer.other.token)
            assert get(edge, other, fields=fields, source=source).status == (403 if what == "cidr" else 200)
        assert get(edge, bearer.host, fields=right, source=next(SOURCES)).status == (200 if what == "cidr" else 403)
        assert edge.wait_for_line(status=403, reason="blocked")
    finally:
        edge.command("unblock", what, value)
    assert get(edge, bearer.host, fields=right, source=source).status == 200


@pytest.mark.parametrize("command", ["create", "delete"])
def test_open_tunnels_stay_unless_they_are_to_end(edge, bearer, command):
    kept = open_tunnel(edge, bearer)
    if command == "create":
        bearer.made = Made(edge, "box", bearer.app.port, "bearer")
        assert kept.is_silent(0.3)
        more = [open_tunnel(edge, bearer) for _ in range(4)]
        Made(edge, "box", bearer.app.port, "bearer", "--kill-tunnels")
    else:
        more = []
        edge.command("preview", "delete", "box", bearer.app.port, "--kill-tunnels")
    assert all(closed_for_policy(tunnel) for tunnel in [kept, *more])
