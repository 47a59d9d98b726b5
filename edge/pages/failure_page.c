#include "failure_page.h"

#include <assert.h>

#include "arena.h"
#include "field.h"

/* The remedy for a failure. */
typedef enum remedy {
    REMEDY_LISTEN, /* let the app listen on a reachable address */
    REMEDY_APP,    /* check the app */
    REMEDY_BOX,    /* check the box */
    REMEDY_ANSWER, /* the reason names the place: the app, its preview or the edge's limits */
    REMEDY_HTTP1,  /* make the preview for HTTP/1 */
    REMEDY_PORT,   /* use another port */
    REMEDY_RELOAD, /* load the page again */
    REMEDY_NONE,
} remedy_t;

typedef struct failure {
    const char *code;
    const char *title;
    remedy_t remedy;
    bool may_pass; /* a restart of a dev server may end it: worth another look */
} failure_t;

static const failure_t failures[] = {
    {"port_not_listening", "Nothing listens on this port", REMEDY_LISTEN, true},
    {"port_on_loopback", "The app is not reachable from outside its box", REMEDY_LISTEN, true},
    {"port_not_exposed", "This port is not exposed", REMEDY_PORT, false},
    {"port_not_in_box", "The box does not have this port", REMEDY_PORT, false},
    {"box_unreachable", "The box cannot be reached", REMEDY_BOX, true},
    {"connect_timeout", "The box does not answer", REMEDY_BOX, true},
    {"origin_closed", "The app closed the connection", REMEDY_APP, true},
    {"origin_timeout", "The app took too long", REMEDY_APP, false},
    {"origin_refused", "The app refused the request", REMEDY_RELOAD, true},
    {"origin_not_http2", "The app does not speak HTTP/2", REMEDY_HTTP1, false},
    {"bad_response", "The edge cannot forward the app's answer", REMEDY_ANSWER, false},
    {"box_paused", "The box was paused", REMEDY_RELOAD, false},
    {"box_gone", "The box is gone", REMEDY_NONE, false},
};

static const failure_t *failure_of(const char *code)
{
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
        if (strcmp(failures[i].code, code) == 0)
            return &failures[i];
    return NULL;
}

bool failure_page_knows(const char *code)
{
    return failure_of(code) != NULL;
}

/* The address on which the app must listen. */
static str_t listen_remedy(arena_t *pool, const failure_page_t *page)
{
    if (page->provider == PROVIDER_PROCESS)
        return str_format(pool, "Check that the command of this box listens on port %u.", page->port);
    if (page->on_loopback)
        return str_format(pool, "Check that the app runs on this machine and listens on port %u.",
                          page->port);
    return str_format(pool,
                      "Check that the app %s runs and listens on port %u, on all addresses (0.0.0.0 or ::) "
                      "and not only on localhost.",
                      page->provider == PROVIDER_DOCKER ? "in the container" : "in the box", page->port);
}

static str_t remedy_text(arena_t *pool, const failure_page_t *page, remedy_t remedy)
{
    switch (remedy) {
    case REMEDY_LISTEN:
        return listen_remedy(pool, page);
    case REMEDY_APP:
        return STR("Check whether the app has crashed, or is busy or stuck; then reload this page.");
    case REMEDY_BOX:
        return STR("Check that the box runs and that its network is up; then reload this page.");
    case REMEDY_ANSWER:
        return STR("The app, its preview or a limit of the edge needs a change. The log of the edge has the "
                   "details.");
    case REMEDY_HTTP1:
        return STR("Let the app speak HTTP/2 without TLS, or create the preview with --protocol http1.");
    case REMEDY_PORT:
        return STR("Open a preview of another port.");
    case REMEDY_RELOAD:
        return STR("Reload this page.");
    case REMEDY_NONE:
        break;
    }
    return STR("Ask the operator of the box.");
}

/* Whether a command shows the box's output, and that may help. */
static bool has_logs(const failure_page_t *page, remedy_t remedy)
{
    return store_keeps_log(page->provider) && remedy != REMEDY_PORT && remedy != REMEDY_NONE;
}

str_t failure_page(arena_t *pool, const failure_page_t *page)
{
    const failure_t *failure = failure_of(page->code);
    assert(failure != NULL);
    page_error_t error = page->error;
    error.title = failure->title;
    error.next = remedy_text(pool, page, failure->remedy);
    if (has_logs(page, failure->remedy))
        error.logs_of = str_from(page->box);
    if (failure->may_pass)
        error.nonce = page->nonce;
    return page_error(pool, &error);
}
