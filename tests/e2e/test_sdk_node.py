"""The npm package @upstash/box, unmodified, against the box API service of tests/boxapi."""

import os
import pathlib
import shutil

import pytest

import sdk_sections
from boxapi.service import BoxApi

HERE = pathlib.Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(not shutil.which("node") or not (HERE / "node_modules/@upstash/box").is_dir(),
                       reason="node or its packages are not there"),
]


def test_directly(tmp_path):
    with BoxApi(tmp_path / "boxes", [sdk_sections.KEY], create_seconds=0.05) as service:
        sdk_sections.judge(sdk_sections.run(["node", HERE / "sdk.mjs"], service.url, tmp_path, os.environ))
