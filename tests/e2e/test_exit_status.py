"""Commands that did not complete their work do not exit with 0, and give the reason."""

import contextlib
import json
import socket
import subprocess
import tempfile
import threading

import pytest

import harness
from harness import PATIENCE, SLOW

LONG = PATIENCE * SLOW
PLANS = {"plans": [{"name": "free", "rate": "0"}]}


COMMANDS = [
    "status", "status --json", "status --ready", "metrics", "preview list", "preview list --json",
    "preview create box 3001 --bearer", "preview create box 3002 --basic --json", "preview update box 3000 --label x",
    "preview delete box 3002", "block box other", "block list", "unblock box other", "key create ci --plan free", "key list",
    "key set-plan ci free", "key revoke ci", "key forget ci", "box list", "box list --json", "upstream list",
    "explain box-3000.preview.box.localhost", "requests", "requests --json",
    "top --once", "top --json", "reload", "check", "store check"]


def test_output_that_is_lost(make_edge):
    """A full disk at the other end of stdout: a token that nobody has seen is no success. The change is made, and the message reports it: some of the commands follow an earlier one."""
    edge = make_edge(config=PLANS)
    edge.create_preview(3000)
    for words in COMMANDS:
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([str(harness.BINARY), *words.split(), "-c", str(edge.config_path)], stdout=full,
                                  stderr=subprocess.PIPE, text=True, check=False, timeout=LONG, env=edge.env)
        assert done.returncode == 3, (words, done.stderr)
        assert f"boxedge {words.split()[0]}: not all of its output could be written" in done.stderr
        assert "a change that it made stays" in done.stderr


@pytest.mark.parametrize("words", ["help", "--version", "run --help", "status --help"])
def test_output_without_an_edge(words):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([str(harness.BINARY), *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                              timeout=LONG)
    assert done.returncode == 3 and "not all of its output could be written" in done.stderr


@contextlib.contextmanager
def another(answers):
    """A server in place of an edge, which gives each of the answers once; None: it closes the connection."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = f"{folder}/admin.sock"
        listener.bind(path)
        listener.listen(8)

        def serve():
            for answer in answers:
                with listener.accept()[0] as client:
                    client.recv(65536)
                    if answer is not None:
                        client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path
        thread.join(LONG)


def answer(body, status="200 OK", cut=0):
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text) + cut}\r\n\r\n"
    return head.encode() + text


BOX = {"box": "a", "state": "running", "provider": "http", "generation": 1}
PREVIEW = {"box": "a", "port": 1, "url": "u", "host_header": "public", "protocol": "http1", "created_at": 1}
KEY = {"name": "a", "plan": "free", "created_at": 1}
REFUSED = {"error": "It is so.", "code": "so"}


@pytest.mark.parametrize("words, answers, status, sentence", [
    ("box list", [answer({"boxes": [BOX], "truncated": True})], 3, "the edge knows more boxes than these 1."),
    ("box list --json", [answer({"boxes": [BOX], "truncated": True})], 3, "the edge knows more boxes than these 1."),
    ("preview list", [answer({"previews": [PREVIEW], "next": "a/2"}), answer(REFUSED, "503 No")], 1, "It is so."),
    ("preview list --json", [answer({"previews": [PREVIEW], "next": "a/2"}), None], 1, "no answer from the edge"),
    ("key list", [answer({"keys": [KEY], "next": "b"}), None], 1, "no answer from the edge"),
    ("status", [answer({"version": "1"}, cut=10)], 1, "the answer was cut"),
    ("metrics", [answer("x", "503 No")], 1, "the edge answered with status 503"),
    ("block box a", [None], 1, "no answer from the edge"),
    ("block box a", [answer(REFUSED, "507 No")], 1, "It is so."),
    ("unblock box a", [answer(REFUSED, "404 No")], 1, "It is so."),
    ("preview update a 1 --label x --kill-tunnels", [answer(REFUSED, "503 No")], 1, "It is so."),
    ("preview delete a 1 --kill-tunnels", [answer(REFUSED, "503 No")], 1, "It is so."),
    ("key create a --plan free", [answer({"name": "a"}, "201 Created", cut=1)], 1, "the answer was cut"),
    ("box start a", [answer(REFUSED, "503 No")], 1, "It is so."),
    ("box stop a", [answer(REFUSED, "409 No")], 1, "It is so."),
    ("upstream drain a b:1", [answer(REFUSED, "409 No")], 1, "It is so."),
    ("reload", [answer({**REFUSED, "lines": ["first", "second"]}, "422 No")], 1, "  second"),
    ("reload", [None], 1, "no answer from the edge"),
    ("drain", [answer(REFUSED, "503 No")], 1, "It is so."),
    ("upgrade", [answer({"supervisor_pid": 1}), answer(REFUSED, "503 No")], 1, "It is so."),
    ("upgrade", [answer({"supervisor_pid": 1}), answer({}, "202 Accepted"),
                 answer({"supervisor_pid": 1, "failed_upgrade": {"number": 1, "reason": "it is so"}})], 1,
     "the new program did not take over: it is so"),
    ("explain a-1.example", [answer(REFUSED, "400 No")], 1, "It is so."),
    ("status --ready", [answer("x", "503 No")], 1, "status 503"),
])
def test_what_was_not_done(words, answers, status, sentence):
    with another(answers) as path:
        done = subprocess.run([str(harness.BINARY), *words.split(), "--socket", path], capture_output=True, text=True,
                              check=False, timeout=LONG)
    assert done.returncode == status, (done.stdout, done.stderr)
    assert sentence in done.stderr, done.stderr
