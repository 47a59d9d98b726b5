"""The routes of the box API. Every call carries a key; a box belongs to the key that created it, and is
invisible to others."""

import contextlib
import json
import re
import tempfile

from .errors import Refusal
from .multipart import Multipart

OUTPUT_MAX = 16 << 20
INTERPRETERS = {"js": ("node", "-e"), "javascript": ("node", "-e"), "python": ("/usr/bin/python3", "-c")}
ID = r"/v2/box/(?P<box>[A-Za-z0-9_-]+)"


class Api:
    """`keys` are the accepted keys. Calling it answers a request (transport.Handler)."""

    def __init__(self, boxes, keys):
        self.boxes, self.keys = boxes, set(keys)
        self._routes = [(method, re.compile(pattern), function) for method, pattern, function in (
            ("POST", r"/v2/box", self._create),
            ("GET", r"/v2/box", self._list),
            ("DELETE", r"/v2/box", self._delete_some),
            ("POST", r"/v2/box/from-snapshot", self._create),
            ("GET", ID, self._get),
            ("DELETE", ID, self._delete),
            ("GET", ID + "/status", self._status),
            ("POST", ID + "/pause", self._pause),
            ("POST", ID + "/resume", self._resume),
            ("POST", ID + "/exec", self._run),
            ("POST", ID + "/code", self._run),
            ("POST", ID + "/exec-stream", self._run_streamed),
            ("POST", ID + "/code-stream", self._run_streamed),
            ("GET", ID + "/files/read", self._read),
            ("POST", ID + "/files/write", self._write),
            ("GET", ID + "/files/list", self._list_files),
            ("GET", ID + "/files/stat", self._stat),
            ("POST", ID + "/files/mkdir", self._make_directory),
            ("POST", ID + "/files/rename", self._rename),
            ("POST", ID + "/files/remove", self._remove),
            ("POST", ID + "/files/upload", self._upload),
            ("GET", ID + "/files/download", self._download),
            ("GET", ID + "/snapshots", self._snapshots),
            ("POST", ID + "/snapshots", self._snapshot),
            ("DELETE", ID + "/snapshots/(?P<snapshot>[^/]+)", self._delete_snapshot),
        )]

    def __call__(self, request):
        owner = request.headers.get("X-Box-Api-Key")
        if not owner:
            raise Refusal(401, "The key is missing: send it as X-Box-Api-Key.")
        if owner not in self.keys:
            raise Refusal(401, "The key is not known.")
        others = False
        for method, pattern, function in self._routes:
            if match := pattern.fullmatch(request.route):
                if method == request.command:
                    names = match.groupdict()
                    if "box" in names:
                        names["box"] = self.boxes.find(names["box"], owner)
                    return function(request, owner=owner, **names)
                others = True
        raise Refusal(405 if others else 404, f"{request.command} {request.route} is no call of this API.")

    # ---- boxes

    def _create(self, request, owner):
        wishes = request.json()
        snapshot = wishes.get("snapshot_id") if request.route.endswith("from-snapshot") else None
        if snapshot is None and request.route.endswith("from-snapshot"):
            raise Refusal(400, "The snapshot_id is missing.")
        request.say(201, self.boxes.create(owner, wishes, snapshot).described())

    def _list(self, request, owner):
        request.say(200, [box.described() for box in self.boxes.of(owner, request.query.get("label"))])

    def _delete_some(self, request, owner):
        names = request.json().get("ids")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise Refusal(400, "The ids of the boxes are missing.")
        for box in [self.boxes.find(name, owner) for name in names]:
            self.boxes.remove(box)
        request.say(200, {})

    def _get(self, request, box, **_):
        request.say(200, box.described())

    def _status(self, request, box, **_):
        request.say(200, {"status": box.status})

    def _delete(self, request, box, **_):
        self.boxes.remove(box)
        request.say(200, {})

    def _pause(self, request, box, **_):
        self.boxes.pause(box)
        request.say(200, box.described())

    def _resume(self, request, box, **_):
        self.boxes.resume(box)
        request.say(200, box.described())

    # ---- commands

    def _start(self, request, box, merged):
        wishes = request.json()
        if request.route.rsplit("/", 1)[1].startswith("code"):
            interpreter = INTERPRETERS.get(wishes.get("language"))
            if interpreter is None:
                raise Refusal(400, f"There is no interpreter for {wishes.get('language')}.")
            argv = [*interpreter, wishes.get("code")]
        else:
            argv = wishes.get("command")
        if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
            raise Refusal(400, "The command is missing: send a list of strings.")
        directory = box.files.existing(wishes.get("folder") or ".")
        if not directory.is_dir():
            raise Refusal(400, f"{wishes['folder']} is no directory.")
        return box.group.start([box.files.translate(word) for word in argv], directory, box.environment, merged)

    def _run(self, request, box, **_):
        printed = {"stdout": bytearray(), "stderr": bytearray()}
        with self.boxes.working(box):
            try:
                command = self._start(request, box, merged=False)
            except OSError as error:
                request.say(200, {"exit_code": 127, "output": "", "error": f"The command cannot be run: {error}"})
                return
            for name, data in command.output(request.connection):
                printed[name] += data[:OUTPUT_MAX - len(printed[name])]
        request.say(200, {"exit_code": command.exit_code(), "output": printed["stdout"].decode("utf-8", "replace"),
                          "error": printed["stderr"].decode("utf-8", "replace")})

    def _run_streamed(self, request, box, **_):
        """The output of the command as it arrives, then an event `exit`, or `error` if it could not run."""
        with contextlib.ExitStack() as working:
            working.enter_context(self.boxes.working(box))
            try:
                command, problem = self._start(request, box, merged=True), None
            except OSError as error:
                command, problem = None, {"error": f"The command cannot be run: {error}"}
            with request.stream("text/event-stream") as write:
                if command is None:
                    write(_event("error", problem))
                    return
                for _, data in command.output(request.connection):
                    write(data)
                working.close()
                write(_event("exit", {"exit_code": command.exit_code(), "cpu_ns": 0}))

    # ---- files

    def _read(self, request, box, **_):
        offset, length = request.query.get("offset", "0"), request.query.get("length")
        if not offset.isdecimal() or not (length or "0").isdecimal():
            raise Refusal(400, "The offset and the length are numbers.")
        content = box.files.read(request.query.get("path"), request.query.get("encoding"), int(offset),
                                 None if length is None else int(length))
        request.say(200, {"content": content})

    def _write(self, request, box, **_):
        wishes = request.json()
        box.files.write(wishes.get("path"), wishes.get("content"), wishes.get("encoding"))
        request.say(200, {})

    def _list_files(self, request, box, **_):
        request.say(200, {"files": box.files.list(request.query.get("folder", "."))})

    def _stat(self, request, box, **_):
        request.say(200, box.files.stat(request.query.get("path")))

    def _make_directory(self, request, box, **_):
        wishes = request.json()
        box.files.make_directory(wishes.get("path"), wishes.get("parents") is True)
        request.say(200, {})

    def _rename(self, request, box, **_):
        wishes = request.json()
        box.files.rename(wishes.get("from"), wishes.get("to"))
        request.say(200, {})

    def _remove(self, request, box, **_):
        wishes = request.json()
        box.files.remove(wishes.get("path"), wishes.get("recursive") is True)
        request.say(200, {})

    def _upload(self, request, box, **_):
        """Parts `paths` and `files`, equally many of each, in any order; all are accepted or none."""
        with tempfile.TemporaryDirectory(dir=self.boxes.directory / "spool") as spool:
            paths, files = [], []
            for name, pieces in Multipart(request.body, request.headers.get("Content-Type")).parts():
                if name == "paths":
                    paths.append(b"".join(pieces).decode("utf-8", "replace"))
                elif name == "files":
                    files.append(f"{spool}/{len(files)}")
                    with open(files[-1], "wb") as file:
                        for piece in pieces:
                            file.write(piece)
            if not files or len(paths) != len(files):
                raise Refusal(400, f"The upload has {len(files)} files and {len(paths)} paths.")
            for path in paths:
                box.files.locate(path)
            for file, path in zip(files, paths):
                box.files.take(file, path)
        request.say(200, {"count": len(files)})

    def _download(self, request, box, **_):
        request.say_file(box.files.open(request.query.get("folder")))

    # ---- snapshots

    def _snapshot(self, request, box, **_):
        name = request.json().get("name")
        if not isinstance(name, str) or not name:
            raise Refusal(400, "A snapshot needs a name.")
        request.say(201, self.boxes.snapshot(box, name))

    def _snapshots(self, request, box, **_):
        request.say(200, {"snapshots": self.boxes.snapshots_of(box)})

    def _delete_snapshot(self, request, box, owner, snapshot):
        self.boxes.remove_snapshot(owner, snapshot)
        request.say(200, {})


def _event(name, value):
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
