#include "host_signature.h"

#include <string.h>

struct host_signature {
    const char *server;
    int status;
    const char *type;     /* the beginning of Content-Type; "": none */
    const char *start;    /* the beginning of the body; NULL: anything */
    const char *text;     /* in the body's first `within` bytes; the quote begins there */
    size_t within;        /* 0: `start` is the whole body */
    const char *and_text; /* a second one, or NULL */
    host_remedy_t remedy;
};

/*
 * Sources, as of the versions that were read:
 *   Vite 5.4.21 and 8.4.0, node/server/middlewares/hostCheck.ts (host-validation-middleware). SvelteKit,
 * Astro and Nuxt serve with it.
 *   @angular/build 21.2.27, tools/vite/middlewares/host-check-middleware.js: its own page for Vite's answer.
 *   webpack-dev-server 5.2.7, lib/Server.js "host-header-check"; version 4 sends the same text with 200.
 *   Django 3.2 to 5, core/handlers/exception.py and views/templates/technical_500.html: DisallowedHost is a
 * 400 with the debug page. Without DEBUG its page says nothing of hosts. Rails 6.1 to 8 (actionpack),
 * action_dispatch/middleware/host_authorization.rb and templates/rescues/blocked_host.html.erb within
 * layout.erb. jupyter_server 2.21, base/handlers.py check_host: a bare HTTPError(403) in
 * templates/error.html.
 */
static const host_signature_t signatures[] = {
    {"Vite",
     403,
     "text/plain",
     "Blocked request. This host (",
     "Blocked request. This host (",
     1024,
     ") is not allowed.",
     {"vite.config.js", "server: { allowedHosts: ['.", "'] }"}},
    {"Angular",
     403,
     "text/html",
     "<!doctype html>",
     "Blocked request. This host (\"",
     2048,
     "<title>Blocked request</title>",
     {"angular.json (at \"serve\")", "\"options\": { \"allowedHosts\": [\".", "\"] }"}},
    {"webpack-dev-server",
     403,
     "",
     "Invalid Host header",
     "Invalid Host header",
     0,
     NULL,
     {"webpack.config.js", "devServer: { allowedHosts: ['.", "'] }"}},
    {"webpack-dev-server",
     200,
     "text/html",
     "Invalid Host header",
     "Invalid Host header",
     0,
     NULL,
     {"webpack.config.js", "devServer: { allowedHosts: ['.", "'] }"}},
    {"Django",
     400,
     "text/html",
     "<!DOCTYPE html>",
     "<title>DisallowedHost",
     1024,
     NULL,
     {"settings.py", "ALLOWED_HOSTS = ['.", "']"}},
    {"Rails",
     403,
     "text/html",
     "<!DOCTYPE html>",
     "<h1>Blocked host",
     HOST_SIGNATURE_BYTES,
     "<title>Action Controller: Exception caught</title>",
     {"config/environments/development.rb", "config.hosts << '.", "'"}},
    {"Jupyter",
     403,
     "text/html",
     "<!DOCTYPE HTML>",
     "<h1>403 : Forbidden</h1>",
     HOST_SIGNATURE_BYTES,
     "<title>Jupyter",
     {"jupyter_server_config.py", "c.ServerApp.allow_remote_access = True", NULL}},
};
#define SIGNATURES (sizeof(signatures) / sizeof(signatures[0]))

static bool has_type(const host_signature_t *signature, str_t type)
{
    size_t n = strlen(signature->type);
    if (n == 0)
        return type.n == 0;
    return type.n >= n && str_ieq(str_make(type.p, n), str_make(signature->type, n)) &&
           (type.n == n || type.p[n] == ';' || type.p[n] == ' ');
}

static bool fits_head(const host_signature_t *signature, const response_t *head, str_t type)
{
    if (signature->status != head->status || !has_type(signature, type))
        return false;
    return signature->within != 0 || head->content_length == strlen(signature->start) ||
           (head->content_length == LENGTH_UNKNOWN && head->status != 200);
}

bool host_signature_possible(const response_t *head)
{
    if ((head->status != 403 && head->status != 400 && head->status != 200) || head->bodyless)
        return false;
    /* A page of 200 bytes is common; one that is exactly the text of a refusal is not. */
    if (head->status == 200 && head->content_length != sizeof("Invalid Host header") - 1)
        return false;
    str_t type = fields_value(&head->fields, FIELD_CONTENT_TYPE);
    str_t encoding = fields_value_named(&head->fields, STR("content-encoding"));
    if (encoding.n != 0 && !str_ieq(encoding, STR("identity")))
        return false;
    for (size_t i = 0; i < SIGNATURES; i++)
        if (fits_head(&signatures[i], head, type))
            return true;
    return false;
}

/* The place of `text` in the first `within` bytes of the body; SIZE_MAX: not there. */
static size_t find(str_t body, const char *text, size_t within)
{
    if (body.n > within)
        body.n = within;
    const char *at = body.n != 0 ? memmem(body.p, body.n, text, strlen(text)) : NULL;
    return at != NULL ? (size_t)(at - body.p) : SIZE_MAX;
}

static host_match_t match_one(const host_signature_t *signature, str_t body, bool whole)
{
    size_t start = strlen(signature->start);
    size_t n = body.n < start ? body.n : start;
    if (n != 0 && memcmp(body.p, signature->start, n) != 0)
        return HOST_MATCH_NONE;
    if (n < start)
        return whole ? HOST_MATCH_NONE : HOST_MATCH_MORE;
    if (signature->within == 0 && body.n > start)
        return HOST_MATCH_NONE;
    if (signature->within == 0)
        return whole ? HOST_MATCH_FOUND : HOST_MATCH_MORE;
    if (find(body, signature->text, signature->within) != SIZE_MAX &&
        (signature->and_text == NULL || find(body, signature->and_text, signature->within) != SIZE_MAX))
        return HOST_MATCH_FOUND;
    return whole || body.n >= signature->within ? HOST_MATCH_NONE : HOST_MATCH_MORE;
}

host_match_t host_signature_match(const response_t *head, str_t body, bool whole,
                                  const host_signature_t **found)
{
    str_t type = fields_value(&head->fields, FIELD_CONTENT_TYPE);
    host_match_t result = HOST_MATCH_NONE;
    for (size_t i = 0; i < SIGNATURES; i++) {
        if (!fits_head(&signatures[i], head, type))
            continue;
        host_match_t one = match_one(&signatures[i], body, whole);
        if (one == HOST_MATCH_FOUND) {
            *found = &signatures[i];
            return one;
        }
        if (one == HOST_MATCH_MORE)
            result = one;
    }
    return result;
}

/* Next.js 16.4.6, server/lib/router-utils/block-cross-site-dev.js: it ends the socket with the bare word. */
bool host_signature_of_handshake(str_t target, str_t odd_answer)
{
    return str_eq(odd_answer, STR("Unauthorized")) &&
           memmem(target.p, target.n, "/_next/", sizeof("/_next/") - 1) != NULL;
}

const char *host_signature_server(const host_signature_t *signature)
{
    return signature->server;
}

host_remedy_t host_signature_remedy(const host_signature_t *signature)
{
    return signature->remedy;
}

str_t host_signature_quote(const host_signature_t *signature, str_t body, char out[HOST_SIGNATURE_QUOTE])
{
    size_t at = find(body, signature->text, body.n), n = 0;
    if (at == SIZE_MAX)
        return str_make(out, 0);
    if (body.p[at] == '<') { /* its tag */
        const char *end = memchr(body.p + at, '>', body.n - at);
        at = end != NULL ? (size_t)(end - body.p) + 1 : body.n;
    }
    for (; at < body.n && n < HOST_SIGNATURE_QUOTE && body.p[at] != '<' && body.p[at] != '\n'; at++)
        out[n++] = body.p[at] >= ' ' && body.p[at] <= '~' ? body.p[at] : '?';
    return str_make(out, n);
}
