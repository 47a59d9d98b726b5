"""The results that the real SDKs must get from a box API, section by section, and the start of their runners
(sdk.mjs, sdk_client.py). The same holds against the service alone and through any server in front of it."""

import hashlib
import json
import os
import pathlib
import subprocess

from harness import DOMAIN, SANITIZED, SLOW

KEY = "sdk-key"
API = "api.boxes.localhost"
LARGE_MIB = 50 if SANITIZED else 200
SECTIONS = ("lifecycle", "exec", "stream", "code", "files", "large", "pause", "errors", "snapshot", "ephemeral")
LAG_MS = 1000 * SLOW


def large_file(directory):
    """A file of LARGE_MIB without two equal MiB, and its SHA-256."""
    path, digest = pathlib.Path(directory) / "upload", hashlib.sha256()
    with path.open("wb") as file:
        for number in range(LARGE_MIB):
            piece = number.to_bytes(8, "big") + bytes(range(256)) * 4096
            piece = piece[:1 << 20]
            digest.update(piece)
            file.write(piece)
    return path, digest.hexdigest()


def run(command, base_url, directory, environment, sections=SECTIONS):
    """Runs a runner; {section: result}, with "sum" of the large file."""
    source, digest = large_file(directory)
    done = subprocess.run(
        [*map(str, command), str(source)], cwd=directory, capture_output=True, text=True, timeout=60 * SLOW, check=False,
        stdin=subprocess.DEVNULL, env={
            **environment, "UPSTASH_BOX_BASE_URL": base_url, "UPSTASH_BOX_API_KEY": KEY, "UPSTASH_DISABLE_TELEMETRY": "1"})
    source.unlink()
    seen = {line["section"]: line for line in map(json.loads, done.stdout.splitlines())}
    if "large" in seen and "seen" in seen["large"]:
        with open(seen["large"]["seen"]["downloaded"], "rb") as file:
            seen["large"]["seen"]["again"] = hashlib.file_digest(file, "sha256").hexdigest()
        pathlib.Path(seen["large"]["seen"]["downloaded"]).unlink()
    assert done.returncode == 0 and len(seen) == len(sections), done.stdout + done.stderr
    return {"lines": seen, "sum": digest}


def judge(results):
    """Every section is judged; all failed ones are named."""
    failed = []
    for section in SECTIONS:
        line = results["lines"][section]
        try:
            assert "seen" in line, line["failed"]
            JUDGES[section](line["seen"], results)
        except AssertionError as error:
            failed.append(f"{section}: {error}\n  {line}")
    assert not failed, "\n".join(failed)


def gateway(service):
    """An edge's configuration in front of a service, with limits that these suites do not reach."""
    return {"upstreams": [{"name": "api", "servers": [f"127.0.0.1:{service.port}"]}],
            "plans": [{"name": "sdk", "rate": "1000/s", "burst": 1000, "in_flight": 100}],
            "api": {"hosts": [API], "default_plan": "sdk", "client_plan": "sdk"}}


def run_through(command, service, edge, directory, trusted):
    """The same through an edge on the API host, over TLS; `trusted` names the variable with a file of
    authorities."""
    environment = {**os.environ, "SDK_PREVIEWS": "1", trusted: str(edge.ca)}
    results = run(command, edge.url(API), directory, environment, SECTIONS + ("previews",))
    judge(results)
    seen = results["lines"]["previews"]
    assert "seen" in seen, seen["failed"]
    _previews(seen["seen"], edge)
    lines = edge.wait_for_line(kind="api", count=40)
    assert all("key" not in line and KEY not in json.dumps(line) for line in lines)
    assert service.url not in json.dumps(seen)


def _previews(seen, edge):
    box, port = seen["id"], edge.port["tls"]
    url = lambda number: f"https://{box}-{number}.{DOMAIN}:{port}"  # noqa: E731
    assert seen["made"] == [
        [3000, url(3000), "port url"], [3001, url(3001), "port token url"], [3002, url(3002), "password port url username"],
        [3003, url(3003), "password port token url username"]]
    assert seen["listed"] == [
        [f"{box}-{number}", number, url(number), bearer, basic]
        for number, bearer, basic in ((3000, False, False), (3001, True, False), (3002, False, True), (3003, True, True))]
    # Many boxes deleted in one call, by id and by name: their previews go with them.
    left = lambda: {p["box"] for p in json.loads(edge.command("preview", "list", "--json"))["previews"]}  # noqa: E731
    edge.wait_until(lambda: not left() & set(seen["deleted"]), what="the previews of deleted boxes to go")
    assert (seen["replaced"], seen["secrets"], seen["left"]) == (True, False, [3001, 3002, 3003])
    assert seen["gone"] == [404, "There is no preview on this port."]
    assert seen["bad"] == [400, '"port" must be a number from 1 to 65535.']


def _lifecycle(seen, _):
    assert seen["same"] and seen["listed"] and seen["named"]
    assert (seen["status"], seen["greeting"]) == ("idle", "hello\n")
    assert seen["gone"] == [404, f"There is no box {seen['id']}."]


def _exec(seen, _):
    assert seen == {"good": [0, "out\n", "err\n", "completed"], "bad": [3, "", "no\n", "failed"], "where": "folder\n"}


def _stream(seen, _):
    """The command waits for the arrival of each line: lines that were held back would have ended it with
    status 9."""
    assert [data.split()[0] for data, _ in seen["chunks"]] == ["1", "2", "3", "4"]
    assert (seen["exit"], seen["status"]) == (4, "failed")
    lags = [arrived - int(data.split()[1]) for data, arrived in seen["chunks"]]
    assert max(lags) < LAG_MS, lags


def _code(seen, _):
    assert seen == {"js": "42\n", "python": "42\n"}


def _files(seen, _):
    assert seen == {
        "listed": [["a.txt", "/workspace/home/notes/a.txt", 6, False], ["b.bin", "/workspace/home/notes/b.bin", 3, False]],
        "text": "ünï\n", "binary": "AP8K", "counted": "3"}


def _large(seen, results):
    assert seen["bytes"] == LARGE_MIB << 20
    assert seen["sum"] == seen["again"] == results["sum"]


def _pause(seen, _):
    assert seen["paused"] == ["paused", "T"]
    assert seen["refused"] == [409, f"The box {seen['id']} is paused: resume it first."]
    assert seen["resumed"][0] == "idle" and seen["resumed"][1] in "SR"


def _errors(seen, _):
    assert seen == {
        "key": [401, "The key is not known."], "box": [404, "There is no box no-such-box."],
        "file": [404, "There is no file /workspace/home/nothing.txt."],
        "path": [400, "The path /workspace/home/../x leads out of /workspace/home."]}


def _snapshot(seen, _):
    assert seen == {"kept": "kept", "left": 0}


def _ephemeral(seen, _):
    assert seen["seen"] == "short\n" and 0 < seen["seconds"] <= 60


JUDGES = {name: globals()[f"_{name}"] for name in SECTIONS}
