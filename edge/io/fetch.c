/*
 * See fetch.h. Uses libcurl's multi-socket interface: libcurl names its descriptors and its next timeout, and
 * the loop reports readiness (watch.h). libcurl owns the descriptors.
 *
 * Transfers must not be added to or removed from libcurl within its callbacks, which call `data` and `head`.
 * So the task at the end of the turn adds fetches. A fetch cancelled while libcurl runs is only marked: its
 * callbacks then fail, and the task removes it. The task also reports ends.
 */
#include "fetch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "alloc.h"
#include "deadline.h"
#include "list.h"
#include "watch.h"

/* libcurl's pool of idle connections: maximum number and age (servers often close theirs after a minute). */
#define IDLE_CONNECTIONS 16L
#define IDLE_SECONDS     30L
#define CONNECT_MS       5000L
#define CA_CACHE_SECONDS 300L
#define HEADER_BYTES_MAX 8192
#define SENTENCE_MAX     384

typedef enum fetch_state {
    FETCH_NEW,     /* the task will add it to libcurl */
    FETCH_RUNNING, /* added to libcurl */
    FETCH_DOOMED,  /* cancelled while libcurl ran: the task will remove and free it */
    FETCH_ENDING,  /* `done` is being called */
} fetch_state_t;

struct fetcher {
    loop_t *loop;
    CURLM *multi;
    deadline_t timer; /* libcurl's next timeout */
    loop_task_t task;
    list_t todo;    /* new and doomed fetches */
    list_t running; /* fetches added to libcurl */
    size_t count;   /* of both lists */
    list_t watches;
    bool inside; /* libcurl is on the stack */
};

struct fetch {
    fetcher_t *fetcher;
    list_t link;
    fetch_state_t state;
    const fetch_handlers_t *handlers;
    void *owner;
    CURL *easy;
    struct curl_slist *fields;
    struct curl_slist *way; /* CURLOPT_CONNECT_TO, which libcurl does not copy */
    char *body;
    size_t body_len, body_cap;
    size_t most;
    size_t head_len;
    bool http2;          /* fail unless the answer is HTTP/2 */
    bool headed;         /* `head` was called: later lines are trailers */
    bool too_large;      /* the body has more than `most` bytes */
    const char *failure; /* the reason from a callback of this file, or for not starting; NULL: none */
    char error[CURL_ERROR_SIZE];
};

static void on_task(loop_task_t *task);

static void run_task_later(fetcher_t *fetcher)
{
    loop_defer(fetcher->loop, &fetcher->task, on_task);
}

/* ---- libcurl's descriptors and timeouts ---- */

/* Reports readiness (CURL_CSELECT_*) or a timeout (CURL_SOCKET_TIMEOUT) to libcurl. */
static void notify_curl(fetcher_t *fetcher, curl_socket_t fd, int ready)
{
    assert(!fetcher->inside);
    int running;
    fetcher->inside = true;
    CURLMcode rc = curl_multi_socket_action(fetcher->multi, fd, ready, &running);
    fetcher->inside = false;
    assert(rc == CURLM_OK || rc == CURLM_OUT_OF_MEMORY || rc == CURLM_INTERNAL_ERROR);
    run_task_later(fetcher);
}

static void on_ready(void *owner, int fd, unsigned what)
{
    notify_curl(owner, fd, what == WATCH_READ ? CURL_CSELECT_IN : CURL_CSELECT_OUT);
}

/* CURLMOPT_SOCKETFUNCTION. A descriptor that gets no watch is not served: its calls time out. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *owner, void *assigned)
{
    (void)easy;
    fetcher_t *fetcher = owner;
    watch_t *watch = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            curl_multi_assign(fetcher->multi, fd, NULL);
            watch_free(&watch);
        }
        return 0;
    }
    if (watch == NULL) {
        watch = watch_new(fetcher->loop, &fetcher->watches, fd, on_ready, fetcher);
        if (watch == NULL)
            return 0;
        curl_multi_assign(fetcher->multi, fd, watch);
    }
    watch_set(watch, ((what & CURL_POLL_IN) != 0 ? WATCH_READ : 0) |
                         ((what & CURL_POLL_OUT) != 0 ? WATCH_WRITE : 0));
    return 0;
}

static void on_curl_time(deadline_t *deadline)
{
    fetcher_t *fetcher = CONTAINER_OF(fetcher_t, timer, deadline);
    notify_curl(fetcher, CURL_SOCKET_TIMEOUT, 0);
}

/* CURLMOPT_TIMERFUNCTION. */
static int on_curl_timer(CURLM *multi, long ms, void *owner)
{
    (void)multi;
    fetcher_t *fetcher = owner;
    if (ms < 0)
        deadline_clear(&fetcher->timer);
    else
        deadline_set(fetcher->loop, &fetcher->timer, loop_now(fetcher->loop) + (uint64_t)ms, on_curl_time);
    return 0;
}

/* CURLOPT_OPENSOCKETFUNCTION: child processes must not inherit the socket. */
static curl_socket_t on_curl_open(void *owner, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)owner;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->protocol);
}

/* ---- an answer, from within libcurl ---- */

static long status_of(const fetch_t *fetch)
{
    long status = 0;
    curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* CURLOPT_HEADERFUNCTION: one line of the head or of the trailers. Any result but `n` ends the transfer. */
static size_t on_curl_header(char *line, size_t size, size_t n, void *owner)
{
    fetch_t *fetch = owner;
    if (fetch->state == FETCH_DOOMED)
        return 0;
    n *= size;
    fetch->head_len += n;
    if (fetch->head_len > FETCH_HEAD_MAX) {
        fetch->failure = "the head of the answer is too large";
        return 0;
    }
    bool ended = str_eq(str_make(line, n), STR("\r\n")) || str_eq(str_make(line, n), STR("\n"));
    long status = ended ? status_of(fetch) : 0;
    if (status >= 200 && !fetch->headed && fetch->handlers->head != NULL) {
        fetch->headed = true;
        fetch->handlers->head(fetch->owner, (int)status);
    }
    return fetch->state == FETCH_DOOMED ? 0 : n;
}

static bool collect(fetch_t *fetch, str_t bytes)
{
    if (bytes.n > fetch->most - fetch->body_len) {
        fetch->failure = "the answer is too large";
        fetch->too_large = true;
        return false;
    }
    if (fetch->body_len + bytes.n > fetch->body_cap) {
        size_t cap = fetch->body_cap * 2;
        cap = cap < fetch->body_len + bytes.n ? fetch->body_len + bytes.n : cap;
        fetch->body_cap = cap < fetch->most ? cap : fetch->most;
        fetch->body = mem_realloc(fetch->body, fetch->body_cap);
    }
    memcpy(fetch->body + fetch->body_len, bytes.p, bytes.n);
    fetch->body_len += bytes.n;
    return true;
}

/* CURLOPT_WRITEFUNCTION. */
static size_t on_curl_body(char *data, size_t size, size_t n, void *owner)
{
    fetch_t *fetch = owner;
    if (fetch->state == FETCH_DOOMED)
        return 0;
    n *= size;
    long status = status_of(fetch);
    if (fetch->handlers->data == NULL || status < 200 || status > 299)
        return collect(fetch, str_make(data, n)) ? n : 0;
    if (n > 0)
        fetch->handlers->data(fetch->owner, str_make(data, n));
    return fetch->state == FETCH_DOOMED ? 0 : n;
}

/* ---- a call ---- */

static void link_fetch(fetch_t *fetch, fetch_state_t state)
{
    fetcher_t *fetcher = fetch->fetcher;
    fetch->state = state;
    fetcher->count++;
    list_insert(state == FETCH_RUNNING ? &fetcher->running : &fetcher->todo, &fetch->link);
    if (state != FETCH_RUNNING)
        run_task_later(fetcher);
}

static void unlink_fetch(fetch_t *fetch)
{
    list_unlink(&fetch->link);
    fetch->fetcher->count--;
}

static void fetch_free(fetch_t *fetch)
{
    if (fetch->state != FETCH_ENDING)
        unlink_fetch(fetch);
    curl_easy_cleanup(fetch->easy);
    for (struct curl_slist *field = fetch->fields; field != NULL; field = field->next)
        OPENSSL_cleanse(field->data, strlen(field->data));
    curl_slist_free_all(fetch->fields);
    curl_slist_free_all(fetch->way);
    free(fetch->body);
    free(fetch);
}

/* The options are constants, and strings that libcurl copies: only lack of memory makes them fail. */
static void set_long(fetch_t *fetch, CURLoption option, long value)
{
    CURLcode rc = curl_easy_setopt(fetch->easy, option, value);
    assert(rc == CURLE_OK);
}

static void set_text(fetch_t *fetch, CURLoption option, const char *value)
{
    CURLcode rc = curl_easy_setopt(fetch->easy, option, value);
    assert(rc == CURLE_OK);
}

static void add_field(fetch_t *fetch, const char *line)
{
    struct curl_slist *fields = curl_slist_append(fetch->fields, line);
    assert(fields != NULL);
    fetch->fields = fields;
}

/* `before`: the field's name and everything else before the secret. */
static void add_secret(fetch_t *fetch, const char *before, const char *secret)
{
    char line[HEADER_BYTES_MAX];
    int n = snprintf(line, sizeof(line), "%s%s", before, secret);
    if (n < 0 || (size_t)n >= sizeof(line))
        fetch->failure = "the token is too long";
    for (const char *c = secret; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            fetch->failure = "the token has a character that a header cannot carry";
    if (fetch->failure == NULL)
        add_field(fetch, line);
    OPENSSL_cleanse(line, sizeof(line));
}

static void set_callbacks(fetch_t *fetch)
{
    curl_easy_setopt(fetch->easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(fetch->easy, CURLOPT_ERRORBUFFER, fetch->error);
    curl_easy_setopt(fetch->easy, CURLOPT_WRITEFUNCTION, on_curl_body);
    curl_easy_setopt(fetch->easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(fetch->easy, CURLOPT_HEADERFUNCTION, on_curl_header);
    curl_easy_setopt(fetch->easy, CURLOPT_HEADERDATA, fetch);
    curl_easy_setopt(fetch->easy, CURLOPT_OPENSOCKETFUNCTION, on_curl_open);
}

/* Rules for every call. */
static void set_rules(fetch_t *fetch)
{
    set_text(fetch, CURLOPT_PROTOCOLS_STR, "http,https");
    set_long(fetch, CURLOPT_FOLLOWLOCATION, 0);
    set_text(fetch, CURLOPT_PROXY, ""); /* ignore the environment */
    set_long(fetch, CURLOPT_NETRC, CURL_NETRC_IGNORED);
    set_long(fetch, CURLOPT_DISALLOW_USERNAME_IN_URL, 1);
    set_long(fetch, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    set_long(fetch, CURLOPT_HTTP09_ALLOWED, 0);
    set_long(fetch, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    set_long(fetch, CURLOPT_SSL_VERIFYPEER, 1);
    set_long(fetch, CURLOPT_SSL_VERIFYHOST, 2);
    set_long(fetch, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_SECONDS);
    set_long(fetch, CURLOPT_NOSIGNAL, 1);
    set_long(fetch, CURLOPT_NOPROGRESS, 1);
    set_long(fetch, CURLOPT_TCP_KEEPALIVE, 1);
    set_long(fetch, CURLOPT_MAXAGE_CONN, IDLE_SECONDS);
    /* The resolver's thread may hang: a call that ends first does not wait for it. */
    set_long(fetch, CURLOPT_QUICK_EXIT, 1);
}

/* The route to the server, and the credentials of TLS. */
static void set_way(fetch_t *fetch, const fetch_request_t *request)
{
    bool tls = strncmp(request->url, "https:", 6) == 0;
    if (request->unix_socket != NULL)
        set_text(fetch, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
    if (request->ca_file != NULL) {
        set_text(fetch, CURLOPT_CAINFO, request->ca_file);
        set_text(fetch, CURLOPT_CAPATH, NULL); /* no authority besides that file */
    }
    if (request->certificate != NULL) {
        set_text(fetch, CURLOPT_SSLCERT, request->certificate);
        set_text(fetch, CURLOPT_SSLKEY, request->key);
    }
    if (request->connect_to != NULL) {
        char way[64];
        int n = snprintf(way, sizeof(way), "::%s", request->connect_to); /* any host, any port */
        assert(n > 0 && (size_t)n < sizeof(way));
        fetch->way = curl_slist_append(NULL, way);
        assert(fetch->way != NULL);
        CURLcode rc = curl_easy_setopt(fetch->easy, CURLOPT_CONNECT_TO, fetch->way);
        assert(rc == CURLE_OK);
    }
    if (request->http2)
        set_long(fetch, CURLOPT_HTTP_VERSION,
                 tls ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    set_long(fetch, CURLOPT_FRESH_CONNECT, request->fresh || request->alone ? 1 : 0);
    set_long(fetch, CURLOPT_FORBID_REUSE, request->alone ? 1 : 0);
}

static void set_request(fetch_t *fetch, const fetch_request_t *request)
{
    bool posts = request->body.n > 0 || strcmp(request->method, "POST") == 0;
    set_text(fetch, CURLOPT_URL, request->url);
    if (posts) {
        set_long(fetch, CURLOPT_POST, 1);
        CURLcode rc = curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.n);
        assert(rc == CURLE_OK);
        set_text(fetch, CURLOPT_COPYPOSTFIELDS, request->body.n > 0 ? request->body.p : "");
    }
    if (strcmp(request->method, "HEAD") == 0)
        set_long(fetch, CURLOPT_NOBODY, 1);
    else
        set_text(fetch, CURLOPT_CUSTOMREQUEST, request->method);
    uint32_t connect_ms = request->timeout_ms != 0 && request->timeout_ms < CONNECT_MS ? request->timeout_ms
                                                                                       : (uint32_t)CONNECT_MS;
    set_long(fetch, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    set_long(fetch, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);

    add_field(fetch, "User-Agent: boxedge/" BOXEDGE_VERSION);
    add_field(fetch, "Accept: application/json");
    add_field(fetch, "Expect:");
    if (posts)
        add_field(fetch, request->body.n > 0 ? "Content-Type: application/json" : "Content-Type:");
    if (request->bearer != NULL)
        add_secret(fetch, "Authorization: Bearer ", request->bearer);
    if (request->api_key != NULL)
        add_secret(fetch, "X-Box-Api-Key: ", request->api_key);
    if (request->host != NULL) {
        char line[HEADER_BYTES_MAX];
        int n = snprintf(line, sizeof(line), "Host: %s", request->host);
        assert(n > 0 && (size_t)n < sizeof(line));
        add_field(fetch, line);
    }
    CURLcode rc = curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->fields);
    assert(rc == CURLE_OK);
}

fetch_t *fetch_start(fetcher_t *fetcher, const fetch_request_t *request, const fetch_handlers_t *handlers,
                     void *owner)
{
    assert(request->method != NULL && request->url != NULL && handlers->done != NULL);
    fetch_t *fetch = mem_alloc(sizeof(*fetch));
    *fetch = (fetch_t){.fetcher = fetcher,
                       .handlers = handlers,
                       .owner = owner,
                       .most = request->most,
                       .http2 = request->http2};
    fetch->easy = curl_easy_init();
    assert(fetch->easy != NULL);
    set_callbacks(fetch);
    set_rules(fetch);
    set_way(fetch, request);
    set_request(fetch, request);
    if (fetcher->count == FETCH_CALLS_MAX)
        fetch->failure = "too many calls are under way";
    link_fetch(fetch, FETCH_NEW);
    return fetch;
}

static void take_back(fetch_t *fetch)
{
    CURLMcode rc = curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
    assert(rc == CURLM_OK);
}

void fetch_cancel(fetch_t **fetch)
{
    fetch_t *f = *fetch;
    *fetch = NULL;
    if (f == NULL || f->state == FETCH_ENDING)
        return;
    assert(f->state != FETCH_DOOMED);
    if (f->state == FETCH_RUNNING && f->fetcher->inside) {
        unlink_fetch(f);
        link_fetch(f, FETCH_DOOMED);
        return;
    }
    if (f->state == FETCH_RUNNING)
        take_back(f);
    fetch_free(f);
}

/* ---- the end of a turn ---- */

/* Replaces unprintable bytes: libcurl quotes servers. */
static void make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
}

static uint32_t retry_after_of(const fetch_t *fetch)
{
    curl_off_t seconds = 0;
    if (curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK || seconds <= 0)
        return 0;
    return seconds < FETCH_RETRY_AFTER_MAX ? (uint32_t)seconds : FETCH_RETRY_AFTER_MAX;
}

/* True if the failure proves nothing about the server. */
static bool is_ours(CURLcode code)
{
    return code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_OUT_OF_MEMORY ||
           code == CURLE_FAILED_INIT || code == CURLE_SSL_ENGINE_INITFAILED ||
           code == CURLE_BAD_FUNCTION_ARGUMENT;
}

/* Reports the end of a fetch that is not in libcurl, and frees it. */
static void end(fetch_t *fetch, CURLcode code)
{
    char sentence[SENTENCE_MAX];
    fetch_result_t result = {.body = str_make(fetch->body, fetch->body_len)};
    long version = 0;
    curl_easy_getinfo(fetch->easy, CURLINFO_HTTP_VERSION, &version);
    if (fetch->failure == NULL && code == CURLE_OK && fetch->http2 && version != CURL_HTTP_VERSION_2)
        fetch->failure = "the server does not speak HTTP/2";
    if (fetch->failure == NULL && code == CURLE_OK) {
        result.status = (int)status_of(fetch);
        result.retry_after = retry_after_of(fetch);
    }
    if (result.status == 0) {
        const char *why = fetch->failure;
        if (why == NULL)
            why = fetch->error[0] != '\0' ? fetch->error : curl_easy_strerror(code);
        snprintf(sentence, sizeof(sentence), "%s", why);
        make_printable(sentence);
        result.error = sentence;
        result.ours = is_ours(code);
        result.too_large = fetch->too_large;
    }
    unlink_fetch(fetch);
    fetch->state = FETCH_ENDING;
    fetch->handlers->done(fetch->owner, &result);
    fetch_free(fetch);
}

static void begin(fetch_t *fetch)
{
    if (fetch->failure != NULL) {
        end(fetch, CURLE_BAD_FUNCTION_ARGUMENT);
        return;
    }
    unlink_fetch(fetch);
    link_fetch(fetch, FETCH_RUNNING);
    CURLMcode rc = curl_multi_add_handle(fetch->fetcher->multi, fetch->easy);
    assert(rc == CURLM_OK);
}

/* The first fetch of a list, or NULL. */
static fetch_t *first_of(list_t *list)
{
    return list_is_empty(list) ? NULL : CONTAINER_OF(fetch_t, link, list->next);
}

static void on_task(loop_task_t *task)
{
    fetcher_t *fetcher = CONTAINER_OF(fetcher_t, task, task);
    fetch_t *fetch;
    while ((fetch = first_of(&fetcher->todo)) != NULL) {
        if (fetch->state == FETCH_NEW) {
            begin(fetch);
        } else {
            take_back(fetch);
            fetch_free(fetch);
        }
    }
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
        take_back(fetch);
        end(fetch, code);
    }
}

/* ---- life ---- */

fetcher_t *fetcher_new(loop_t *loop)
{
    /* libcurl counts this. Never undone: a resolver's thread may outlive its call. */
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    assert(rc == CURLE_OK);
    fetcher_t *fetcher = mem_alloc(sizeof(*fetcher));
    *fetcher = (fetcher_t){.loop = loop, .multi = curl_multi_init()};
    assert(fetcher->multi != NULL);
    list_init(&fetcher->todo);
    list_init(&fetcher->running);
    list_init(&fetcher->watches);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
    return fetcher;
}

void fetcher_free(fetcher_t **fetcher)
{
    fetcher_t *f = *fetcher;
    *fetcher = NULL;
    if (f == NULL)
        return;
    assert(!f->inside);
    fetch_t *fetch;
    while ((fetch = first_of(&f->running)) != NULL || (fetch = first_of(&f->todo)) != NULL) {
        if (fetch->state != FETCH_NEW)
            take_back(fetch);
        fetch_free(fetch);
    }
    curl_multi_cleanup(f->multi);
    watch_free_all(&f->watches);
    deadline_clear(&f->timer);
    loop_undefer(&f->task);
    free(f);
}
