"""A new binary takes over under traffic, and a failing one changes nothing."""

import os
import shutil
import signal
import ssl

import harness
from harness import SLOW, Edge
from processes import Load, gone, rewrite, run_again, said, upgraded
from wire import PATIENCE


def test_usr2_changes_the_binary_under_traffic(make_edge, origin):
    edge = make_edge(workers=2)
    host = edge.create_preview(origin)
    children = edge.pids("worker") + edge.pids("controller")
    with Load(edge, host) as plain, Load(edge, host, threads=2, kind="tls") as tls:
        plain.wait_more(20)
        with upgraded(edge) as new:
            assert all(gone(pid) for pid in children)
            plain.wait_more(50)
            tls.wait_more(10)
            assert plain.failures == [] and tls.failures == []
            assert f"box-{origin.port}" in edge.command("preview", "list")
            second = run_again(edge)
            assert second.returncode == 1 and f"process {new} " in second.stderr
            # And once more, from the new one.
            start = len(edge.stderr.lines)
            os.kill(new, signal.SIGUSR2)
            said(edge, "serves now", start)
            edge.wait_until(lambda: gone(new), PATIENCE * SLOW)
            newest = int((edge.run_dir / "boxedge.lock").read_text())
            plain.wait_more(50)
            os.kill(newest, signal.SIGTERM)
            plain._stop.set()
            tls._stop.set()
            edge.wait_until(lambda: gone(newest), PATIENCE * SLOW)
    assert not edge.admin_socket.exists()


def test_sessions_resume_on_another_worker_and_after_an_upgrade(make_edge):
    edge = make_edge(workers=2)
    edge.expect_deaths = True
    context = edge.context(maximum_version=ssl.TLSVersion.TLSv1_2)
    name = edge.host(1)

    def greet(session=None):
        with context.wrap_socket(edge.socket("tls"), server_hostname=name, session=session) as client:
            return client.session, client.session_reused

    session, reused = greet()
    assert not reused
    # Each connection goes to one of the two workers by chance: twenty meet both.
    assert all(greet(session)[1] for _ in range(20))
    start = len(edge.stderr.lines)
    os.kill(edge.pids("worker")[0], signal.SIGKILL)
    said(edge, "is back", start)
    assert all(greet(session)[1] for _ in range(20))
    with upgraded(edge):
        assert all(greet(session)[1] for _ in range(20))


def test_usr2_with_a_binary_that_fails_changes_nothing(tmp_path, monkeypatch, origin):
    binary, good = tmp_path / "boxedge", harness.BINARY
    shutil.copy(good, binary)
    monkeypatch.setattr(harness, "BINARY", binary)
    with Edge(tmp_path / "edge") as edge:
        edge.expect_deaths = True
        host = edge.create_preview(origin)
        workers, controller = edge.pids("worker"), edge.pids("controller")
        with Load(edge, host, threads=2) as load:
            for script, sentence in (
                ("#!/bin/sh\nexit 3\n", "exit status 3"),
                ("#!/bin/sh\nkill -9 $$\n", "killed by signal 9"),
                (None, "exit status 127"),
            ):
                binary.unlink(missing_ok=True)
                if script is not None:
                    binary.write_text(script)
                    binary.chmod(0o755)
                start = len(edge.stderr.lines)
                edge.process.send_signal(signal.SIGUSR2)
                assert sentence in said(edge, "did not take over", start)
                load.wait_more(20)
            shutil.copy(good, binary)
            rewrite(edge, {"timeots": {}})
            start = len(edge.stderr.lines)
            edge.process.send_signal(signal.SIGUSR2)
            assert "exit status 1" in said(edge, "did not take over", start)
            assert any("timeots" in line for line in edge.stderr.lines[start:])
            load.wait_more(20)
        assert load.failures == []
        assert edge.pids("worker") == workers and edge.pids("controller") == controller
        assert edge.process.poll() is None
        assert edge.admin_socket.is_socket()
