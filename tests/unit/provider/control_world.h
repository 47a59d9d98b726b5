/*
 * The provider of a control plane, which is a server that answers as the test says, and what it told. The
 * waits between calls are skipped (`pass`); how long one call takes is by the clock of libcurl.
 */
#ifndef BOXEDGE_CONTROL_WORLD_H
#define BOXEDGE_CONTROL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>

#include "control_calls.h"
#include "fetch_server.h"
#include "provider_http.h"

#define CONF                                                                                                 \
    "preview_domain: preview.test\nnode: here\npublic_port: 443\n"                                           \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain}\n"
#define PAUSED  "{\"id\":\"abc\",\"state\":\"paused\"}"
#define RUNNING "{\"id\":\"abc\",\"state\":\"running\",\"address\":\"10.1.2.3\",\"incarnation\":\"one\"}"
#define AGAIN   "{\"id\":\"abc\",\"state\":\"running\",\"address\":\"10.1.2.3\",\"incarnation\":\"two\"}"
#define BROKEN  "{\"id\":\"abc\",\"state\":\"error\"}"
#define GONE    "{\"id\":\"abc\",\"state\":\"gone\"}"

typedef struct world {
    loop_t *loop;
    fetcher_t *fetcher;
    server_t *server;
    provider_t *provider;
    conf_t *conf;
    char url[64], token_path[64];
    /* what was told */
    unsigned tolds, resumeds;
    provider_box_t box;
    provider_result_t result;
    char sentence[256];
    char resumed_id[BOX_ID_MAX + 1];
    bool resumes_when_told; /* asks for a resume from within */
} world_t;

static inline void on_box(void *owner, provider_t *provider, const provider_box_t *box)
{
    world_t *w = owner;
    w->tolds++;
    w->box = *box;
    if (w->resumes_when_told)
        provider->resume(provider, str_from(box->id));
    w->resumes_when_told = false;
}

static inline void on_resumed(void *owner, provider_t *provider, str_t id, provider_result_t result,
                              const char *sentence)
{
    world_t *w = owner;
    (void)provider;
    w->resumeds++;
    w->result = result;
    snprintf(w->sentence, sizeof(w->sentence), "%s", sentence != NULL ? sentence : "");
    snprintf(w->resumed_id, sizeof(w->resumed_id), "%.*s", STR_ARG(id));
    assert_true(result == PROVIDER_OK || result == PROVIDER_GONE || sentence != NULL);
}

static const provider_handlers_t handlers = {.box = on_box, .resumed = on_resumed};

static inline int setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    world_t *w = calloc(1, sizeof(*w));
    w->loop = loop_new();
    w->fetcher = fetcher_new(w->loop);
    w->server = server_new(NULL, NULL);
    conf_errors_t *errors = conf_errors_new();
    w->conf = conf_parse("test.yaml", STR(CONF), errors);
    conf_errors_free(&errors);
    assert_non_null(w->conf);
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%u", w->server->port);
    free(w->conf->control_plane.url);
    w->conf->control_plane.url = strdup(w->url);
    w->conf->control_plane.timeout = 5000;
    w->provider = provider_http_new(w->loop, w->fetcher, w->conf, &handlers, w);
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    world_t *w = *state;
    w->provider->free(w->provider);
    fetcher_free(&w->fetcher);
    server_free(&w->server);
    loop_free(&w->loop);
    conf_release(&w->conf);
    free(w);
    return 0;
}

#define WAIT(w, condition)                                                                                   \
    do {                                                                                                     \
        uint64_t end_ = loop_precise_us() + 20000000;                                                        \
        while (!(condition) && loop_precise_us() < end_)                                                     \
            loop_turn((w)->loop, 20);                                                                        \
        assert_true(condition);                                                                              \
    } while (0)

/* `ms` go by, after what the server has said was heard; were it late, what waits for it would wait for as
 * long as without a test. */
static inline void pass(world_t *w, uint64_t ms)
{
    WAIT(w, server_gave_all(w->server));
    for (int i = 0; i < 10; i++)
        loop_turn(w->loop, 1);
    loop_skip(w->loop, ms);
    loop_turn(w->loop, 0);
}

static inline void resume(world_t *w)
{
    w->resumeds = 0;
    w->provider->resume(w->provider, STR("abc"));
    assert_int_equal(w->resumeds, 0);
}

static inline void push(world_t *w, const char *json)
{
    control_box_t box;
    assert_null(control_box_read(str_from(json), STR("abc"), &box));
    provider_http_push(w->provider, &box);
}

static inline bool last_was(world_t *w, const char *start)
{
    pthread_mutex_lock(&w->server->lock);
    bool is = strncmp(w->server->last, start, strlen(start)) == 0;
    pthread_mutex_unlock(&w->server->lock);
    return is;
}

#endif
