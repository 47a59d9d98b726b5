"""WebSockets outlive upgrades in the old workers, and changes still reach them."""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess

import harness
import pytest
from control_plane import BOX_NETWORK, BoxAddresses, ControlPlane, push
from harness import SLOW, Edge
from processes import (IMPOSTOR, Load, Replaced, change_core, change_layout, ends_whole, gone, rewrite, said, serving,
                       upgrade, upgrade_whole)
from tunnel_clients import Echoes
from wire import PATIENCE


@pytest.fixture
def app():
    with harness.WebSocketOrigin() as running:
        yield running


@pytest.fixture(name="whole")
def fixture_whole(make_edge):
    """An edge with two workers, and a short time for requests."""
    edge = make_edge(workers=2, config={"timeouts": {"drain": "1s"}})
    with ends_whole(edge):
        yield edge


@pytest.fixture(name="renew", params=["same layout", "another layout"])
def fixture_renew(request):
    """An upgrade to a program whose shared memory has the same layout, or another."""
    def renew(edge):
        if request.param == "another layout":
            change_layout(edge)
        return upgrade_whole(edge)
    return renew


def name(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def test_tunnels_live_through_upgrades_and_the_oldest_close_first(whole, app, origin, renew):
    host, other = whole.create_preview(app), whole.create_preview(origin)
    first = whole.process.pid
    with Load(whole, other) as load, Echoes(whole, host) as oldest, Echoes(whole, host, count=1, kind="tls") as tls:
        load.wait_more(20)
        second = renew(whole)
        oldest.echo()
        tls.echo()
        assert name(first) == "boxedge-old" and len(whole.pids("old")) > 0
        with Echoes(whole, host) as middle:
            third = renew(whole)
            for tunnels in (oldest, tls, middle):
                tunnels.echo()
            with Echoes(whole, host) as newest:
                renew(whole)
                newest.echo()
                middle.echo()
                oldest.closed_with(1012)
                tls.closed_with(1012)
                whole.wait_until(lambda: gone(first), PATIENCE * SLOW, "the end of the first edge")
                newest.echo()
                middle.echo()
                load.wait_more(20)
                assert not gone(second) and not gone(third)
        assert load.failures == []
        # Without tunnels, old edges end.
        whole.wait_until(lambda: gone(second) and gone(third), PATIENCE * SLOW, "the end of the old edges")


def test_changes_reach_old_workers(whole, app, renew):
    host = whole.create_preview(app)
    with harness.WebSocketOrigin() as second, harness.WebSocketOrigin() as third:
        replaced, blocked = whole.create_preview(second), whole.create_preview(third)
        with Echoes(whole, host) as deleted, Echoes(whole, replaced) as changed, Echoes(whole, blocked) as shut:
            renew(whole)
            whole.command("preview", "update", "box", second.port, "--bearer", "--kill-tunnels")
            changed.closed_with(1008)
            whole.command("block", "preview", "box", third.port)
            shut.closed_with(1008)
            # Also after the controller was replaced, and after one more upgrade.
            deleted.echo()
            renew(whole)
            start = len(whole.stderr.lines)
            whole.expect_deaths = True
            os.kill(whole.pids("controller")[0], signal.SIGKILL)
            said(whole, "controller is back", start)
            deleted.echo()
            whole.command("preview", "delete", "box", app.port, "--kill-tunnels")
            deleted.closed_with(1008)


def test_half_a_command_does_not_hold_an_upgrade(whole):
    """The old controller ends without it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(whole.admin_socket))
        client.sendall(b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
        whole.command("status")  # the controller has read it
        controller = whole.pids("controller")
        upgrade(whole)
        client.settimeout(PATIENCE * SLOW)
        assert client.recv(4096) == b""
        assert whole.pids("controller") != controller


def test_a_reload_tells_whom_it_does_not_reach(whole, app):
    host = whole.create_preview(app)
    kept = "the previous configuration stays in use for open requests and WebSockets of "

    def told():
        done = whole.command("reload", check=False)
        assert done.returncode == 0
        return done.stderr

    assert kept not in told()
    with Echoes(whole, host) as tunnels:
        rewrite(whole, {"workers": 1})
        told()  # one of two workers goes, and keeps its tunnels
        assert kept + "1 old worker\n" in told()
        upgrade_whole(whole)
        assert kept + "1 old generation\n" in told()
        with Echoes(whole, host) as newer:
            upgrade(whole)
            assert kept + "2 old generations\n" in told()
            newer.echo()
        tunnels.echo()


def test_old_workers_and_the_new_controller_care_for_a_box(tmp_path, renew):
    """Activity is reported, a message wakes, and the end of the box ends the tunnel."""
    with BoxAddresses(1) as (address,), ControlPlane() as plane, \
            harness.WebSocketOrigin(host=address) as app:
        plane.add_box("planned", address, app.port, state="running")
        settings = {"control_plane": {"url": plane.url}, "origins": {"allow": [BOX_NETWORK]},
                    "timeouts": {"drain": "1s"}}
        with Edge(tmp_path, 2, settings) as edge, ends_whole(edge):
            host = edge.create_preview(app.port, "planned")
            with Echoes(edge, host) as tunnels:
                renew(edge)
                told = plane.active().count("planned")
                tunnels.echo()
                plane.wait_until(lambda: plane.active().count("planned") > told)
                # Recorded with the answer. The bytes before may already wake the box, so it is paused for a moment.
                assert push(edge, "planned", plane.set("planned", state="paused"))[0] == 200
                tunnels.echo()
                plane.wait_calls("resume", box="planned")
                edge.wait_until(lambda: "running" in edge.command("box", "list"))
                assert push(edge, "planned", plane.set("planned", state="gone"))[0] == 200
                tunnels.closed_with(1001)


def test_lockouts_survive_an_upgrade(whole, origin, renew):
    preview = whole.create_preview(origin, "box", "--bearer")
    wrong = ["Authorization: Bearer wrong"]
    for i in range(10):
        assert whole.get(preview, fields=[f"Authorization: Bearer wrong-{i}"]).status == 401
    assert whole.get(preview, fields=wrong).status == 429
    renew(whole)
    assert all(whole.get(preview, fields=wrong).status == 429 for _ in range(6))


def test_a_binary_that_hangs_costs_nobody_anything(tmp_path, monkeypatch, app, origin):
    program = Replaced(tmp_path, monkeypatch)
    with Edge(tmp_path / "edge", 2) as edge:
        edge.expect_deaths = True
        host, other = edge.create_preview(app), edge.create_preview(origin)
        workers, controller = edge.pids("worker"), edge.pids("controller")
        program.by("#!/bin/sh\necho $$ > %s\nexec sleep 1000\n" % (tmp_path / "pid"))
        with Load(edge, other) as load, Echoes(edge, host) as tunnels:
            start = len(edge.stderr.lines)
            edge.process.send_signal(signal.SIGUSR2)
            hung = int(edge.wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
            edge.create_preview(1, "box")
            assert "box-1." in edge.command("preview", "list")
            edge.command("preview", "delete", "box", 1)
            load.wait_more(20)
            tunnels.echo()
            os.kill(hung, signal.SIGKILL)
            assert "killed by signal 9" in said(edge, "did not take over", start)
            load.wait_more(20)
            assert load.failures == []
        assert edge.pids("worker") == workers and edge.pids("controller") == controller


def test_the_end_of_the_last_edge_ends_all(whole, app):
    host = whole.create_preview(app)
    with Echoes(whole, host) as tunnels:
        upgrade(whole)
        upgrade(whole)
        tunnels.echo()
        last = serving(whole)
        os.kill(last, signal.SIGTERM)
        tunnels.closed_with(1012)
        whole.wait_until(lambda: gone(last), PATIENCE * SLOW, "the end of the last edge")
        # Its channels to the old edges end shortly before their processes.
        whole.wait_until(lambda: gone(whole.process.pid) and whole.pids("worker") == whole.pids("old") == [],
                         what="the end of all")


def test_old_tunnels_end_with_a_successor_that_is_killed(make_edge, app):
    edge = make_edge(workers=1, config={"timeouts": {"drain": "1s"}})
    edge.expect_deaths = True
    with Echoes(edge, edge.create_preview(app)) as tunnels:
        os.kill(upgrade(edge), signal.SIGKILL)
        tunnels.closed_with(1012)
        assert edge.process.wait(PATIENCE * SLOW) == 0
    edge.kill()


def test_old_workers_follow_a_rotated_log(make_edge, app, tmp_path):
    """The message is the serving edge's own; an old worker follows later, and earlier lines are in the old
    file."""
    log = tmp_path / "access.log"
    edge = make_edge(workers=1, config={"log": {"access": str(log)}})
    with ends_whole(edge), Echoes(edge, edge.create_preview(app), count=100) as tunnels:
        upgrade(edge)
        log.rename(tmp_path / "access.log.1")
        start = len(edge.stderr.lines)
        os.kill(serving(edge), signal.SIGUSR1)
        said(edge, "the access log was reopened", start)

        def one_more_ends_there():
            before = log.read_text().count("\n")
            if before == 0:
                tunnels.clients.pop().close()
            return before > 0

        edge.wait_until(one_more_ends_there, what="a line in the new file")
        edge.command("preview", "delete", "box", app.port, "--kill-tunnels")
        tunnels.closed_with(1008)
        edge.wait_until(lambda: log.read_text().count('"withdrawn"') == len(tunnels.clients), what="the lines of all others")


def test_the_command_waits_for_the_result(whole, app):
    host = whole.create_preview(app)
    first = whole.process.pid
    with Echoes(whole, host, count=3) as tunnels:
        done = whole.command("upgrade")
        second = serving(whole)
        assert second != first and f"Process {second} serves now" in done
        tunnels.echo()
        old, new = json.loads(whole.command("status", "--json"))["generations"]
        assert (old["pid"], old["serves"], old["tunnels_open"], old["generation"]) == (first, False, 3, 1)
        assert 3500 < old["tunnels_left_s"] <= 3600
        assert (new["pid"], new["serves"], new["workers"], new["generation"]) == (second, True, 2, 2)
        shown = whole.command("status")
        assert "GENERATION" in shown and "it serves" in shown and "in 59m" in shown
        # A repair that must not wait.
        assert "serves now" in whole.command("upgrade", "--now")
        generations = json.loads(whole.command("status", "--json"))["generations"]
        assert [g["pid"] for g in generations if g["serves"]] == [serving(whole)]
        assert all(g["tunnels_left_s"] <= 1 for g in generations if not g["serves"])
        tunnels.closed_with(1012)
        whole.wait_until(lambda: gone(first) and gone(second), PATIENCE * SLOW, "the end of the old edges")
        assert len(json.loads(whole.command("status", "--json"))["generations"]) == 1


def test_the_command_says_why_a_new_program_failed(tmp_path, monkeypatch):
    program = Replaced(tmp_path, monkeypatch)
    with Edge(tmp_path / "edge", 1) as edge:
        edge.expect_deaths = True
        # The last one is a program without the hand-over protocol: it finds the locks held.
        for script, why in (("exit 3", "exit status 3"), ("kill -9 $$", "killed by signal 9"),
                            (f'exec env -u BOXEDGE_HANDOVER {program.good} "$@"', "exit status 1")):
            program.by(f"#!/bin/sh\n{script}\n")
            done = edge.command("upgrade", check=False)
            assert done.returncode == 1 and why in done.stderr and "The old one continues" in done.stderr
        assert edge.process.poll() is None


def test_the_command_needs_no_configuration_while_it_waits(tmp_path, monkeypatch):
    """It found the edge's socket before it asked: a file that vanishes meanwhile hides no result."""
    program = Replaced(tmp_path, monkeypatch)
    with Edge(tmp_path / "edge", 1) as edge:
        edge.expect_deaths = True
        named = tmp_path / "named.yaml"
        shutil.copy(edge.config_path, named)
        program.by(f"#!/bin/sh\nrm {named}\nexit 3\n")
        done = subprocess.run([program.good, "upgrade", "-c", named], capture_output=True, text=True, check=False,
                              timeout=PATIENCE * SLOW)
        assert done.returncode == 1 and not named.exists()
        assert done.stderr.count("\n") == 1 and "exit status 3" in done.stderr, done.stderr


@pytest.mark.parametrize("seconds, why", [(0, "exit status 5"), (1000, "it did not serve in time")])
def test_a_binary_that_fails_after_the_switch_gives_all_back(tmp_path, monkeypatch, app, origin, seconds, why):
    program = Replaced(tmp_path, monkeypatch)
    with Edge(tmp_path / "edge", 2) as edge:
        edge.expect_deaths = True
        host, other = edge.create_preview(app), edge.create_preview(origin)
        workers = edge.pids("worker")
        program.by(IMPOSTOR % seconds)
        with Load(edge, other) as load, Echoes(edge, host) as tunnels:
            start = len(edge.stderr.lines)
            edge.process.send_signal(signal.SIGUSR2)
            assert why in said(edge, "did not take over", start)
            said(edge, "controller is back", start)
            load.wait_more(20)
            tunnels.echo()
            edge.command("preview", "delete", "box", app.port, "--kill-tunnels")
            tunnels.closed_with(1008)
            assert load.failures == [] and edge.pids("worker") == workers


def test_without_a_segment_that_can_be_handed_over_tunnels_live_on(tmp_path, app, origin):
    """Files of that size are not allowed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, before[1]))
    try:
        edge = Edge(tmp_path, 2, {"timeouts": {"drain": "1s"}, "store": {"map_size": "32MiB"}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    try:
        with ends_whole(edge), Load(edge, edge.create_preview(origin)) as load:
            with Echoes(edge, edge.create_preview(app)) as tunnels:
                start = len(edge.stderr.lines)
                upgrade(edge)
                said(edge, "counters, lockouts, limits, servers of upstreams, forgotten tabs start anew", start)
                tunnels.echo()
                edge.command("preview", "delete", "box", app.port, "--kill-tunnels")
                tunnels.closed_with(1008)
            load.wait_more(20)
            assert load.failures == []
    finally:
        edge.close()


def test_with_another_store_old_tunnels_end_with_the_requests(make_edge, app, tmp_path):
    """No change would reach them."""
    edge = make_edge(workers=1, config={"timeouts": {"drain": "1s"}})
    with ends_whole(edge), Echoes(edge, edge.create_preview(app)) as tunnels:
        (tmp_path / "other").mkdir()
        rewrite(edge, {"state_dir": str(tmp_path / "other")})
        start = len(edge.stderr.lines)
        upgrade(edge)
        said(edge, "WebSockets end within timeouts.drain", start)
        tunnels.closed_with(1012)


@contextlib.contextmanager
def stopped(edge, pid):
    """Stops a supervisor meanwhile; then waits until it has read its messages, and sleeps."""
    def sleeps():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    os.kill(pid, signal.SIGSTOP)
    yield
    before = sleeps()
    os.kill(pid, signal.SIGCONT)
    edge.wait_until(lambda: sleeps() > before, what="the old supervisor")


def test_without_a_shared_core_old_tunnels_end_with_the_requests(make_edge, app, origin):
    """No change would reach them."""
    edge = make_edge(workers=2, config={"timeouts": {"drain": "2s"}})
    with ends_whole(edge), Load(edge, edge.create_preview(origin)) as load:
        with Echoes(edge, edge.create_preview(app)) as tunnels:
            change_core(edge)
            start = len(edge.stderr.lines)
            upgrade(edge)
            said(edge, "WebSockets end within timeouts.drain", start)
            tunnels.closed_with(1012)
        load.wait_more(20)
        assert load.failures == []


def test_old_workers_of_another_core_get_no_channel(make_edge, app):
    """Their numbers are also those of workers in the new core, which would lose their channels to them."""
    edge = make_edge(workers=1, config={"timeouts": {"drain": "120s"}})
    edge.expect_deaths = True
    with ends_whole(edge), contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        host, waits = edge.create_preview(app), edge.create_preview(silent.getsockname()[1])
        old = []
        for _ in range(2):
            client = stack.enter_context(contextlib.closing(edge.connect("plain", waits)))
            client.send(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % waits.encode())
            stack.enter_context(contextlib.closing(silent.accept()[0]))
            old.append(serving(edge))
            if len(old) == 1:
                upgrade_whole(edge)
        change_core(edge)
        start = len(edge.stderr.lines)
        upgrade_whole(edge)
        said(edge, "it is another version's", start)
        with Echoes(edge, host, count=2) as third:
            upgrade_whole(edge)
            with Echoes(edge, host, count=2) as newest:
                start = len(edge.stderr.lines)
                with stopped(edge, old[0]):  # its answer is the last one
                    os.kill(edge.pids("controller")[0], signal.SIGKILL)
                    said(edge, "controller is back", start)
                    edge.command("reload")
                edge.command("reload")  # the supervisor has handled all messages before this one
                third.echo()
                newest.echo()
                edge.command("preview", "delete", "box", app.port, "--kill-tunnels")
                newest.closed_with(1008)
                third.closed_with(1008)
        assert not any(gone(pid) for pid in old)


def test_upgrades_in_a_row_are_bounded(make_edge, app, origin):
    edge = make_edge(workers=1, config={"timeouts": {"drain": "40s"}})
    edge.expect_deaths = True  # "did not take over"
    host, other = edge.create_preview(app), edge.create_preview(origin)
    with ends_whole(edge), contextlib.ExitStack() as stack, Load(edge, other, threads=2) as load:
        tunnels = []
        for _ in range(6):
            tunnels.append(stack.enter_context(Echoes(edge, host, count=2)))
            upgrade(edge)
        refused = edge.command("upgrade", check=False)
        assert refused.returncode == 1 and "too many old edges have yet to end" in refused.stderr
        for newest in tunnels[-2:]:
            newest.echo()
        for oldest in tunnels[:-2]:
            oldest.closed_with(1012)
        edge.wait_until(lambda: len(json.loads(edge.command("status", "--json"))["generations"]) == 3)
        upgrade(edge)
        tunnels[-1].echo()
        load.wait_more(5)
        assert load.failures == []
