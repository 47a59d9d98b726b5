"""Changes of a preview (PATCH, `preview update`), and the guard that keeps a private preview from becoming public."""

import json

import pytest

from admin_access import admin, bearer  # noqa: F401 (a fixture)
from test_admin_access import basic, statuses
from test_admin_tunnels import Tunnels, ws_box  # noqa: F401 (a fixture)


def update(admin, port, body=None, box="box", **named):
    return admin.call("PATCH", f"/v1/previews/{box}/{port}", named if body is None else body)


def listed(admin, port):
    return [p for p in admin.previews("?box=box")["previews"] if p["port"] == port][0]


@pytest.fixture
def made(admin, origin):
    """A preview with both kinds of credentials; the answer to its creation."""
    status, _, answer = admin.create("box", origin.port, bearer=True, basic=True, label="mine", expires_in=3600,
                                     allow_origins=["https://a.example"])
    assert status == 201
    yield answer
    admin.call("DELETE", f"/v1/previews/box/{origin.port}")


# ---- named fields change, the rest stays


@pytest.mark.parametrize("named, shown", [
    ({"host_header": "localhost"}, {"host_header": "localhost"}),
    ({"host_header": "localhost-bare"}, {"host_header": "localhost-bare"}),
    ({"protocol": "h2c"}, {"protocol": "h2c"}),
    ({"label": "theirs"}, {"label": "theirs"}),
    ({"label": ""}, {"label": None}),
    ({"expires_in": None}, {"expires_at": None}),
    ({"allow_origins": ["http://b"]}, {"allow_origins": ["http://b"]}),
    ({"allow_origins": []}, {"allow_origins": None}),
    ({"bearer": False}, {"bearer_token": False}),
    ({"basic": False}, {"basic_auth": False}),
    ({}, {}),
])
def test_one_field(admin, origin, made, named, shown):
    before = listed(admin, origin.port)
    status, _, answer = update(admin, origin.port, body=named)
    assert status == 200
    after = listed(admin, origin.port)
    assert answer == after
    wanted = {**before, **shown, "version": after["version"]}
    assert after == {name: value for name, value in wanted.items() if value is not None}


def test_a_new_end(admin, origin, made):
    assert update(admin, origin.port, expires_in=10)[2]["expires_at"] < made["expires_at"]


def test_sessions_and_secrets_stay_with_what_has_nothing_to_do_with_them(edge, admin, origin, made):
    host, version = edge.host(origin), listed(admin, origin.port)["version"]
    assert update(admin, origin.port, label="x", host_header="localhost")[2]["version"] == version
    assert statuses(edge, host, bearer(made["token"])) == statuses(edge, host, basic(made["password"])) == {200}


def test_a_new_token_leaves_the_password(edge, admin, origin, made):
    host = edge.host(origin)
    status, fields, answer = update(admin, origin.port, bearer=True)
    assert status == 200 and fields["Cache-Control"] == "no-store"
    assert answer["token"] != made["token"] and "password" not in answer
    assert answer["version"] > made["version"]
    assert statuses(edge, host, bearer(made["token"])) == {401}
    assert statuses(edge, host, bearer(answer["token"])) == statuses(edge, host, basic(made["password"])) == {200}


def test_there_must_be_one(admin, origin):
    assert update(admin, origin.port, label="x")[0] == 404
    assert update(admin, 0, label="x")[0] == 400
    assert update(admin, origin.port, box="BOX", label="x")[0] == 400


def test_one_that_has_expired_is_none(edge, admin, origin):
    admin.create("box", origin.port, expires_in=1)
    edge.wait_until(lambda: update(admin, origin.port, label="x")[0] == 404, what="its end")


@pytest.mark.parametrize("body, code", [
    ({"port": 1}, "unknown_field"),
    ({"bearer": 1}, "bad_field"),
    ({"bearer": True, "public": True}, "bad_field"),
    ({"label": "\n"}, "bad_label"),
    ({"expires_in": 0}, "bad_expiry"),
    ({"host_header": None}, "bad_host_header"),
    ({"protocol": "h3"}, "bad_protocol"),
    ({"allow_origins": None}, "bad_origin"),
    ([], "bad_json"),
])
def test_a_wrong_change_changes_nothing(admin, origin, made, body, code):
    before = listed(admin, origin.port)
    status, _, answer = update(admin, origin.port, body=body)
    assert (status, answer["code"]) == (400, code)
    assert listed(admin, origin.port) == before


@pytest.mark.parametrize("kill", [False, True])
def test_open_tunnels(edge, admin, ws_box, kill):  # noqa: F811 (a fixture)
    host = edge.create_preview(ws_box)
    with Tunnels(edge, host) as tunnels:
        assert update(admin, ws_box.port, label="x", kill_tunnels=kill)[0] == 200
        if kill:
            tunnels.expect_goodbye()
        else:
            tunnels.expect_open()


# ---- would it become public?


@pytest.mark.parametrize("credentials", [{"bearer": True}, {"basic": True}, {"bearer": True, "basic": True}])
def test_creating_again_takes_no_credentials_away_unasked(edge, admin, origin, credentials):
    host = edge.host(origin)
    admin.create("box", origin.port, **credentials)
    before = listed(admin, origin.port)
    status, _, answer = admin.create("box", origin.port, label="another")
    assert (status, answer["code"]) == (409, "would_become_public")
    assert listed(admin, origin.port) == before and statuses(edge, host) == {401}
    # Other credentials in their place are fine.
    assert admin.create("box", origin.port, basic=True)[0] == 201
    assert admin.create("box", origin.port, public=True)[0] == 201
    assert statuses(edge, host) == {200}
    assert admin.create("box", origin.port)[0] == 201  # it is public
    assert admin.create("box", origin.port, public=True, bearer=True)[0] == 400


def test_a_change_takes_the_last_credential_only_when_told(edge, admin, origin, made):
    host = edge.host(origin)
    assert update(admin, origin.port, bearer=False)[0] == 200
    status, _, answer = update(admin, origin.port, basic=False, label="x")
    assert (status, answer["code"]) == (409, "would_become_public")
    assert listed(admin, origin.port)["label"] == "mine" and statuses(edge, host) == {401}
    assert update(admin, origin.port, public=True)[0] == 200
    assert statuses(edge, host) == {200}


def test_one_that_has_expired_keeps_nothing_private(edge, admin, origin):
    admin.create("box", origin.port, bearer=True, expires_in=1)
    edge.wait_until(lambda: admin.create("box", origin.port)[0] == 201, what="its end")


# ---- the command


def test_the_command_changes_what_it_names(edge, admin, origin):
    made = json.loads(edge.command("preview", "create", "box", origin.port, "--bearer", "--label", "a", "--json"))
    answer = json.loads(edge.command("preview", "update", "box", origin.port, "--label", "b", "--expires", "2h",
                                     "--allow-origin", "https://x.example", "--protocol", "h2c", "--json"))
    assert answer["label"] == "b" and answer["protocol"] == "h2c" and answer["version"] == made["version"]
    assert answer["allow_origins"] == ["https://x.example"] and answer["expires_at"] and answer["bearer_token"]
    answer = json.loads(edge.command("preview", "update", "box", origin.port, "--expires", "never", "--allow-origin",
                                     "none", "--protocol", "http1", "--json"))
    assert "expires_at" not in answer and "allow_origins" not in answer and answer["label"] == "b"
    shown = edge.command("preview", "update", "box", origin.port, "--basic", "--no-bearer")
    assert f"box-{origin.port} is changed" in shown and "password:" in shown and "token:" not in shown


def test_the_command_says_how_it_becomes_public(edge, origin):
    edge.command("preview", "create", "box", origin.port, "--bearer")
    for verb in (("create",), ("update", "--no-bearer")):
        done = edge.command("preview", verb[0], "box", origin.port, *verb[1:], check=False)
        assert done.returncode == 1 and "--public" in done.stderr and "preview update" in done.stderr
    edge.command("preview", "update", "box", origin.port, "--public")
    assert statuses(edge, edge.host(origin)) == {200}


@pytest.mark.parametrize("options, said", [
    ((), "an option to change"),
    (("--public", "--bearer"), "--public together"),
    (("--bearer", "--no-bearer"), "opposite"),
    (("--expires", "soon"), "or never"),
    (("--box", "box"), "--box"),
])
def test_options_that_do_not_fit(edge, options, said):
    done = edge.command("preview", "update", "box", 80, *options, check=False)
    assert done.returncode == 2 and said in done.stderr


