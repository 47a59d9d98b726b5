"""The events of the drill, each with the rule that judges it."""

import collections
import time

# NONE: no exchange fails, no WebSocket closes. OWN: only exchanges of the killed process fail. DRAIN:
# exchanges that began before the signal end well, WebSockets end with Close 1012, and streams without an end are
# cut. RESTART: after the next start nothing fails.
NONE, OWN, DRAIN, RESTART = "none", "own", "drain", "restart"

Event = collections.namedtuple("Event", "name title rule act setup")
# Events of one rule that share a row of the table.
Group = collections.namedtuple("Group", "title names")
PAUSE = 0.6


class Outcome:
    """The judge's input: client ports of killed processes, kinds of traffic that end with them, and the time of a
    signal or of the next start."""

    def __init__(self):
        self.killed, self.kinds, self.at = set(), set(), None


def each(count, act):
    """Repeats it `count` times, with traffic between."""
    def run(server, load, outcome):
        for n in range(count):
            act(server, load, n)
            time.sleep(PAUSE)
    return run


def reload(count=3, **settings):
    """Reloads, each with another value of these settings."""
    def act(server, load, n):
        server.change(**{key: values[n % len(values)] for key, values in settings.items()})
    return each(count, act)


def more_listeners(server, load, n):
    server.change(extra=server.extra[: n + 1])
    load.ports.append(server.extra[n])


def fewer_listeners(server, load, n):
    """Clients are warned first; open connections and exchanges under way stay."""
    load.ports.remove(server.extra[2 - n])
    server.change(extra=server.extra[: 2 - n])


def kill(role):
    def run(server, load, outcome):
        outcome.kinds = {"process"} if role == "runner" else set()  # its boxes end with it
        outcome.killed = server.kill(role)
        time.sleep(PAUSE)
    return run


def reload_processes(server, load, outcome):
    """A box with another environment stops, with its requests, and starts with the next one."""
    outcome.kinds = {"process"}
    reload(process=[1, 2, 3])(server, load, outcome)


def hang(server, load, outcome):
    outcome.killed = server.hang("worker")


def kill_all(server, load, outcome):
    outcome.killed = server.kill_all()
    outcome.at = time.monotonic()


def drain(server, load, outcome):
    outcome.at = time.monotonic()
    server.drain()


def upgrade(kind, count=1):
    return each(count, lambda server, load, n: server.upgrade(kind))


def stop(role):
    return each(1, lambda server, load, n: server.stop_for_a_while(role))


EVENTS = [
    Event("reload-same", "reload, nothing changed, ×3", NONE, reload(), {}),
    Event("reload-limits", "reload, a limit, ×3", NONE, reload(fields=[101, 102, 103]), {}),
    Event("reload-timeouts", "reload, a timeout, ×3", NONE, reload(keep_alive=[74, 73, 72]), {}),
    Event("reload-certificates", "reload, other files of certificates, ×3", NONE, reload(pair=["b", "a", "b"]), {}),
    Event("reload-routes", "reload, more names and origins, ×3", NONE, reload(routes=[1, 2, 3]), {}),
    Event("reload-log", "reload, another access log, ×3", NONE, reload(log=[1, 2, 3]), {}),
    Event("reload-processes", "reload, another environment of a process box, ×3", OWN, reload_processes, {}),
    Event("reload-listeners-more", "reload, one more listener, ×3", NONE, each(3, more_listeners), {}),
    Event("reload-listeners-fewer", "reload, one listener less, ×3", NONE, each(3, fewer_listeners), {"extra": 3}),
    Event("reload-workers-more", "reload, one more worker, ×3", NONE, reload(workers=[3, 4, 5]), {}),
    Event("reload-workers-fewer", "reload, one worker less, ×3", NONE, reload(workers=[3, 2, 1]), {"workers": 4}),
    Event("reload-refused", "reload of a wrong file, ×3", NONE, reload(broken=[True]), {}),
    Event("reload-20", "20 reloads in a row", NONE, reload(20, keep_alive=[74, 73]), {}),
    Event("renewal", "renewal of certificates, ×3", NONE, each(3, lambda server, load, n: server.renew("ba"[n % 2])), {}),
    Event("upgrade-same", "upgrade to the same program", NONE, upgrade("same"), {}),
    Event("upgrade-twice", "two upgrades in a row", NONE, upgrade("same", 2), {}),
    Event("upgrade-other", "upgrade to another program", NONE, upgrade("other"), {}),
    Event("upgrade-failing", "upgrade to a program that fails, ×3", NONE, upgrade("failing", 3), {}),
    Event("upgrade-hanging", "upgrade to a program that hangs", NONE, upgrade("hanging"), {}),
    Event("upgrade-late", "upgrade to a program that hangs once it has taken over", NONE, upgrade("late"), {}),
    Event("kill-worker", "`kill -9` of a worker", OWN, kill("worker"), {}),
    Event("kill-controller", "`kill -9` of the controller", OWN, kill("controller"), {}),
    Event("kill-logger", "`kill -9` of the logger", OWN, kill("logger"), {}),
    Event("kill-runner", "`kill -9` of the runner", OWN, kill("runner"), {}),
    Event("kill-supervisor", "`kill -9` of the supervisor (the master), and a start", RESTART, kill_all, {}),
    Event("stop-worker", "SIGSTOP of a worker for 3 s", NONE, stop("worker"), {}),
    Event("stop-controller", "SIGSTOP of the controller for 3 s", NONE, stop("controller"), {}),
    Event("stop-logger", "SIGSTOP of the logger for 3 s", NONE, stop("logger"), {}),
    Event("stop-runner", "SIGSTOP of the runner for 3 s", NONE, stop("runner"), {}),
    Event("stop-supervisor", "SIGSTOP of the supervisor (the master) for 3 s", NONE, stop("supervisor"), {}),
    Event("hang-worker", "SIGSTOP of a worker for good", OWN, hang, {}),
    Event("drain", "end in order (SIGTERM; nginx: QUIT, HAProxy: USR1)", DRAIN, drain, {"short_drain": False}),
]
GROUPS = [
    Group("reload: nothing changed, a limit, a timeout, another access log, each ×3",
          ("reload-same", "reload-limits", "reload-timeouts", "reload-log")),
    Group("reload: other files of certificates, more names and origins, each ×3", ("reload-certificates", "reload-routes")),
    Group("reload: one listener more, one less, each ×3", ("reload-listeners-more", "reload-listeners-fewer")),
    Group("reload: one worker more, one less, each ×3", ("reload-workers-more", "reload-workers-fewer")),
    Group("`kill -9` of the controller, the logger, the runner", ("kill-controller", "kill-logger", "kill-runner")),
    Group("SIGSTOP of the controller, the logger, the runner, each for 3 s", ("stop-controller", "stop-logger", "stop-runner")),
]
QUICK = ["reload-timeouts", "renewal", "upgrade-twice", "kill-worker", "kill-controller"]


def is_fault(rule, failure, outcome):
    """Whether the rule forbids this failure. Without access to the sockets (only root has it), the owner of a
    failure is unknown."""
    own = outcome.killed is None or failure.kind in outcome.kinds or bool(outcome.killed & set(failure.ports))
    if rule == NONE:
        return True
    if rule == OWN:
        return not own
    if rule == RESTART:
        return not own and failure.began > outcome.at
    if failure.kind in ("websocket", "h2-websocket"):
        return failure.why != "Close 1012"
    connected = bool(failure.ports)  # the event loop may begin an exchange long before its connection
    return failure.kind != "stream" and connected and failure.began < outcome.at
