"""A minute of the soak (tests/soak): the edge stays flat under mixed traffic."""

import os

import pytest
from harness import SANITIZED
from soak import soak


@pytest.mark.skipif(os.geteuid() != 0, reason="the edge's descriptors and memory can be read by root only")
def test_a_minute_of_mixed_traffic_leaves_nothing(tmp_path):
    lines, bad = soak(tmp_path, 20 if SANITIZED else 60)
    print("\n".join(lines))
    assert not bad, "\n".join(bad + lines)
