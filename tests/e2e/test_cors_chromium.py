"""A page of a listed origin reads refusals in a real browser, with the credentials of its visitor; another page does not."""

import contextlib
import http.server
import json
import os
import subprocess
import threading

from access_world import App, Made
from api_world import API, answer, api_config
from harness import PORTS, SLOW, Edge, RawOrigin, local_box
from quiet_network import without_netlink
from test_chromium import HERE, pytestmark, trusting_home  # noqa: F401 (the mark skips these tests too)

PLANS = [{"name": "client", "rate": "0"}, {"name": "small", "rate": "1/d", "burst": 1}]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def pages():
    """Another site; one server is an origin for each of its names."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield lambda name: f"http://{name}.test:{server.server_port}"
        server.shutdown()


def test_a_listed_page_reads_refusals(tmp_path):
    with App() as app, RawOrigin(answer("mine")) as server, pages() as page:
        friend, asleep = page("friend"), PORTS.take()
        process = {"id": "asleep", "command": ["/bin/false"], "ports": [asleep], "directory": "/",
                   **({"user": "nobody"} if os.geteuid() == 0 else {})}
        config = api_config([server.port], keys={"k-small": ("small", "small")}, plans=PLANS, processes=[process],
                            api={"cors": [friend], "default_plan": "client", "client_plan": "client"})
        with Edge(tmp_path / "edge", config=config, boxes=[local_box("box", app), local_box("barred", app)]) as edge:
            for box, port, kind in (("box", app.port, "bearer"), ("barred", app.port, "public"), ("asleep", asleep, "public")):
                Made(edge, box, port, kind, "--allow-origin", friend)
            edge.command("block", "box", "barred")
            key = {"headers": {"X-Box-Api-Key": "k-small"}}
            requests = [("unauthorized", edge.url(edge.host(app)), {}), ("blocked", edge.url(edge.host(app, "barred")), {}),
                        ("box_asleep", edge.url(edge.host(asleep, "asleep"), "/favicon.ico"), {}),
                        ("key_required", edge.url(API, "/v2/box"), {}), ("first", edge.url(API, "/v2/box"), {**key, "credentials": "omit"}),
                        ("rate_limited", edge.url(API, "/v2/box"), key)]
            plan = {"pages": {"friend": friend, "stranger": page("stranger")}, "requests": requests}
            done = subprocess.run(["node", "refusals.mjs", json.dumps(plan)], cwd=HERE, capture_output=True, text=True,
                                  timeout=60 * SLOW, check=False, preexec_fn=without_netlink,
                                  env={**os.environ, "HOME": str(trusting_home(tmp_path, edge.ca))})
            assert done.returncode == 0, done.stderr
            seen = json.loads(done.stdout.splitlines()[-1])
            said = {name: {"status": status, "code": name, "retry": retry, "limit": limit, "id": True} for name, status, retry, limit in (
                ("unauthorized", 401, False, False), ("blocked", 403, False, False), ("box_asleep", 503, True, False),
                ("key_required", 401, False, False), ("rate_limited", 429, True, True))}
            first = seen["friend"].pop("first")
            assert (first["status"], first["code"]) == (200, "mine")
            assert seen["friend"] == said
            assert seen["stranger"] == dict.fromkeys([*said, "first"])
