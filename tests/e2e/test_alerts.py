"""deploy/prometheus and deploy/grafana against what the binary exports: promtool, and a real Prometheus in which each
alert fires by its real fault."""

import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from alerts_world import FAULTS, LONG, World
from harness import BINARY, ROOT
from prometheus_server import Prometheus
from test_clock import shim  # noqa: F401 (a fixture)

RULES = ROOT / "deploy/prometheus/boxedge.rules.yaml"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
OWN_LABELS = {"job", "instance", "le"}  # of Prometheus


@functools.cache
def alerts():
    """name, without "Boxedge" -> the alert"""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"].removeprefix("Boxedge"): rule for rule in group["rules"]}


@functools.cache
def expressions():
    """(panel, expression) of the dashboard, with values in place of its variables."""
    board = json.loads((ROOT / "deploy/grafana/boxedge.json").read_text())
    found = []
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            assert "$" not in expression, expression
            found.append((panel["title"], expression))
    return found


def test_the_dashboard_has_the_form_that_grafana_reads():
    """Ids and letters of queries are unique, the data source is a variable, and no panel covers another."""
    board = json.loads((ROOT / "deploy/grafana/boxedge.json").read_text())
    assert board["uid"] and board["schemaVersion"] >= 36 and "id" not in board
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert variables["instance"]["type"] == "query" and variables["instance"]["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    cells = {}
    for panel in board["panels"]:
        title, place, targets = panel["title"], panel["gridPos"], panel.get("targets", [])
        assert place["x"] >= 0 and place["w"] > 0 and place["h"] > 0 and place["x"] + place["w"] <= 24, title
        for cell in itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])):
            assert cells.setdefault(cell, title) == title, (title, cells[cell])
        assert len({target["refId"] for target in targets}) == len(targets), title
        assert (panel["type"] == "row") == (not targets), title
        for target in targets:
            assert set(re.findall(r"\$\{?(\w+)", target["expr"])) <= {"instance", "__rate_interval"}, title
            assert target.get("legendFormat") or panel["type"] == "stat", title
        if targets:
            assert panel["datasource"]["uid"] == "${datasource}" and panel["fieldConfig"]["defaults"]["unit"], title


@functools.cache
def exported():
    """metric -> its labels, as the binary documents them (the unit tests compare that with what it exports)."""
    table = subprocess.run([BINARY, "metrics", "reference"], capture_output=True, text=True, check=True, timeout=LONG).stdout
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", table, re.M)
    found = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    for name, kind, _ in rows:
        if kind == "histogram":
            found.update({f"{name}_{part}": found[name] for part in ("bucket", "sum", "count")})
    return found


def checked(expression):
    """Every metric and label of an expression exists."""
    names = set(re.findall(r"\bboxedge_\w+", expression))
    assert names or "up{" in expression, expression
    assert names <= exported().keys(), names - exported().keys()
    known = set().union(OWN_LABELS, *(exported()[name] for name in names))
    for name, matchers in re.findall(r"\b(boxedge_\w+)\{([^}]*)\}", expression):
        labels = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', matchers))
        assert labels <= exported()[name] | OWN_LABELS, (name, labels)
    for clause in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression):
        assert set(re.findall(r"\w+", clause)) <= known, expression


def test_metrics_and_labels_exist():
    for alert in alerts().values():
        checked(alert["expr"])
    for _, expression in expressions():
        checked(expression)


def test_the_runbook_has_an_entry_for_each_alert():
    """And for nothing else. An entry says what the alert means, what to look at, and what to do."""
    page = (ROOT / "docs/runbook.md").read_text()
    entries = dict(re.findall(r"^### (Boxedge\w+)\n(.*?)(?=^##|\Z)", page, re.M | re.S))
    assert list(entries) == [f"Boxedge{name}" for name in alerts()]
    for name, alert in alerts().items():
        entry = entries[f"Boxedge{name}"]
        for part in ("**Means.**", "**Look at.**", "**Do.**"):
            assert entry.count(part) == 1, (name, part)
        annotations = alert["annotations"]
        assert annotations["runbook_url"] == f"docs/runbook.md#boxedge{name.lower()}"
        assert alert["labels"]["severity"] in ("critical", "warning", "info") and annotations.keys() == {
            "summary", "description", "runbook_url"}


@needs_promtool
def test_promtool_accepts_the_files():
    for what, file in (("rules", "boxedge.rules.yaml"), ("config", "prometheus.yaml")):
        done = subprocess.run(["promtool", "check", what, file], cwd=RULES.parent, capture_output=True, text=True, check=False,
                              timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr


# ---- the time that a fault must last

I = 'job="boxedge",instance="a"'
RISING = "0+1x140"
# alert -> series that show its fault from minute 0 on.
SERIES = {
    "Down": {f"up{{{I}}}": "0x140"},
    "NotReady": {f"boxedge_ready{{{I}}}": "0x140"},
    "WorkerDown": {f'boxedge_worker_up{{{I},worker="0"}}': "0x140"},
    "ProcessDied": {f'boxedge_worker_restarts_total{{{I},worker="0"}}': "0x4 1x140", f"boxedge_controller_restarts_total{{{I}}}": "0x140",
                    f"boxedge_runner_restarts_total{{{I}}}": "0x140"},
    "ProcessDiesOften": {f'boxedge_worker_restarts_total{{{I},worker="0"}}': "0x140",
                         f"boxedge_controller_restarts_total{{{I}}}": "0x4 4x140", f"boxedge_runner_restarts_total{{{I}}}": "0x140"},
    "OldGeneration": {f"boxedge_old_generations{{{I}}}": "1x140"},
    "ServesErrors": {f'boxedge_errors_total{{{I},code="overloaded"}}': RISING,
                     f'boxedge_requests_total{{{I},kind="preview",protocol="h2",code="503"}}': RISING,
                     f'boxedge_requests_total{{{I},kind="preview",protocol="h2",code="200"}}': "0+9x140"},
    "BoxesUnreachable": {f'boxedge_errors_total{{{I},code="connect_timeout"}}': RISING,
                         f'boxedge_requests_total{{{I},kind="preview",protocol="h2",code="504"}}': RISING},
    "WakesFail": {f"boxedge_wake_failures_total{{{I}}}": RISING, f"boxedge_wake_resumes_total{{{I}}}": "0+4x140"},
    "WakesSlow": {f'boxedge_wake_wait_seconds_bucket{{{I},protocol="h1",le="{le}"}}': rise
                  for le, rise in (("2.5", "0x140"), ("5", "0x140"), ("10", RISING), ("+Inf", RISING))},
    "ProviderUnreachable": {f'boxedge_errors_total{{{I},code="provider_unavailable"}}': RISING},
    "UpstreamServerDown": {f'boxedge_upstream_server_up{{{I},upstream="api",server="a:1",slot="0"}}': "0x140"},
    "UpstreamDown": {f'boxedge_upstream_server_{what}{{{I},upstream="api",server="a:1",slot="0"}}': value
                     for what, value in (("up", "1x140"), ("ejected", "0x140"), ("drained", "1x140"))},
    "NamesUnresolved": {f"boxedge_resolver_names_failing{{{I}}}": "2x140"},
    "LoadShed": {f"boxedge_shed_total{{{I}}}": RISING, f"boxedge_memory_resets_total{{{I}}}": "0x140",
                 f"boxedge_memory_closes_total{{{I}}}": "0x140"},
    "QueueFull": {f"boxedge_origin_queue_refused_total{{{I}}}": RISING, f"boxedge_api_queue_refused_total{{{I}}}": "0x140"},
    "ConnectionsFull": {f'boxedge_worker_full{{{I},worker="0"}}': "1x140"},
    "ListenQueueFull": {f'boxedge_listener_queue_connections{{{I},listener="a:443"}}': "300x140",
                        f'boxedge_listener_queue_limit_connections{{{I},listener="a:443"}}': "512x140"},
    "DescriptorsLow": {f'boxedge_process_open_fds{{{I},process="worker-0"}}': "90x140",
                       f'boxedge_process_max_fds{{{I},process="worker-0"}}': "100x140"},
    "DescriptorsOut": {f"boxedge_descriptor_shortages_total{{{I}}}": RISING},
    "StoreDamaged": {f"boxedge_store_damaged{{{I}}}": "1x140"},
    "StoreNotWritable": {f'boxedge_store_writable{{{I},store="durable"}}': "0x140"},
    "StoreNearlyFull": {f'boxedge_store_used_bytes{{{I},store="durable"}}': "900x140", f"boxedge_store_map_bytes{{{I}}}": "1000x140"},
    "CertificateExpiresSoon": {f'boxedge_certificate_expiry_timestamp_seconds{{{I},certificate="0",name="x"}}': "1000000x140"},
    "CertificateExpires": {f'boxedge_listener_certificate_expiry_timestamp_seconds{{{I},listener="a:1"}}': "100000x140"},
    "ReloadFailed": {f"boxedge_conf_last_reload_successful{{{I}}}": "0x140"},
    "LogLost": {f"boxedge_log_drops_total{{{I}}}": RISING, f"boxedge_messages_lost_total{{{I}}}": "0x140"},
    "Lockouts": {f"boxedge_access_lockouts_total{{{I}}}": RISING},
    "AdminCrowded": {f'boxedge_admin_connections_given_up_total{{{I},server="admin"}}': RISING,
                     f'boxedge_admin_refused_total{{{I},server="admin"}}': "0x140"},
    "ClockJumped": {f"boxedge_wall_clock_jumps_total{{{I}}}": "0x4 1x140"},
}


def minutes(alert):
    number, unit = re.fullmatch(r"(\d+)([smh])", alert.get("for", "0s")).groups()
    return int(number) * {"s": 0, "m": 1, "h": 60}[unit]


@needs_promtool
def test_the_time_that_a_fault_must_last(tmp_path):
    """promtool judges the rules minute by minute: quiet until the time of `for` has passed, and firing then. The
    first two minutes show a rate."""
    assert SERIES.keys() == alerts().keys()
    series, questions = [], []
    for name, faults in SERIES.items():  # each at an edge of its own, whose name is that of the alert
        series += [{"series": one.replace('instance="a"', f'instance="{name}"'), "values": values} for one, values in faults.items()]
        question = {"expr": f'count(ALERTS{{alertname="Boxedge{name}",instance="{name}",alertstate="firing"}})'}
        wait = minutes(alerts()[name])
        if wait > 0:
            questions.append({**question, "eval_time": f"{wait - 1}m", "exp_samples": []})
        questions.append({**question, "eval_time": f"{wait + 6}m", "exp_samples": [{"labels": "{}", "value": 1}]})
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": questions}]
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- a real Prometheus


def without_waiting(folder):
    """The same rules, which fire immediately."""
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    return folder / "rules.yaml"


def fires(prometheus, world, name):
    alert = world.wait(lambda: prometheus.firing().get(f"Boxedge{name}"), f"Boxedge{name}")
    for text in alert["annotations"].values():
        assert "<" not in text and "{{" not in text and "  " not in text, text  # <error expanding template>
    return alert


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus")
def test_each_alert_fires_by_its_fault(tmp_path, shim):  # noqa: F811
    """And the dashboard has an answer to each of its questions."""
    namespace = os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0
    faults = [(fault, names) for fault, names in FAULTS if names != ["NamesUnresolved"] or namespace]
    assert sorted(name for _, names in FAULTS for name in names) == sorted(alerts())
    world = World(tmp_path, shim, namespace)
    with contextlib.closing(world):
        world.use()
        job = {"scheme": "https", "tls_config": {"insecure_skip_verify": True},
               "static_configs": [{"targets": [f"127.0.0.1:{world.port}"]}]}
        with contextlib.closing(Prometheus(tmp_path, job, "200ms", without_waiting(tmp_path))) as prometheus:
            world.wait(lambda: prometheus.query("count_over_time(up[1m])"), "scrapes")
            world.use()
            exchanges = world.figure("exchanges_total")
            world.wait(lambda: (prometheus.query("boxedge_exchanges_total") or 0) >= exchanges, "the sample in Prometheus")
            assert prometheus.firing() == {}
            for fault, names in faults:
                for name in names:
                    world.wait(lambda: f"Boxedge{name}" not in prometheus.firing(), f"the end of an earlier {name}")  # pylint: disable=cell-var-from-loop
                with fault(world):
                    for name in names:
                        fires(prometheus, world, name)
                if names == ["LogLost"]:
                    for panel, expression in expressions():
                        assert prometheus.results(expression), (panel, expression)
