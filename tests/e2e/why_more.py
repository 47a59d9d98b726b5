"""Further causes for the table in docs/runbook.md ("Why did this fail?"): calls of the API that the edge refuses itself,
bounds of one client, and what a box or a server can be besides silent (why_world.py)."""

import concurrent.futures
import contextlib
import json
import os
import signal
import struct
import threading

from admin_api import Admin
from api_world import API, answer, api_config, call
from control_plane import BoxAddresses, push
from h2origin import FrameOrigin
from h2wire import RST_STREAM
from harness import PORTS, Edge, RawOrigin, local_box
from processes import rewrite
from test_process_boxes import script
from test_slots import silent
from waits_clients import HANDSHAKE
from why_world import LONG, World, cause, get, head, in_flight, sent

PREFLIGHT = ("Origin: https://app.example", "Access-Control-Request-Method: PUT")
JSON = "Content-Type: application/json"


def refuse(conn, stream):
    conn.send_frame(RST_STREAM, 0, stream, struct.pack(">I", 7))
# Codes that other tests cause: failure -> (code, test).
ELSEWHERE = {
    "short memory": ("overloaded", "tests/e2e/test_memory.py"),
    "an app on the box's own loopback": ("port_on_loopback", "tests/e2e/test_docker.py"),
    "a box that may be gone": ("box_in_doubt", "tests/unit/activity/test_activity_changes.c"),
    "a link that has ended": ("link_not_found", "tests/e2e/test_links.py"),
    "a link that a program opens again and again": ("link_busy", "tests/e2e/test_links.py"),
    "a write by a link for reading": ("link_reads_only", "tests/e2e/test_links.py"),
    "a link to a public preview": ("preview_is_public", "tests/e2e/test_api_links.py"),
    "a preview with 100 links": ("too_many_links", "tests/e2e/test_api_links.py"),
    "20,000 boxes that wake": ("too_many_wakes", "tests/unit/wake/test_wake_step.c"),
    "too many changes at once": ("store_busy", "tests/unit/control/test_preview_service.c"),
}
# Defences behind others, which no test reaches.
NEVER = {"bad_alias", "label_too_long", "server_is_edge", "deletions_full"}
NEED_ROOT = {"a box that is paused under a request", "a box that is removed under a request"}


class Wider(World):
    """Two more edges: "picky", whose API knows every box and which allows a client little, and "changing", whose
    configuration the causes change."""

    def __init__(self, folder):
        super().__init__(folder)
        enter = self.stack.enter_context
        self.hold, self.deleting = threading.Event(), threading.Event()
        self.boxes, self.refusing = enter(RawOrigin(self._serve_boxes)), enter(FrameOrigin(refuse))
        self.stack.callback(self.hold.set)
        self.ports.update({name: PORTS.take() for name in ("picky-broken", "picky-late", "dead")})
        ports = self.app, self.silent, self.refusing
        self._add(folder, "picky", api_config([self.boxes.port], api={"previews_alias": "dash"}, **{
            "processes": [script(self.ports["picky-broken"], "exit 3", "broken"), script(self.ports["picky-late"], "sleep 1000", "late")],
            "wake": {"per_client": 1}, "trusted_proxies": ["127.0.0.1"], "limits": {"connections_per_client": 3},
            "store": {"map_size": "1MiB"}}), [local_box("box", *ports), local_box("taken-1", self.app)])
        self._add(folder, "changing", api_config([self.ports["dead"]], **{
            "origins": {"allow": ["2001:db8::/32"]},
            "timeouts": {"origin_queue": "100ms"}}),
            [local_box("box", *ports), local_box("far", self.app, address="[2001:db8::1]")])

    def _add(self, folder, name, config, boxes):
        edge = self.edges[name] = Edge(folder / name, config=config, boxes=boxes)
        self.stack.callback(edge.close)
        edge.expect_deaths = True

    def _serve_boxes(self, conn):
        """Deletions wait for `hold`."""
        while (request := conn.read_request(3600)) is not None:
            if request.method == "DELETE":
                self.deleting.set()
                self.hold.wait(LONG)
            if request.get("x-box-api-key") == "k-refused":
                conn.send(answer("{}", "401 Unauthorized"))
            else:
                box = request.target.split("/")[3].split("?")[0] if request.target.count("/") > 2 else ""
                conn.send(answer(json.dumps({"id": box, "status": "idle", "ephemeral": box == "brief"})))


def preview(edge, box, wish, method="POST", **more):
    """A call for previews of a box."""
    body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
    return call(edge, f"/v2/box/{box}/preview", method=method, body=body, fields=[JSON], timeout=LONG, **more)


def named(client):
    return f"X-Forwarded-For: {client}"


# ---- previews and apps


@cause("a page of another site")
def _other_site(world, edge):
    host = edge.create_preview(world.app, "box", "--bearer")
    get(edge, host, "Origin: https://elsewhere.example", "Content-Type: application/x-www-form-urlencoded",
        path="/.well-known/boxedge/sign-in", method="POST", body=b"token=x", kind="tls")


@cause("another method at a path of the edge")
def _method(world, edge):
    get(edge, edge.create_preview(world.app, "box", "--bearer"), path="/.well-known/boxedge/sign-in", method="PUT", kind="tls")


@cause("a form in another encoding")
def _encoding(world, edge):
    get(edge, edge.create_preview(world.app, "box", "--bearer"), path="/.well-known/boxedge/sign-in", method="POST", body=b"token=x",
        kind="tls")


@cause("a storm of preflights")
def _preflights(world, edge):
    host = edge.create_preview(world.app, "box", "--bearer")
    with edge.connect("plain") as client:
        for _ in range(2000):
            if client.request(head(host, *PREFLIGHT, first="OPTIONS / HTTP/1.1"), "OPTIONS", LONG).status == 429:
                return


@cause("a client behind a proxy with too many requests", "picky")
def _crowd(world, edge):
    host = edge.create_preview(world.silent)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(edge.connect("plain")).send(head(host, named("192.0.2.3")))
        edge.wait_for_line(reason="too_many_connections", timeout=LONG)


@cause("a client with all its connections to apps", "changing")
def _client_busy(world, edge):
    busy(world, edge, {"origin_connections_per_client": 1})


@cause("a box with all its connections", "changing")
def _box_busy(world, edge):
    busy(world, edge, {"origin_connections_per_client": 8, "origin_connections_per_box": 1})


def busy(world, edge, limits):
    rewrite(edge, {"limits": limits})
    edge.command("reload")
    host = edge.create_preview(world.silent)
    with sent(edge, host):
        in_flight(edge)
        get(edge, host)


@cause("a port that the box does not declare", "changing")
def _undeclared(world, edge):
    host = edge.create_preview(world.app)
    boxes = edge.config["boxes"]
    rewrite(edge, {"boxes": [local_box("box", world.silent, world.refusing), boxes[1]]})
    edge.command("reload")
    get(edge, host)
    rewrite(edge, {"boxes": boxes})
    edge.command("reload")


@cause("a box without a way to it", "changing")
def _far(world, edge):
    get(edge, edge.create_preview(world.app, "far"))


@cause("an app that refuses its requests", "picky")
def _refusing(world, edge):
    get(edge, edge.create_preview(world.refusing, "box", "--protocol", "h2c"))


@cause("a WebSocket to an app over HTTP/2", "picky")
def _websocket(world, edge):
    host = edge.create_preview(world.refusing, "box", "--protocol", "h2c")
    with edge.connect("plain") as client:
        client.request(HANDSHAKE.format(path="/", host=host).encode(), timeout=LONG)


# ---- boxes


@cause("a page of a box that starts")
def _page(world, edge):
    get(edge, edge.create_preview(world.ports["late"], "late"), "Sec-Fetch-Mode: navigate", "Accept: text/html", kind="tls")


@cause("a client that wakes one box after the other", "picky")
def _wakes(world, edge):
    for name in ("broken", "late"):
        get(edge, edge.create_preview(world.ports[f"picky-{name}"], name), "Accept: */*")


def under_a_request(edge, state):
    """The control plane tells that a box changes while its app has a request."""
    with BoxAddresses(1) as (place,), RawOrigin(silent, address=place) as app:
        told = {"id": f"{state}-box", "state": "running", "address": place, "port": app.port}
        assert push(edge, told["id"], told)[0] in (200, 204)
        with sent(edge, edge.create_preview(app, told["id"])):
            in_flight(edge)
            push(edge, told["id"], {**told, "state": state})
            edge.wait_for_line(host=edge.host(app, told["id"]), timeout=LONG)


@cause("a box that is paused under a request")
def _paused(_, edge):
    under_a_request(edge, "paused")


@cause("a box that is removed under a request")
def _removed(_, edge):
    under_a_request(edge, "gone")


# ---- the API


@cause("a key that the API refuses", "picky")
def _refused_key(_, edge):
    for _ in range(2):
        call(edge, key="k-refused", timeout=LONG)


@cause("a path in another spelling", "picky")
def _spelling(_, edge):
    call(edge, "/v2//box/box/preview", timeout=LONG)


@cause("a deletion with a query", "picky")
def _query(_, edge):
    call(edge, "/v2/box/box?force=1", method="DELETE", timeout=LONG)


@cause("a body that is no JSON", "picky")
def _body(_, edge):
    preview(edge, "box", b"{")


@cause("a list of too many boxes", "picky")
def _many(_, edge):
    call(edge, "/v2/box", method="DELETE", body=json.dumps({"ids": 101 * ["x"]}).encode(), fields=[JSON], timeout=LONG)


@cause("a body that is too long", "picky")
def _long(_, edge):
    preview(edge, "box", b"x" * 70000)


@cause("a form that may name a method", "picky")
def _form(_, edge):
    call(edge, method="POST", body=b"_method=DELETE", fields=["Content-Type: application/x-www-form-urlencoded"], timeout=LONG)


@cause("an id that is no box's", "picky")
def _id(_, edge):
    preview(edge, "Upper", {"port": 1})


@cause("a port that is none", "picky")
def _port(_, edge):
    preview(edge, "box", {"port": 0})


@cause("access that is none", "picky")
def _access(_, edge):
    preview(edge, "box", {"port": 80, "bearer_token": 1})


@cause("a box that is ephemeral", "picky")
def _ephemeral(_, edge):
    preview(edge, "brief", {"port": 80})


@cause("an alias that is a box", "picky")
def _taken(_, edge):
    preview(edge, "taken_1", {"port": 80})


@cause("a box that is an alias", "picky")
def _is_alias(_, edge):
    preview(edge, "late_1", {"port": 80})
    preview(edge, "late-1", {"port": 80})


@cause("a preview of a box that is being deleted", "picky")
def _deleted(world, edge):
    with edge.connect("plain") as client:
        client.send(head(API, "X-Box-Api-Key: k-test", first="DELETE /v2/box/two HTTP/1.1"))
        assert world.deleting.wait(LONG)
        preview(edge, "two", {"port": 80})
        world.hold.set()
        client.read_message(LONG, "DELETE")


@cause("a controller that hangs", "picky")
def _controller(_, edge):
    (controller,) = edge.pids("controller")
    os.kill(controller, signal.SIGSTOP)
    preview(edge, "box", {"port": 80})
    with contextlib.suppress(ProcessLookupError):
        os.kill(controller, signal.SIGCONT)


@cause("a store without room", "picky")
def _full(_, edge):
    def fill(first):
        origins = [f"https://{'o' * 60}{i}.example.test" for i in range(5)]
        with contextlib.closing(Admin(edge.admin_socket)) as admin:
            for port in range(first, 65536, 4):
                if admin.create("filler", port, label="x" * 128, allow_origins=origins)[0] == 507:
                    return

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(1, 5)))
    for port in range(1, 65536):  # smaller records may still fit
        if preview(edge, "another", {"port": port}).status == 507:
            break


@cause("a server that is down", "changing")
def _down(_, edge):
    call(edge, timeout=LONG)


@cause("a server without TLS", "changing")
def _tls(world, edge):
    rewrite(edge, {"upstreams": [{**edge.config["upstreams"][0], "servers": [f"127.0.0.1:{world.old.port}"], "tls": True}]})
    edge.command("reload")
    call(edge, timeout=LONG)
