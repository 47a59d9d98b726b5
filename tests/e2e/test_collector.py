"""Traces in a real OpenTelemetry collector (tests/collector builds it), as its debug exporter prints them."""

import os
import subprocess

import pytest
import yaml

from harness import PATIENCE, PORTS, SLOW, Lines

COLLECTOR = os.environ.get("BOXEDGE_COLLECTOR")
LONG = PATIENCE * SLOW
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.skipif(COLLECTOR is None, reason="needs a collector: run tests/collector, which builds one")
def test_a_collector_takes_the_traces(make_edge, origin, tmp_path):
    port = PORTS.take()
    config = tmp_path / "collector.yaml"
    config.write_text(yaml.safe_dump({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {"telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}}}}))
    with subprocess.Popen([COLLECTOR, "--config", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as collector:
        try:
            said = Lines(collector.stderr)
            said.wait_for(lambda line: "Everything is ready" in line, LONG)
            edge = make_edge(config={"tracing": {"otlp": f"http://127.0.0.1:{port}/v1/traces"}})
            host = edge.create_preview(origin)
            assert edge.get(host, "/echo", fields=[f"traceparent: {PARENT}"]).status == 200
            for text in (f"Trace ID       : {PARENT[3:35]}", f"Parent ID      : {PARENT[36:52]}", "Kind           : Server",
                         "Name           : first_byte", "-> service.name: Str(boxedge)",
                         "-> http.response.status_code: Int(200)"):
                said.wait_for(lambda line, text=text: text in line, LONG)
        finally:
            collector.terminate()
            collector.wait(LONG)
            said.join(LONG)
