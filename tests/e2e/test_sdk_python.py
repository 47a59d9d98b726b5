"""The package upstash-box, unmodified, against the box API service of tests/boxapi: alone, and through
TLS and the edge on an API host."""

import os
import pathlib

import pytest

import sdk_sections
from boxapi.service import BoxApi
from harness import ROOT, Edge

HERE = pathlib.Path(__file__).parent
PYTHON = ROOT / "build/venv/bin/python"

pytestmark = pytest.mark.skipif(
    not list(ROOT.glob("build/venv/lib/python3*/site-packages/upstash_box")),
    reason="upstash-box is not there: tests/run pypi could not install it, or was not run")


def test_directly(tmp_path):
    with BoxApi(tmp_path / "boxes", [sdk_sections.KEY], create_seconds=0.05) as service:
        sdk_sections.judge(sdk_sections.run([PYTHON, HERE / "sdk_client.py"], service.url, tmp_path, os.environ))


def test_through_the_edge(tmp_path):
    with BoxApi(tmp_path / "boxes", [sdk_sections.KEY], create_seconds=0.05) as service, Edge(
            tmp_path / "edge", workers=2, config=sdk_sections.gateway(service)) as edge:
        sdk_sections.run_through([PYTHON, HERE / "sdk_client.py"], service, edge, tmp_path, "SSL_CERT_FILE")
