"""Fixtures: an edge shared by the tests of a file, and one for a test that needs its own configuration."""

import pathlib
import resource
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1])]

import harness  # noqa: E402  (after the path is set)

# Tests hold ten thousand connections; shells grant a thousand descriptors by default.
_hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))

# Files that a run of the whole folder leaves to the other build: they run the release build in any case, or start the
# program for every option, or spend their time in Prometheus; tables that cross states and events, or cause every
# failure, look for what the sanitizers see.
collect_ignore = (["test_quickstart.py", "test_manual.py", "test_debian_package.py", "test_image.py", "test_alerts.py"]
                  if harness.SANITIZED else ["test_answered_waits.py", "test_why.py"])


def pytest_sessionstart(session):
    """One sentence instead of a failure of every test."""
    if not harness.BINARY.is_file() and not session.config.option.collectonly:
        pytest.exit(f"{harness.BINARY} is not there: build it (README.md), or name another in BOXEDGE_BINARY", 2)


# Their tests wait for the longest: 10 to 60 s each, with edges of their own.
LONG_FILES = {"test_answered_waits", "test_tabs_chromium", "test_drill", "test_soak", "test_access_secrets"}


def pytest_collection_modifyitems(items):
    """Spreads the longest tests over the first half, so that no worker gets many of them or ends with one. The order
    of the others stays, since tests of a file share an edge."""
    long = [item for item in items if item.module.__name__ in LONG_FILES]
    others = [item for item in items if item.module.__name__ not in LONG_FILES]
    step = max(1, len(others) // (2 * len(long) + 1))
    items[:] = []
    for i, item in enumerate(others):
        if long and i % step == 0:
            items.append(long.pop(0))
        items.append(item)
    items += long


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """When a test fails, the edges that it used print their stderr and access log into the report."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when in ("call", "setup"):
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, harness.Edge) and value.stderr is not None:
                report.sections.append(("stderr of the edge", "\n".join(value.stderr.lines[-80:])))
                report.sections.append(("access log", "\n".join(map(str, value.access.lines[-40:]))))


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """One edge for all tests of a file, with two workers."""
    running = harness.Edge(tmp_path_factory.mktemp("edge"), workers=2)
    yield running
    running.close()


@pytest.fixture
def make_edge(tmp_path):
    """Makes edges with separate configurations; all are closed and checked after the test."""
    made = []

    def make(**kw):
        made.append(harness.Edge(tmp_path / f"edge{len(made)}", **kw))
        return made[-1]

    yield make
    errors = []
    for one in made:
        try:
            one.close()
        except AssertionError as error:
            one.print_logs()
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def origin():
    """An app in the box (harness.HttpOrigin)."""
    with harness.HttpOrigin() as running:
        yield running


@pytest.fixture
def preview(edge, origin):
    """The host name of a preview of `origin` on the shared edge."""
    host = edge.create_preview(origin)
    yield host
    edge.command("preview", "delete", "box", origin.port)
