"""Boxes of a control plane: waking, pushed states, activity, and a control plane that is slow, wrong or down. Both
sides are judged by the contract, docs/control-plane.yaml."""

import http.client
import itertools
import json
import socket
import ssl
import subprocess
import threading
import time

import pytest

import openapi
from control_plane import BOX_NETWORK, STATES, BoxAddresses, ControlPlane, push
from harness import SLOW, Edge, HttpOrigin, RawOrigin

PORT = 3000  # of all previews; boxes have a separate port
TIMEOUT_MS = 1000


class World:
    """A control plane, an edge with two workers that asks it, and addresses for boxes."""

    def __init__(self, directory, addresses, plane, config=None, **kw):
        self.plane, self.addresses = plane, addresses
        self.origins = []
        self.edge = Edge(directory, workers=2, config={
            "control_plane": {"url": plane.url, "timeout": f"{TIMEOUT_MS}ms", **(config or {})},
            "origins": {"allow": [BOX_NETWORK]},
        }, **kw)
        self.numbers = itertools.count(1)

    def origin(self, address=None, handler=None):
        origin = RawOrigin(handler, address=address or self.addresses[0]) if handler else HttpOrigin(
            address=address or self.addresses[0])
        self.origins.append(origin)
        return origin

    def box(self, origin=None, state="paused", **more):
        """A box with a preview: its id. With `address` it is at that address, and nothing listens for it."""
        box_id = f"cp{next(self.numbers)}"
        if "address" not in more:
            origin = origin or self.origin()
            more.update(address=origin.listener.getsockname()[0], port=origin.port)
        self.plane.add_box(box_id, state=state, **more)
        self.edge.create_preview(PORT, box_id)
        return box_id

    def get(self, box_id, path="/echo", **kw):
        return self.edge.get(Edge.host(PORT, box_id), path, **kw)

    def heal(self):
        """The control plane behaves, and the edge knows it: its breaker is closed."""
        for kind in ("get", "resume", "activity"):
            self.plane.misbehave(kind, None)
        self.plane.unhang()
        for _ in range(60):
            if self.get(self.box(self.origins[0] if self.origins else None)).status == 200:
                return
            time.sleep(0.05)
        raise AssertionError("the edge asks the control plane no more")

    def close(self):
        try:
            self.edge.close()
        finally:
            for origin in self.origins:
                origin.close()


def error_of(response, status=503):
    assert response.status == status, (response.status, response.body)
    return json.loads(response.body)


@pytest.fixture(scope="module")
def addresses():
    with BoxAddresses(3) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory, addresses):
    with ControlPlane() as plane:
        running = World(tmp_path_factory.mktemp("plane"), addresses, plane)
        yield running
        running.close()


@pytest.fixture
def world(shared):
    """The shared world with a control plane that behaves."""
    yield shared
    shared.plane.resume_delay, shared.plane.wait, shared.plane.on_resume = 0, True, None
    for kind in ("get", "resume", "activity"):
        shared.plane.misbehave(kind, None)
    shared.plane.unhang()


@pytest.fixture
def make_world(tmp_path, addresses):
    made = []

    def make(plane, **kw):
        made.append(World(tmp_path / f"world{len(made)}", addresses, plane, **kw))
        return made[-1]

    yield make
    for one in made:
        one.close()


# ---- the contract


def test_contract_is_whole():
    document = openapi.load()
    assert document["openapi"].startswith("3.1")
    ids = []
    for method, path, operation in [*openapi.operations(document), *(
            (m.upper(), name, o) for name, item in document["webhooks"].items() for m, o in item.items())]:
        ids.append(operation["operationId"])
        assert operation["summary"] and operation["responses"], (method, path)
        for status, response in operation["responses"].items():
            response = openapi.resolve(document, response)
            assert response["description"], (path, status)
            for kind, content in response.get("content", {}).items():
                assert kind == "application/json" and openapi.resolve(document, content["schema"])
        for parameter in [*operation.get("parameters", ()), *document["paths"].get(path, {}).get("parameters", ())]:
            parameter = openapi.resolve(document, parameter)
            assert parameter["in"] == "path" and parameter["required"] is True
        assert ("{id}" in path) <= ("parameters" in document["paths"].get(path, {}))
    assert len(ids) == len(set(ids)) >= 4
    for scheme in document["security"]:
        assert set(scheme) <= set(document["components"]["securitySchemes"])

    def walk(node):
        if isinstance(node, dict):
            openapi.resolve(document, node)  # every $ref has a target
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(document)
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            assert not openapi.errors(document, schema, example), name
    assert set(document["components"]["schemas"]["Box"]["properties"]["state"]["enum"]) == set(STATES)


def test_fake_answers_by_the_contract():
    document = openapi.load()
    with ControlPlane() as plane:
        for state in STATES:
            plane.add_box(f"in-{state}", "10.1.2.3", 80, state=state, incarnation="1", keep_alive=True, ports=[80])
        calls = [(m, f"/boxes/in-{s}{p}") for s in STATES for m, p in (("GET", ""), ("POST", "/resume"))]
        calls += [("GET", "/boxes/none"), ("POST", "/boxes/none/resume"), ("POST", "/activity")]
        plane.misbehave("activity", None)
        for method, path in calls:
            connection = http.client.HTTPConnection("127.0.0.1", plane.port, timeout=5)
            connection.request(method, path, json.dumps({"boxes": ["in-running"]}) if path == "/activity" else None)
            response = connection.getresponse()
            body = response.read()
            schema = openapi.response_schema(document, openapi.operation_of(document, method, path), response.status)
            if schema is not None:
                assert not openapi.errors(document, schema, json.loads(body)), (method, path)
            connection.close()


@pytest.mark.parametrize("wrong", [
    {}, {"id": "a"}, {"state": "running"}, {"id": "A", "state": "running"}, {"id": "a", "state": "asleep"},
    {"id": "a", "state": "running", "port": 0}, {"id": "a", "state": "running", "port": True},
    {"id": "a", "state": "running", "ports": []}, {"id": "a", "state": "running", "ports": list(range(1, 18))},
    {"id": "a", "state": "running", "incarnation": ""}, {"id": "a", "state": "running", "expires_at": -1},
    {"id": "a", "state": "running", "keep_alive": "yes"}, {"id": "a", "state": "running", "address": 1},
])
def test_contract_and_edge_refuse_the_same(world, wrong):
    document = openapi.load()
    assert openapi.errors(document, document["components"]["schemas"]["Box"], wrong)
    status, answer = push(world.edge, "a", wrong)
    assert status == 400 and answer["code"] == "bad_box", answer


def test_edge_asks_by_the_contract(shared):
    """Checks all calls of this file's tests so far; at least those of the next test."""
    world, document = shared, openapi.load()
    box = world.box()
    assert world.get(box).status == 200
    for call in world.plane.calls_of():
        operation = openapi.operation_of(document, call.method, call.path)
        assert operation is not None, call
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert call.fields["Content-Type"] == "application/json"
            assert not openapi.errors(document, schema, json.loads(call.body)), call
        else:
            assert not call.body, call
        assert "Cookie" not in call.fields and "Authorization" not in call.fields


# ---- waking


def test_resumed_at_once(world):
    box = world.box()
    response = world.get(box)
    assert response.status == 200, response.body
    assert [c.kind for c in world.plane.calls_of(box=box)] == ["resume"]
    assert world.get(box).status == 200
    assert world.plane.count(box=box) == 1  # it runs: nobody is asked


def test_of_its_boxes_the_edge_has_no_log(world):
    box = world.box()
    assert world.get(box).status == 200
    done = world.edge.command("box", "logs", box, check=False)
    assert done.returncode == 1 and "a box of the control plane" in done.stderr


def test_resumed_after_a_while(world):
    world.plane.wait, world.plane.resume_delay = False, 0.2
    box = world.box()
    assert world.get(box).status == 200
    kinds = [c.kind for c in world.plane.calls_of(box=box)]
    assert kinds[0] == "resume" and set(kinds[1:]) == {"get"}, kinds


def test_a_push_ends_the_wait(world):
    """The control plane answers 202 and then pushes: nobody waits for the next poll."""
    origin = world.origin()
    box = world.box(origin)
    running = {**world.plane.boxes[box], "state": "running"}
    world.plane.misbehave("resume", lambda handler, call: handler.say(202, {}))
    world.plane.misbehave("get", 503)
    answers = []
    client = threading.Thread(target=lambda: answers.append(world.get(box)))
    client.start()
    world.plane.wait_calls("resume", box=box)
    assert push(world.edge, box, running) == (200, {"id": box, "state": "running"})
    client.join(10)
    assert answers and answers[0].status == 200


def test_single_flight(world):
    world.plane.resume_delay = 0.3
    box = world.box()
    answers, streams = [], []
    for _ in range(200):
        streams.append(world.edge.connect())
    for stream in streams:
        stream.send(f"GET /status?code=204 HTTP/1.1\r\nHost: {Edge.host(PORT, box)}\r\n\r\n".encode())
    for stream in streams:
        answers.append(stream.read_message(10).status)
        stream.close()
    assert answers == [204] * 200
    assert [c.kind for c in world.plane.calls_of(box=box)] == ["resume"]


def test_many_boxes_at_once(world):
    """More resumes than calls may be under way: all are made, none starves. Each box has a separate address:
    a box reported at another one's address would make the edge ask for that one again."""
    world.plane.resume_delay = 0.05
    with BoxAddresses(80) as places, HttpOrigin(address="0.0.0.0") as origin:
        boxes = [f"cp{next(world.numbers)}" for _ in places]
        for box, place in zip(boxes, places):
            world.plane.add_box(box, place, origin.port)
        threads = [threading.Thread(target=world.edge.create_preview, args=(PORT, b)) for b in boxes]
        for some in range(0, len(threads), 8):
            for thread in threads[some : some + 8]:
                thread.start()
            for thread in threads[some : some + 8]:
                thread.join()
        streams = [world.edge.connect() for _ in boxes]
        for box, stream in zip(boxes, streams):
            stream.send(f"GET /status?code=204 HTTP/1.1\r\nHost: {Edge.host(PORT, box)}\r\n\r\n".encode())
        for stream in streams:
            assert stream.read_message(20).status == 204
            stream.close()
        assert {box: world.plane.count("resume", box) for box in boxes} == dict.fromkeys(boxes, 1)


def test_unknown_and_removed_boxes(world):
    world.edge.create_preview(PORT, "nobody")
    assert world.edge.get(Edge.host(PORT, "nobody")).status == 404
    assert world.plane.count(box="nobody") >= 1
    for state in ("gone", "deleted"):
        box = world.box(state=state)
        assert world.get(box).status == 404


def test_box_in_error(world):
    box = world.box(state="error")
    assert "reports an error" in error_of(world.get(box))["error"]
    assert world.plane.count("resume", box) == 1
    assert world.get(box).status == 503  # remembered
    assert world.plane.count("resume", box) == 1


# ---- wrong


@pytest.mark.parametrize("mode", [
    b"junk", b"", b"[]", b"[" * 10000, "redirect", "huge", "endless", "reset", "close", 500, 409, 401, 204, "hang",
    "wrong id", (429, {"Retry-After": "3600"}), "drip",
], ids=str)
def test_wrong_answers(world, mode):
    origin = world.origin()
    box = world.box(origin)
    world.plane.misbehave("resume", {"id": "other", "state": "running"} if mode == "wrong id" else mode)
    began = time.monotonic()
    answer = error_of(world.get(box))
    assert answer["error"] and "127.0.0.1" not in answer["error"], answer
    assert time.monotonic() - began < (3 * TIMEOUT_MS / 1000 + 7) * SLOW
    # For the first try libcurl makes up to five more calls when its kept connections turn out dead.
    assert world.plane.count("resume", box) <= (8 if mode in ("reset", "close") else 3)
    assert not world.plane.calls_of("other"), "a redirect was followed"
    assert not origin.connections
    world.heal()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0",
                                     "::", "224.0.0.1", "192.0.2.77", "255.255.255.255"])
def test_addresses_that_are_never_connected_to(world, address):
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0)
        box = world.box(address=address, port=trap.getsockname()[1])
        answer = error_of(world.get(box))
        assert answer["error"]
        with pytest.raises(BlockingIOError):
            trap.accept()
    running = {**world.plane.boxes[box], "state": "running"}
    assert push(world.edge, box, running)[0] == 200  # no other way in
    assert world.get(box).status == 503


def test_down_and_up_again(make_world):
    with ControlPlane() as plane:
        world = make_world(plane)
        running = world.box()
        assert world.get(running).status == 200
        boxes = [world.box() for _ in range(3)]
        plane.down()
        for box in boxes:
            began = time.monotonic()
            assert "control plane" in error_of(world.get(box))["error"]
            assert time.monotonic() - began < 5 * SLOW
        assert world.get(running).status == 200  # running boxes are served
        plane.up()
        calls = plane.count()
        world.heal()
        assert plane.count() > calls
        world.edge.stderr.wait_for(lambda line: "pause for a while" in line)
        world.edge.stderr.wait_for(lambda line: "answers again" in line)


def test_flapping(world):
    """Every call fails once, in one way after another, and each box still wakes."""
    for mode in (503, "reset", "close", (429, {"Retry-After": "1"}), 502):
        box = world.box(world.origins[0] if world.origins else None)
        world.plane.misbehave("resume", mode, 1)
        assert world.get(box).status == 200, mode
        assert world.plane.count("resume", box) == 2


# ---- TLS and the token


def certificate(directory, *names):
    """A self-signed certificate for 127.0.0.1: (chain, key) paths."""
    chain, key = directory / f"{names[0].replace(':', '-')}.pem", directory / f"{names[0].replace(':', '-')}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=control", "-addext", "subjectAltName=" + ",".join(names), "-keyout", key, "-out", chain],
                   check=True, capture_output=True)
    return chain, key


def test_tls_and_token(tmp_path, make_world):
    right = certificate(tmp_path, "IP:127.0.0.1")
    token = tmp_path / "token"
    token.write_text("first-s3cret\n")
    with ControlPlane(certificate=right, token="first-s3cret") as plane:
        world = make_world(plane, config={"ca_file": str(right[0]), "token_file": str(token)})
        assert world.get(world.box()).status == 200
        plane.token = "second-s3cret"
        assert "token" in error_of(world.get(world.box()))["error"]
        token.write_text("second-s3cret\n")
        world.edge.command("reload")
        assert world.get(world.box()).status == 200
        token.unlink()
        assert world.get(world.box()).status == 200  # read with the configuration, not with each call
        world.edge.stop()
        assert not [line for line in world.edge.stderr.lines + list(map(str, world.edge.access.lines)) if "s3cret" in line]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_wrong_certificates(tmp_path, make_world, version):
    wrong_name, unknown = certificate(tmp_path, "DNS:control.test"), certificate(tmp_path, "IP:127.0.0.1")
    token = tmp_path / "token"
    token.write_text("s3cret")
    for ca in (wrong_name, unknown):
        with ControlPlane(certificate=wrong_name, token="s3cret") as plane:
            plane.context.minimum_version = plane.context.maximum_version = version
            world = make_world(plane, config={"ca_file": str(ca[0]), "token_file": str(token)})
            assert "control plane" in error_of(world.get(world.box()))["error"]
            assert plane.count() == 0  # it got no byte, least of all the token


# ---- pushed states


def test_pushed_states(world):
    box = world.box()
    assert world.get(box).status == 200
    world.plane.set(box, state="paused")
    assert push(world.edge, box, world.plane.boxes[box])[0] == 200
    assert world.get(box).status == 200  # it was woken
    assert world.plane.count("resume", box) == 2
    assert push(world.edge, box, {"id": box, "state": "gone"})[0] == 200
    assert world.get(box).status == 404
    assert push(world.edge, box, {**world.plane.boxes[box], "state": "running"})[0] == 200
    assert world.get(box).status == 200  # nobody had to be asked
    assert world.plane.count("resume", box) == 2


def test_pushed_by_surprise(world):
    """A state of a box that is new to the edge."""
    origin = world.origin()
    box = world.box(origin, state="running")
    assert push(world.edge, box, world.plane.boxes[box])[0] == 200
    assert world.get(box).status == 200
    assert world.plane.count(box=box) == 0


def test_a_box_past_its_end_is_gone(world):
    now = int(time.time())
    box = world.box(state="running", ephemeral=True, expires_at=now + 3600)
    for changes, status in (({}, 200), ({"expires_at": now - 1}, 404), ({"state": "paused"}, 404),
                            ({"expires_at": now + 3600}, 200)):
        world.plane.set(box, **changes)
        assert push(world.edge, box, world.plane.boxes[box])[0] == 200
        assert world.get(box).status == status, changes
    assert world.plane.count("resume", box) == 1  # no request wakes it past its end


def test_moved_box(world, addresses):
    """When two boxes swap their addresses, each gets its own requests: none uses an old connection."""
    names = iter(("first", "second"))

    def app(name):
        body = name.encode()
        return lambda conn: [conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                             for _ in iter(lambda: conn.read_request(timeout=3600), None)]

    places = [world.origin(address, app(next(names))) for address in addresses[:2]]
    boxes = [world.box(place, state="running", incarnation="1") for place in places]
    for box in boxes:
        push(world.edge, box, world.plane.boxes[box])
    assert [world.get(box).body for box in boxes] == [b"first", b"second"]
    for box, place in zip(boxes, reversed(places)):
        world.plane.set(box, address=place.listener.getsockname()[0], port=place.port, incarnation="2")
        push(world.edge, box, world.plane.boxes[box])
    for _ in range(4):
        assert [world.get(box).body for box in boxes] == [b"second", b"first"]


def test_pushes_that_are_refused(world):
    box = world.box()
    assert push(world.edge, "box", {"id": "box", "state": "running"})[0] == 409  # a box of the configuration
    assert push(world.edge, box, {"id": "other", "state": "running"})[0] == 400
    assert push(world.edge, box, "[" * 5000)[0] == 400
    assert push(world.edge, box, json.dumps({"id": box, "state": "paused", "x": "y" * 17000}))[0] == 400
    assert push(world.edge, "No-Id", {"id": "No-Id", "state": "running"})[0] == 400
    assert world.get(box).status == 200


def test_no_control_plane(edge):
    status, answer = push(edge, "abc", {"id": "abc", "state": "running", "address": "10.1.2.3"})
    assert (status, answer["code"]) == (409, "not_taken")


def test_control_plane_is_taken_out(make_world):
    with ControlPlane() as plane:
        world = make_world(plane)
        box = world.box()
        assert world.get(box).status == 200
        del world.edge.config["control_plane"]
        world.edge.write_config()
        world.edge.command("reload")
        world.edge.wait_until(lambda: world.get(box).status == 404)
        assert push(world.edge, box, world.plane.boxes[box])[0] == 409


# ---- activity


def test_activity(world):
    """A long request is reported about once a second, a box of the configuration never."""
    box, idle = world.box(), world.box()
    assert world.get(box).status == 200 and world.get(idle).status == 200
    calls, began = world.plane.count("activity"), time.monotonic()
    with HttpOrigin() as own:
        world.edge.create_preview(own)
        assert world.edge.get(Edge.host(own)).status == 200
        assert world.get(box, "/slow?ms=2600").status == 200
        world.plane.wait_until(lambda: world.plane.active().count(box) >= 2)
    assert "box" not in world.plane.active()
    assert world.plane.count("activity") - calls <= time.monotonic() - began + 1
    world.plane.misbehave("activity", 500)  # no side effect
    assert world.get(box).status == 200
