"""The package upstash-box, unmodified, against UPSTASH_BOX_BASE_URL with UPSTASH_BOX_API_KEY, for test_sdk_python.py:
python sdk_client.py <a file to upload>, in a separate directory, with the interpreter that has the package. Its output equals that of sdk.mjs with the other package; sdk_sections.py judges both."""

import base64
import json
import os
import pathlib
import socket
import sys
import time
import traceback

from upstash_box import Box, BoxError, EphemeralBox

LARGE = sys.argv[1]
_lookup = socket.getaddrinfo
# Names are resolved to 127.0.0.1 here, whatever the system's resolver answers.
socket.getaddrinfo = lambda host, *more, **kw: _lookup("127.0.0.1", *more, **kw)


def refusal(call):
    try:
        call()
    except BoxError as error:
        return [error.status_code, str(error)]
    return None


def lifecycle(box):
    again = Box.get(box.id)
    listed = [one.id for one in Box.list()]
    second = Box.create(name="second", env={"GREETING": "hello"})
    greeting = second.exec.command("echo $GREETING").result
    named = Box.get_by_name("second").id == second.id
    second.delete()
    return {"same": again.id == box.id, "listed": box.id in listed, "status": box.get_status()["status"],
            "greeting": greeting, "named": named, "gone": refusal(lambda: Box.get(second.id)), "id": second.id}


def execute(box):
    good = box.exec.command("echo out; echo err >&2")
    bad = box.exec.command("echo no >&2; exit 3")
    box.exec.command("mkdir -p sub/folder")
    box.cd("sub/folder")
    where = box.exec.command('basename "$PWD"').result
    box.cd("/workspace/home")
    return {"good": [good.exit_code, good.stdout, good.stderr, good.status],
            "bad": [bad.exit_code, bad.stdout, bad.stderr, bad.status], "where": where}


def stream(box):
    """Each line is printed only after the one before arrived here."""
    command = ('for i in 1 2 3 4; do echo "$i $(date +%s%3N)"; n=0; '
               "while [ ! -e heard$i ]; do n=$((n+1)); [ $n -lt 400 ] || exit 9; sleep 0.02; done; done; exit 4")
    run = box.exec.stream(command)
    chunks, code = [], None
    for chunk in run:
        if chunk.type == "exit":
            code = chunk.exit_code
            continue
        chunks.append([chunk.data, time.time() * 1000])
        box.files.write(path=f"heard{chunk.data.split(' ')[0]}", content="")
    return {"chunks": chunks, "exit": code, "status": run.status}


def code(box):
    return {"js": box.exec.code(code="console.log(6 * 7)", lang="js").result,
            "python": box.exec.code(code="print(6 * 7)", lang="python").result}


def files(box):
    box.files.write(path="notes/a.txt", content="ünï\n")
    box.files.write(path="/workspace/home/notes/b.bin", content=base64.b64encode(b"\0\xff\n").decode(), encoding="base64")
    return {"listed": [[one.name, one.path, one.size, one.is_dir] for one in box.files.list("notes")],
            "text": box.files.read("notes/a.txt"), "binary": box.files.read("notes/b.bin", encoding="base64"),
            "counted": box.exec.command("wc -c < /workspace/home/notes/b.bin").result.strip()}


def large(box):
    box.files.upload([{"path": LARGE, "destination": "large/data"}, {"path": __file__, "destination": "large/me"}])
    digest = box.exec.command("sha256sum < large/data").result.split(" ")[0]
    box.files.download(folder="large")
    return {"sum": digest, "downloaded": os.path.abspath("large/data"), "bytes": os.path.getsize("large/data")}


def pause(box):
    pid = box.exec.command("sleep 600 >/dev/null 2>&1 & echo $!").result.strip()

    def state():
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split(") ")[1][0]

    box.pause()
    paused = [box.get_status()["status"], state()]
    refused = refusal(lambda: box.exec.command("true"))
    box.resume()
    return {"paused": paused, "refused": refused, "resumed": [box.get_status()["status"], state()], "id": box.id}


def errors(box):
    return {"key": refusal(lambda: Box.list(api_key="wrong")), "box": refusal(lambda: Box.get("no-such-box")),
            "file": refusal(lambda: box.files.read("nothing.txt")),
            "path": refusal(lambda: box.files.write(path="../x", content=""))}


def snapshot(box):
    box.files.write(path="kept.txt", content="kept")
    made = box.snapshot(name="one")
    copy = Box.from_snapshot(made.id)
    kept = copy.files.read("kept.txt")
    copy.delete()
    box.delete_snapshot(made.id)
    return {"kept": kept, "left": len(box.list_snapshots())}


def ephemeral(_):
    box = EphemeralBox.create(ttl=60)
    seen = box.exec.command("echo short").result
    box.delete()
    return {"seen": seen, "seconds": box.expires_at - time.time()}


def previews(box):
    ports = {3000: {}, 3001: {"bearer_token": True}, 3002: {"basic_auth": True},
             3003: {"bearer_token": True, "basic_auth": True}}
    made = [box.get_public_url(port, **options).model_dump(exclude_none=True) for port, options in ports.items()]
    again = box.get_public_url(3001, bearer_token=True)
    listed = box.list_public_urls()["public_urls"]
    box.delete_public_url(3000)
    name = f"named-{os.getpid()}"
    others = [Box.create(), Box.create(name=name)]
    for other in others:
        other.get_public_url(3000)
    Box.delete_boxes(box_ids=[others[0].id, name])
    return {
        "deleted": [other.id for other in others],
        "made": [[one["port"], one["url"], " ".join(sorted(one))] for one in made], "id": box.id,
        "replaced": again.token != made[1]["token"], "secrets": again.token in repr(listed),
        "listed": [[one.id, one.port, one.url, one.bearer_token, one.basic_auth] for one in listed],
        "left": [one.port for one in box.list_public_urls()["public_urls"]],
        "gone": refusal(lambda: box.delete_public_url(3000)), "bad": refusal(lambda: box.get_public_url(0))}


def main():
    box = Box.create()
    sections = [lifecycle, execute, stream, code, files, large, pause, errors, snapshot, ephemeral]
    # Without a gateway in front of the API, nothing answers about previews.
    for section in sections + ([previews] if os.environ.get("SDK_PREVIEWS") else []):
        name = "exec" if section is execute else section.__name__
        try:
            print(json.dumps({"section": name, "seen": section(box)}), flush=True)
        except Exception:  # pylint: disable=broad-except  (after any error, the other sections continue)
            print(json.dumps({"section": name, "failed": traceback.format_exc()}), flush=True)
    box.delete()


main()
