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
# program for every option; a table that crosses states and events looks for what the sanitizers see.
collect_ignore = (["test_quickstart.py", "test_manual.py", "test_debian_package.py", "test_image.py"]
                  if harness.SANITIZED else ["test_answered_waits.py"])


def pytest_sessionstart(session):
    """One sentence instead of a failure of every test."""
    if not harness.BINARY.is_file() and not session.config.option.collectonly:
        pytest.exit(f"{harness.BINARY} is not there: build it (README.md), or name another in BOXEDGE_BINARY", 2)


def pytest_collection_modifyitems(items):
    """The longest files first, so that the workers finish together."""
    order = {"test_chromium": 0, "test_hostile": 1, "test_curl": 2}
    items.sort(key=lambda item: order.get(item.module.__name__, 9))


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
