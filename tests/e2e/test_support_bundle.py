"""`boxedge support-bundle`: its contents, the absence of secrets, and its work without an edge."""

import base64
import copy
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile

import pytest
import yaml

from harness import BINARY, PORTS, SLOW, Edge, local_box, merge
from wire import PATIENCE

FOLDER = "boxedge-support"
# All parts but the journal, which only a machine with systemd has.
PARTS = ["README.txt", "versions.txt", "limits.txt", "configuration.yaml", "check.txt", "files.txt", "certificates.txt",
         "status.json", "metrics.txt", "messages.txt"]
OFFLINE = [name for name in PARTS if name not in ("status.json", "metrics.txt", "messages.txt")]


def bundle(edge, *options, out="bundle.tar", env=None):
    """(the finished command, the archive's path)"""
    path = edge.directory / out
    done = subprocess.run([str(BINARY), "support-bundle", "-c", str(edge.config_path), "-o", str(path), *options],
                          capture_output=True, text=True, check=False, timeout=PATIENCE * SLOW * 4,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    return done, path


def parts_of(path):
    with tarfile.open(path) as tar:
        for member in tar:
            assert member.isfile() and member.mode == 0o600 and member.name.startswith(FOLDER + "/")
        return {member.name.split("/", 1)[1]: tar.extractfile(member).read().decode() for member in tar.getmembers()
                if not member.name.endswith("journal.txt")}


def test_it_has_everything_from_a_running_edge(make_edge, origin):
    edge = make_edge()
    edge.create_preview(origin)
    done, path = bundle(edge)
    parts = parts_of(path)
    assert sorted(parts) == sorted(PARTS)
    assert (done.returncode, done.stderr) == (0, ""), parts["README.txt"]
    assert done.stdout == f"{path}\n" and path.stat().st_mode & 0o777 == 0o600
    assert parts["README.txt"].endswith("missing:\nnothing\n")
    version = subprocess.run([str(BINARY), "version"], capture_output=True, text=True, check=True).stdout.strip()
    assert parts["versions.txt"].startswith(f"{version}\nbuild id: ") and os.uname().release in parts["versions.txt"]
    assert "Max open files" in parts["limits.txt"] and "worker-0" in parts["limits.txt"]
    assert "no errors" in parts["check.txt"] and "runs with this state_dir" in parts["check.txt"]
    assert json.loads(parts["status.json"])["workers"]
    assert "boxedge_worker_up" in parts["metrics.txt"]
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z notice ready boxedge: ready: 1 workers", parts["messages.txt"], re.M)
    assert f"{edge.state_dir}/store" in parts["files.txt"] and f"{edge.admin_socket}" in parts["files.txt"]
    assert "subject: " in parts["certificates.txt"] and "until: " in parts["certificates.txt"]
    shown = yaml.safe_load(parts["configuration.yaml"])
    assert shown["preview_domain"] == edge.config["preview_domain"]
    assert [listener["address"] for listener in shown["listeners"]] == \
        [listener["address"] for listener in edge.config["listeners"]]


def test_without_an_edge_it_says_what_is_missing(make_edge):
    edge = make_edge()
    edge.stop()
    done, path = bundle(edge)
    parts = parts_of(path)
    assert done.returncode == 3 and sorted(parts) == sorted(OFFLINE)
    for name in ("status.json", "metrics.txt", "messages.txt"):
        assert f"{name}: the edge is not running" in parts["README.txt"] and f"{name}: " in done.stderr
    edge.start()


@pytest.mark.parametrize("text, sentence", [
    ("preview_domain: [\n", "configuration.yaml: "), (None, "configuration.yaml: ")])
def test_a_file_that_cannot_be_read_ends_nothing(tmp_path, text, sentence):
    edge = Edge(tmp_path, start=False)
    if text is not None:
        edge.config_path.write_text(text)
    done, path = bundle(edge)
    edge.close()
    parts = parts_of(path)
    assert done.returncode == 3 and sentence in parts["README.txt"]
    assert "configuration.yaml" not in parts and str(edge.config_path) in parts["check.txt"]


def test_it_replaces_no_file(make_edge):
    edge = make_edge()
    path = edge.directory / "bundle.tar"
    target = edge.directory / "target"
    path.write_text("mine")
    done, _ = bundle(edge)
    assert done.returncode == 1 and "File exists" in done.stderr and path.read_text() == "mine"
    path.unlink()
    path.symlink_to(target)
    done, _ = bundle(edge)
    assert done.returncode == 1 and not target.exists()


def test_nothing_half_stays_on_a_full_disk(make_edge):
    edge = make_edge()
    path = edge.directory / "half.tar"
    done = subprocess.run(["bash", "-c", 'trap "" XFSZ; ulimit -f 8; exec "$@"', "bash", str(BINARY), "support-bundle",
                           "-c", str(edge.config_path), "-o", str(path)], capture_output=True, text=True, check=False,
                          timeout=PATIENCE * SLOW * 4)
    assert done.returncode == 1 and "cannot be written" in done.stderr and not path.exists()


# ---- secrets


class Secrets:
    """A separate word for each place."""

    def __init__(self):
        self.words = {}

    def plant(self, place):
        return self.words.setdefault(place, f"S3cr3t{len(self.words):02d}{hashlib.sha256(place.encode()).hexdigest()[:12]}")

    def found(self, path):
        raw = path.read_bytes().decode("latin-1")
        forms = {place: {word, base64.b64encode(word.encode()).decode().rstrip("=")[:-1],
                         base64.b64encode(f"user:{word}".encode()).decode()} for place, word in self.words.items()}
        return {place for place, words in forms.items() if any(word in raw for word in words)}


def test_no_secret_is_in_it(make_edge, origin, tmp_path):
    secrets = Secrets()
    files = {}
    for name in ("token", "settle"):
        files[name] = tmp_path / name
        files[name].write_text(secrets.plant(f"{name} file") + "\n")
        files[name].chmod(0o600)
    port, user = PORTS.take(), {"user": "nobody"} if os.geteuid() == 0 else {}
    key_hash = hashlib.sha256(secrets.plant("API key").encode()).hexdigest()
    secrets.words["hash of an API key"] = key_hash
    config = {
        "processes": [{"id": "web", "command": [sys.executable, "-S", "-m", "http.server", str(port), "--bind",
                                                "127.0.0.1", "--directory", "/" + secrets.plant("argument of a command")],
                       "directory": "/", "ports": [port], "environment": [f"TOKEN={secrets.plant('environment')}"], **user},
                      {"id": "line", "command": f"sleep 1; echo {secrets.plant('command line')}", "directory": "/",
                       "ports": [PORTS.take()], **user}],
        "api": {"hosts": ["api.box.localhost"], "upstream": "api", "settle_key": str(files["settle"])},
        "control_plane": {"url": f"http://127.0.0.1:{PORTS.take()}", "token_file": str(files["token"])},
        "upstreams": [{"name": "api", "servers": [f"127.0.0.1:{origin.port}"],
                       "health_path": f"/health?key={secrets.plant('health path')}"}],
    }
    edge = make_edge(config=config, boxes=[local_box("box", origin)])
    text = edge.config_path.read_text() + f"# {secrets.plant('comment')}\n"
    edge.config_path.write_text(text)
    # Credentials of previews, as the edge makes them, and in requests.
    made = edge.command("preview", "create", "box", origin.port, "--bearer", "--basic", "--json")
    answer = json.loads(made)
    for name, value in _leaves(answer):
        if re.search(r"token|password|secret|bearer", name) and isinstance(value, str) and len(value) > 12:
            secrets.words[f"preview's {name}"] = value
    assert any(place.startswith("preview's") for place in secrets.words), answer
    created = json.loads(edge.command("key", "create", "ci", "--plan", "free", "--json", check=False).stdout or "{}")
    if "key" in created:
        secrets.words["key of a client"] = created["key"]
    host = edge.host(origin)
    for field in (f"Authorization: Bearer {secrets.plant('bearer of a request')}",
                  f"Authorization: Basic {base64.b64encode(('user:' + secrets.plant('password of a request')).encode()).decode()}",
                  f"Cookie: boxedge={secrets.plant('cookie')}", f"X-Box-Api-Key: {secrets.plant('key of a request')}"):
        edge.get(host, "/?t=" + secrets.plant("query"), fields=[field])
        edge.get("api.box.localhost", "/v2/box", fields=[field])
    for key in edge.state_dir.rglob("*"):
        if key.is_file() and "PRIVATE KEY" in (pem := key.read_text(errors="replace")):
            secrets.words[f"key {key.name}"] = pem.split("PRIVATE KEY-----\n")[1].split("\n")[0]
    assert any(place.startswith("key ") for place in secrets.words)
    done, path = bundle(edge)
    assert done.returncode == 0, done.stderr
    assert secrets.found(path) == set()
    shown = yaml.safe_load(parts_of(path)["configuration.yaml"])
    assert shown["processes"][0]["environment"] == ["TOKEN=(removed)"]
    assert shown["processes"][0]["command"][0] == sys.executable
    # The same with an error in the changed file, so that messages quote it.
    wrong = merge(copy.deepcopy(edge.config), {
        "control_plane": {"url": f"https://user:{secrets.plant('userinfo')}@plane.example",
                          "token_file": secrets.plant("token in place of its file")},
        "workers": secrets.plant("number"), "wrokers": secrets.plant("unknown key"),
        "timeouts": {"head": [secrets.plant("list in place of a value")]},
        "log": secrets.plant("value in place of a section"),
        "nothing": {"at": [{"all": secrets.plant("below an unknown key")}]},
        "docker": {"label": secrets.plant("long") + "x" * 100 + secrets.plant("end of a long one") + " "},
    })
    wrong["api"]["settle_key"] = secrets.plant("settle key in place of its file")
    wrong["processes"][0]["environment"] = [secrets.plant("variable without a name") + " x"]
    edge.config_path.write_text(yaml.safe_dump(wrong, width=10000))
    assert edge.command("reload", "--socket", edge.admin_socket, check=False).returncode == 1
    done, path = bundle(edge, "--socket", str(edge.admin_socket), out="wrong.tar")
    parts = parts_of(path)
    assert done.returncode == 3 and "workers" in parts["check.txt"] and "not reloaded" in parts["messages.txt"]
    assert secrets.found(path) == set()
    # And once the file is right again, and the log still has the quotes.
    edge.write_config()
    done, path = bundle(edge, out="right.tar")
    assert done.returncode == 0 and "not reloaded" in parts_of(path)["messages.txt"]
    assert secrets.found(path) == set()


def _leaves(value, name=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value
