"""The admin API: its answers and its bounds."""

import concurrent.futures
import contextlib
import ctypes
import http.client
import json
import re
import socket

import pytest

import harness
from admin_api import JSON, Admin, admin  # noqa: F401 (fixtures)
from harness import SLOW, HttpOrigin


def metrics(admin):
    """Every sample as {name with labels: value}; checks the format meanwhile."""
    status, fields, raw = admin.call("GET", "/metrics")
    assert status == 200 and fields["Content-Type"].startswith("text/plain; version=0.0.4")
    samples, typed = {}, {}
    for line in raw.decode("ascii").splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in typed and kind in ("counter", "gauge", "histogram")
            typed[name] = kind
        elif line.startswith("# HELP "):
            assert len(line.split()) > 3
        else:
            found = re.fullmatch(r'(boxedge_[a-z0-9_]+)((?:\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})?) ([0-9]+(?:\.[0-9]+)?)', line)
            assert found, line
            family = found[1] if found[1] in typed else re.sub("_(bucket|sum|count)$", "", found[1])
            assert (typed[family] == "histogram") == (family != found[1]), line
            assert (typed[family] == "counter") == (found[1].endswith("_total"))
            samples[found[1] + found[2]] = float(found[3])
    return samples


# ---- the API


def test_create_list_delete(edge, admin):
    status, _, made = admin.create("box", 4001, host_header="localhost", protocol="h2c", background_wakes="always")
    assert status == 201
    url = f"https://box-4001.{harness.DOMAIN}:{edge.port['tls']}/"
    assert made["url"] == url and made["box"] == "box" and made["port"] == 4001
    assert made["host_header"] == "localhost" and made["protocol"] == "h2c" and made["version"] > 0 and "note" not in made
    assert made["background_wakes"] == "always"
    listed = [p for p in admin.previews("?box=box")["previews"] if p["port"] == 4001]
    assert listed == [made]
    # Creating it again replaces it, with a new version.
    status, _, again = admin.create("box", 4001)
    assert status == 201 and again["version"] > made["version"] and again["host_header"] == "public" and again["protocol"] == "http1"
    status, _, gone = admin.call("DELETE", "/v1/previews/box/4001")
    assert status == 200 and gone["deleted"] is True
    status, _, missing = admin.call("DELETE", "/v1/previews/box/4001")
    assert status == 404 and "box-4001" in missing["error"]
    assert not [p for p in admin.previews()["previews"] if p["port"] == 4001]


def test_a_preview_of_a_box_that_is_not_known_yet(admin):
    status, _, made = admin.create("nobody-yet", 80)
    assert status == 201 and "nobody-yet" in made["note"]
    assert admin.call("DELETE", "/v1/previews/nobody-yet/80")[0] == 200


@pytest.mark.parametrize(
    "body, word",
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "object"),
        ('"x"', "JSON"),
        ('{"box":"a","port":1} x', "JSON"),
        ('{"box":"a","box":"b","port":1}', "JSON"),
        ('{"box":"a\\u0000b","port":1}', ""),
        ({"port": 1}, "box"),
        ({"box": 1, "port": 1}, "box"),
        ({"box": "", "port": 1}, "box"),
        ({"box": "-a", "port": 1}, "box"),
        ({"box": "a-", "port": 1}, "box"),
        ({"box": "A", "port": 1}, "box"),
        ({"box": "a.b", "port": 1}, "box"),
        ({"box": "a" * 58, "port": 1}, "box"),
        ({"box": "a"}, "port"),
        ({"box": "a", "port": 0}, "65535"),
        ({"box": "a", "port": 65536}, "65535"),
        ({"box": "a", "port": -1}, "65535"),
        ({"box": "a", "port": "80"}, "port"),
        ({"box": "a", "port": 80.5}, "port"),
        ({"box": "a", "port": 1 << 40}, "port"),
        ({"box": "a", "port": 80, "host_header": "box"}, "host_header"),
        ({"box": "a", "port": 80, "host_header": None}, "host_header"),
        ({"box": "a", "port": 80, "protocol": "h3"}, "protocol"),
        ({"box": "a", "port": 80, "protocol": None}, "protocol"),
        ({"box": "a", "port": 80, "background_wakes": True}, "background_wakes"),
        ({"box": "a", "port": 80, "token": "x"}, "token"),
        ({"box": "a", "port": 80, "\u00fc": "x"}, "field"),
        (b'{"box":"\xff","port":1}', "JSON"),
    ],
)
def test_bad_previews_are_refused_with_a_sentence(admin, body, word):
    before = admin.previews()
    status, _, answer = admin.call("POST", "/v1/previews", body)
    assert status == 400
    assert word in answer["error"] and answer["code"] and answer["request_id"]
    assert admin.previews() == before


def test_limits_of_ids_and_ports(admin):
    for box, port in (("a", 1), ("a" * 57, 65535), ("a_b-c-9", 8080)):
        assert admin.create(box, port)[0] == 201
        assert admin.call("DELETE", f"/v1/previews/{box}/{port}")[0] == 200


@pytest.mark.parametrize(
    "method, target, headers, body, status",
    [
        ("POST", "/v1/previews", {}, "{}", 415),
        ("POST", "/v1/previews", {"Content-Type": "text/plain"}, "{}", 415),
        ("POST", "/v1/previews", {"Content-Type": "application/x-www-form-urlencoded"}, "{}", 415),
        ("DELETE", "/v1/previews/box/1", {}, None, 415),
        ("POST", "/v1/reload", {}, None, 415),
        ("POST", "/v1/drain", {}, None, 415),
        ("POST", "/v1/previews", {"Content-Type": "Application/JSON; charset=utf-8"}, "{}", 400),
        ("GET", "/", {}, None, 404),
        ("GET", "/v1/previews/", {}, None, 404),
        ("GET", "/v1//previews", {}, None, 404),
        ("GET", "/V1/previews", {}, None, 404),
        ("GET", "/v1/%70reviews", {}, None, 404),
        ("DELETE", "/v1/previews/", JSON, None, 404),
        ("DELETE", "/v1/previews/box", JSON, None, 400),
        ("DELETE", "/v1/previews/box/0", JSON, None, 400),
        ("DELETE", "/v1/previews/box/01x", JSON, None, 400),
        ("DELETE", "/v1/previews/box/65536", JSON, None, 400),
        ("DELETE", "/v1/previews/Box/1", JSON, None, 400),
        ("DELETE", "/v1/previews/box/1/2", JSON, None, 400),
        ("DELETE", "/v1/previews/box/1", JSON, "{}", 400),
        ("GET", "/v1/previews?box=", {}, None, 400),
        ("GET", "/v1/previews?limit=0", {}, None, 400),
        ("GET", "/v1/previews?limit=1001", {}, None, 400),
        ("GET", "/v1/previews?from=box", {}, None, 400),
        ("GET", "/v1/previews?box=a&from=b-1", {}, None, 400),
        ("GET", "/v1/previews?page=1", {}, None, 400),
        ("POST", "/v1/previews", JSON, "x" * 65536, 400),
        ("POST", "/v1/previews", JSON, "x" * 65537, 413),
        ("POST", "/v1/previews", JSON, (b"x" * 65536,), 400),  # chunked
        ("POST", "/v1/previews", JSON, (b"x" * 65536, b"x"), 413),
        ("POST", "/v1/previews", JSON, (b"x" * 10,) * 20000, 413),
    ],
)
def test_refusals(admin, method, target, headers, body, status):
    got, _, answer = admin.call(method, target, body, headers)
    assert got == status, answer
    assert answer["error"].endswith(".") and answer["code"]


@pytest.mark.parametrize(
    "method, target, allow",
    [
        ("PUT", "/v1/previews", "GET, HEAD, POST"),
        ("GET", "/v1/previews/box/1", "PATCH, DELETE"),
        ("POST", "/v1/status", "GET, HEAD"),
        ("GET", "/v1/reload", "POST"),
        ("OPTIONS", "/metrics", "GET, HEAD"),
    ],
)
def test_other_methods_are_named(admin, method, target, allow):
    status, fields, _ = admin.call(method, target, headers=JSON)
    assert status == 405 and fields["Allow"] == allow


def test_head_has_no_body(admin):
    status, fields, raw = admin.call("HEAD", "/v1/status")
    assert status == 200 and int(fields["Content-Length"]) > 100 and raw == b""
    assert admin.call("GET", "/healthz")[2] == b"ok\n"  # the connection continues


def test_long_lists_come_page_by_page(edge, admin):
    def make(numbers):
        connection = Admin(edge.admin_socket)
        for n in numbers:
            assert connection.create(f"many-{n % 3}", 10000 + n)[0] == 201
        connection.close()

    numbers = range(1300)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(make, [numbers[i::16] for i in range(16)]))
    wanted = {(f"many-{n % 3}", 10000 + n) for n in numbers}
    # A page of a thousand is longer than one write.
    page = admin.previews()
    assert len(page["previews"]) == 1000
    assert page["next"]
    seen, query, pages = [], "?limit=400", 0
    while query:
        page = admin.previews(query)
        assert len(page["previews"]) <= 400
        seen += [(p["box"], p["port"]) for p in page["previews"]]
        query = f"?limit=400&from={page['next']}" if "next" in page else None
        pages += 1
    assert pages == 4 and len(seen) == len(set(seen)) and wanted <= set(seen)
    # Of one box, across pages.
    seen, query = [], "?box=many-1&limit=100"
    while query:
        page = admin.previews(query)
        seen += [(p["box"], p["port"]) for p in page["previews"]]
        query = f"?box=many-1&limit=100&from={page['next']}" if "next" in page else None
    assert set(seen) == {w for w in wanted if w[0] == "many-1"} and len(seen) == len(set(seen))
    # The command line joins the pages.
    listed = json.loads(edge.command("preview", "list", "--json"))["previews"]
    assert wanted <= {(p["box"], p["port"]) for p in listed}
    assert len(edge.command("preview", "list", "--box", "many-2").splitlines()) == 1 + len(
        [w for w in wanted if w[0] == "many-2"]
    )


@contextlib.contextmanager
def disk_that_takes_nothing(edge):
    """The test holds the lock of the store's writers: the edge's writes wait for it, as for a slow disk."""
    lmdb, env, txn = ctypes.CDLL("liblmdb.so.0"), ctypes.c_void_p(), ctypes.c_void_p()
    assert lmdb.mdb_env_create(ctypes.byref(env)) == 0
    try:
        assert lmdb.mdb_env_open(env, str(edge.state_dir / "store").encode(), 0, 0o600) == 0
        assert lmdb.mdb_txn_begin(env, None, 0, ctypes.byref(txn)) == 0
        yield
    finally:
        if txn:
            lmdb.mdb_txn_abort(txn)
        lmdb.mdb_env_close(env)


def test_askers_who_leave_do_no_harm(edge, admin):
    """The request is still carried out, however far it had come."""
    body = b'{"box":"left","port":%d}'
    idle = edge.open_fds("controller")
    with disk_that_takes_nothing(edge):
        for port in range(1, 101):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(edge.admin_socket))
                data = body % port
                sock.sendall(
                    b"POST /v1/previews HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    % len(data) + data
                )
        edge.wait_until(lambda: edge.open_fds("controller") <= idle, what="the edge to see that they have left")
    edge.wait_until(lambda: len(admin.previews("?box=left")["previews"]) == 100, what="every change")


def test_status_and_metrics(edge, admin):
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        before = metrics(admin)
        for _ in range(7):
            assert edge.get(host).status == 200
        assert edge.get("nothing-1." + harness.DOMAIN).status == 404
        edge.wait_for_line(status=404, host="nothing-1." + harness.DOMAIN)
        edge.wait_until(lambda: metrics(admin)["boxedge_exchanges_total"] - before["boxedge_exchanges_total"] == 8)
        after = metrics(admin)

    def grew(name):
        return after[name] - before[name]

    listener = f'{{listener="127.0.0.1:{edge.port["plain"]}",kind="plain"}}'
    assert after['boxedge_requests_total{kind="preview",protocol="h1",code="200"}'] >= 7
    assert after['boxedge_requests_total{kind="none",protocol="h1",code="404"}'] >= 1
    assert grew('boxedge_errors_total{code="preview_not_found"}') == 1
    assert after['boxedge_errors_total{code="other"}'] == 0
    assert grew("boxedge_listener_connections_total" + listener) == grew("boxedge_listener_requests_total" + listener) == 8
    for name in ("request_duration", "request_first_byte"):
        assert grew(f'boxedge_{name}_seconds_count{{kind="preview",protocol="h1"}}') == 7
    assert grew('boxedge_request_duration_seconds_bucket{kind="preview",protocol="h1",le="+Inf"}') == 7
    assert 1 <= grew('boxedge_origin_connect_seconds_count{kind="preview",protocol="h1"}') <= 7
    assert grew("boxedge_connections_total") == 8
    assert sum(grew(f'boxedge_worker_exchanges_total{{worker="{i}"}}') for i in (0, 1)) == 8
    assert after['boxedge_worker_up{worker="0"}'] == after['boxedge_worker_up{worker="1"}'] == 1
    assert 'boxedge_worker_up{worker="2"}' not in after
    assert after["boxedge_store_up"] == 1 and after["boxedge_store_boxes"] == 1
    assert after["boxedge_store_previews"] == len(json.loads(edge.command("preview", "list", "--json"))["previews"])

    status = admin.call("GET", "/v1/status")[2]
    assert status["supervisor_pid"] == edge.process.pid
    assert [status["controller"]["pid"]] == edge.pids("controller") or not edge.pids("controller")
    assert {status["controller"]["pid"], *(w["pid"] for w in status["workers"])} < set(edge.pids())
    assert [w["state"] for w in status["workers"]] == ["ready", "ready"]
    assert status["store"]["previews"] == after["boxedge_store_previews"]
    assert admin.call("GET", "/readyz")[0] == admin.call("GET", "/healthz")[0] == 200
    table = edge.command("status")
    assert "worker 1" in table and str(edge.process.pid) in table


def test_boxes(edge, admin):
    boxes = admin.call("GET", "/v1/boxes")[2]
    assert [(b["box"], b["state"], b["address"]) for b in boxes["boxes"]] == [("box", "running", "127.0.0.1")]
    assert json.loads(edge.command("box", "list", "--json")) == boxes
    assert "127.0.0.1" in edge.command("box", "list")


def test_logs_that_there_are_not(edge, admin):
    for target, status, code in (("/v1/boxes/box/log", 409, "no_log"), ("/v1/boxes/other/log", 404, "no_such_box"),
                                 ("/v1/processes/box/log", 404, "no_such_process"),
                                 ("/v1/boxes/box/logs", 404, "not_found"), ("/v1/boxes/-/log", 400, "bad_id"),
                                 ("/v1/boxes/box/log?lines=0", 400, "bad_query"),
                                 ("/v1/boxes/box/log?from=-1", 400, "bad_query")):
        got, _, answer = admin.call("GET", target)
        assert (got, answer["code"]) == (status, code), target
    done = edge.command("box", "logs", "box", check=False)
    assert done.returncode == 1 and "a box of `boxes`" in done.stderr


def test_boxes_that_can_sleep(tmp_path):
    command = {"command": "true", "directory": "/"}
    config = {
        "processes": [{"id": "web", "ports": [3000, 3001], "idle": "90m", **command},
                      {"id": "kept", "ports": [4000], "keep_alive": True, **command}],
        "control_plane": {"url": "http://127.0.0.1:1"},  # it is the one that tells, below
        "origins": {"allow": ["192.0.2.0/24"]},
    }
    with harness.Edge(tmp_path, config=config) as edge, contextlib.closing(Admin(edge.admin_socket)) as admin:
        for told in ({"id": "far", "state": "running", "address": "192.0.2.7", "port": 8080, "expires_at": 4102444800},
                     {"id": "brief", "state": "paused", "ephemeral": True}):
            assert admin.call("PUT", f"/v1/boxes/{told['id']}", told, JSON)[0] == 200
        boxes = {b.pop("box"): b for b in admin.call("GET", "/v1/boxes")[2]["boxes"]}
        generations = {b.pop("generation") for b in boxes.values()}
        assert len(generations) == len(boxes) and min(generations) > 0
        loopback = boxes["web"].pop("address", None), boxes["kept"].pop("address", None)
        assert set(loopback) <= {None, "127.0.0.1"}
        assert boxes == {
            "box": {"state": "running", "provider": "static", "address": "127.0.0.1"},
            "web": {"state": "paused", "provider": "process", "idle_ms": 5400000, "ports": [3000, 3001]},
            "kept": {"state": "paused", "provider": "process", "keep_alive": True, "idle_ms": 1800000, "ports": [4000]},
            "far": {"state": "running", "provider": "http", "address": "192.0.2.7", "port": 8080,
                    "expires_at": 4102444800},
            "brief": {"state": "paused", "provider": "http", "ephemeral": True},
        }
        table = {line.split()[0]: line for line in edge.command("box", "list").splitlines()}
        assert re.search(r" paused +process .* 1h 30m +- +3000, 3001$", table["web"])
        assert re.search(r" kept +- +4000$", table["kept"])
        assert re.search(r" running +http +192\.0\.2\.7 +\d+ +- +\d+d \d+h +all, at port 8080 of the box$", table["far"])
        assert table["brief"].endswith("all; ephemeral")
        # The commands' arguments.
        assert admin.create("web", 3001)[0] == admin.create("far", 1)[0] == 201
        status, _, refused = admin.create("web", 3002)
        assert (status, refused["code"]) == (400, "port_not_exposed")
        assert refused["error"] == 'Box "web" does not expose port 3002; it exposes 3000, 3001.'
        status, _, refused = admin.create("brief", 80)
        assert (status, refused["code"]) == (400, "box_ephemeral")
        assert refused["error"] == 'Box "brief" is ephemeral: it takes no previews.'
        assert {(p["box"], p["port"]) for p in admin.previews()["previews"]} == {("web", 3001), ("far", 1)}
        done = edge.command("preview", "create", "web", "3002", check=False)
        assert done.returncode == 1 and "exposes 3000, 3001" in done.stderr


# ---- bounds


def test_a_full_store(make_edge):
    edge = make_edge(workers=1, config={"store": {"map_size": "1MiB"}})

    def fill(first):
        """Creates previews until one is refused; the number created, and the refusal. Parallel calls share
        commits."""
        connection = Admin(edge.admin_socket)
        for made in range(3000):
            status, _, answer = connection.create("filler", first + made)
            if status != 201:
                return made, status, answer
        raise AssertionError("the store does not become full")

    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            filled = list(pool.map(fill, range(1, 1 + 16 * 3000, 3000)))
        assert all(status == 507 and "full" in answer["error"] for _, status, answer in filled)
        # The map has no room: the message blames neither the disk nor a bound on the number of records.
        assert all("disk" not in answer["error"] and "store.map_size" in answer["error"] for _, _, answer in filled)
        made = sum(count for count, _, _ in filled)
        assert made > 1000
        # The edge and the API remain in service.
        admin = Admin(edge.admin_socket)
        assert edge.get(host).status == 200
        assert admin.call("GET", "/readyz")[0] == 200
        assert admin.call("GET", "/v1/status")[2]["store"]["previews"] == made + 1
        # Deleting makes room.
        for port in range(1, 51):
            assert admin.call("DELETE", f"/v1/previews/filler/{port}")[0] == 200
        for port in range(1, 26):
            assert admin.create("filler", port)[0] == 201
