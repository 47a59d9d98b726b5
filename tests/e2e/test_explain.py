"""`boxedge explain HOST` names the edge's answer. Each row is explained, then requested, and both agree."""

import json
import subprocess

import pytest

import harness
from api_world import API, answer, api_config
from harness import RawOrigin, local_box

NAMES = ("open", "token", "both", "alias_d", "shut")


@pytest.fixture
def world(make_edge, origin):
    """An edge with previews of each kind, an API host and blocks."""
    with RawOrigin(answer("api")) as api:
        config = api_config([api.port], keys={"k-test": ("ci", "free")}, plans=[{"name": "free", "rate": "100/s"}],
                            boxes=[local_box(box, origin.port, 1) for box in NAMES],
                            processes=[{"id": "asleep", "command": "exec sleep 1000", "ports": [origin.port]}])
        edge = make_edge(config=config)
        edge.create_preview(origin, "open")
        edge.create_preview(origin, "token", "--bearer")
        edge.create_preview(origin, "both", "--bearer", "--basic", "--host-header", "localhost")
        edge.create_preview(origin, "alias_d", "--alias", "other-name")
        edge.create_preview(origin, "shut")
        edge.create_preview(origin, "asleep")
        edge.command("block", "box", "shut")
        edge.command("block", "cidr", "192.0.2.0/24")
        yield edge, origin.port


def explain(edge, *arguments):
    told = json.loads(edge.command("explain", *arguments, "--json"))
    return told, {finding["subject"]: finding["finding"] for finding in told["findings"]}


@pytest.mark.parametrize("box, port, code, status, says", [
    ("open", None, None, 200, {"access": "public", "box": "running (static)", "blocks": "none applies"}),
    ("token", None, "unauthorized", 401, {"access": "asks for a bearer token; without, a request gets 401 unauthorized"}),
    ("both", None, "unauthorized", 401, {"access": "asks for a bearer token, or user and password", "preview": "localhost"}),
    ("other-name", None, None, 200, {"preview": "box alias_d"}),
    ("shut", None, "blocked", 403, {"blocks": "the box or this port of it is blocked"}),
    ("open", 1, "preview_not_found", 404, {"preview": "none of port 1; box open has previews of {port}"}),
    ("nobody", None, "preview_not_found", 404, {"preview": "`boxedge preview create nobody {port}` makes one"}),
])
def test_what_it_says_is_what_happens(world, box, port, code, status, says):
    edge, listens = world
    host = edge.host(port or listens, box)
    told, findings = explain(edge, host)
    got = edge.get(host, "/echo")
    assert got.status == status, got.body[:300]
    if status == 401:
        assert told["public"] is False and "code" not in told and told["origin"] == f"127.0.0.1:{listens}"
    elif status == 200:
        assert told["origin"] == f"127.0.0.1:{listens}" and told["wakes"] is False and told["public"] is True
    else:
        assert (told["status"], told["code"]) == (status, code) and "origin" not in told
        assert json.loads(got.body)["code"] == code
    for subject, part in says.items():
        assert part.format(port=listens) in findings[subject], findings


def test_other_hosts(world):
    edge, port = world
    told, findings = explain(edge, "www.example.com")
    assert (told["kind"], told["status"], told["code"]) == ("other", 421, "wrong_host")
    assert edge.get("www.example.com", kind="plain").status == 421
    told, findings = explain(edge, f"nonsense.{harness.DOMAIN}")
    assert (told["kind"], told["status"], told["code"]) == ("preview", 404, "preview_not_found")
    assert "not of the form BOX-PORT" in findings["host"]
    told, findings = explain(edge, API)
    assert (told["kind"], told["upstream"]) == ("api", "api") and "code" not in told
    assert edge.get(API, "/v2/box", fields=["X-Box-Api-Key: k-test"]).body == b"api"
    for address, blocked in (("192.0.2.7", True), ("192.0.3.7", False), ("2001:db8::1", False)):
        told, _ = explain(edge, f"https://{edge.host(port, 'open')}:8443/path?x", "--client", address)
        assert told["host"] == f"{edge.host(port, 'open')}:8443"
        assert told.get("code") == ("blocked" if blocked else None)


def test_it_wakes_nothing_and_says_what_a_request_does(world):
    edge, port = world
    host = edge.host(port, "asleep")
    told, findings = explain(edge, host)
    assert told["wakes"] is True and "origin" not in told and findings["box"] == "paused (process)"
    assert "A request wakes the box, waits for its port, and goes there." in edge.command("explain", host)
    boxes = {box["box"]: box["state"] for box in json.loads(edge.command("box", "list", "--json"))["boxes"]}
    assert boxes["asleep"] == "paused"
    text = edge.command("explain", edge.host(port, "token").upper())
    assert f"A request with its credentials goes to 127.0.0.1:{port}." in text and "asks for a bearer token" in text
    assert "403 blocked" in edge.command("explain", edge.host(port, "shut"))


def test_an_expired_preview(make_edge, origin):
    edge = make_edge()
    host = edge.create_preview(origin, "box", "--expires", "1s")
    edge.wait_until(lambda: edge.get(host).status == 404, what="the preview has expired")
    told, findings = explain(edge, host)
    assert (told["status"], told["code"]) == (404, "preview_not_found") and findings["preview"].startswith("none")


@pytest.mark.parametrize("arguments, said", [
    ((), "boxedge explain: HOST is missing"),
    (("a", "b"), 'boxedge explain: "b" is not expected'),
    (("a b",), 'boxedge explain: "a b" is not a host'),
    (("a&client=1.2.3.4",), 'boxedge explain: "a&client=1.2.3.4" is not a host'),
    (("a" * 301,), "is not a host"),
    (("a", "--client", "1.2.3.4&x"), 'boxedge explain: "1.2.3.4&x" is not an address'),
])
def test_wrong_words(arguments, said):
    done = subprocess.run([str(harness.BINARY), "explain", *arguments], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2 and said in done.stderr and not done.stdout


def test_what_the_admin_api_refuses(edge):
    done = edge.command("explain", "a", "--client", "1.2.3", check=False)
    assert done.returncode == 1 and "client=ADDRESS, an IPv4 or IPv6 address" in done.stderr
