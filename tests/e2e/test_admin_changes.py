"""Changes over the admin API are live everywhere together, and acknowledged changes survive the death of all
processes."""

import concurrent.futures
import http.client
import os
import subprocess

import harness
from admin_api import Admin
from harness import SLOW, HttpOrigin


# ---- live everywhere, and permanent


def test_a_change_is_live_on_every_worker_at_once(make_edge):
    edge = make_edge(workers=4)
    with HttpOrigin() as origin:
        host = edge.host(origin)
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        connections = []
        admin = Admin(edge.admin_socket)

        def workers_with_connections():
            connections.extend(edge.connect() for _ in range(8))
            assert len(connections) <= 800
            return all(w["connections_open"] > 0 for w in admin.call("GET", "/v1/status")[2]["workers"])

        edge.wait_until(workers_with_connections, what="a connection on each worker")

        def everyone_sees(status):
            for connection in connections:
                assert connection.request(request).status == status

        everyone_sees(404)
        for _ in range(5):
            assert admin.create("box", origin.port)[0] == 201
            everyone_sees(200)
            assert admin.call("DELETE", f"/v1/previews/box/{origin.port}")[0] == 200
            everyone_sees(404)
        for connection in connections:
            connection.close()


def test_what_was_acknowledged_survives_the_death_of_everything(make_edge):
    edge = make_edge(workers=2)
    edge.expect_deaths = True
    wanted = {}
    for life in range(4):
        admin = Admin(edge.admin_socket)
        for port in range(1, 20):
            if port % 4 == life:
                status, _, gone = admin.call("DELETE", f"/v1/previews/box/{port}")
                assert status == (200 if port in wanted else 404), gone
                wanted.pop(port, None)
            else:
                wanted[port] = admin.create("box", port)[2]
        # Right after the last acknowledgement.
        wanted[100 + life] = admin.create("box", 100 + life)[2]
        edge.kill()
        edge.start()
        admin = Admin(edge.admin_socket)
        assert {p["port"]: p for p in admin.previews()["previews"]} == wanted
        # Versions are never used again.
        newest = max(p["version"] for p in wanted.values())
        wanted[200] = admin.create("box", 200)[2]
        assert wanted[200]["version"] > newest


def test_changes_in_flight_are_whole_or_not_at_all(make_edge):
    edge = make_edge(workers=1)
    edge.expect_deaths = True
    acknowledged = set()

    def make(start):
        admin = Admin(edge.admin_socket)
        try:
            for port in range(start, start + 2000):
                if admin.create("box", port)[0] == 201:
                    acknowledged.add(port)
                if len(acknowledged) > 300:
                    edge.kill()
        except (OSError, http.client.HTTPException, AttributeError):
            pass

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(make, [1 + 2000 * i for i in range(8)]))
    edge.kill()
    edge.start()
    found, query = set(), ""
    admin = Admin(edge.admin_socket)
    while query is not None:
        page = admin.previews(query)
        found |= {p["port"] for p in page["previews"]}
        query = f"?from={page['next']}" if "next" in page else None
    assert len(acknowledged) > 300 and acknowledged <= found
    # At most one more for each unanswered caller.
    assert len(found) <= len(acknowledged) + 8


def test_the_controller_comes_back(make_edge):
    edge = make_edge(workers=1)
    edge.expect_deaths = True
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        (pid,) = [Admin(edge.admin_socket).call("GET", "/v1/status")[2]["controller"]["pid"]]
        os.kill(pid, 9)
        assert edge.get(host).status == 200  # served without a controller

        def is_back():
            try:
                return Admin(edge.admin_socket).call("GET", "/v1/status")[2]["controller"]["pid"] != pid
            except OSError:
                return False

        edge.wait_until(is_back, timeout=10 * SLOW, what="a new controller")
        assert edge.get(host).status == 200
        assert edge.command("preview", "delete", "box", origin.port)
        assert edge.get(host).status == 404


# ---- reload


def test_reload(make_edge):
    edge = make_edge(workers=2)
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        other = edge.create_preview(origin, "other")
        assert edge.get(host).status == 200
        assert edge.get(other).status in (404, 502, 503)
        generation = Admin(edge.admin_socket).call("GET", "/v1/boxes")[2]["boxes"][0]["generation"]

        edge.config["boxes"] = [{"id": "other", "address": "127.0.0.1"}, {"id": "box", "address": "127.0.0.1"}]
        edge.write_config()
        edge.command("reload")
        assert edge.get(other).status == edge.get(host).status == 200
        boxes = {b["box"]: b for b in Admin(edge.admin_socket).call("GET", "/v1/boxes")[2]["boxes"]}
        assert boxes["box"]["generation"] == generation < boxes["other"]["generation"]

        edge.config["boxes"] = [{"id": "box", "address": "127.0.0.2"}]
        edge.write_config()
        edge.command("reload")
        boxes = {b["box"]: b for b in Admin(edge.admin_socket).call("GET", "/v1/boxes")[2]["boxes"]}
        assert list(boxes) == ["box"]
        assert boxes["box"]["address"] == "127.0.0.2" and boxes["box"]["generation"] > generation
        assert edge.get(other).status != 200

        good = edge.config_path.read_text()
        edge.config_path.write_text(good + "colour: red\n")
        refused = edge.command("reload", check=False)
        # -c names the file that does not load, so the command needs the socket's path.
        refused = subprocess.run(
            [str(harness.BINARY), "reload", "--socket", str(edge.admin_socket)], capture_output=True, text=True,
            check=False, timeout=30 * SLOW,
        )
        assert refused.returncode == 1 and "colour" in refused.stderr and "old one" in refused.stderr
        edge.config_path.write_text(good)
        edge.command("reload")
