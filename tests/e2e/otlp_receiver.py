"""A receiver of OTLP over HTTP in JSON that decodes strictly: what a collector would refuse fails the test."""

import contextlib
import http.server
import json
import re
import threading
import time

from harness import PATIENCE, SLOW

KINDS = {1, 2, 3, 4, 5}
SPAN_KEYS = {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes",
             "status"}


def hex_id(text, digits):
    assert re.fullmatch(rf"[0-9a-f]{{{digits}}}", text) and text.strip("0"), text
    return text


def int64(text):
    """ProtoJSON: 64-bit integers are strings."""
    assert isinstance(text, str) and re.fullmatch(r"0|[1-9][0-9]*", text) and int(text) < 1 << 63, text
    return int(text)


def attributes(items):
    found = {}
    for item in items:
        assert set(item) == {"key", "value"} and item["key"] not in found, item
        ((kind, value),) = item["value"].items()
        assert kind in ("stringValue", "intValue"), item
        assert kind == "intValue" or isinstance(value, str), item
        found[item["key"]] = int64(value) if kind == "intValue" else value
    return found


class Span:
    def __init__(self, item, resource):
        assert set(item) <= SPAN_KEYS and SPAN_KEYS - set(item) <= {"parentSpanId"}, item
        self.trace = hex_id(item["traceId"], 32)
        self.id = hex_id(item["spanId"], 16)
        self.parent = hex_id(item["parentSpanId"], 16) if "parentSpanId" in item else None
        self.name, self.kind = item["name"], item["kind"]
        assert self.name and isinstance(self.name, str) and self.kind in KINDS
        self.start, self.end = int64(item["startTimeUnixNano"]), int64(item["endTimeUnixNano"])
        assert self.start <= self.end
        self.attributes = attributes(item["attributes"])
        self.failed = item["status"].get("code", 0) == 2
        self.resource = resource


class Trace:
    """The span of a request, with those below it by name."""

    def __init__(self, root, below):
        self.root, self.below = root, {span.name: span for span in below}
        assert len(self.below) == len(below), "a name twice"
        for span in below:
            assert span.trace == root.trace and span.kind == 1
            assert root.start <= span.start <= span.end <= root.end, (span.name, root.start, span.start, span.end)
        ends = [self.below[name] for name in ("accept", "access", "connect", "first_byte", "response")
                if name in self.below]
        assert [span.start for span in ends] == sorted(span.start for span in ends), "out of order"


def decode(body):
    """The traces of a call. Spans of a request come together, so every parent within the edge is known."""
    spans = []
    for resource in json.loads(body)["resourceSpans"]:
        assert set(resource) == {"resource", "scopeSpans"}
        of = attributes(resource["resource"]["attributes"])
        for scope in resource["scopeSpans"]:
            assert set(scope) == {"scope", "spans"} and scope["scope"]["name"] == "boxedge"
            spans += [Span(item, of) for item in scope["spans"]]
    assert len({span.id for span in spans}) == len(spans)
    traces = [Trace(span, [one for one in spans if one.parent == span.id]) for span in spans if span.kind == 2]
    assert sum(1 + len(trace.below) for trace in traces) == len(spans), "a span whose parent is unknown"
    return traces


class Receiver:
    """`status`, `fields` and `answer` are those of the next answers. While `open` is not set, calls get no answer."""

    def __init__(self, context=None):
        self.traces, self.calls, self.errors = [], 0, []
        self.status, self.fields, self.answer = 200, {}, b"{}"
        self.open = threading.Event()
        self.open.set()
        self._changed = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{self.port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self._changed:
            self.calls += 1
            self._changed.notify_all()
        self.open.wait()
        try:
            assert handler.path == "/v1/traces" and handler.headers["Content-Type"] == "application/json"
            traces = decode(body)
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append((error, body))
            traces = []
        status = self.status
        with contextlib.suppress(OSError):
            handler.send_response(status)
            for name, value in self.fields.items():
                handler.send_header(name, value)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(self.answer)))
            handler.end_headers()
            handler.wfile.write(self.answer)
        with self._changed:
            self.traces += traces if status == 200 else []
            self._changed.notify_all()

    def until(self, predicate, what):
        deadline = time.monotonic() + PATIENCE * SLOW
        with self._changed:
            while not (found := predicate()):
                assert not self.errors, self.errors[0]
                left = deadline - time.monotonic()
                assert left > 0, f"{what} did not happen; {self.calls} calls, {len(self.traces)} traces"
                self._changed.wait(left)
        assert not self.errors, self.errors[0]
        return found

    def trace(self, path):
        """The trace of the only request for `path`."""
        def of_path():
            return [trace for trace in self.traces if trace.root.attributes.get("url.path") == path]

        (found,) = self.until(of_path, f"the trace of {path}")
        return found

    def close(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()
        assert not self.errors, self.errors[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
