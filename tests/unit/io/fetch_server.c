#include "fetch_server.h"

static ssize_t server_read(server_conn_t *conn, char *buf, size_t n)
{
    return conn->ssl != NULL ? SSL_read(conn->ssl, buf, (int)n) : recv(conn->fd, buf, n, 0);
}

static bool server_write(server_conn_t *conn, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t wrote =
            conn->ssl != NULL ? SSL_write(conn->ssl, p, (int)n) : send(conn->fd, p, n, MSG_NOSIGNAL);
        if (wrote <= 0)
            return false;
        p += wrote;
        n -= (size_t)wrote;
    }
    return true;
}

static bool server_say(server_conn_t *conn, const char *text)
{
    return server_write(conn, text, strlen(text));
}

/* A request: its head and, by Content-Length, its body, NUL-terminated in conn->head. */
static bool server_request(server_conn_t *conn)
{
    size_t n = 0, want = 0;
    while (want == 0 || n < want) {
        ssize_t got = server_read(conn, conn->head + n, sizeof(conn->head) - 1 - n);
        if (got <= 0)
            return false;
        n += (size_t)got;
        conn->head[n] = '\0';
        const char *end = strstr(conn->head, "\r\n\r\n");
        if (end == NULL || want != 0)
            continue;
        const char *length = strstr(conn->head, "Content-Length: ");
        want = (size_t)(end - conn->head) + 4 + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
    }
    pthread_mutex_lock(&conn->server->lock);
    snprintf(conn->server->last, sizeof(conn->server->last), "%.255s", conn->head);
    snprintf(conn->server->body, sizeof(conn->server->body), "%.8191s", strstr(conn->head, "\r\n\r\n") + 4);
    pthread_mutex_unlock(&conn->server->lock);
    conn->server->requests++;
    return true;
}

static bool server_answer(server_conn_t *conn, const char *body, size_t n)
{
    char head[128];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nSet-Cookie: a=b\r\n\r\n", n);
    return server_say(conn, head) && server_write(conn, body, n);
}

static void server_reset(server_conn_t *conn)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* Five chunks, each on the test's command. */
static bool server_steps(server_conn_t *conn)
{
    server_say(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        char go, chunk[32];
        if (read(conn->server->go[0], &go, 1) != 1)
            return false;
        snprintf(chunk, sizeof(chunk), "6\r\nchunk%d\r\n", i);
        if (!server_say(conn, chunk))
            return false;
    }
    return server_say(conn, "0\r\n\r\n");
}

static bool server_flood(server_conn_t *conn, const char *start, const char *again)
{
    if (!server_say(conn, start))
        return false;
    while (server_say(conn, again))
        ;
    return false;
}

/* The test's next answer, which it may give before or after the request. */
static bool server_answer_as_told(server_conn_t *conn)
{
    char *text;
    if (read(conn->server->answers[0], &text, sizeof(text)) != sizeof(text) || text == NULL)
        return false;
    bool ok = server_say(conn, text);
    free(text);
    return ok;
}

void server_will_answer(server_t *server, int status, const char *body)
{
    char *text = NULL;
    if (status != 0) {
        size_t cap = strlen(body) + 128;
        text = malloc(cap);
        snprintf(text, cap, "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body),
                 body);
    }
    ssize_t wrote = write(server->answers[1], &text, sizeof(text));
    assert(wrote == sizeof(text));
}

bool server_gave_all(server_t *server)
{
    int left = -1;
    int rc = ioctl(server->answers[0], FIONREAD, &left);
    assert(rc == 0);
    return left == 0;
}

/* False: the connection is closed after it. */
static bool server_reply(server_conn_t *conn)
{
    const char *path = strchr(conn->head, ' ') + 1;
#define IS(what) (strncmp(path, what " ", sizeof(what)) == 0)
    static char large[100000];
    if (strncmp(path, "/boxes/", 7) == 0 || strncmp(path, "/v2/box/", 8) == 0 || IS("/activity"))
        return server_answer_as_told(conn);
    if (IS("/ok"))
        return server_answer(conn, "{\"a\":1}", 7);
    if (IS("/echo"))
        return server_answer(conn, conn->head, strlen(conn->head));
    if (IS("/once"))
        return server_answer(conn, "once", 4) && false;
    if (IS("/large"))
        return server_answer(conn, large, sizeof(large));
    if (IS("/redirect"))
        return server_say(conn, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
    if (IS("/busy"))
        return server_say(conn, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy");
    if (IS("/later"))
        return server_say(conn, "HTTP/1.1 429 No\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n");
    if (IS("/early"))
        return server_say(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") &&
               server_answer(conn, "ok", 2);
    if (IS("/trailers"))
        return server_say(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n"
                                "2\r\nok\r\n0\r\na: b\r\n\r\n");
    if (IS("/steps"))
        return server_steps(conn);
    if (IS("/short"))
        return server_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") && false;
    if (IS("/fields"))
        return server_flood(conn, "HTTP/1.1 200 OK\r\n", "X-Field: a value that goes on and on\r\n");
    if (IS("/hints"))
        return server_flood(conn, "", "HTTP/1.1 103 Early Hints\r\n\r\n");
    if (IS("/endless"))
        return server_flood(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nabcd\r\n");
    if (IS("/junk"))
        return server_say(conn, "\x1b[31mnot HTTP\x07 at all\r\n\r\n") && false;
    if (IS("/reset"))
        server_reset(conn);
    else if (IS("/stall"))
        while (server_read(conn, conn->head, sizeof(conn->head)) > 0)
            ;
#undef IS
    return false;
}

static void *server_serve(void *arg)
{
    server_conn_t *conn = arg;
    if (conn->server->tls != NULL) {
        conn->ssl = SSL_new(conn->server->tls);
        SSL_set_fd(conn->ssl, conn->fd);
    }
    if (conn->ssl == NULL || SSL_accept(conn->ssl) == 1)
        while (server_request(conn) && server_reply(conn))
            ;
    SSL_free(conn->ssl);
    /* Closed when the server ends, so that nobody shuts down another's descriptor; the peer learns of it
     * now. */
    struct linger how;
    socklen_t len = sizeof(how);
    getsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &how, &len);
    pthread_mutex_lock(&conn->server->lock);
    if (how.l_onoff)
        close(conn->fd), conn->fd = -1;
    else
        shutdown(conn->fd, SHUT_RDWR);
    pthread_mutex_unlock(&conn->server->lock);
    return NULL;
}

static void *server_accept(void *arg)
{
    server_t *server = arg;
    for (unsigned i = 0; i < SERVER_CONNECTIONS; i++) {
        int fd = accept(server->listen_fd, NULL, NULL);
        if (fd < 0)
            break;
        server_conn_t *conn = calloc(1, sizeof(*conn));
        *conn = (server_conn_t){.server = server, .fd = fd};
        server->conns[i] = conn;
        server->connections++;
        int rc = pthread_create(&conn->thread, NULL, server_serve, conn);
        assert(rc == 0);
    }
    return NULL;
}

server_t *fetch_server_server_new(SSL_CTX *tls, const char *unix_path)
{
    server_t *server = calloc(1, sizeof(*server));
    server->tls = tls;
    pthread_mutex_init(&server->lock, NULL);
    int rc = pipe(server->go);
    assert(rc == 0);
    rc = pipe(server->answers);
    assert(rc == 0);
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    server->listen_fd = socket(unix_path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    if (unix_path != NULL) {
        memcpy(local.sun_path, unix_path, strlen(unix_path) + 1);
        rc = bind(server->listen_fd, (struct sockaddr *)&local, sizeof(local));
    } else {
        rc = bind(server->listen_fd, (struct sockaddr *)&tcp, sizeof(tcp));
        socklen_t len = sizeof(tcp);
        getsockname(server->listen_fd, (struct sockaddr *)&tcp, &len);
        server->port = ntohs(tcp.sin_port);
    }
    assert(rc == 0);
    rc = listen(server->listen_fd, 512);
    assert(rc == 0);
    rc = pthread_create(&server->thread, NULL, server_accept, server);
    assert(rc == 0);
    return server;
}

void server_free(server_t **server)
{
    server_t *s = *server;
    *server = NULL;
    shutdown(s->listen_fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listen_fd);
    close(s->go[1]);
    close(s->answers[1]);
    for (unsigned i = 0; i < SERVER_CONNECTIONS && s->conns[i] != NULL; i++) {
        pthread_mutex_lock(&s->lock);
        if (s->conns[i]->fd >= 0)
            shutdown(s->conns[i]->fd, SHUT_RDWR);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->conns[i]->thread, NULL);
        if (s->conns[i]->fd >= 0)
            close(s->conns[i]->fd);
        free(s->conns[i]);
    }
    close(s->go[0]);
    close(s->answers[0]);
    free(s);
}
