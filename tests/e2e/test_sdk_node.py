"""The npm package @upstash/box, unmodified, against the box API service of tests/boxapi: alone, and through
TLS and the edge on an API host."""

import os
import pathlib
import shutil

import pytest

import sdk_sections
from boxapi.service import BoxApi
from harness import Edge

HERE = pathlib.Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(not shutil.which("node") or not (HERE / "node_modules/@upstash/box").is_dir(),
                       reason="node or its packages are not there"),
]


def test_directly(tmp_path):
    with BoxApi(tmp_path / "boxes", [sdk_sections.KEY], create_seconds=0.05) as service:
        sdk_sections.judge(sdk_sections.run(["node", HERE / "sdk.mjs"], service.url, tmp_path, os.environ))


def test_through_the_edge(tmp_path):
    with BoxApi(tmp_path / "boxes", [sdk_sections.KEY], create_seconds=0.05) as service, Edge(
            tmp_path / "edge", workers=2, config=sdk_sections.gateway(service)) as edge:
        sdk_sections.run_through(["node", HERE / "sdk.mjs"], service, edge, tmp_path, "NODE_EXTRA_CA_CERTS")
