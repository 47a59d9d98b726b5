"""Requests that a page makes by itself, and requests of a person: heartbeats on an open WebSocket of a frozen
box, and pages under both values of a preview's `--background-wakes`. Without a browser; test_tabs_chromium.py
has one."""

import json
import select
import time

import pytest

from test_activity import KEY, Boxes, frame, open_websocket, process_box, read_frame

PERIOD = 3  # seconds, of which an eighth may be lost on a busy machine
HELD = 3  # heartbeats in a row that leave the box frozen
BEATS_MAX = 20


class Tab:
    """An open WebSocket: the messages sent on it, and the app's answers, each in order."""

    def __init__(self, client):
        self.client, self.sent, self.back = client, [], []

    def send(self, payload):
        self.sent.append(payload)
        self.client.send(frame(payload))

    def hear(self):
        opcode, payload = read_frame(self.client)
        assert opcode == 1
        self.back.append(payload)

    def hear_until(self, end):
        """The messages that arrive before that time."""
        while (left := end - time.monotonic()) > 0:
            if self.client.buffer or select.select([self.client.sock], [], [], left)[0]:
                self.hear()


def test_a_frozen_box_stays_frozen_under_heartbeats(tmp_path):
    """A message thaws it. Then every held message arrives, in order."""
    with Boxes(tmp_path, process_box("ws", idle_action="freeze")) as boxes:
        pid = boxes.ask("ws")["pid"]
        with open_websocket(boxes.stream, "ws", "/ws") as client:
            tab = Tab(client)
            held, due = [], time.monotonic()
            for number in range(BEATS_MAX):
                frozen = boxes.state("ws") == "paused"
                beat = b"beat %013d" % number
                tab.send(beat)
                due += PERIOD
                tab.hear_until(due)
                held = held + [beat] if frozen and beat not in tab.back else []
                if len(held) == HELD:
                    break
            assert len(held) == HELD and boxes.state("ws") == "paused"
            assert tab.back == tab.sent[:-HELD]
            tab.send(b"somebody is back")
            while len(tab.back) < len(tab.sent):
                tab.hear()
            assert tab.back == tab.sent
            assert boxes.state("ws") == "running"
            assert boxes.ask("ws")["pid"] == pid


WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY.decode()}")
# By the page's host: its browser's fields with a request that is no navigation.
ASKS = {
    "fetch": lambda host: ("/", ["Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-origin"]),
    "origin": lambda host: ("/", [f"Origin: http://{host}"]),
    "referer": lambda host: ("/", [f"Referer: http://{host}/page"]),
    "websocket": lambda host: ("/ws", [f"Origin: http://{host}", *WEBSOCKET]),
}


def ask(boxes, box_id, kind):
    """The status of a request of the page; 503 as of a box that sleeps."""
    path, fields = ASKS[kind](boxes.hosts[box_id])
    with boxes.stream(box_id, path, *fields) as client:
        answer = client.read_message()
    if answer.status == 503:
        assert answer.get("retry-after") == "60" and json.loads(answer.body)["code"] == "box_asleep"
    return answer.status


def switch(boxes, box_id, position):
    port = boxes.hosts[box_id].split(".")[0].rsplit("-", 1)[1]
    boxes.edge.command("preview", "update", box_id, port, "--background-wakes", position)


@pytest.mark.parametrize("position", ["once", "always"])
def test_a_preview_says_whether_what_its_pages_ask_for_wakes_each_time(tmp_path, position):
    """All kinds of requests together, each to a separate box."""
    good = {kind: 101 if kind == "websocket" else 200 for kind in ASKS}
    with Boxes(tmp_path, *[process_box(kind) for kind in ASKS]) as boxes:
        for kind in ASKS:
            switch(boxes, kind, position)

        def asleep():
            for kind in ASKS:
                boxes.wait_paused(kind)

        assert {kind: ask(boxes, kind, kind) for kind in ASKS} == good
        for _ in range(2):
            asleep()
            wanted = good if position == "always" else dict.fromkeys(ASKS, 503)
            assert {kind: ask(boxes, kind, kind) for kind in ASKS} == wanted
        asleep()
        for kind in ASKS:  # a person wakes it in any case
            assert boxes.get(kind, fields=["Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none"]).status == 200


def test_the_switch_counts_from_the_next_request_on(tmp_path):
    with Boxes(tmp_path, process_box("fetch")) as boxes:
        assert ask(boxes, "fetch", "fetch") == 200
        for position, status in (("once", 503), ("always", 200), ("once", 503)):
            switch(boxes, "fetch", position)
            boxes.wait_paused("fetch")
            assert ask(boxes, "fetch", "fetch") == status, position
