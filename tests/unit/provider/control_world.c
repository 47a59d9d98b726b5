#include "control_world.h"

static void on_box(void *owner, provider_t *provider, const provider_box_t *box)
{
    world_t *w = owner;
    w->tolds++;
    w->box = *box;
    if (w->resumes_when_told)
        provider->resume(provider, str_from(box->id));
    w->resumes_when_told = false;
}

static void on_resumed(void *owner, provider_t *provider, str_t id, provider_result_t result,
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

const provider_handlers_t control_world_handlers = {.box = on_box, .resumed = on_resumed};

int control_world_setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    world_t *w = calloc(1, sizeof(*w));
    w->loop = loop_new();
    w->fetcher = fetcher_new(w->loop);
    w->server = fetch_server_server_new(NULL, NULL);
    conf_errors_t *errors = conf_errors_new();
    w->conf = conf_parse("test.yaml", STR(CONF), errors);
    conf_errors_free(&errors);
    assert_non_null(w->conf);
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%u", w->server->port);
    free(w->conf->control_plane.url);
    w->conf->control_plane.url = strdup(w->url);
    w->conf->control_plane.timeout = 5000;
    w->provider = provider_http_new(w->loop, w->fetcher, w->conf, &control_world_handlers, w);
    *state = w;
    return 0;
}

int control_world_teardown(void **state)
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

void control_world_pass(world_t *w, uint64_t ms)
{
    WAIT(w, server_gave_all(w->server));
    for (int i = 0; i < 10; i++)
        loop_turn(w->loop, 1);
    loop_skip(w->loop, ms);
    loop_turn(w->loop, 0);
}

void control_world_resume(world_t *w)
{
    w->resumeds = 0;
    w->provider->resume(w->provider, STR("abc"));
    assert_int_equal(w->resumeds, 0);
}

void push(world_t *w, const char *json)
{
    control_box_t box;
    assert_null(control_box_read(str_from(json), STR("abc"), &box));
    provider_http_push(w->provider, &box);
}

bool last_was(world_t *w, const char *start)
{
    pthread_mutex_lock(&w->server->lock);
    bool is = strncmp(w->server->last, start, strlen(start)) == 0;
    pthread_mutex_unlock(&w->server->lock);
    return is;
}
