"""The purpose of the product, from a box's first day to its last preview: through the edge, the SDK creates a
box, starts a server in it and gets a public URL. The edge shows it to holders of its token, wakes it when it
is paused, and hides it when the preview is gone."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

import openapi
import sdk_sections
from boxapi.service import BoxApi
from control_plane import BOX_NETWORK, BoxAddresses, push
from harness import PATIENCE, SLOW, Edge

HERE = pathlib.Path(__file__).parent
KEY, PORT = "story-key", 3000
SERVER = """
const app = require('http').createServer((request, response) => response.end('served by ' + process.pid));
app.listen(3000, process.env.BOX_ADDRESS);
"""

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not (HERE / "node_modules/@upstash/box").is_dir(),
    reason="node or its packages are not there")


# Names are resolved to 127.0.0.1, whatever the system's resolver answers.
LOOKUP = """
import dns from 'node:dns';
dns.lookup = (name, options, callback) => process.nextTick(
  () => (options.all ? callback(null, [{address: '127.0.0.1', family: 4}]) : callback(null, '127.0.0.1', 4)));
"""


def sdk(edge, script):
    """Runs a script with the SDK's Box against the edge's API host; its result."""
    program = f"{LOOKUP}import {{Box}} from '@upstash/box';\nconst seen = await (async () => {{{script}}})();\n" \
              "console.log(JSON.stringify(seen ?? null));"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program], cwd=HERE, capture_output=True, text=True, timeout=PATIENCE * SLOW,
        check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "UPSTASH_BOX_BASE_URL": edge.url(sdk_sections.API), "NODE_EXTRA_CA_CERTS": str(edge.ca), "UPSTASH_BOX_API_KEY": KEY, "UPSTASH_DISABLE_TELEMETRY": "1"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_story(tmp_path):
    with BoxAddresses() as addresses, BoxApi(tmp_path / "boxes", [KEY], addresses) as service, Edge(
            tmp_path / "edge", workers=2, config={
                **sdk_sections.gateway(service), "control_plane": {"url": service.plane_url}, "origins": {"allow": [BOX_NETWORK]}}) as edge:
        service.on_change = lambda box_id, state: push(edge, box_id, state)
        box = sdk(edge, f"""
            const box = await Box.create();
            await box.files.write({{path: 'server.js', content: {json.dumps(SERVER)}}});
            await box.exec.command('node server.js >server.log 2>&1 & echo $! >server.pid');
            return {{id: box.id, pid: (await box.files.read('server.pid')).trim(),
                    made: await box.getPublicURL({PORT}, {{bearerToken: true}})}};""")
        made = box["made"]
        assert made["url"] == f"https://{Edge.host(PORT, box['id'])}:{edge.port['tls']}"
        host, fields = Edge.host(PORT, box["id"]), [f"Authorization: Bearer {made['token']}"]

        assert edge.get(host, kind="tls").status == 401
        first = edge.get(host, fields=fields, kind="tls")
        assert (first.status, first.body.decode()) == (200, f"served by {box['pid']}")

        assert sdk(edge, f"const box = await Box.get('{box['id']}'); await box.pause(); return box.getStatus();") == {
            "status": "paused"}
        assert edge.get(host, kind="tls").status == 401
        assert service.boxes.find(box["id"]).status == "paused"  # a request without a token wakes nothing
        woken = edge.get(host, fields=fields, kind="tls")
        assert (woken.status, woken.body) == (200, first.body)
        assert ("POST", f"/boxes/{box['id']}/resume") in service.plane.calls
        assert sdk(edge, f"return (await Box.get('{box['id']}')).getStatus();") == {"status": "idle"}
        _judge_plane(service)

        sdk(edge, f"await (await Box.get('{box['id']}')).deletePublicURL({PORT});")
        assert edge.get(host, fields=fields, kind="tls").status == 404
        sdk(edge, f"await Box.delete({{boxIds: '{box['id']}'}});")
        edge.wait_until(lambda: not pathlib.Path("/proc", box["pid"]).exists() or "Z" in state_of(box["pid"]))


def state_of(pid):
    try:
        return pathlib.Path("/proc", pid, "stat").read_text(encoding="utf-8").rsplit(")", 1)[1]
    except OSError:
        return "Z"


def _judge_plane(service):
    """The edge's questions are in the contract."""
    document = openapi.load()
    for method, path in service.plane.calls:
        assert openapi.operation_of(document, method, path) is not None, (method, path)
