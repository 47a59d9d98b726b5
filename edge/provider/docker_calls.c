#include "docker_calls.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "list.h"

struct docker_engine {
    fetcher_t *fetcher;
    char *socket;
    list_t waiting[DOCKER_CLASSES];
    unsigned busy[DOCKER_CLASSES];
};

char *docker_text(const char *format, ...)
{
    char *out;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(&out, format, arguments);
    va_end(arguments);
    if (n < 0)
        abort();
    return out;
}

docker_engine_t *docker_engine_new(fetcher_t *fetcher, const char *socket)
{
    docker_engine_t *engine = mem_alloc(sizeof(*engine));
    *engine = (docker_engine_t){.fetcher = fetcher, .socket = docker_text("%s", socket)};
    for (size_t i = 0; i < DOCKER_CLASSES; i++)
        list_init(&engine->waiting[i]);
    return engine;
}

void docker_engine_free(docker_engine_t **engine)
{
    docker_engine_t *e = *engine;
    *engine = NULL;
    if (e == NULL)
        return;
    assert(docker_engine_busy(e) == 0);
    for (size_t i = 0; i < DOCKER_CLASSES; i++)
        assert(list_is_empty(&e->waiting[i]));
    free(e->socket);
    free(e);
}

void docker_engine_set_socket(docker_engine_t *engine, const char *socket)
{
    free(engine->socket);
    engine->socket = docker_text("%s", socket);
}

const char *docker_engine_socket(const docker_engine_t *engine)
{
    return engine->socket;
}

const char *docker_engine_fault(const docker_engine_t *engine)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(engine->socket);
    if (n >= sizeof(address.sun_path))
        return "its path is too long for a Unix socket";
    memcpy(address.sun_path, engine->socket, n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return strerror(errno);
    bool failed = connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EAGAIN;
    const char *fault = failed ? strerror(errno) : NULL;
    close(fd);
    return fault;
}

unsigned docker_engine_busy(const docker_engine_t *engine)
{
    unsigned busy = 0;
    for (size_t i = 0; i < DOCKER_CLASSES; i++)
        busy += engine->busy[i];
    return busy;
}

bool docker_call_busy(const docker_call_t *call)
{
    return call->engine != NULL;
}

static void on_data(void *owner, str_t bytes)
{
    docker_call_t *call = owner;
    call->data(call, bytes);
}

static void on_done(void *owner, const fetch_result_t *result);

static void send_call(docker_call_t *call)
{
    static const fetch_handlers_t whole = {.done = on_done}, pieces = {.data = on_data, .done = on_done};
    char *url = docker_text("http://localhost%s", call->path);
    docker_engine_t *engine = call->engine;
    list_unlink(&call->link);
    engine->busy[call->class]++;
    fetch_request_t request = {.method = call->method,
                               .url = url,
                               .unix_socket = engine->socket,
                               .body = str_from(call->body),
                               .timeout_ms = call->timeout_ms,
                               .most = call->most};
    call->fetch = fetch_start(engine->fetcher, &request, call->data != NULL ? &pieces : &whole, call);
    free(url);
    if (call->sent != NULL)
        call->sent(call);
}

/* The queue to serve next, or NULL. */
static list_t *next_queue(docker_engine_t *engine)
{
    static const unsigned most[] = {[DOCKER_URGENT] = DOCKER_CALLS_MAX,
                                    [DOCKER_BACKGROUND] = DOCKER_BACKGROUND_MAX,
                                    [DOCKER_LOG] = DOCKER_LOGS_MAX};
    bool may[DOCKER_CLASSES];
    if (docker_engine_busy(engine) == DOCKER_CALLS_MAX)
        return NULL;
    for (size_t i = 0; i < DOCKER_CLASSES; i++)
        may[i] = !list_is_empty(&engine->waiting[i]) && engine->busy[i] < most[i];
    if (may[DOCKER_BACKGROUND] && engine->busy[DOCKER_BACKGROUND] < DOCKER_BACKGROUND_MIN)
        return &engine->waiting[DOCKER_BACKGROUND];
    if (may[DOCKER_URGENT])
        return &engine->waiting[DOCKER_URGENT];
    if (may[DOCKER_LOG])
        return &engine->waiting[DOCKER_LOG];
    return may[DOCKER_BACKGROUND] ? &engine->waiting[DOCKER_BACKGROUND] : NULL;
}

static void send_waiting(docker_engine_t *engine)
{
    list_t *queue;
    while ((queue = next_queue(engine)) != NULL)
        send_call(CONTAINER_OF(docker_call_t, link, queue->next));
}

/* Ends the call: it can begin again. */
static void release(docker_call_t *call)
{
    docker_engine_t *engine = call->engine;
    if (call->fetch != NULL)
        engine->busy[call->class]--;
    else
        list_unlink(&call->link);
    fetch_cancel(&call->fetch);
    free(call->path);
    free(call->body);
    call->path = call->body = NULL;
    call->engine = NULL;
}

static void on_done(void *owner, const fetch_result_t *result)
{
    docker_call_t *call = owner;
    docker_engine_t *engine = call->engine;
    release(call);
    call->done(call, result);
    send_waiting(engine);
}

void docker_call_begin(docker_engine_t *engine, docker_call_t *call)
{
    assert(call->engine == NULL && call->fetch == NULL && call->done != NULL && call->method != NULL &&
           call->path != NULL);
    call->engine = engine;
    list_insert(&engine->waiting[call->class], &call->link);
    send_waiting(engine);
}

void docker_call_cancel(docker_call_t *call)
{
    docker_engine_t *engine = call->engine;
    if (engine == NULL)
        return;
    release(call);
    send_waiting(engine);
}
