"""`boxedge recent`: the latest access lines in memory, and a search among them."""

import contextlib
import json

from admin_api import Admin


def recent(edge, *arguments):
    return json.loads(edge.command("recent", "--json", *arguments))


def test_the_latest_lines(edge, origin):
    """Each line is there once its request has ended, as the access log has it."""
    host = edge.create_preview(origin)
    paths = [f"/echo?n={i}" for i in range(20)]
    for path in paths:
        assert edge.get(host, path).status == 200
    lines = edge.wait_for_line(lambda line: line["path"] in paths, count=20)
    found = recent(edge, "box")
    assert all(line in found["lines"] for line in lines)
    assert found["kept"] >= 20 and found["missing"] == [] and "note" not in found
    # The newest first: requests of one millisecond are in any order.
    times = [line["time"] for line in found["lines"]]
    assert times == sorted(times, reverse=True)
    assert [line["time"] for line in recent(edge, "box", "-n", "3")["lines"]] == times[:3]


def test_what_a_search_finds(edge, origin):
    host = edge.create_preview(origin)
    assert edge.get(host, "/echo?of=search").status == 200
    assert edge.get(edge.host(3999, "nobody"), '/","box":"box').status == 404
    line = edge.wait_for_line(path="/echo?of=search")
    strange = edge.wait_for_line(reason="preview_not_found")
    for find in (line["request_id"], host, host.split(".")[0]):
        assert line in recent(edge, find)["lines"], find
    assert recent(edge, line["request_id"])["lines"] == [line]
    assert strange in recent(edge, "preview_not_found")["lines"] and strange in recent(edge, "127.0.0.1")["lines"]
    assert strange not in recent(edge, "box")["lines"]
    assert recent(edge, "bo")["lines"] == []
    table = edge.command("recent", strange["request_id"])
    assert "preview_not_found" in table and strange["request_id"] in table and "\\u" not in table
    assert "None of the " in edge.command("recent", "not-there")
    for wrong in (["a b"], ["a", "b"], ["-n", "0"], ["-n", "201"], ["x" * 256]):
        assert edge.command("recent", *wrong, check=False).returncode == 2, wrong
    with contextlib.closing(Admin(edge.admin_socket)) as admin:
        for query in ("limit=0", "limit=201", "find=a%20b", "find=" + "x" * 256, "box=a", "find"):
            status, _, body = admin.call("GET", "/v1/recent?" + query)
            assert (status, body["code"]) == (400, "bad_query"), query


def test_without_an_access_log(make_edge):
    edge = make_edge(config={"log": {"access": "off"}})
    edge.get(edge.host(3000))
    done = edge.command("recent", check=False)
    assert done.returncode == 3 and "log.access is off" in done.stderr and "None of the 0" in done.stdout
