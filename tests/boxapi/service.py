"""The whole service: the box API and the control plane, each on a port of 127.0.0.1, over the same boxes."""

from .api import Api
from .boxes import Boxes
from .plane import Plane, box_state
from .transport import Server


class BoxApi:
    """Runs until close. `on_change(id, state)` is called after each change of a box, with the state that a
    control plane would push; the state of a removed box is "gone"."""

    def __init__(self, directory, keys=("test-key",), addresses=(), create_seconds=0, resume_seconds=0, token=None,
                 on_change=None, port=0, plane_port=0):
        self.on_change = on_change
        self.boxes = Boxes(directory, addresses, create_seconds, resume_seconds, self._changed)
        self.plane = Plane(self.boxes, token)
        self._api_server = Server(Api(self.boxes, keys), port=port)
        self._plane_server = Server(self.plane, port=plane_port)

    @property
    def port(self):
        return self._api_server.port

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def plane_url(self):
        return f"http://127.0.0.1:{self._plane_server.port}"

    def _changed(self, box):
        if self.on_change is not None:
            state = box_state(box)
            self.on_change(box.id, {"id": box.id, "state": "gone"} if state["state"] == "deleted" else state)

    def close(self):
        """No request is answered any more, and no process of a box is left."""
        self._api_server.close()
        self._plane_server.close()
        self.boxes.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
