"""The effect of the admin API and the commands on access to previews: new and replaced credentials, expiry, blocks.
test_access.py judges requests."""

import base64
import contextlib
import hashlib
import json
import os
import re
import threading

import pytest

import harness
from admin_access import admin, bearer, block, found_in_memory  # noqa: F401 (fixtures)
from admin_api import Admin

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def basic(password, user="user"):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def statuses(edge, host, *fields, count=12):
    """For that many requests on separate connections: both workers get some."""
    return {edge.get(host, fields=fields).status for _ in range(count)}


# ---- credentials


def test_secrets_are_made_once_and_open_the_preview(edge, admin, origin):
    host = edge.host(origin)
    status, fields, made = admin.create("box", origin.port, bearer=True, basic=True, label="my bird \U0001f426",
                                        allow_origins=["HTTPS://App.Example:443", "http://b:3000"], expires_in=3600)
    assert status == 201 and fields["Cache-Control"] == "no-store"
    token, password = made.pop("token"), made.pop("password")
    assert made.pop("username") == "user"
    assert SECRET.fullmatch(token) and SECRET.fullmatch(password) and token != password
    assert made["bearer_token"] is True and made["basic_auth"] is True and made["label"] == "my bird \U0001f426"
    assert made["allow_origins"] == ["https://app.example", "http://b:3000"]
    assert made["expires_at"] == made["created_at"] + 3600
    assert statuses(edge, host) == {401}
    assert statuses(edge, host, bearer(token)) == statuses(edge, host, basic(password)) == {200}
    assert statuses(edge, host, bearer(password), count=1) == {401}
    # Lists show the kind of credentials and no secret.
    listed = [p for p in admin.previews("?box=box")["previews"] if p["port"] == origin.port]
    assert listed == [made]
    for text in (json.dumps(listed), edge.command("preview", "list"), "\n".join(edge.stderr.lines)):
        assert token not in text and password not in text
        assert hashlib.sha256(token.encode()).hexdigest() not in text


def test_public_previews_have_no_secrets(admin, origin):
    made = admin.create("box", origin.port)[2]
    assert made["bearer_token"] is False and made["basic_auth"] is False
    assert not {"token", "username", "password", "label", "expires_at", "allow_origins"} & made.keys()


def test_creating_again_replaces_the_credentials_at_once(edge, admin, origin):
    host = edge.host(origin)
    old = admin.create("box", origin.port, bearer=True)[2]["token"]
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n{bearer(old)}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(edge.connect()) for _ in range(8)]
        assert {client.request(request).status for client in clients} == {200}
        new = admin.create("box", origin.port, bearer=True)[2]["token"]
        # On connections from before, and on every worker.
        assert {client.request(request).status for client in clients} == {401}
        assert statuses(edge, host, bearer(new)) == {200}
        assert admin.create("box", origin.port, public=True)[0] == 201
        assert {client.request(request).status for client in clients} == {200}  # public now
        assert admin.call("DELETE", f"/v1/previews/box/{origin.port}")[0] == 200
        assert {client.request(request).status for client in clients} == {404}


def test_no_answered_change_is_late(edge, origin):
    """Right after each acknowledgement every worker judges by the new credential, while others keep them
    busy."""
    host = edge.host(origin)
    admin, done = Admin(edge.admin_socket), threading.Event()
    admin.create("box", origin.port, bearer=True)

    def keep_busy():
        with edge.connect() as client:
            request = f"GET / HTTP/1.1\r\nHost: {host}\r\n{bearer('x' * 43)}\r\n\r\n".encode()
            while not done.is_set():
                client.request(request)

    busy = [threading.Thread(target=keep_busy) for _ in range(2)]
    for thread in busy:
        thread.start()
    try:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(edge.connect()) for _ in range(6)]
            old = None
            for _ in range(60):
                new = admin.create("box", origin.port, bearer=True)[2]["token"]
                for client in clients:
                    def ask(token, client=client):
                        return client.request(
                            f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Preview-Token: {token}\r\n\r\n".encode()).status
                    # The other threads' wrong secrets may have locked their address: then the new one waits
                    # too.
                    assert ask(new) in (200, 429)
                    assert old is None or ask(old) in (401, 429)
                old = new
    finally:
        done.set()
        for thread in busy:
            thread.join()


@pytest.mark.parametrize(
    "more, word",
    [
        ({"bearer": 1}, "bearer"),
        ({"bearer": None}, "bearer"),
        ({"basic": "yes"}, "basic"),
        ({"kill_tunnels": 1}, "kill_tunnels"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": 1.5}, "expires_in"),
        ({"expires_in": "2h"}, "expires_in"),
        ({"expires_in": 1 << 60}, "expires_in"),
        ({"label": 1}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"label": "\u202e"}, "label"),
        ({"label": "x" * 129}, "128"),
        ({"allow_origins": "https://a"}, "allow_origins"),
        ({"allow_origins": [1]}, "allow_origins"),
        ({"allow_origins": ["https://a/"]}, "allow_origins"),
        ({"allow_origins": ["*"]}, "allow_origins"),
        ({"allow_origins": ["null"]}, "allow_origins"),
        ({"allow_origins": ["https://a", "https://" + "b" * 500]}, "512"),
        ({"bearer_sha256": "x"}, "bearer_sha256"),
        ({"token": "mine"}, "token"),
    ],
)
def test_what_a_preview_may_not_carry(admin, more, word):
    before = admin.previews()
    status, _, body = admin.create("box", 4100, **more)
    assert status == 400 and word in body["error"] and "token" not in body
    assert admin.previews() == before


def test_labels_and_origins_at_their_bounds(admin):
    origins = ["https://" + "a" * 200, "https://" + "b" * 200, "https://" + "c" * 86]
    status, _, made = admin.create("box", 4101, label="x" * 128, allow_origins=origins, expires_in=315360000)
    assert status == 201 and made["label"] == "x" * 128 and made["allow_origins"] == origins
    assert admin.create("box", 4101, allow_origins=[*origins, "http://d"])[0] == 400
    assert [p for p in admin.previews()["previews"] if p["port"] == 4101] == [made]


def test_an_expired_preview_is_gone(edge, admin, origin):
    host = edge.host(origin)
    assert admin.create("box", origin.port, expires_in=2)[0] == 201
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with edge.connect() as client:
        assert client.request(request).status == 200
        edge.wait_until(lambda: client.request(request).status == 404, what="the expiry")
        never = edge.get(f"box-4444.{harness.DOMAIN}")
        assert statuses(edge, host) == {404}
        gone = json.loads(client.request(request).body)
        assert {**gone, "request_id": ""} == {**json.loads(never.body), "request_id": ""}
    assert not [p for p in admin.previews()["previews"] if p["port"] == origin.port]
    assert admin.create("box", origin.port)[0] == 201
    assert statuses(edge, host) == {200}


def test_everything_survives_the_death_of_everything(make_edge, origin):
    edge = make_edge(workers=1)
    edge.expect_deaths = True
    host = edge.host(origin)
    admin = Admin(edge.admin_socket)
    made = admin.create("box", origin.port, bearer=True, basic=True, label="x", allow_origins=["https://a"],
                        expires_in=86400)[2]
    assert admin.call("POST", "/v1/blocks", {"kind": "box", "value": "evil"})[0] == 201
    edge.kill()
    edge.start()
    admin = Admin(edge.admin_socket)
    (found,) = admin.previews()["previews"]
    assert found == {k: v for k, v in made.items() if k not in ("token", "username", "password")}
    assert statuses(edge, host, bearer(made["token"])) == statuses(edge, host, basic(made["password"])) == {200}
    assert statuses(edge, host) == {401}
    assert [b["value"] for b in admin.call("GET", "/v1/blocks")[2]["blocks"]] == ["evil"]
    assert edge.get(edge.host(80, "evil")).status == 403


@pytest.mark.skipif(harness.SANITIZED, reason="the sanitizer's own memory is not ours to cleanse")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read another process's memory")
def test_answered_secrets_are_gone_from_memory(make_edge):
    edge = make_edge(workers=1)
    admin = Admin(edge.admin_socket)
    secrets = set()
    for port in range(1, 20):
        made = admin.create("box", port, bearer=True, basic=True)[2]
        secrets |= {made["token"].encode(), made["password"].encode()}
    assert admin.previews()["previews"]  # the last answer's exchange has ended
    (controller,) = edge.pids("controller")
    assert found_in_memory(controller, secrets | {harness.DOMAIN.encode()}) == {harness.DOMAIN.encode()}


# ---- blocks


def test_blocks_have_one_text(admin):
    assert block(admin, "box", "my-box")["value"] == "my-box"
    assert block(admin, "preview", "My-Box-3000")["value"] == "my-box-3000"
    assert block(admin, "cidr", "192.0.2.7")["value"] == "192.0.2.7/32"
    assert block(admin, "cidr", "2001:DB8:0:0::/32")["value"] == "2001:db8::/32"
    again = block(admin, "cidr", "192.0.2.7/32")
    status, _, body = admin.call("GET", "/v1/blocks")
    assert status == 200 and len(body["blocks"]) == 4 and again in body["blocks"]
    status, _, body = admin.call("DELETE", "/v1/blocks/cidr/192.0.2.7")
    assert status == 200 and body == {"kind": "cidr", "value": "192.0.2.7/32", "deleted": True}
    assert admin.call("DELETE", "/v1/blocks/cidr/192.0.2.7/32")[0] == 404
    assert admin.call("DELETE", "/v1/blocks/cidr/2001:db8::/32")[0] == 200
    assert admin.call("DELETE", "/v1/blocks/preview/my-box-3000")[0] == 200
    assert admin.call("DELETE", "/v1/blocks/preview/my-box-3000")[0] == 404
    assert admin.call("DELETE", "/v1/blocks/box/my-box")[0] == 200
    assert admin.call("GET", "/v1/blocks")[2] == {"blocks": []}


@pytest.mark.parametrize(
    "body, word",
    [
        ("", "JSON"),
        ([], "object"),
        ({}, "kind"),
        ({"kind": "box"}, "box id"),
        ({"kind": 1, "value": "a"}, "kind"),
        ({"kind": "host", "value": "a"}, "kind"),
        ({"kind": "box", "value": "A"}, "box id"),
        ({"kind": "box", "value": 1}, "box id"),
        ({"kind": "box", "value": "@cookie-keys"}, "box id"),
        ({"kind": "preview", "value": "a"}, "port"),
        ({"kind": "preview", "value": "a-0"}, "port"),
        ({"kind": "preview", "value": "a-65536"}, "port"),
        ({"kind": "preview", "value": "a-080"}, "port"),
        ({"kind": "cidr", "value": "192.0.2.1/24"}, "bits"),
        ({"kind": "cidr", "value": "192.0.2.0/33"}, "prefix"),
        ({"kind": "cidr", "value": "::ffff:192.0.2.0/120"}, "IPv4"),
        ({"kind": "cidr", "value": "localhost"}, "numeric"),
        ({"kind": "cidr", "value": ""}, "numeric"),
        ({"kind": "box", "value": "a", "until": 1}, "until"),
    ],
)
def test_what_is_no_block_is_refused(admin, body, word):
    status, _, answer = admin.call("POST", "/v1/blocks", body)
    assert status == 400 and word in answer["error"]
    assert admin.call("GET", "/v1/blocks")[2] == {"blocks": []}


@pytest.mark.parametrize("path", ["box", "box/", "host/a", "box/a%2d", "cidr/192.0.2.1/24", "preview/a?x=1"])
def test_bad_unblocks_are_refused(admin, path):
    assert admin.call("DELETE", f"/v1/blocks/{path}")[0] == 400


def test_what_is_blocked_is_refused_at_once(edge, admin, origin):
    host, other = edge.create_preview(origin), edge.create_preview(4201)
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(edge.connect()) for _ in range(8)]
        assert {client.request(request).status for client in clients} == {200}
        before = len(origin.requests)
        for kind, value in (("box", "box"), ("preview", f"box-{origin.port}"), ("cidr", "127.0.0.0/8")):
            value = block(admin, kind, value)["value"]
            answers = [client.request(request) for client in clients]
            assert {answer.status for answer in answers} == {403}
            assert {json.loads(answer.body)["code"] for answer in answers} == {"blocked"}
            # A block applies whether or not its object exists; everything else is as before.
            missing = edge.get(edge.host(4202)).status
            assert missing == (404 if kind == "preview" else 403)
            assert (edge.get(other).status == 403) == (kind != "preview")
            assert admin.call("DELETE", f"/v1/blocks/{kind}/{value}")[0] == 200
            assert {client.request(request).status for client in clients} == {200}
        assert len(origin.requests) == before + 3 * len(clients)
    for kind, value in (("box", "bo"), ("preview", f"box-{origin.port - 1}"), ("cidr", "::/0"), ("cidr", "128.0.0.0/1")):
        block(admin, kind, value)
    assert statuses(edge, host) == {200}


# ---- the commands


def test_preview_create_shows_secrets_once(edge, origin):
    done = edge.command("preview", "create", "box", origin.port, "--bearer", "--basic", "--expires", "2h", "--label",
                        "my app", "--allow-origin", "https://a.example", "--allow-origin", "https://b.example",
                        check=False)
    assert done.returncode == 0, done.stderr
    url, token, user, password = done.stdout.splitlines()
    assert url == edge.url(edge.host(origin))
    token, password = re.fullmatch(r"token: +(\S+)", token)[1], re.fullmatch(r"password: +(\S+)", password)[1]
    assert re.fullmatch(r"user: +user", user) and "only now" in done.stderr
    assert statuses(edge, edge.host(origin), bearer(token)) == {200}
    assert statuses(edge, edge.host(origin), basic(password)) == {200}
    listed = edge.command("preview", "list", "--box", "box")
    row = next(line for line in listed.splitlines() if f" {origin.port} " in line)
    assert " either " in row and "my app" in row and re.search(r" 1h 59m | 2h 0m ", row)
    assert token not in listed and password not in listed
    made = json.loads(edge.command("preview", "create", "box", origin.port, "--bearer", "--json"))
    assert SECRET.fullmatch(made["token"]) and "password" not in made
    assert statuses(edge, edge.host(origin), bearer(token)) == {401}
    assert " bearer " in edge.command("preview", "list")


@pytest.mark.parametrize(
    "arguments",
    [
        ("preview", "create", "box", "1", "--expires", "2"),
        ("preview", "create", "box", "1", "--expires", "2w"),
        ("preview", "create", "box", "1", "--expires", "0s"),
        ("preview", "create", "box", "1", "--label", "\udcff"),
        ("preview", "create", "box", "1", *["--allow-origin", "https://a"] * 17),
        ("preview", "list", "--bearer"),
        ("preview", "list", "--kill-tunnels"),
        ("preview", "delete", "box", "1", "--label", "x"),
        ("block", "box"),
        ("block",),
        ("block", "box", "a", "b"),
        ("block", "preview", "a", "1", "2"),
        ("unblock", "box"),
        ("unblock", "box", "a b"),
        ("unblock", "box", "a?x"),
    ],
)
def test_wrong_command_lines(edge, arguments):
    done = edge.command(*arguments, check=False)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_refusals_are_told(edge):
    done = edge.command("preview", "create", "box", "1", "--allow-origin", "a", check=False)
    assert done.returncode == 1 and "allow_origins" in done.stderr
    done = edge.command("block", "host", "a", check=False)
    assert done.returncode == 1 and "kind" in done.stderr
    done = edge.command("unblock", "box", "nothing", check=False)
    assert done.returncode == 1 and "nothing" in done.stderr


def test_block_and_unblock(edge, admin, preview):
    assert edge.command("block", "list") == "Nothing is blocked.\n"
    assert "127.0.0.1/32" in edge.command("block", "cidr", "127.0.0.1")
    assert statuses(edge, preview) == {403}
    edge.command("block", "preview", "other", "80")
    edge.command("block", "preview", "other-80")  # the same
    listed = edge.command("block", "list").splitlines()
    assert len(listed) == 3 and listed[0].startswith("KIND") and any("127.0.0.1/32" in line for line in listed)
    assert len(json.loads(edge.command("block", "list", "--json"))["blocks"]) == 2
    assert "127.0.0.1/32" in edge.command("unblock", "cidr", "127.0.0.1/32")
    assert json.loads(edge.command("unblock", "preview", "other", "80", "--json"))["deleted"] is True
    assert statuses(edge, preview) == {200}
    assert edge.command("block", "list") == "Nothing is blocked.\n"


@pytest.mark.parametrize("command", ["block", "unblock", "preview"])
def test_help(edge, command):
    done = edge.command(command, "--help", check=False)
    assert done.returncode == 0 and done.stdout.startswith("usage: boxedge ") and not done.stderr
