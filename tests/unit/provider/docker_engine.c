#include "docker_engine.h"

void engine_lock(engine_t *engine)
{
    pthread_mutex_lock(&engine->lock);
}

void engine_unlock(engine_t *engine)
{
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

static void engine_say_bytes(int fd, int status, const char *body, size_t len)
{
    static const char format[] =
        "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n";
    char head[160];
    bool empty = status == 204 || status == 304;
    int n = snprintf(head, sizeof(head), empty ? "HTTP/1.1 %d X\r\n\r\n" : format, status, len);
    struct iovec parts[2] = {{head, (size_t)n}, {(void *)(uintptr_t)body, empty ? 0 : len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    (void)!sendmsg(fd, &message, MSG_NOSIGNAL); /* small next to the socket's buffer */
}

static void engine_say(int fd, int status, const char *body)
{
    engine_say_bytes(fd, status, body, strlen(body));
}

static void engine_event_to(const engine_container_t *container, const char *action, int fd)
{
    char text[512], chunk[600];
    int n =
        snprintf(text, sizeof(text),
                 "{\"Type\":\"container\",\"Action\":\"%s\",\"Actor\":{\"ID\":\"%s\",\"Attributes\":{"
                 "\"%s\":\"%s\"}}}\n",
                 action, container->id, container->box[0] != '\0' ? "boxedge.id" : "name", container->box);
    n = snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", (unsigned)n, text);
    (void)!send(fd, chunk, (size_t)n, MSG_NOSIGNAL);
}

void engine_event(engine_t *engine, const engine_container_t *container, const char *action)
{
    for (unsigned i = 0; i < engine->conn_count; i++)
        if (engine->is_stream[i] && engine->conns[i] >= 0)
            engine_event_to(container, action, engine->conns[i]);
}

/* A missing container. */
static const engine_container_t stray = {.id = "ffffffffffff", .box = "none"};

void engine_stray(engine_t *engine)
{
    engine_event(engine, &stray, "start");
}

void engine_stream(engine_t *engine, const char *text)
{
    char head[32];
    int n = snprintf(head, sizeof(head), "%zx\r\n", strlen(text));
    for (unsigned i = 0; i < engine->conn_count; i++) {
        if (!engine->is_stream[i] || engine->conns[i] < 0)
            continue;
        (void)!send(engine->conns[i], head, (size_t)n, MSG_NOSIGNAL);
        (void)!send(engine->conns[i], text, strlen(text), MSG_NOSIGNAL);
        (void)!send(engine->conns[i], "\r\n", 2, MSG_NOSIGNAL);
    }
}

engine_container_t *engine_add(engine_t *engine, const char *box, const char *status)
{
    assert(engine->count < ENGINE_CONTAINERS);
    unsigned i = engine->count++;
    engine_container_t *container = &engine->at[i];
    *container = (engine_container_t){.pid = 1000 + i, .started = i + 1};
    snprintf(container->id, sizeof(container->id), "%064x", i + 0xabc000);
    snprintf(container->box, sizeof(container->box), "%s", box);
    snprintf(container->status, sizeof(container->status), "%s", status);
    snprintf(container->address, sizeof(container->address), "10.0.%u.%u", i / 250, i % 250 + 1);
    return container;
}

void engine_set(engine_t *engine, engine_container_t *container, const char *status, const char *action)
{
    snprintf(container->status, sizeof(container->status), "%s", status);
    if (strcmp(action, "start") == 0) {
        container->started += ENGINE_CONTAINERS;
        container->pid += ENGINE_CONTAINERS;
    }
    engine_event(engine, container, action);
}

void engine_remove(engine_t *engine, engine_container_t *container)
{
    engine_container_t old = *container;
    container->id[0] = '\0';
    engine_event(engine, &old, "destroy");
}

static engine_container_t *engine_find(engine_t *engine, const char *path)
{
    char id[65];
    if (sscanf(path, "/containers/%64[0-9a-f]/", id) != 1)
        return NULL;
    for (unsigned i = 0; i < engine->count; i++)
        if (strcmp(engine->at[i].id, id) == 0)
            return &engine->at[i];
    return NULL;
}

static void engine_list(engine_t *engine, int fd)
{
    size_t room = 64 + (size_t)engine->count * 100, n = 1;
    char *text = malloc(room);
    text[0] = '[';
    for (unsigned i = 0; i < engine->count; i++)
        if (engine->at[i].id[0] != '\0' && engine->at[i].box[0] != '\0')
            n += (size_t)snprintf(text + n, room - n, "%s{\"Id\":\"%s\",\"State\":\"x\"}", n > 1 ? "," : "",
                                  engine->at[i].id);
    snprintf(text + n, room - n, "]");
    engine->lists++;
    engine_say(fd, 200, engine->is_silly ? "not a listing" : text);
    free(text);
}

static void engine_inspect(engine_t *engine, const engine_container_t *container, int fd)
{
    char text[2048];
    engine->inspects++;
    snprintf(
        text, sizeof(text),
        "{\"Id\":\"%s\",\"Created\":\"2026-01-01T00:00:%02uZ\",\"State\":{\"Status\":\"%s\",\"Pid\":%u,"
        "\"ExitCode\":%u,\"StartedAt\":\"2026-01-01T00:00:01.%09uZ\"},\"Config\":{\"Labels\":{\"boxedge.id\":"
        "\"%s\"%s}},\"NetworkSettings\":{\"Networks\":{\"n\":{\"IPAddress\":\"%s\"}}}}",
        container->id, (unsigned)(container - engine->at) % 60, container->status,
        strcmp(container->status, "exited") == 0 ? 0 : container->pid, container->exit_code,
        container->started, container->box, container->more, container->address);
    engine_say(fd, container->is_broken ? 500 : 200, text);
}

static void engine_act(engine_t *engine, engine_container_t *container, const char *verb, int fd)
{
    bool unpauses = strcmp(verb, "unpause") == 0;
    while (engine->holds && !engine->stopping)
        pthread_cond_wait(&engine->changed, &engine->lock);
    container->acts++;
    if (container->id[0] == '\0') {
        engine_say(fd, 404, "{\"message\":\"no such container\"}");
    } else if (container->refuses != 0) {
        engine_say(fd, container->refuses, "{\"message\":\"something is wrong in /secret/path\"}");
    } else if (strcmp(container->status, unpauses ? "paused" : "exited") != 0) {
        engine_say(fd, unpauses ? 500 : 304, "{\"message\":\"container state improper\"}");
    } else {
        container->exit_code = container->ends_at_once ? 7 : 0;
        engine_set(engine, container, container->ends_at_once ? "exited" : "running", verb);
        engine_say(fd, 204, "");
    }
}

static void engine_post(engine_t *engine, engine_conn_t *conn, const char *path)
{
    const char *verb = strrchr(path, '/') + 1, *body = strstr(conn->head, "\r\n\r\n") + 4;
    engine_container_t *container = engine_find(engine, path);
    if (strncmp(path, "/exec/", 6) == 0) {
        engine->execs++;
        engine_say(conn->fd, 200, "");
    } else if (container == NULL) {
        engine_say(conn->fd, 404, "{\"message\":\"no such container\"}");
    } else if (strcmp(verb, "exec") == 0) {
        snprintf(engine->last_exec, sizeof(engine->last_exec), "%s", body);
        engine_say(conn->fd, engine->exec_status, "{\"Id\":\"00112233\"}");
    } else if (strcmp(verb, "pause") == 0) {
        engine->pauses++;
        engine_set(engine, container, "paused", "pause");
        engine_say(conn->fd, 204, "");
    } else {
        engine_act(engine, container, verb, conn->fd);
    }
}

static void engine_log(engine_t *engine, const engine_container_t *container, const char *path, int fd)
{
    engine->logs++;
    snprintf(engine->last_log, sizeof(engine->last_log), "%s", path);
    while (engine->holds_logs && !engine->stopping)
        pthread_cond_wait(&engine->changed, &engine->lock);
    if (container->log == NULL)
        engine_say(fd, 404, "{\"message\":\"no such container\"}");
    else if (container->log_status != 0)
        engine_say(fd, container->log_status, "{\"message\":\"the driver cannot read\"}");
    else
        engine_say_bytes(fd, 200, container->log,
                         container->log_len != 0 ? container->log_len : strlen(container->log));
}

static void engine_get(engine_t *engine, engine_conn_t *conn, const char *path)
{
    const engine_container_t *container = engine_find(engine, path);
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    if (strncmp(path, "/events?", 8) == 0) {
        engine->streams++;
        engine->is_stream[conn->index] = true;
        (void)!send(conn->fd, head, sizeof(head) - 1, MSG_NOSIGNAL);
        for (unsigned i = 0; i < engine->count; i++) /* entries that may be after "since" */
            if (engine->at[i].id[0] != '\0')
                engine_event_to(&engine->at[i], "start", conn->fd);
        engine_event_to(&stray, "start", conn->fd);
    } else if (strncmp(path, "/containers/json?", 17) == 0) {
        engine_list(engine, conn->fd);
    } else if (container != NULL && strstr(path, "/logs?") != NULL) {
        engine_log(engine, container, path, conn->fd);
    } else if (container != NULL) {
        engine_inspect(engine, container, conn->fd);
    } else {
        engine->strays += strncmp(path, "/containers/ffffffffffff/", 25) == 0;
        engine_say(conn->fd, 404, "{\"message\":\"no such container\"}");
    }
}

/* Reads one request into conn->head, NUL-terminated; requests have small bodies with a Content-Length. */
static bool engine_request(engine_conn_t *conn)
{
    size_t n = 0, want = 0;
    while (want == 0 || n < want) {
        ssize_t got = recv(conn->fd, conn->head + n, sizeof(conn->head) - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        conn->head[n] = '\0';
        const char *end = strstr(conn->head, "\r\n\r\n"), *length = strstr(conn->head, "Content-Length: ");
        if (end != NULL)
            want = (size_t)(end - conn->head) + 4 + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
    }
    return true;
}

static void *engine_serve(void *arg)
{
    engine_conn_t *conn = arg;
    engine_t *engine = conn->engine;
    while (engine_request(conn)) {
        char method[8], path[1024];
        int fields = sscanf(conn->head, "%7s %1023s", method, path);
        assert(fields == 2);
        engine_lock(engine);
        bool stream = strncmp(path, "/events?", 8) == 0;
        engine->busy += !stream;
        engine->busy_most = engine->busy > engine->busy_most ? engine->busy : engine->busy_most;
        if (strcmp(method, "GET") == 0)
            engine_get(engine, conn, path);
        else
            engine_post(engine, conn, path);
        engine->busy -= !stream;
        engine_unlock(engine);
    }
    engine_lock(engine);
    engine->conns[conn->index] = -1;
    close(conn->fd);
    engine_unlock(engine);
    free(conn);
    return NULL;
}

static void *engine_accept(void *arg)
{
    engine_t *engine = arg;
    int fd;
    while ((fd = accept(engine->listen_fd, NULL, NULL)) >= 0) {
        engine_conn_t *conn = calloc(1, sizeof(*conn));
        engine_lock(engine);
        assert(engine->conn_count < ENGINE_CONNECTIONS);
        *conn = (engine_conn_t){.engine = engine, .fd = fd, .index = engine->conn_count++};
        engine->conns[conn->index] = fd;
        engine->is_stream[conn->index] = false;
        pthread_create(&engine->threads[conn->index], NULL, engine_serve, conn);
        engine_unlock(engine);
    }
    return NULL;
}

void engine_begin(engine_t *engine)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, engine->path, strlen(engine->path) + 1);
    unlink(engine->path);
    engine->stopping = false;
    engine->conn_count = 0;
    engine->listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int rc = bind(engine->listen_fd, (struct sockaddr *)&address, sizeof(address));
    rc |= listen(engine->listen_fd, 128);
    rc |= pthread_create(&engine->thread, NULL, engine_accept, engine);
    assert(rc == 0);
}

void engine_end(engine_t *engine)
{
    engine_lock(engine);
    engine->stopping = true;
    shutdown(engine->listen_fd, SHUT_RDWR);
    engine_unlock(engine);
    pthread_join(engine->thread, NULL);
    engine_lock(engine);
    for (unsigned i = 0; i < engine->conn_count; i++)
        if (engine->conns[i] >= 0)
            shutdown(engine->conns[i], SHUT_RDWR);
    engine_unlock(engine);
    for (unsigned i = 0; i < engine->conn_count; i++)
        pthread_join(engine->threads[i], NULL);
    close(engine->listen_fd);
    unlink(engine->path);
}

engine_t *engine_new(void)
{
    engine_t *engine = calloc(1, sizeof(*engine));
    char dir[] = "/tmp/be-engine-XXXXXX";
    char *made = mkdtemp(dir);
    assert(made != NULL);
    engine->exec_status = 201;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->changed, NULL);
    snprintf(engine->path, sizeof(engine->path), "%s/s", dir);
    engine_begin(engine);
    return engine;
}

void engine_free(engine_t **engine)
{
    (*engine)->path[strlen((*engine)->path) - 2] = '\0';
    rmdir((*engine)->path);
    free(*engine);
    *engine = NULL;
}
