"""API keys that the edge knows by name: the admin API and `boxedge key`. test_api.py has the rights of a key at the API
host."""

import hashlib
import json
import os
import re
import subprocess
import time

import pytest

import harness
from admin_access import found_in_memory
from admin_api import JSON, Admin
from harness import SLOW, Edge

KEY = re.compile(r"box_[A-Za-z0-9_-]{43}")
DECLARED = "the-key-of-a-partner"
PLANS = [{"name": "free", "rate": "1/s"}, {"name": "pro", "rate": "100/s"}]
LONGEST = "n" * 63
CONFIG = {
    "plans": PLANS,
    "api": {"keys": [{"name": LONGEST, "sha256": hashlib.sha256(b"of-the-longest-name").hexdigest(), "plan": "free"},
                     {"name": "partner", "sha256": hashlib.sha256(DECLARED.encode()).hexdigest(), "plan": "pro"}]},
}


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    with Edge(tmp_path_factory.mktemp("keys"), workers=1, config=CONFIG) as running:
        yield running


@pytest.fixture
def admin(edge):
    """Leaves no key behind."""
    connection = Keys(edge.admin_socket)
    yield connection
    for key in connection.all()["keys"]:
        connection.revoke(key["name"])
        assert connection.forget(key["name"])[0] == 200
    connection.close()


class Keys(Admin):
    def make(self, name, plan="free", **more):
        status, fields, body = self.call("POST", "/v1/keys", {"name": name, "plan": plan, **more})
        assert fields["Cache-Control"] == "no-store"
        return status, body

    def set_plan(self, name, plan):
        status, _, body = self.call("PUT", f"/v1/keys/{name}", {"plan": plan}, JSON)
        return status, body

    def revoke(self, name):
        status, _, body = self.call("DELETE", f"/v1/keys/{name}")
        return status, body

    def forget(self, name):
        status, _, body = self.call("DELETE", f"/v1/keys/{name}?forget=1")
        return status, body

    def all(self, query=""):
        status, _, body = self.call("GET", "/v1/keys" + query)
        assert status == 200, body
        return body

    def stored(self):
        return {key["name"]: key for key in self.all()["keys"]}

    def declared(self):
        return {key["name"]: key for key in self.all()["declared"]}


def run(edge, *arguments, stdin=""):
    """`boxedge key ...` with this standard input."""
    return subprocess.run([str(harness.BINARY), "key", *arguments, "-c", str(edge.config_path)], input=stdin, text=True,
                          capture_output=True, timeout=harness.PATIENCE * SLOW, check=False)


# ---- the admin API


def test_a_key_is_shown_once(edge, admin):
    status, made = admin.make("ci", "pro")
    assert status == 201 and KEY.fullmatch(made["key"]) and made["name"] == "ci" and made["plan"] == "pro"
    assert abs(made["created_at"] - time.time()) < 60 * SLOW and "revoked_at" not in made and "note" not in made
    status, other = admin.make("ci-2")
    assert status == 201 and other["key"] != made["key"]
    assert admin.stored()["ci"] == {k: v for k, v in made.items() if k != "key"}
    for text in (json.dumps(admin.all()), edge.command("key", "list"), edge.command("key", "list", "--json"),
                 "\n".join(edge.stderr.lines)):
        assert made["key"] not in text and hashlib.sha256(made["key"].encode()).hexdigest() not in text
    edge.stderr.wait_for(lambda line: "API key ci (plan pro) created by uid" in line)


def test_plans_change_and_keys_are_revoked(admin):
    assert admin.make("ci")[0] == 201
    status, body = admin.set_plan("ci", "pro")
    assert status == 200 and body["plan"] == "pro" and admin.stored()["ci"] == body
    assert admin.forget("ci")[1]["code"] == "not_revoked"
    status, gone = admin.revoke("ci")
    assert status == 200 and gone["revoked_at"] >= gone["created_at"] and "key" not in gone
    assert admin.stored()["ci"] == gone
    # Once is enough: the second time changes nothing.
    assert admin.revoke("ci") == (200, gone)
    status, body = admin.set_plan("ci", "free")
    assert status == 409 and body["code"] == "key_revoked" and admin.stored()["ci"] == gone
    status, body = admin.make("ci")
    assert status == 409 and body["code"] == "name_taken" and "forget" in body["error"] and "key" not in body
    status, body = admin.forget("ci")
    assert status == 200 and body["forgotten"] is True and "ci" not in admin.stored()
    for answer in (admin.set_plan("ci", "free"), admin.revoke("ci"), admin.forget("ci")):
        assert answer[0] == 404 and answer[1]["code"] == "no_key" and "ci" in answer[1]["error"]
    assert admin.make("ci")[0] == 201


def test_a_key_that_exists_is_registered(admin):
    status, made = admin.make("old", key="a" * 16)
    assert status == 201 and "key" not in made
    assert admin.make("older", key="!" + "~" * 255)[0] == 201
    # One key has one name, and one name one key.
    status, body = admin.make("again", key="a" * 16)
    assert status == 409 and body["code"] == "key_taken" and "old" in body["error"]
    status, body = admin.make("old", key="b" * 16)
    assert status == 409 and body["code"] == "name_taken"
    admin.revoke("old")
    status, body = admin.make("again", key="a" * 16)
    assert status == 409 and body["code"] == "key_taken" and "revoked" in body["error"]
    assert sorted(admin.stored()) == ["old", "older"]


def test_declared_keys(admin):
    assert admin.declared() == {"partner": {"name": "partner", "plan": "pro"}, LONGEST: {"name": LONGEST, "plan": "free"}}
    assert "declared" not in admin.all("?from=a")
    for answer in (admin.make("partner"), admin.make("other", key=DECLARED), admin.set_plan("partner", "free")):
        assert answer[0] == 409 and answer[1]["code"] == "key_declared" and "partner" in answer[1]["error"]
    assert admin.forget("partner")[1]["code"] == "not_revoked"
    for name in ("partner", LONGEST):
        status, gone = admin.revoke(name)
        assert status == 200 and gone["name"] == name and gone["revoked_at"] > 0 and "note" not in gone
        assert admin.stored()[name] == gone and admin.declared()[name]["revoked"] is True
    # The configuration counts again.
    assert admin.forget("partner")[0] == 200
    assert admin.declared()["partner"] == {"name": "partner", "plan": "pro"}
    assert admin.declared()[LONGEST]["revoked"] is True


@pytest.mark.parametrize(
    "body, word",
    [
        ("", "JSON"),
        ([], "object"),
        ({}, "name"),
        ({"name": 1, "plan": "free"}, "name"),
        ({"name": "", "plan": "free"}, "name"),
        ({"name": "a b", "plan": "free"}, "name"),
        ({"name": "a/b", "plan": "free"}, "name"),
        ({"name": "\u00e4", "plan": "free"}, "name"),
        ({"name": "n" * 64, "plan": "free"}, "63"),
        ({"name": "a"}, "plan"),
        ({"name": "a", "plan": 1}, "plan"),
        ({"name": "a", "plan": "gold"}, "free, pro"),
        ({"name": "a", "plan": "g" * 5000}, "free, pro"),
        ({"name": "a", "plan": ""}, "free, pro"),
        ({"name": "a", "plan": "free", "key": 1}, "key"),
        ({"name": "a", "plan": "free", "key": None}, "key"),
        ({"name": "a", "plan": "free", "key": "k" * 15}, "16"),
        ({"name": "a", "plan": "free", "key": "k" * 257}, "256"),
        ({"name": "a", "plan": "free", "key": "k" * 16 + " "}, "visible"),
        ({"name": "a", "plan": "free", "key": "k" * 16 + "\u00e4"}, "visible"),
        ({"name": "a", "plan": "free", "sha256": "00"}, "sha256"),
    ],
)
def test_what_is_no_key_is_refused(admin, body, word):
    status, _, answer = admin.call("POST", "/v1/keys", body)
    assert status == 400 and word in answer["error"] and "key" not in answer
    assert admin.all()["keys"] == []


@pytest.mark.parametrize("method, path, body, status", [
    ("PUT", "ci", {}, 400),
    ("PUT", "ci", {"plan": "gold"}, 400),
    ("PUT", "ci", {"plan": "pro", "name": "x"}, 400),
    ("PUT", "a%20b", {"plan": "pro"}, 400),
    ("PUT", "ci?x=1", {"plan": "pro"}, 400),
    ("PUT", "", {"plan": "pro"}, 404),
    ("DELETE", "a/b", None, 400),
    ("DELETE", "ci?forget=2", None, 400),
    ("DELETE", "ci?", None, 400),
    ("DELETE", "ci", {}, 400),
    ("DELETE", "n" * 64, None, 400),
    ("PATCH", "ci", {"plan": "pro"}, 405),
    ("GET", "ci", None, 405),
])
def test_changes_at_the_edges(admin, method, path, body, status):
    made = {k: v for k, v in admin.make("ci")[1].items() if k != "key"}
    assert admin.call(method, "/v1/keys/" + path, body, JSON)[0] == status
    assert admin.stored() == {"ci": made}


def test_pages(admin):
    names = sorted([f"k{i}" for i in range(7)] + ["A", "Z.z", "_", "-"])
    for name in names:
        assert admin.make(name)[0] == 201
    assert [key["name"] for key in admin.all()["keys"]] == names and "next" not in admin.all()
    found, query = [], "?limit=3"
    while query:
        page = admin.all(query)
        assert len(page["keys"]) <= 3
        found += [key["name"] for key in page["keys"]]
        query = f"?limit=3&from={page['next']}" if "next" in page else None
    assert found == names
    assert [key["name"] for key in admin.all("?from=k5&limit=1000")["keys"]] == ["k5", "k6"]
    for query in ("?limit=0", "?limit=1001", "?limit=x", "?from=", "?from=a%20b", "?from=" + "n" * 64, "?x=1", "?limit"):
        assert admin.call("GET", "/v1/keys" + query)[0] == 400, query


def test_a_key_that_is_declared_later(make_edge):
    edge = make_edge(config={"plans": PLANS})
    admin = Keys(edge.admin_socket)
    assert admin.make("ci", key=DECLARED)[0] == admin.make("partner")[0] == 201
    edge.config["api"] = {"keys": CONFIG["api"]["keys"][1:]}
    edge.write_config()
    edge.command("reload")
    # The configuration's declaration of a key counts, whatever the store calls it; two keys of one name are
    # distinguished.
    status, body = admin.set_plan("ci", "pro")
    assert status == 409 and body["code"] == "key_declared" and admin.stored()["ci"]["plan"] == "free"
    assert admin.set_plan("partner", "pro")[0] == 200
    status, body = admin.revoke("partner")
    assert status == 200 and "another key of this name" in body["note"] and "revoked" not in admin.declared()["partner"]
    assert admin.forget("partner")[0] == 200
    # The declared name finds the key in the store.
    status, body = admin.revoke("partner")
    assert status == 200 and body["name"] == "ci" and "note" not in body and admin.declared()["partner"]["revoked"] is True


@pytest.mark.skipif(harness.SANITIZED, reason="the sanitizer's own memory is not ours to cleanse")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read another process's memory")
def test_answered_keys_are_gone_from_memory(make_edge):
    edge = make_edge(config=CONFIG)
    admin = Keys(edge.admin_socket)
    secrets = {admin.make(f"k{i}")[1]["key"].encode() for i in range(20)}
    assert admin.all()["keys"]  # the last answer's exchange has ended
    (controller,) = edge.pids("controller")
    assert found_in_memory(controller, secrets | {harness.DOMAIN.encode()}) == {harness.DOMAIN.encode()}


def test_keys_survive_the_death_of_everything(make_edge):
    edge = make_edge(config=CONFIG)
    edge.expect_deaths = True
    admin = Keys(edge.admin_socket)
    for i in range(20):
        assert admin.make(f"k{i}")[0] == 201
    assert admin.set_plan("k1", "pro")[0] == admin.revoke("k2")[0] == admin.revoke("partner")[0] == 200
    assert admin.revoke("k3")[0] == admin.forget("k3")[0] == 200
    before = admin.all()
    edge.kill()
    # A plan goes: its keys stay, and report it.
    edge.config["plans"] = PLANS[:1]
    edge.config["api"]["keys"] = []
    edge.start()
    after = Keys(edge.admin_socket).all()
    assert after["declared"] == []
    missing = [key.pop("name") for key in [dict(k) for k in after["keys"]] if key.get("plan_missing")]
    assert missing == ["k1", "partner"]
    assert [{k: v for k, v in key.items() if k != "plan_missing"} for key in after["keys"]] == before["keys"]
    assert "k3" not in {key["name"] for key in after["keys"]}


# ---- the command


def test_the_life_of_a_key(edge, admin):
    done = run(edge, "create", "ci", "--plan", "free")
    assert done.returncode == 0 and KEY.fullmatch(done.stdout.strip()) and "only now" in done.stderr
    secret = done.stdout.strip()
    assert json.loads(edge.command("key", "set-plan", "ci", "pro", "--json"))["plan"] == "pro"
    assert edge.command("key", "set-plan", "ci", "free") == "The key ci has the plan free.\n"
    listed = edge.command("key", "list")
    assert listed.splitlines()[0].split()[:3] == ["NAME", "PLAN", "STATE"]
    rows = {line.split()[0]: line.split()[1:3] for line in listed.splitlines()[1:]}
    assert rows == {"ci": ["free", "valid"], "partner": ["pro", "declared"], LONGEST: ["free", "declared"]}
    assert secret not in listed
    assert edge.command("key", "revoke", "ci") == "The key ci is revoked.\n"
    assert re.search(r"^ci +free +revoked ", edge.command("key", "list"), re.M)
    both = json.loads(edge.command("key", "list", "--json"))
    assert [key["name"] for key in both["keys"]] == ["ci"] and len(both["declared"]) == 2 and "next" not in both
    assert edge.command("key", "forget", "ci") == "The key ci is forgotten.\n"
    assert "ci" not in admin.stored()
    # With --json the answer has it all.
    made = json.loads(edge.command("key", "create", "ci", "--plan=pro", "--json"))
    assert KEY.fullmatch(made["key"]) and made["plan"] == "pro"


def test_a_key_from_standard_input(edge, admin):
    done = run(edge, "create", "mine", "--plan", "free", "--stdin", stdin="0123456789abcdef\n")
    assert done.returncode == 0 and done.stdout == "The key mine is registered with the plan free.\n"
    assert admin.make("again", key="0123456789abcdef")[1]["code"] == "key_taken"
    longest = "x" * 256
    assert run(edge, "create", "longest", "--plan", "free", "--stdin", stdin=longest + "\r\n").returncode == 0
    assert admin.make("again", key=longest)[1]["code"] == "key_taken"
    for wrong in ("", "\n", "x" * 257, "x" * 5000 + "\n", "two of them\n", "x" * 20 + "\n" + "y" * 20 + "\n", "\u00e4" * 16):
        done = run(edge, "create", "no", "--plan", "free", "--stdin", stdin=wrong)
        assert done.returncode == 2 and not done.stdout and "one line" in done.stderr
    done = run(edge, "create", "no", "--plan", "free", "--stdin", stdin="short\n")
    assert done.returncode == 1 and "16 to 256" in done.stderr
    assert sorted(admin.stored()) == ["longest", "mine"]


@pytest.mark.parametrize(
    "arguments, word",
    [
        ((), "usage"),
        (("make", "a"), "usage"),
        (("create",), "usage"),
        (("create", "a"), "--plan"),
        (("create", "a b", "--plan", "free"), "63"),
        (("create", "a", "secret-secret-secret", "--plan", "free"), "--stdin"),
        (("create", "a", "--plan", "\udcff"), "plan"),
        (("list", "a"), "usage"),
        (("list", "--plan", "free"), "create"),
        (("list", "--stdin"), "create"),
        (("set-plan", "a"), "usage"),
        (("set-plan", "a", "\udcff"), "plan"),
        (("set-plan", "a/b", "free"), "63"),
        (("revoke",), "usage"),
        (("revoke", "a", "b"), "usage"),
        (("revoke", "a?forget=1"), "63"),
        (("forget", "n" * 64), "63"),
        (("revoke", "a", "--bearer"), "--bearer"),
    ],
)
def test_wrong_command_lines(edge, arguments, word):
    done = run(edge, *arguments)
    assert done.returncode == 2 and word in done.stderr and not done.stdout


def test_refusals_are_told(edge):
    for arguments, word in (
        (("create", "a", "--plan", "gold"), "free, pro"),
        (("set-plan", "a", "gold"), "free, pro"),
        (("set-plan", "nobody", "free"), "no key nobody"),
        (("set-plan", "partner", "free"), "configuration"),
        (("revoke", "nobody"), "no key nobody"),
        (("forget", "partner"), "not revoked"),
    ):
        done = run(edge, *arguments)
        assert done.returncode == 1 and word in done.stderr and not done.stdout, done


def test_without_plans_and_keys(make_edge):
    edge = make_edge()
    assert edge.command("key", "list").startswith("No keys.")
    assert json.loads(edge.command("key", "list", "--json")) == {"keys": [], "declared": []}
    done = run(edge, "create", "a", "--plan", "free")
    assert done.returncode == 1 and "`plans`" in done.stderr
    # More plans than a sentence has room for.
    edge.config["plans"] = [{"name": f"{i:02}" + "p" * 61, "rate": "1/s"} for i in range(20)]
    edge.write_config()
    edge.command("reload")
    done = run(edge, "create", "a", "--plan", "free")
    assert done.returncode == 1 and "03ppp" in done.stderr and "19p" not in done.stderr and "..." in done.stderr
    assert run(edge, "create", "a", "--plan", "19" + "p" * 61).returncode == 0


def test_help():
    done = subprocess.run([str(harness.BINARY), "key", "--help"], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith("usage: boxedge key ") and not done.stderr
    done = subprocess.run([str(harness.BINARY), "--help"], capture_output=True, text=True, timeout=20, check=True)
    assert re.search(r"^  key +", done.stdout, re.M)
