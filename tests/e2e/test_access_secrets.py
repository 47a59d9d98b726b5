"""No secret in any output of the edge: logs, error pages, metrics, the store, process lists."""

import contextlib
import pathlib
import subprocess
import urllib.parse

from access_table import KINDS, REQUESTS, WAYS
from access_world import SIGN_IN, SIGN_OUT, App, H2, Preview, base64_text, browser_fields, fields_of, get, query_of, send_h1
from admin_api import Admin
from links_world import PAGE, Link

BOXES = [{"id": "box", "address": "127.0.0.1"}, {"id": "other", "address": "127.0.0.1"}]


def spellings(secrets):
    """Unchanged, in base64, and percent-encoded; and the middle of each, for cut texts."""
    out = set()
    for secret in secrets:
        out |= {secret, base64_text(secret).rstrip("="), urllib.parse.quote(secret, safe=""), secret[8:28]}
    return {one.encode() for one in out if len(one) >= 16}


def every_request(edge, previews, answers):
    for preview in previews:
        with H2(edge, preview.host) as client:
            for one in WAYS:
                for request in REQUESTS:
                    path = "/echo?" + query_of(one, preview)
                    fields = browser_fields(preview, request, "own") + fields_of(one, preview)
                    for send in (lambda *a: send_h1(edge, preview, *a), client.send_request):
                        answer = send(request, path, fields)
                        if answer.status >= 300:
                            answers.append(answer)


def odd_requests(edge, preview, answers):
    """Secrets in places where they do not belong."""
    token = preview.values["token"]
    bearer = f"Authorization: Bearer {token}"
    for fields in ([bearer, "Bad field"], [bearer, "X: \x00"], [bearer, "Content-Length: x"], [bearer] * 150,
                   [bearer, "Host: other"], [f"Authorization: {token}"], [f"Cookie: token={token}; {token}"],
                   [bearer, "Transfer-Encoding: gzip"], [bearer, "Expect: " + token], [bearer, "Connection: " + token],
                   [f"Upgrade: {token}"], [f"X-Request-Id: {token[:30]}"]):
        answers.append(get(edge, preview.host, fields=fields))
    for path in (f"/?preview_token={token}&preview_token={token}", f"/?a=1&%70review_token={token}",
                 f"{SIGN_IN}?preview_token={token}", f"{SIGN_OUT}?preview_token={token}"):
        for kind in ("tls", "plain", "redirect"):
            answers.append(get(edge, preview.host, path, ["Accept: text/html"], kind=kind))
            answers.append(get(edge, preview.host, path, [bearer], kind=kind))
    for form in ({"token": token}, {"token": token + "x"}, {"username": "user", "password": token}, {"x": token},
                 {"token": token, "next": f"//{token}"}):
        answers.append(preview.post_form(form))
        answers.append(preview.post_form(form, fields=["Origin: https://elsewhere.example"]))
        answers.append(preview.post_form(form, kind="plain"))
    # The box refuses the connection, answers nonsense, or is missing.
    answers.append(get(edge, edge.host(1), fields=[bearer]))


def link_requests(edge, preview, answers):
    """Links in all states, opened right and wrong; their secrets and sessions."""
    found = set()
    for options in ((), ("--once",), ("--read-only",)):
        link = Link(edge, "box", preview.app.port, *options)
        cookie = link.open()
        found |= {link.secret, cookie.split("=")[1], cookie.rsplit(".", 1)[1]}
        for version in ("h1", "h2"):
            # Not once: the page of a link that nobody has used yet has the key in its form.
            answers += [link.ask(version), link.ask(version, method="PUT"), link.ask(version, PAGE + "/" + link.key),
                        link.ask(version, f"/echo?key={link.key}", fields=[cookie]), link.post(version),
                        link.ask(version, fields=[f"Authorization: Bearer {link.secret}"]),
                        link.ask(version, link.target + "&x", fields=["Accept: text/html"]),
                        link.ask(version, link.target + "x", fields=["Accept: text/html"])]
        for kind in ("plain", "redirect"):
            answers.append(get(edge, link.host, link.target, kind=kind))
        if "--once" not in options:
            link.revoke()
            answers.append(link.ask())
    return found


def test_no_secret_anywhere(make_edge, tmp_path):
    log = tmp_path / "access.log"
    edge = make_edge(workers=2, boxes=BOXES, config={"log": {"access": str(log)}})
    apps = [App() for _ in KINDS]
    previews = [Preview(edge, app, kind) for app, kind in zip(apps, KINDS)]
    answers = []
    every_request(edge, previews, answers)
    for preview in previews:
        odd_requests(edge, preview, answers)
    bearer = previews[[preview.kind for preview in previews].index("bearer")]
    links = link_requests(edge, bearer, answers)
    secrets = links.union(*(preview.secrets for preview in previews))
    for preview in previews:
        secrets |= {value for one in (preview.made, preview.other) for value in one.all}
    wanted = spellings(secrets)
    written = {}

    def note(name, data):
        written[name] = data if isinstance(data, bytes) else data.encode()

    for i, answer in enumerate(answers):
        if answer.status == 200 and b'"fields"' in answer.body:
            continue  # the app's own page, which shows the request that it got
        fields = [f"{k}: {v}" for k, v in answer.fields if k != "set-cookie"]
        note(f"answer {i} ({answer.status})", "\n".join(fields).encode() + b"\n" + answer.body)
    admin = Admin(edge.admin_socket)
    for target in ("/metrics", "/v1/status", "/v1/previews", "/v1/boxes"):
        admin.request("GET", target)
        note(target, admin.getresponse().read())
    admin.close()
    for arguments in (("preview", "list"), ("preview", "list", "--json"), ("preview", "link", "list", "box"),
                      ("preview", "link", "list", "box", "--json"), ("recent",), ("status",), ("box", "list")):
        note(" ".join(arguments), edge.command(*arguments))
    for pid in edge.pids():
        for name in ("cmdline", "environ", "comm"):
            with contextlib.suppress(PermissionError):  # an ordinary user may not read an environment
                note(f"/proc/{pid}/{name}", pathlib.Path(f"/proc/{pid}/{name}").read_bytes())
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()
        assert core[4:6] == ["0", "0"], f"process {pid} may leave a core: {core}"
    note("ps", subprocess.run(["ps", "axeww"], capture_output=True, check=True).stdout)
    edge.stop()
    note("access log", log.read_bytes())
    note("stderr", "\n".join(edge.stderr.lines))
    note("stdout", "\n".join(map(str, edge.access.lines)))
    for path in [*edge.state_dir.rglob("*"), *edge.run_dir.rglob("*"), edge.config_path]:
        if path.is_file():
            note(str(path), path.read_bytes())
    for app in apps:
        app.close()
    assert written["access log"].count(b"\n") > 500 and len(answers) > 500
    assert any(name.endswith("data.mdb") for name in written)
    found = [(name, secret) for name, data in written.items() for secret in wanted if secret in data]
    assert not found, found[:5]
