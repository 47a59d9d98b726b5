"""The table of docs/runbook.md ("Why did this fail?"): each failure is caused, and its client, access line, metrics and
message are those of its row."""

import contextlib
import functools
import os
import re

from api_world import metrics
from harness import ROOT
from why_more import ELSEWHERE, NEED_ROOT, NEVER, Wider
from why_world import CAUSES, LONG


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
    assert rows().keys() == CAUSES.keys() | ELSEWHERE.keys()
    for failure, (code, test) in ELSEWHERE.items():
        assert f"`{code}`" in rows()[failure][0] and f'"{code}"' in (ROOT / test).read_text(), failure


def test_each_code_has_a_row():
    """Of those in docs/http.md."""
    page = (ROOT / "docs/http.md").read_text()
    table = page[page.index("\n## Errors"):page.index("\n## Pages of other origins")]
    codes = {code for cell in re.findall(r"^\| \d{3} \| (.*?) \|", table, re.M) for code in re.findall(r"`([a-z0-9_]+)`", cell)}
    explained = {code for client, *_ in rows().values() for code in re.findall(r"\d{3} `(\w+)`", client)}
    assert codes - explained == NEVER and explained <= codes


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
    with contextlib.closing(Wider(tmp_path)) as world:
        for failure in rows():
            if failure in ELSEWHERE or (failure in NEED_ROOT and os.geteuid() != 0):
                continue
            try:
                judge(world, failure)
            except (AssertionError, TimeoutError, KeyError) as error:
                wrong[failure] = str(error)
    assert not wrong, "\n".join(f"{failure}: {why}" for failure, why in wrong.items())
