#include "admin_client.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "arena.h"
#include "http1_response.h"

#define HEAD_BYTES  32768
#define HEAD_FIELDS 100

static admin_client_result_t failed(admin_answer_t *answer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static admin_client_result_t failed(admin_answer_t *answer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(answer->error, sizeof answer->error, format, args);
    va_end(args);
    return ADMIN_CLIENT_FAILED;
}

static admin_client_result_t open_socket(const char *path, unsigned timeout_s, int *out,
                                         admin_answer_t *answer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return failed(answer, "the path of the socket is longer than %zu characters",
                      sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(answer, "no socket: %s", strerror(errno));
    struct timeval timeout = {.tv_sec = (time_t)timeout_s};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        *out = fd;
        return ADMIN_CLIENT_OK;
    }
    int error = errno;
    close(fd);
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
        return ADMIN_CLIENT_NOT_RUNNING;
    case EACCES:
    case EPERM:
        return ADMIN_CLIENT_FORBIDDEN;
    default:
        return failed(answer, "%s", strerror(error));
    }
}

static bool send_all(int fd, str_t bytes)
{
    while (bytes.n != 0) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = str_from_offset(bytes, (size_t)n);
    }
    return true;
}

static bool send_request(int fd, const char *method, const char *target, const json_t *body)
{
    char *json = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    size_t body_len = json != NULL ? strlen(json) : 0;
    bool write_type = strcmp(method, "GET") != 0;
    char head[1024];
    int n = snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: boxedge\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
                     method, target, write_type ? "Content-Type: application/json\r\n" : "", body_len);
    assert(n > 0 && (size_t)n < sizeof head);
    bool ok = send_all(fd, str_make(head, (size_t)n)) && send_all(fd, str_make(json, body_len));
    free(json);
    return ok;
}

/* Reads until the edge closes. Returns the bytes, to be freed, or NULL after setting the error. */
static char *read_all(int fd, size_t *len, admin_answer_t *answer)
{
    size_t capacity = 65536;
    char *bytes = malloc(capacity);
    assert(bytes != NULL);
    *len = 0;
    for (;;) {
        ssize_t n = recv(fd, bytes + *len, capacity - *len, 0);
        if (n == 0)
            return bytes;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            failed(answer, "%s", errno == EAGAIN ? "the edge does not answer" : strerror(errno));
            break;
        }
        *len += (size_t)n;
        if (*len < capacity)
            continue;
        capacity *= 2;
        if (capacity > ADMIN_ANSWER_MAX) {
            failed(answer, "the answer is longer than %u bytes", ADMIN_ANSWER_MAX);
            break;
        }
        bytes = realloc(bytes, capacity);
        assert(bytes != NULL);
    }
    free(bytes);
    return NULL;
}

static admin_client_result_t parse(str_t bytes, admin_answer_t *answer)
{
    arena_t pool;
    arena_init(&pool);
    response_t response = {0};
    http1_response_head_t head;
    http1_parse_t parsed =
        http1_parse_response(bytes, 0, HEAD_BYTES, HEAD_FIELDS, false, &pool, &response, &head);
    bool whole = parsed == HTTP1_OK && !head.chunked && response.content_length == bytes.n - head.len;
    arena_clear(&pool);
    if (!whole)
        return failed(answer, "the answer was cut or is not the admin API's");
    answer->status = response.status;
    str_t body = str_from_offset(bytes, head.len);
    answer->json = json_loadb(body.p, body.n, JSON_DECODE_ANY, NULL);
    if (answer->json == NULL) {
        answer->text = strndup(body.p, body.n);
        assert(answer->text != NULL);
    }
    return ADMIN_CLIENT_OK;
}

admin_client_result_t admin_client_request(const char *socket_path, const char *method, const char *target,
                                           const json_t *body, unsigned timeout_s, admin_answer_t *answer)
{
    *answer = (admin_answer_t){0};
    int fd = -1;
    admin_client_result_t result = open_socket(socket_path, timeout_s, &fd, answer);
    if (result != ADMIN_CLIENT_OK)
        return result;
    /* A failed send may have an answer: the edge may answer before it has read the whole request. */
    bool sent = send_request(fd, method, target, body);
    size_t len;
    char *bytes = read_all(fd, &len, answer);
    close(fd);
    if (bytes == NULL)
        return ADMIN_CLIENT_FAILED;
    if (len == 0)
        result = failed(answer, "%s",
                        sent ? "the edge closed the connection without an answer"
                             : "the edge closed the connection");
    else
        result = parse(str_make(bytes, len), answer);
    free(bytes);
    return result;
}

void admin_answer_fini(admin_answer_t *answer)
{
    json_decref(answer->json);
    answer->json = NULL;
    free(answer->text);
    answer->text = NULL;
}
