"""The filter of system calls of each worker: the filtered processes, and an edge on a kernel without filters.

tests/unit/os/test_system_calls.c tries the refused and the allowed calls."""

import concurrent.futures
import ctypes
import json
import pathlib
import platform
import struct

import pytest

from harness import HttpOrigin

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2
SECCOMP = {"x86_64": 317, "aarch64": 277}.get(platform.machine())
ENOSYS = 38


def filters(pid):
    """The number of filters of each thread of a process."""
    counts = []
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        counts.append(int(fields.get("Seccomp_filters", fields["Seccomp"])))
    return counts


def workers_of(edge):
    return json.loads(edge.command("status", "--json"))["workers"]


def test_workers_have_a_filter_in_every_thread(make_edge, tmp_path):
    log = tmp_path / "access.log"
    edge = make_edge(workers=2, config={"log": {"access": str(log)}})
    if any("BOXEDGE_SECCOMP" in line for line in edge.stderr.lines):
        pytest.skip("this edge was built without the filter")
    none = filters("self")[0]  # where the tests run
    with HttpOrigin() as app:
        host = edge.create_preview(app)
        for access, count in ((str(log), 2), ("off", 1), (str(log), 2)):  # a reload ends the log's thread, and starts another
            edge.config["log"]["access"] = access
            edge.write_config()
            edge.command("reload")
            for pid in edge.pids("worker"):
                edge.wait_until(lambda pid=pid, count=count: len(filters(pid)) == count, what="the thread of the log")
                assert set(filters(pid)) == {none + 1}
            assert edge.get(host, "/echo").status == 200
        edge.wait_until(lambda: len(log.read_text().splitlines()) == 2, what="lines in the log")
    for pid in edge.pids("controller") + [edge.process.pid]:
        assert set(filters(pid)) == {none}
    assert [worker["system_calls_filtered"] for worker in workers_of(edge)] == [True, True]
    assert "not filtered" not in edge.command("status")


def refuse_filters():
    """This thread, and the programs that it starts, may install no filter from now on: seccomp(2) is
    ENOSYS."""
    def instruction(code, value, yes=0, no=0):
        return struct.pack("HBBI", code, yes, no, value)

    code = ctypes.create_string_buffer(
        instruction(0x20, 0) + instruction(0x15, SECCOMP, 0, 1) + instruction(0x06, 0x00050000 | ENOSYS) +
        instruction(0x06, 0x7fff0000))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, FILTER, program, 0, 0) == 0


def check_unfiltered(edge):
    refuse_filters()
    edge.start()
    edge.stderr.wait_for(lambda line: " boxedge[worker 0]: its system calls are not filtered: " in line)
    with HttpOrigin() as app:
        assert edge.get(edge.create_preview(app), "/echo").status == 200
    assert [worker["system_calls_filtered"] for worker in workers_of(edge)] == [False]
    assert "The system calls of 1 of 1 workers are not filtered: see the edge's own log." in edge.command("status")
    edge.stop()


@pytest.mark.skipif(SECCOMP is None, reason="the number of seccomp(2) here is not known")
def test_a_kernel_without_filters_serves_and_says_so(make_edge):
    edge = make_edge(start=False)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(check_unfiltered, edge).result()
