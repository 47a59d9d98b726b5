"""The binary has the compiler and linker settings of the presets."""

import re
import subprocess

from harness import BINARY, SANITIZED


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, BINARY], capture_output=True, text=True, check=True).stdout


def test_the_presets_flags_are_in_it():
    libraries = set(re.findall(r"NEEDED.*\[(\w+)", readelf("-d")))
    called = readelf("--dyn-syms")
    assert ("__asan_init" in called) == ("__ubsan_handle_type_mismatch_v1" in called) == SANITIZED
    assert ("libjemalloc" in libraries) == (not SANITIZED)
    if SANITIZED:
        return
    assert "DYN" in re.search(r"Type: +(.*)", readelf("-h"))[1]
    assert re.search(r"FLAGS_1.*NOW.*PIE", readelf("-d"))
    segments = readelf("-l")
    assert "GNU_RELRO" in segments and re.search(r"GNU_STACK.* RW ", segments)
    assert "__stack_chk_fail" in called and "__snprintf_chk" in called
