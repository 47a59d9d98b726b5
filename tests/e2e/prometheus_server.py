"""A real Prometheus for tests: what it scrapes, and the alerts that fire in it."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import yaml

from harness import PATIENCE, PORTS, SLOW, end_with_the_test

LONG = max(60, PATIENCE * SLOW)


class Prometheus:
    """A running Prometheus that scrapes the targets of one job; with `rules`, a file of alerts, it judges them as often."""

    def __init__(self, folder, job, interval="1s", rules=None):
        self.port = PORTS.take()
        times = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
        (folder / "prometheus.yml").write_text(yaml.safe_dump({
            "global": times, "scrape_configs": [{"job_name": "boxedge", **job}],
            "rule_files": [str(rules)] if rules else []}))
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=end_with_the_test)

    def ask(self, path, **parameters):
        """The data of an answer; None: it does not answer (yet). An expression with an error ends the test."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=LONG) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code in (400, 422):
                raise AssertionError(f"{parameters}: {error.read().decode()}") from error
            return None
        except (urllib.error.URLError, ConnectionError):
            return None

    def results(self, expression):
        """All results of an expression: (labels, value)."""
        data = self.ask("query", query=expression)
        return [(one["metric"], float(one["value"][1])) for one in data["result"]] if data else []

    def query(self, expression):
        """The value of an expression with one result; None: it has none yet."""
        found = self.results(expression)
        return found[0][1] if found else None

    def firing(self):
        """name -> an alert of that name that fires now."""
        data = self.ask("alerts")
        return {one["labels"]["alertname"]: one for one in data["alerts"] if one["state"] == "firing"} if data else {}

    def close(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(LONG)
        self.process.kill()
        self.process.wait(LONG)
