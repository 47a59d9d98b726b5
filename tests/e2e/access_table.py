#!/usr/bin/env python3
"""Who may see a preview: the table, as data. test_access.py runs every row against a running edge, and the tables of
docs/access.md are made from it:

    tests/e2e/access_table.py --write     puts them into docs/access.md

Three small tables are multiplied: the result of a way of presenting on a kind of preview (WAYS), the effect of a session cookie for a kind of request from a site (SESSION_OPENS), and the answer to a refusal (expected).
"""

import dataclasses
import pathlib
import sys

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/access.md"
COOKIE = "__Host-boxedge"

KINDS = ("public", "bearer", "basic", "both")


# ---- the result of each way of presenting


@dataclasses.dataclass(frozen=True)
class Result:
    """`verdict`: "passes" (public: all shown credentials belong to the app), "opens", "session" (opened by the cookie
    alone), "signs in" (a navigation is redirected to the same address with a new cookie, all else is refused),
    "refused", "bad". `stays`: the credentials that reach the box unchanged, by their names."""

    verdict: str
    stays: tuple = ()


OPENS = Result("opens")
SESSION = Result("session")
REFUSED = Result("refused")
BAD = Result("bad")
SIGNS_IN = Result("signs in")


def opens(*stays):
    return Result("opens", stays)


def passes(*stays):
    return Result("passes", stays)


@dataclasses.dataclass(frozen=True)
class Way:
    """One way of presenting. In values, {name} stands for a secret of the preview: {token} and {basic}
    (user:password in base64) are the right ones, or those of another preview if this one has none of that
    kind. {other_*} belong to another box's preview, {old_*} were replaced. `result`: by kind of preview."""

    name: str
    text: str
    public: Result
    bearer: Result
    basic: Result
    both: Result
    fields: tuple = ()
    query: str = ""

    def result(self, kind):
        return getattr(self, kind)


def way(name, text, fields, public, bearer, basic, both=None, query=""):
    return Way(name, text, public, bearer, basic, both or bearer, tuple(fields), query)


AUTHORIZATION, TOKEN, SESSION_COOKIE = "Authorization", "X-Preview-Token", "Cookie"
APP = ("Authorization", "Bearer the-apps-own")


def cookies(*values):
    """A Cookie field with the app's own cookies around the edge's."""
    return ("Cookie", "; ".join(["mine=1", *(f"{COOKIE}={value}" for value in values), "last=2"]))


WAYS = (
    way("none", "nothing", [], passes(), REFUSED, REFUSED),
    way("bearer", "`Authorization: Bearer <token>`", [(AUTHORIZATION, "Bearer {token}")],
        passes(AUTHORIZATION), OPENS, REFUSED),
    way("bearer-lower", "`authorization: bearer <token>`, two spaces", [("authorization", "bearer  {token}")],
        passes(AUTHORIZATION), OPENS, REFUSED),
    way("bearer-wrong", "a wrong token", [(AUTHORIZATION, "Bearer {wrong}")], passes(AUTHORIZATION), REFUSED, REFUSED),
    way("bearer-other", "the token of another preview", [(AUTHORIZATION, "Bearer {other_token}")],
        passes(AUTHORIZATION), REFUSED, REFUSED),
    way("bearer-old", "a replaced token", [(AUTHORIZATION, "Bearer {old_token}")],
        passes(AUTHORIZATION), REFUSED, REFUSED),
    way("bearer-deleted", "a token from before the preview was deleted and created again",
        [(AUTHORIZATION, "Bearer {deleted_token}")], passes(AUTHORIZATION), REFUSED, REFUSED),
    way("basic", "`Authorization: Basic <user:password>`", [(AUTHORIZATION, "Basic {basic}")],
        passes(AUTHORIZATION), REFUSED, OPENS, OPENS),
    way("basic-upper", "`AUTHORIZATION: BASIC <user:password>`", [("AUTHORIZATION", "BASIC {basic}")],
        passes(AUTHORIZATION), REFUSED, OPENS, OPENS),
    way("basic-wrong", "a wrong password", [(AUTHORIZATION, "Basic {wrong_basic}")],
        passes(AUTHORIZATION), REFUSED, REFUSED),
    way("basic-other", "the password of another preview", [(AUTHORIZATION, "Basic {other_basic}")],
        passes(AUTHORIZATION), REFUSED, REFUSED),
    way("basic-old", "a replaced password", [(AUTHORIZATION, "Basic {old_basic}")],
        passes(AUTHORIZATION), REFUSED, REFUSED),
    way("scheme", "the token under another scheme: `Authorization: Token <token>`", [(AUTHORIZATION, "Token {token}")],
        passes(AUTHORIZATION), REFUSED, REFUSED),
    way("crossed", "the token as a Basic, without a colon", [(AUTHORIZATION, "Basic {token_base64}")],
        passes(AUTHORIZATION), REFUSED, REFUSED),
    way("duplicated", "`Authorization` twice, both right", [(AUTHORIZATION, "Bearer {token}"), (AUTHORIZATION, "Bearer {token}")],
        BAD, BAD, BAD),
    way("bearer-and-basic", "`Authorization` twice, a Bearer and a Basic",
        [(AUTHORIZATION, "Bearer {token}"), (AUTHORIZATION, "Basic {basic}")], BAD, BAD, BAD),
    way("token", "`X-Preview-Token: <token>`", [(TOKEN, "{token}")], passes(TOKEN), OPENS, REFUSED),
    way("token-wrong", "a wrong `X-Preview-Token`", [(TOKEN, "{wrong}")], passes(TOKEN), REFUSED, REFUSED),
    way("token-twice", "`X-Preview-Token` twice, both right", [(TOKEN, "{token}"), ("x-preview-token", "{token}")],
        passes(TOKEN), OPENS, REFUSED),
    way("token-and-app", "`X-Preview-Token` right, and the app's own `Authorization: Bearer`", [(TOKEN, "{token}"), APP],
        passes(TOKEN, AUTHORIZATION), opens(AUTHORIZATION), REFUSED),
    way("token-and-basic", "`X-Preview-Token` and `Authorization: Basic`, both right",
        [(TOKEN, "{token}"), (AUTHORIZATION, "Basic {basic}")],
        passes(TOKEN, AUTHORIZATION), opens(AUTHORIZATION), OPENS, OPENS),
    way("token-and-bearer", "`X-Preview-Token` and `Authorization: Bearer`, both right",
        [(TOKEN, "{token}"), (AUTHORIZATION, "Bearer {token}")], passes(TOKEN, AUTHORIZATION), OPENS, REFUSED),
    way("cookie", "the session cookie", [cookies("{cookie}")], passes(), SESSION, SESSION),
    way("cookie-and-app", "the session cookie, and the app's own `Authorization: Bearer`", [cookies("{cookie}"), APP],
        passes(AUTHORIZATION), Result("session", (AUTHORIZATION,)), Result("session", (AUTHORIZATION,))),
    way("cookie-and-token", "the session cookie and the right `X-Preview-Token`", [cookies("{cookie}"), (TOKEN, "{token}")],
        passes(TOKEN), OPENS, SESSION),
    way("cookie-second", "two session cookies, the second right", [cookies("v1.1.x", "{cookie}")],
        passes(), SESSION, SESSION),
    way("cookie-other", "the session cookie of a preview of another box", [cookies("{other_cookie}")],
        passes(), REFUSED, REFUSED),
    way("cookie-tampered", "a session cookie with a changed expiry", [cookies("{tampered_cookie}")],
        passes(), REFUSED, REFUSED),
    way("cookie-expired", "an expired session cookie", [cookies("{expired_cookie}")], passes(), REFUSED, REFUSED),
    way("cookie-old", "a session cookie from before the credentials were replaced", [cookies("{old_cookie}")],
        passes(), REFUSED, REFUSED),
    way("cookie-deleted", "a session cookie from before the preview was deleted and created again",
        [cookies("{deleted_cookie}")], passes(), REFUSED, REFUSED),
    way("query", "`?preview_token=<token>`", [], passes("query"), SIGNS_IN, REFUSED, query="preview_token={token}"),
    way("query-wrong", "a wrong `?preview_token=`", [], passes("query"), REFUSED, REFUSED, query="preview_token={wrong}"),
    way("query-and-cookie", "`?preview_token=<token>` and the session cookie", [cookies("{cookie}")],
        passes("query"), Result("signs in", ("session",)), Result("session", ("query",)),
        Result("signs in", ("session",)), query="preview_token={token}"),
)


# ---- kinds of requests

SITES = {
    "own": "from the preview's own pages",
    "other": "from a page of another preview (same-site)",
    "cross": "from a page of another site",
    "none": "from no page: no Origin, no Fetch metadata",
}
FETCH_SITE = {"own": "same-origin", "other": "same-site", "cross": "cross-site"}

# Kinds of requests, and the sites that they come from. An asset is an element that a page loads without CORS
# (an image, a script): browsers send no Origin with it.
REQUESTS = {
    "navigation": ("own", "other", "cross", "none"),
    "fetch": ("own", "other", "cross", "none"),
    "asset": ("own", "other", "cross"),
    "upload": ("own", "other", "cross", "none"),
    "preflight": ("own", "other", "cross"),
    "upgrade": ("own", "other", "cross", "none"),
}
REQUEST_TEXT = {
    "navigation": "a navigation to a page (GET, HEAD)",
    "fetch": "`fetch`, XHR, or a program's GET",
    "asset": "an image, script or style",
    "upload": "a request with a body",
    "preflight": "a CORS preflight",
    "upgrade": "a WebSocket (HTTP/1.1 or HTTP/2)",
}
VERSIONS = ("1.1", "2")

# The requests that the session cookie alone opens.
SESSION_OPENS = {
    "navigation": {"own": True, "other": True, "cross": True, "none": True},
    "fetch": {"own": True, "other": False, "cross": False, "none": True},
    "asset": {"own": True, "other": False, "cross": False},
    "upload": {"own": True, "other": False, "cross": False, "none": True},
    "upgrade": {"own": True, "other": False, "cross": False, "none": False},
}


@dataclasses.dataclass(frozen=True)
class Expected:
    status: int
    code: str = ""  # of an error; also `reason` in the log
    html: bool = False  # a page, not JSON
    challenges: tuple = ()  # of WWW-Authenticate
    reaches_box: bool = False
    stays: tuple = ()  # credentials that the box sees, as they were sent
    sets_cookie: bool = False


def has_bearer(kind):
    return kind in ("bearer", "both")


def has_basic(kind):
    return kind in ("basic", "both")


def shown(one):
    """The credentials that a way shows, by the names that `stays` uses."""
    names = {"authorization": AUTHORIZATION, "x-preview-token": TOKEN}
    return tuple({names[k.lower()]: 1 for k, _ in one.fields if k.lower() in names}) + (("query",) if one.query else ())


def refused(kind, request):
    if request == "navigation":
        return Expected(401, "unauthorized", html=True, challenges=() if has_bearer(kind) else ("Basic",))
    return Expected(401, "unauthorized",
                    challenges=("Basic",) * has_basic(kind) + ("Bearer",) * has_bearer(kind))


def opened(request, stays, sets_cookie=False):
    return Expected(101 if request == "upgrade" else 200, reaches_box=True, stays=stays, sets_cookie=sets_cookie)


def session(request, site, stays):
    if SESSION_OPENS[request][site]:
        return opened(request, stays)
    return Expected(403, "cross_site")


def expected(kind, one, request, site):
    """The expected result of a request."""
    result = one.result(kind)
    if result.verdict == "bad":
        return Expected(400, "bad_request", html=request == "navigation")
    if result.verdict == "passes":
        return opened(request, result.stays)
    if request == "preflight":
        return opened(request, tuple(name for name in shown(one) if name == "query" and not has_bearer(kind)))
    if result.verdict == "opens":
        by_basic = has_basic(kind) and any(v.lower() == "basic {basic}" for _, v in one.fields)
        return opened(request, result.stays, sets_cookie=request == "navigation" and by_basic)
    if result.verdict == "session":
        return session(request, site, result.stays)
    if result.verdict == "signs in":
        if request == "navigation":
            return Expected(303, sets_cookie=True)
        if "session" in result.stays:
            return session(request, site, ())
    return refused(kind, request)


# ---- the page


def cell(one, kind):
    result = one.result(kind)
    left = " and ".join("the parameter" if name == "query" else f"`{name}`" for name in result.stays)
    if result.verdict == "passes":
        return f"passes; {left} left" if left else "passes"
    if result.verdict == "bad":
        return "400"
    if result.verdict == "refused":
        return "401"
    if result.verdict == "signs in":
        return "page: 303 and a session; else " + ("by the session" if result.stays else "401")
    text = "opens" if result.verdict == "opens" else "session"
    return f"{text}; {left} left" if left else text


def rows(head, body):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for line in body:
        yield "| " + " | ".join(line) + " |"


def answer_rows():
    def text(kind, request):
        want = refused(kind, request)
        realm = ", ".join(f"`{c}`" for c in want.challenges)
        what = "the sign-in page" if want.html and has_bearer(kind) else "an error page" if want.html else "JSON"
        return f"401, {what}" + (f", `WWW-Authenticate`: {realm}" if realm else ", no `WWW-Authenticate`")

    return rows(("the preview requires", "answer to a navigation", "answer to any other request but a preflight"),
                [(kind, text(kind, "navigation"), text(kind, "fetch")) for kind in KINDS[1:]])


def session_rows():
    yes = {True: "opens", False: "403 `cross_site`", None: "-"}
    return rows(("the request is", *SITES.values()),
                [(REQUEST_TEXT[request], *(yes[sites.get(site)] for site in SITES))
                 for request, sites in SESSION_OPENS.items()])


def generated():
    lines = ["### Credentials and their result", ""]
    lines += rows(("credentials", *KINDS), [(one.text, *(cell(one, kind) for kind in KINDS)) for one in WAYS])
    lines += ["", "### Requests that the session opens", ""]
    lines += session_rows()
    lines += ["", "### Answers to refused requests", ""]
    lines += answer_rows()
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- made by tests/e2e/access_table.py --write -->\n", "<!-- up to here -->\n"


def with_tables(page):
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + generated() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(with_tables(PAGE.read_text()))
    else:
        print(generated())
