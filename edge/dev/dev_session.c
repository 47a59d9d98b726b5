#include "dev_session.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "clock.h"

/* The label of its previews, by which a later run knows them. */
#define LABEL "boxedge dev"
/* Lifetime of a preview; dev_session_extend renews it. */
#define LIFETIME_S 86400
#define NAMES_MAX  9
#define LINES_MAX  100

/* ---- box ---- */

static int put(dev_session_t *s, json_t **answer)
{
    char target[128];
    bool live = s->state == DEV_LIVE;
    uint16_t port = s->port != 0 ? s->port : s->wanted != 0 ? s->wanted : live ? s->listens.port : 1;
    (void)snprintf(target, sizeof(target), "/v1/dev/%s", s->id);
    json_t *body = json_pack("{s:s,s:i,s:i,s:s,s:i}", "lease", s->lease, "port", (int)port, "listens",
                             live ? (int)s->listens.port : 0, "address",
                             live && s->listens.v6 ? "::1" : "127.0.0.1", "pid", (int)getpid());
    return dev_edge_ask(&s->edge, "PUT", target, body, answer);
}

static void explain(const json_t *answer, int status)
{
    const char *why = json_string_value(json_object_get(answer, "error"));
    if (status == 0)
        fprintf(stderr, "boxedge dev: the edge does not answer\n");
    else if (status == 404)
        fprintf(stderr, "boxedge dev: the running edge is older than this program: start it again\n");
    else
        fprintf(stderr, "boxedge dev: %s\n", why != NULL ? why : "the edge refuses the box");
}

/* Previews of this name that another person made must stay. Deletes those of an earlier run. */
static bool name_is_free(dev_session_t *s)
{
    char target[160];
    json_t *answer, *preview;
    size_t i;
    bool is_free = true;
    (void)snprintf(target, sizeof(target), "/v1/previews?box=%s", s->id);
    (void)dev_edge_ask(&s->edge, "GET", target, NULL, &answer);
    json_array_foreach(json_object_get(answer, "previews"), i, preview)
    {
        const char *label = json_string_value(json_object_get(preview, "label"));
        is_free &= label != NULL && strcmp(label, LABEL) == 0;
    }
    json_array_foreach(json_object_get(answer, "previews"), i, preview)
    {
        (void)snprintf(target, sizeof(target), "/v1/previews/%s/%d", s->id,
                       (int)json_integer_value(json_object_get(preview, "port")));
        if (is_free)
            (void)dev_edge_ask(&s->edge, "DELETE", target, NULL, NULL);
    }
    json_decref(answer);
    return is_free;
}

static void drop(dev_session_t *s)
{
    char target[192];
    (void)snprintf(target, sizeof(target), "/v1/dev/%s?lease=%s", s->id, s->lease);
    (void)dev_edge_ask(&s->edge, "DELETE", target, NULL, NULL);
}

bool dev_session_claim(dev_session_t *s)
{
    char base[BOX_ID_MAX + 1];
    json_t *answer = NULL;
    int status = 409;
    memcpy(base, s->id, sizeof(base));
    for (int number = 1; number <= (s->can_change ? NAMES_MAX : 1); number++) {
        if (number > 1)
            (void)snprintf(s->id, sizeof(s->id), "%.50s-%d", base, number);
        json_decref(answer);
        status = put(s, &answer);
        const char *domain = json_string_value(json_object_get(answer, "domain"));
        if (status == 200 && domain != NULL) {
            (void)snprintf(s->domain, sizeof(s->domain), "%s", domain);
            if (s->edge.lan != NULL && strcasecmp(domain, s->edge.lan) != 0) {
                fprintf(stderr, "boxedge dev: an edge with --lan %s runs already: end its users first\n",
                        s->domain);
                drop(s);
                json_decref(answer);
                return false;
            }
            if (name_is_free(s)) {
                json_decref(answer);
                return true;
            }
            drop(s);
            status = 409;
        }
        if (status != 409)
            break;
    }
    if (status == 409)
        fprintf(stderr,
                "boxedge dev: the edge has a box or previews of the name %s already: choose another --name\n",
                base);
    else
        explain(answer, status);
    json_decref(answer);
    return false;
}

/* ---- preview ---- */

/* Makes the preview, and shows its link, which signs the browser in. */
static void make_preview(dev_session_t *s)
{
    json_t *answer;
    char link[1024];
    json_t *body = json_pack("{s:s,s:i,s:s,s:i}", "box", s->id, "port", (int)s->port, "label", LABEL,
                             "expires_in", LIFETIME_S);
    json_object_set_new(body, s->open ? "public" : "bearer", json_true());
    int status = dev_edge_ask(&s->edge, "POST", "/v1/previews", body, &answer);
    const char *url = json_string_value(json_object_get(answer, "url"));
    const char *token = json_string_value(json_object_get(answer, "token"));
    if (status != 201 || url == NULL || (token == NULL && !s->open)) {
        explain(answer, status);
        s->port = 0;
    } else {
        (void)snprintf(link, sizeof(link), "%s%s%s", url, token != NULL ? "?preview_token=" : "",
                       token != NULL ? token : "");
        dev_show_link(&s->show, link);
        if (s->edge.lan != NULL)
            dev_show_code(&s->show, link);
    }
    json_decref(answer);
}

static bool has_preview(dev_session_t *s)
{
    char target[160];
    json_t *answer;
    (void)snprintf(target, sizeof(target), "/v1/previews?box=%s", s->id);
    int status = dev_edge_ask(&s->edge, "GET", target, NULL, &answer);
    bool has = status != 200 || json_array_size(json_object_get(answer, "previews")) != 0;
    json_decref(answer);
    return has;
}

static void show_hint(dev_session_t *s)
{
    dev_show_line(&s->show, s->open
                                ? "Everyone who reaches this edge may open it. Ctrl-C ends it all."
                                : "The link signs this browser in: keep it to yourself. Ctrl-C ends it all.");
    if (s->edge.lan != NULL)
        dev_show_line(&s->show, "Other machines reach it at %s. Their browsers warn of the certificate.",
                      s->edge.lan_address);
    else if (s->edge.own)
        dev_show_line(
            &s->show,
            "A warning about the certificate ends with `boxedge trust`; curl takes --cacert %s/ca/ca.pem",
            s->edge.place.state);
}

void dev_session_serve(dev_session_t *s, const dev_port_t *port)
{
    json_t *answer;
    bool again = s->port != 0;
    s->state = DEV_LIVE;
    s->listens = *port;
    s->hinted = false;
    if (!again)
        s->port = s->wanted != 0 ? s->wanted : port->port;
    int status = put(s, &answer);
    json_decref(answer);
    if (status != 200)
        s->lost = true; /* the next renewal tries again */
    if (again && port->port == s->port)
        dev_show_line(&s->show, "%s listens on port %u again.", s->id, port->port);
    else if (again)
        dev_show_line(&s->show, "%s listens on port %u now. Its link stays the same.", s->id, port->port);
    else
        dev_show_line(&s->show, "%s listens on port %u, %.1f s after the start.", s->id, port->port,
                      (double)(clock_now_ms() - s->started_ms) / 1000);
    if (again)
        return;
    (void)dev_session_follow(s, false);
    make_preview(s);
    show_hint(s);
}

void dev_session_lose(dev_session_t *s)
{
    json_t *answer;
    dev_show_line(&s->show, "%s no longer listens on port %u. Requests wait for it.", s->id, s->listens.port);
    s->state = DEV_WAITS;
    s->hinted = true;
    (void)put(s, &answer);
    json_decref(answer);
}

void dev_session_renew(dev_session_t *s)
{
    json_t *answer;
    int status = put(s, &answer);
    if (status == 0 && s->edge.own && dev_edge_restart(&s->edge)) {
        json_decref(answer);
        dev_show_line(&s->show, "The edge had ended, and runs again.");
        status = put(s, &answer);
    }
    if (status != 200 && !s->lost)
        dev_show_line(&s->show, "The edge does not answer. Trying again.");
    bool fresh = status == 200 && json_is_true(json_object_get(answer, "fresh"));
    json_decref(answer);
    s->lost = status != 200;
    if (fresh && s->port != 0 && !has_preview(s)) {
        dev_show_line(&s->show, "The edge had lost this preview. It has a new link:");
        make_preview(s);
    }
}

void dev_session_extend(dev_session_t *s)
{
    char target[128];
    if (s->port == 0)
        return;
    (void)snprintf(target, sizeof(target), "/v1/previews/%s/%u", s->id, s->port);
    (void)dev_edge_ask(&s->edge, "PATCH", target, json_pack("{s:i}", "expires_in", LIFETIME_S), NULL);
}

/* ---- requests ---- */

static bool is_new(dev_session_t *s, const char *request_id)
{
    size_t kept = s->seen_count < DEV_SEEN_MAX ? s->seen_count : DEV_SEEN_MAX;
    if (request_id == NULL || strlen(request_id) >= DEV_ID_BYTES)
        return false;
    for (size_t i = 0; i < kept; i++)
        if (strcmp(s->seen[i], request_id) == 0)
            return false;
    (void)snprintf(s->seen[s->seen_count++ % DEV_SEEN_MAX], DEV_ID_BYTES, "%s", request_id);
    return true;
}

size_t dev_session_follow(dev_session_t *s, bool show)
{
    char target[160];
    json_t *answer;
    size_t count = 0;
    (void)snprintf(target, sizeof(target), "/v1/recent?limit=%d&find=%s", LINES_MAX, s->id);
    (void)dev_edge_ask(&s->edge, "GET", target, NULL, &answer);
    const json_t *lines = json_object_get(answer, "lines");
    for (size_t i = json_array_size(lines); i-- > 0;) { /* the newest comes first */
        const json_t *line = json_array_get(lines, i);
        const char *box = json_string_value(json_object_get(line, "box"));
        if (box == NULL || strcmp(box, s->id) != 0 ||
            !is_new(s, json_string_value(json_object_get(line, "request_id"))))
            continue;
        count++;
        if (show)
            dev_show_request(&s->show, line);
    }
    json_decref(answer);
    return count;
}

/* ---- the end ---- */

void dev_session_leave(dev_session_t *s)
{
    char target[128];
    if (s->port != 0) {
        (void)snprintf(target, sizeof(target), "/v1/previews/%s/%u?kill_tunnels=1", s->id, s->port);
        (void)dev_edge_ask(&s->edge, "DELETE", target, NULL, NULL);
    }
    drop(s);
    dev_edge_leave(&s->edge);
}
