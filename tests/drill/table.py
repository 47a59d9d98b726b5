"""The table of a drill: a row per event, or one for a group of events, and a column per server. Its input is
the results as `--json` writes them."""

import collections

import events

# The kinds of traffic (load.py), as the table names them.
KINDS = {"fresh": "fresh", "kept": "kept", "h2": "h2", "upload": "upload", "slow": "slow", "sse": "SSE",
         "post": "POST", "stream": "stream", "process": "process box", "websocket": "WebSocket",
         "h2-websocket": "h2 WebSocket", "open": "new WebSocket"}
SERVERS = {"haproxy": "HAProxy"}
# The meaning of a failure that the rule of its event allows.
ALLOWED = {events.OWN: "its own", events.DRAIN: "in time", events.RESTART: "until the next start"}


def title(server):
    return SERVERS.get(server, server)


def by_kind(failures):
    counts = collections.Counter(failure["kind"] for failure in failures)
    return ", ".join(f"{KINDS[kind]} {counts[kind]}" for kind in KINDS if counts[kind])


def cell(results, rule):
    """Failures in these results; a dash if the server has no such event."""
    faults, allowed = ([f for r in results if r for f in r[key]] for key in ("faults", "allowed"))
    if not any(results):
        return "–"
    if rule == events.DRAIN:  # a request that began after the signal is no failure
        allowed = [f for f in allowed if f["kind"] in ("websocket", "h2-websocket", "stream")]
    return (by_kind(faults) or "0") + (f" ({ALLOWED[rule]}: {by_kind(allowed)})" if allowed else "")


def rows(results):
    """(title, events): groups of which every event has results, and the other events."""
    done = [event for event in events.EVENTS if event.name in results]
    while done:
        group = next((g for g in events.GROUPS if done[0].name in g.names and set(g.names) <= set(results)), None)
        members = [event for event in done if event.name in group.names] if group else done[:1]
        yield (group.title if group else members[0].title), members
        done = [event for event in done if event not in members]


def table(record):
    results, servers = record["results"], list(record["servers"])
    lines = ["| event | " + " | ".join(map(title, servers)) + " |", "|" + "---|" * (len(servers) + 1)]
    for row, members in rows(results):
        cells = [cell([results[event.name][name] for event in members], members[0].rule) for name in servers]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def totals(record):
    """A line per server."""
    for name in record["servers"]:
        own = [each[name] for each in record["results"].values() if each[name]]
        again = sum(sum(result["again"].values()) for result in own)
        yield f"{title(name)}: {len(own)} events, {sum(result['total'] for result in own):,} exchanges, {again} sent again"
