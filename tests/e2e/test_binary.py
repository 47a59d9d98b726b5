"""The binary has the compiler and linker settings of the presets."""

import re
import subprocess

from harness import BINARY, ROOT, SANITIZED


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


def test_the_readme_lists_its_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("`boxedge help` lists the commands: ")[1].split(".\n")[0]
    shown = subprocess.run([BINARY, "help"], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"`(\S+)`", text) + ["help"] == re.findall(r"^  ([a-z-]+) ", shown, re.M)
