"""The contract of a control plane (docs/control-plane.yaml) for the boxes of the service: an edge wakes them by it."""

import re

from .errors import Refusal

STATES = {"idle": "running"}  # others are called the same


def box_state(box):
    """A box in the form for an edge, for an answer or a push."""
    shown = {"id": box.id, "state": STATES.get(box.state, box.state), "address": box.address, "incarnation": "1",
             "keep_alive": box.keep_alive, "ephemeral": box.ephemeral, "expires_at": box.expires_at or None}
    return {name: value for name, value in shown.items() if value is not None}


class Plane:
    """Calling it answers a request (transport.Handler). With a token, calls without it are refused. `calls` are the
    methods and paths of all calls so far."""

    def __init__(self, boxes, token=None):
        self.boxes, self.token = boxes, token
        self.calls = []

    def __call__(self, request):
        self.calls.append((request.command, request.route))
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refusal(401, "The token is not right.")
        if (request.command, request.route) == ("POST", "/activity"):
            for box_id in request.json().get("boxes", ()):
                self.boxes.active(box_id)
            request.say(200, {})
            return
        match = re.fullmatch(r"/boxes/([^/]+)(/resume)?", request.route)
        if match is None or request.command != ("POST" if match[2] else "GET"):
            raise Refusal(404, "There is no such call.")
        box = self.boxes.find(match[1])
        if match[2]:
            self.boxes.resume(box)
        request.say(200, box_state(box))
