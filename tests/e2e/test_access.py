"""Who may see a preview: every row of the table (access_table.py, docs/access.md), over both versions of HTTP."""

import itertools

import pytest

import access_table
from access_table import KINDS, REQUESTS, VERSIONS, WAYS
from access_world import COOKIE, H2, App, Preview, browser_fields, fields_of, query_of, send_h1
from harness import Edge

BOXES = [{"id": "box", "address": "127.0.0.1"}, {"id": "other", "address": "127.0.0.1"}]


class World:
    """An edge with a preview of each kind, each of a separate app."""

    def __init__(self, directory):
        self.edge = Edge(directory, workers=2, boxes=BOXES)
        self.apps = {kind: App() for kind in KINDS}
        self.previews = {kind: Preview(self.edge, app, kind) for kind, app in self.apps.items()}
        self.count = itertools.count()

    def close(self):
        self.edge.close()
        for app in self.apps.values():
            app.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    running = World(tmp_path_factory.mktemp("access"))
    yield running
    running.close()


def test_the_page_is_current():
    page = access_table.PAGE.read_text()
    assert access_table.with_tables(page) == page, "docs/access.md is stale: tests/e2e/access_table.py --write"


def credentials(fields):
    return sorted((name.lower(), value) for name, value in fields
                  if name.lower() in ("authorization", "x-preview-token", "cookie"))


def expected_at_box(want, preview, one):
    """Credentials that the box is to see: those that stay, and the app's own cookies."""
    fields = []
    for name, value in fields_of(one, preview):
        stays = next((n for n in want.stays if n.lower() == name.lower()), None)
        if name == "Cookie":
            value = "; ".join(piece for piece in value.split("; ") if not piece.startswith(COOKIE + "="))
        elif stays is None:
            continue
        fields.append((name, value))
    return credentials(fields)


def check_answer(answer, want, preview, request, fields):
    assert answer.status == want.status, answer.body[:400]
    challenges = answer.all("www-authenticate")
    assert [c.split(" ")[0] for c in challenges] == list(want.challenges)
    for challenge in challenges:
        assert f'realm="{preview.host}"' in challenge
        assert ('charset="UTF-8"' in challenge) == challenge.startswith("Basic")
    sets = [line for line in answer.all("set-cookie") if line.startswith(COOKIE + "=")]
    assert len(sets) == want.sets_cookie
    if want.reaches_box:
        return
    assert answer.get("cache-control") == "no-store"
    assert answer.get("location") is None or want.status == 303
    origin = dict(fields).get("Origin")
    if want.code and origin:
        assert answer.get("access-control-allow-origin") == origin and answer.get("vary") == "Origin"
    assert not any(secret.encode() in answer.body for secret in preview.secrets)
    if want.status == 303:
        return
    if want.html:
        assert answer.get("content-type").startswith("text/html")
        signs_in = b"<form" in answer.body
        assert signs_in == (want.status == 401 and preview.kind in ("bearer", "both"))
    else:
        assert answer.json["code"] == want.code and answer.json["request_id"] == answer.get("x-request-id")


def check_box(app, path, want, preview, one, request):
    message = app.seen.pop(path, None)
    assert (message is not None) == want.reaches_box, "reached the box" if message else "did not reach the box"
    if message is None:
        return
    sent = expected_at_box(want, preview, one)
    if request == "preflight" and preview.kind != "public":
        sent = []
    assert credentials(message.fields) == sent
    query = message.target.partition("?")[2]
    assert query == "&".join(["a=1", *([query_of(one, preview)] if "query" in want.stays else []), "b=%20"])
    assert len(message.body) == 0 and (message.body_bytes == 3000 if request == "upload" else message.body_bytes == 0)


def check_log(edge, wanted, preview, start):
    """`wanted` is each path's outcome. The log is written in batches, so it is read once."""
    lines = edge.wait_for_line(lambda line: line["path"].split("?")[0] in wanted, start=start, count=len(wanted))
    for line in lines:
        want = wanted.pop(line["path"].split("?")[0])
        assert line["status"] == want.status, line
        assert line.get("reason", "") == want.code, line
        if want.status != 400:
            assert (line["kind"], line["box"], line["port"]) == ("preview", preview.box, preview.app.port), line
        text = str(line)
        assert not any(secret in text for secret in preview.secrets), line
    assert not wanted


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("one", WAYS, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", KINDS)
def test_the_table(world, kind, one, version):
    edge, preview, app = world.edge, world.previews[kind], world.apps[kind]
    client = H2(edge, preview.host) if version == "2" else None
    start, wanted = len(edge.access.lines), {}
    for request, sites in REQUESTS.items():
        for site in sites:
            path = f"/echo/{next(world.count)}"
            target = path + "?" + "&".join(filter(None, ["a=1", query_of(one, preview), "b=%20"]))
            fields = browser_fields(preview, request, site) + fields_of(one, preview)
            want = access_table.expected(kind, one, request, site)
            wanted[path] = want
            try:
                if client:
                    answer = client.send_request(request, target, fields)
                else:
                    answer = send_h1(edge, preview, request, target, fields)
                check_answer(answer, want, preview, request, fields)
                if want.status == 303:
                    assert answer.get("location") == f"https://{preview.authority}{path}?a=1&b=%20"
                    assert answer.get("referrer-policy") == "no-referrer"
                # A refused head is not followed by a request for its body.
                assert answer.continued == (request == "upload" and want.reaches_box)
                check_box(app, path, want, preview, one, request)
            except AssertionError as error:
                raise AssertionError(f"{request} from {site}: {error}") from error
    if client:
        client.sock.close()
    check_log(edge, wanted, preview, start)
