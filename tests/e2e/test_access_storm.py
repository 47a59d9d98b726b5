"""Credentials that change under load: a request sent after the acknowledgement of a change is never judged by the old
credentials."""

import collections
import contextlib
import random
import threading
import time

import pytest

from access_world import App, Made, base64_text, get
from admin_api import Admin
from harness import PATIENCE, SANITIZED, SLOW, WireError

CHANGES = 250 if SANITIZED else 1000
LOADERS = 6
CONNECTIONS = 4  # of each, so that they reach every worker

# The facts that a loader may rely on. `token` is None if the preview is deleted; `stable`: no change is under
# way; `dead`: the last tokens that were replaced or deleted.
State = collections.namedtuple("State", "token stable dead")


class Loader(threading.Thread):
    """Requests on kept connections, some with the token in force, some with a former one. Each outcome is
    judged by the changes that were acknowledged before the request was sent."""

    def __init__(self, storm, seed):
        super().__init__(daemon=True)
        self.storm, self.random = storm, random.Random(seed)
        self.connections = {}
        self.outcomes = collections.Counter()
        self.error = None

    def run(self):
        try:
            while not self.storm.over:
                self._one()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
            self.storm.over = True
        finally:
            for client in self.connections.values():
                client.close()

    def _send(self, token):
        name = self.random.randrange(CONNECTIONS)
        storm = self.storm
        for _ in range(2):
            kept = name in self.connections
            client = self.connections.setdefault(name, None) or storm.edge.connect("plain")
            self.connections[name] = client
            try:
                return client.request(f"GET /echo HTTP/1.1\r\nHost: {storm.host}\r\nAuthorization: Bearer {token}\r\n\r\n"
                                      .encode()).status
            except (WireError, ConnectionError):
                client.close()
                del self.connections[name]
                if not kept:
                    raise
        raise AssertionError("a kept connection and a fresh one both failed")

    def _one(self):
        before = self.storm.state
        dead = before.token is None or (before.dead and self.random.random() < 0.5)
        if dead and not before.dead:
            return
        token = self.random.choice(before.dead) if dead else before.token
        status = self._send(token)
        after = self.storm.state
        if dead:
            assert status in (401, 404), f"a token that was dead when the request was sent: {status}"
        elif before.stable and after is before:
            assert status == 200, f"the token that was in force all the while: {status}"
        else:
            assert status in (200, 401, 404), status
        if before.stable and after is before and before.token is None:
            assert status == 404, f"a preview that was deleted all the while: {status}"
        self.outcomes["dead" if dead else "right", status] += 1
        self.storm.count()


class Storm:
    def __init__(self, edge, app):
        self.edge, self.app, self.host = edge, app, edge.host(app)
        self.over = False
        self.state = State(None, True, ())
        self._changed = threading.Condition()
        self._done = 0

    def count(self):
        with self._changed:
            self._done += 1
            self._changed.notify_all()

    def wait_for_requests(self, n):
        with self._changed:
            want = self._done + n
            assert self._changed.wait_for(lambda: self._done >= want or self.over, PATIENCE * SLOW)

    def change(self, admin, delete):
        state = self.state
        self.state = state._replace(stable=False)
        token = None
        if delete:
            status, _, body = admin.call("DELETE", f"/v1/previews/box/{self.app.port}")
            assert status == 200, body
        else:
            status, _, body = admin.create("box", self.app.port, bearer=True)
            assert status in (200, 201), body
            token = body["token"]
        # From here on the change is acknowledged.
        self.state = State(token, True, (*state.dead[-2:], *([state.token] if state.token else [])))


def test_replacements_under_load(make_edge):
    edge = make_edge(workers=4, config={"log": {"access": "off"}})
    admin = Admin(edge.admin_socket)
    with App() as app:
        app.record = False
        storm = Storm(edge, app)
        storm.change(admin, delete=False)
        loaders = [Loader(storm, seed) for seed in range(LOADERS)]
        for loader in loaders:
            loader.start()
        deleted = False
        begin = time.monotonic()
        for i in range(CHANGES):
            storm.wait_for_requests(LOADERS)
            if storm.over:
                break
            deleted = not deleted and i % 3 == 2
            storm.change(admin, delete=deleted)
        storm.wait_for_requests(LOADERS)
        storm.over = True
        for loader in loaders:
            loader.join(PATIENCE)
            if loader.error:
                raise loader.error
        outcomes = sum((loader.outcomes for loader in loaders), collections.Counter())
        print(f"{CHANGES} changes in {time.monotonic() - begin:.1f} s; outcomes: {dict(outcomes)}")
        # Each was tried often.
        assert outcomes["right", 200] > CHANGES and outcomes["dead", 401] > CHANGES / 2 and outcomes["dead", 404] > CHANGES / 4
    admin.close()


@pytest.mark.parametrize("kind", ["bearer", "basic"])
def test_a_connection_that_was_opened_before(make_edge, kind):
    """Its next request is refused; the session too."""
    edge = make_edge(workers=2)
    with App() as app:
        made = Made(edge, "box", app.port, kind)
        host = edge.host(app)
        shown = f"Bearer {made.token}" if made.token else "Basic " + base64_text(made.basic)
        request = f"GET /echo HTTP/1.1\r\nHost: {host}\r\nAuthorization: {shown}\r\n\r\n".encode()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(edge.connect("tls", host)) for _ in range(8)]
            assert {client.request(request).status for client in clients} == {200}
            again = Made(edge, "box", app.port, kind)
            assert {client.request(request).status for client in clients} == {401}
            assert again.all != made.all
            edge.command("preview", "delete", "box", app.port)
            assert {client.request(request).status for client in clients} == {404}


def test_a_preview_that_turns_public_and_private_again(make_edge):
    edge = make_edge(workers=2)
    with App() as app:
        host = edge.host(app)
        for kind, status in (("bearer", 401), ("public", 200), ("both", 401), ("public", 200), ("basic", 401)):
            Made(edge, "box", app.port, kind)
            assert {get(edge, host).status for _ in range(6)} == {status}
