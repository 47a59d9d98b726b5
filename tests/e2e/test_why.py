"""The table of docs/runbook.md ("Why did this fail?"): each failure is caused, and its client, access line, metrics and
message are those of its row."""

import contextlib
import functools
import re

from api_world import metrics
from harness import ROOT
from why_world import CAUSES, LONG, World


def rows():
    """failure -> (status, code), access line, metrics, message; each as the document has it."""
    page = (ROOT / "docs/runbook.md").read_text()
    table = page[page.index("## Why did this fail?"):]
    found = {}
    for line in re.findall(r"^\| (.*) \|$", table, re.M):
        failure, client, access, counter, message, advice = (cell.strip() for cell in line.split(" | "))
        assert advice, failure
        found[failure] = (client, access, re.findall(r"`([^`]+)`", counter), re.findall(r"`([^`]+)`", message))
    for heading in ("failure", "---"):
        found.pop(heading, None)
    return {failure: row for failure, row in found.items() if not failure.startswith("---")}


def test_each_failure_has_a_cause():
    assert list(rows()) == list(CAUSES)
    assert len(CAUSES) >= 30


def figure(edge, name):
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics(edge), re.M)
    return float(found[1]) if found else 0


def has_grown(edge, counter, before):
    return figure(edge, counter) > before


def judge(world, failure):
    client, access, counters, messages = rows()[failure]
    name, cause = CAUSES[failure]
    edge = world.edges[name]
    code = re.search(r"`(\w+)`", client)
    line = {}
    if code is not None:
        line = {"status": int(client[:3]), "reason": code[1]}
        counters = [f'boxedge_errors_total{{code="{code[1]}"}}', *counters]
    elif " `" in access:
        line = dict([access.replace("`", "").split()])
    before = {counter: figure(edge, counter) for counter in counters}
    logs = edge.access, edge.stderr
    starts = [len(log.lines) for log in logs]
    cause(world, edge)
    if (edge.access, edge.stderr) != logs:  # the cause has started the edge anew
        starts = [0, 0]
    if line:
        found = edge.wait_for_line(timeout=LONG, start=starts[0], **line)
        if access.startswith("`"):
            assert access.strip("`") in found["detail"], found
    for counter in counters:
        edge.wait_until(functools.partial(has_grown, edge, counter, before[counter]), LONG, counter)
    for message in messages:
        edge.stderr.wait_for(re.compile(f" {message} ").search, LONG, starts[1])


def test_each_failure_can_be_explained(tmp_path):
    wrong = {}
    with contextlib.closing(World(tmp_path)) as world:
        for failure in rows():
            try:
                judge(world, failure)
            except (AssertionError, TimeoutError, KeyError) as error:
                wrong[failure] = str(error)
    assert not wrong, "\n".join(f"{failure}: {why}" for failure, why in wrong.items())
