"""promtool and a Prometheus as the readers of the metrics."""

import contextlib
import shutil
import subprocess

import pytest
from harness import PATIENCE, PORTS, SLOW, HttpOrigin
from prometheus_server import Prometheus
from test_metrics_listener import certificate, listening

LONG = PATIENCE * SLOW
QUANTILE = ("histogram_quantile(0.99, sum by (le) "
            "(boxedge_request_duration_seconds_bucket{kind=\"preview\"}))")


@pytest.fixture(name="port")
def fixture_port():
    return PORTS.take()


def used(edge):
    """Leaves a sample of most kinds: both protocols, a refusal, a failure."""
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        assert edge.get(host).status == 200
        assert edge.get(host, kind="tls").status == 200
    assert edge.get(host).status == 502
    assert edge.get("unknown.example").status == 421
    assert edge.get("x", "/readyz", kind="health").status == 200
    assert edge.get(host, kind="redirect").status == 308


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
def test_promtool_has_nothing_to_say(edge):
    used(edge)
    text = edge.command("metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False,
                          timeout=LONG)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus")
def test_prometheus_scrapes_the_listener(make_edge, port, tmp_path):
    """Over TLS and with a token, as docs/operations.md has it."""
    files = certificate(tmp_path, "x")
    (tmp_path / "token").write_text("a-token\n")
    (tmp_path / "token").chmod(0o600)
    edge = listening(make_edge, port, token_file=str(tmp_path / "token"), **files)
    used(edge)
    job = {"scheme": "https", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
           "tls_config": {"ca_file": files["tls_certificate"]}, "authorization": {"credentials_file": str(tmp_path / "token")}}
    with contextlib.closing(Prometheus(tmp_path, job)) as prometheus:
        edge.wait_until(lambda: prometheus.query("up") == 1, LONG, "a scrape")
        edge.wait_until(lambda: prometheus.query(QUANTILE), LONG, "a quantile")
        assert 0 < prometheus.query(QUANTILE) < 300
        assert prometheus.query('sum(boxedge_requests_total{kind="preview",code=~"2.."})') == 2
        assert prometheus.query('boxedge_errors_total{code="port_not_listening"}') == 1
        assert prometheus.query("boxedge_build_info") == 1
