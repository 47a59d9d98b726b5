/*
 * See resolver.h. c-ares cannot cancel a single query: a name that is no longer wanted during its query is
 * dropped, and the answer frees it.
 */
#include "resolver.h"

#include <assert.h>
#include <stdlib.h>

#include <ares.h>

#include "address.h"
#include "deadline.h"
#include "list.h"
#include "process_log.h"
#include "watch.h"

/* The first timeout of one server of /etc/resolv.conf, and the attempts per server. c-ares doubles the
 * timeout. */
#define QUERY_MS    2000
#define QUERY_TRIES 2

const resolver_options_t resolver_defaults = {
    .ttl_least_ms = 1000,
    .ttl_most_ms = 300000,
    .ttl_none_ms = 30000,
    .retry_first_ms = 1000,
    .retry_last_ms = 60000,
};

typedef enum name_state {
    NAME_WAITS,   /* until its next query is due */
    NAME_QUERIED, /* c-ares has a query for it */
    NAME_DROPPED, /* c-ares has a query for it, and the answer is not wanted */
} name_state_t;

typedef struct name {
    list_t link;
    resolver_t *resolver;
    name_state_t state;
    char *text;
    deadline_t again;
    unsigned failures;    /* in a row */
    uint64_t answered_ms; /* loop_now of the last good answer */
    size_t count;
    struct in6_addr addresses[RESOLVER_ADDRESSES_MAX];
} name_t;

struct resolver {
    loop_t *loop;
    resolver_options_t options;
    random_source_t *random;
    void (*changed)(void *owner);
    void *owner;
    loop_task_t notify; /* calls `changed` */
    list_t names;
    size_t querying; /* names with a query in c-ares */
    ares_channel channel;
    uint64_t failures; /* resolver_figures_t */
    bool stale;        /* a query failed since the channel was opened: /etc/resolv.conf may have changed */
    list_t watches;
    deadline_t timer; /* c-ares' next timeout */
};

/* ---- times ---- */

uint32_t resolver_ttl_ms(const resolver_options_t *options, int ttl)
{
    if (ttl <= 0)
        return options->ttl_none_ms;
    uint64_t ms = (uint64_t)ttl * 1000;
    if (ms < options->ttl_least_ms)
        return options->ttl_least_ms;
    return ms < options->ttl_most_ms ? (uint32_t)ms : options->ttl_most_ms;
}

uint32_t resolver_retry_ms(const resolver_options_t *options, unsigned failures, uint16_t random)
{
    assert(failures > 0);
    uint64_t delay = options->retry_first_ms;
    for (unsigned i = 1; i < failures && delay < options->retry_last_ms; i++)
        delay *= 2;
    delay = delay < options->retry_last_ms ? delay : options->retry_last_ms;
    return (uint32_t)(delay - delay / 2 * random / 65536);
}

/* ---- c-ares on the loop ---- */

static void on_time(deadline_t *deadline);

/* Sets the timer; call it after every c-ares call. */
static void arm(resolver_t *resolver)
{
    struct timeval left;
    if (resolver->querying == 0 || ares_timeout(resolver->channel, NULL, &left) == NULL) {
        deadline_clear(&resolver->timer);
        return;
    }
    uint64_t ms = (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1;
    deadline_set(resolver->loop, &resolver->timer, loop_now(resolver->loop) + ms, on_time);
}

static void on_time(deadline_t *deadline)
{
    resolver_t *resolver = CONTAINER_OF(resolver_t, timer, deadline);
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm(resolver);
}

static void on_ready(void *owner, int fd, unsigned what)
{
    resolver_t *resolver = owner;
    ares_process_fd(resolver->channel, what == WATCH_READ ? fd : ARES_SOCKET_BAD,
                    what == WATCH_WRITE ? fd : ARES_SOCKET_BAD);
    arm(resolver);
}

/* ARES_OPT_SOCK_STATE_CB: the events that c-ares wants on a descriptor; none if it is about to close it. A
 * descriptor that gets no watch is not served: its queries time out. */
static void on_socket(void *owner, ares_socket_t fd, int readable, int writable)
{
    resolver_t *resolver = owner;
    watch_t *watch = watch_find(&resolver->watches, fd);
    if (!readable && !writable) {
        if (watch != NULL)
            watch_free(&watch);
        return;
    }
    if (watch == NULL)
        watch = watch_new(resolver->loop, &resolver->watches, fd, on_ready, resolver);
    if (watch != NULL)
        watch_set(watch, (readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0));
}

static void channel_open(resolver_t *resolver)
{
    struct ares_options options = {.timeout = QUERY_MS,
                                   .tries = QUERY_TRIES,
                                   .sock_state_cb = on_socket,
                                   .sock_state_cb_data = resolver};
    int rc = ares_init_options(&resolver->channel, &options,
                               ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    assert(rc == ARES_SUCCESS);
    if (resolver->options.servers != NULL) {
        rc = ares_set_servers_ports_csv(resolver->channel, resolver->options.servers);
        assert(rc == ARES_SUCCESS);
    }
    resolver->stale = false;
}

static void channel_close(resolver_t *resolver)
{
    ares_destroy(resolver->channel);
    watch_free_all(&resolver->watches);
}

/* ---- a name ---- */

static void name_free(name_t *name)
{
    assert(name->state != NAME_QUERIED);
    deadline_clear(&name->again);
    if (name->state == NAME_WAITS)
        list_unlink(&name->link);
    free(name->text);
    free(name);
}

static void on_notify(loop_task_t *task)
{
    resolver_t *resolver = CONTAINER_OF(resolver_t, notify, task);
    resolver->changed(resolver->owner);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct in6_addr));
}

/* The addresses of an answer, sorted and unique; the caller frees them. *ttl: the minimum of all records, in
 * seconds. */
static struct in6_addr *read_answer(const struct ares_addrinfo *answer, size_t *count, int *ttl)
{
    size_t n = 0, kept = 0;
    for (const struct ares_addrinfo_node *at = answer->nodes; at != NULL; at = at->ai_next)
        n++;
    struct in6_addr *all = calloc(n + 1, sizeof(*all));
    assert(all != NULL);
    *ttl = n != 0 ? answer->nodes->ai_ttl : 0;
    n = 0;
    for (const struct ares_addrinfo_node *at = answer->nodes; at != NULL; at = at->ai_next) {
        uint16_t port;
        if (address_take(at->ai_addr, &all[n], &port))
            n++;
        *ttl = at->ai_ttl < *ttl ? at->ai_ttl : *ttl;
    }
    for (const struct ares_addrinfo_cname *at = answer->cnames; at != NULL; at = at->next)
        *ttl = at->ttl < *ttl ? at->ttl : *ttl;
    qsort(all, n, sizeof(*all), compare);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || compare(&all[kept - 1], &all[i]) != 0)
            all[kept++] = all[i];
    *count = kept;
    return all;
}

static void take_answer(name_t *name, const struct in6_addr *addresses, size_t count)
{
    count = count < RESOLVER_ADDRESSES_MAX ? count : RESOLVER_ADDRESSES_MAX;
    if (count == name->count && memcmp(name->addresses, addresses, count * sizeof(*addresses)) == 0)
        return;
    memcpy(name->addresses, addresses, count * sizeof(*addresses));
    name->count = count;
    loop_defer(name->resolver->loop, &name->resolver->notify, on_notify);
}

static void query_again(deadline_t *deadline);

static void wait_ms(name_t *name, uint32_t ms)
{
    loop_t *loop = name->resolver->loop;
    deadline_set(loop, &name->again, loop_now(loop) + ms, query_again);
}

static void failed(name_t *name, const char *why)
{
    resolver_t *resolver = name->resolver;
    uint16_t random;
    if (name->failures++ == 0)
        process_log(LOG_NAME_FAILED, "controller",
                    "the name %s cannot be resolved: %s%s. The edge tries again; the resolvers are those of "
                    "/etc/resolv.conf (boxedge_resolver_failures_total)",
                    name->text, why, name->count != 0 ? "; its previous addresses stay in use" : "");
    resolver->failures++;
    resolver->stale = true;
    random_bytes(resolver->random, (unsigned char *)&random, sizeof(random));
    wait_ms(name, resolver_retry_ms(&resolver->options, name->failures, random));
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *answer)
{
    (void)timeouts;
    name_t *name = arg;
    resolver_t *resolver = name->resolver;
    size_t count = 0;
    int ttl = 0;
    assert(name->state != NAME_WAITS && resolver->querying > 0);
    resolver->querying--;
    struct in6_addr *addresses = answer != NULL ? read_answer(answer, &count, &ttl) : NULL;
    ares_freeaddrinfo(answer);
    if (name->state == NAME_DROPPED) {
        name_free(name);
    } else {
        name->state = NAME_WAITS;
        if (status == ARES_SUCCESS && count > 0) {
            if (name->failures != 0)
                process_log(LOG_NAME_FOUND, "controller", "the name %s can be resolved again", name->text);
            name->failures = 0;
            name->answered_ms = loop_now(resolver->loop);
            take_answer(name, addresses, count);
            wait_ms(name, resolver_ttl_ms(&resolver->options, ttl));
        } else if (status != ARES_EDESTRUCTION) {
            failed(name, status == ARES_SUCCESS ? "it has no address" : ares_strerror(status));
        }
    }
    free(addresses);
}

static void query_again(deadline_t *deadline)
{
    name_t *name = CONTAINER_OF(name_t, again, deadline);
    resolver_t *resolver = name->resolver;
    static const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM};
    assert(name->state == NAME_WAITS);
    if (resolver->stale && resolver->querying == 0) {
        channel_close(resolver);
        channel_open(resolver);
    }
    name->state = NAME_QUERIED;
    resolver->querying++;
    ares_getaddrinfo(resolver->channel, name->text, NULL, &hints, on_answer,
                     name); /* may answer immediately */
    arm(resolver);
}

/* ---- the names that are wanted ---- */

static name_t *find(const resolver_t *resolver, const char *text)
{
    for (list_t *at = resolver->names.next; at != &resolver->names; at = at->next) {
        name_t *name = CONTAINER_OF(name_t, link, at);
        if (strcmp(name->text, text) == 0)
            return name;
    }
    return NULL;
}

static void add(resolver_t *resolver, const char *text)
{
    name_t *name = calloc(1, sizeof(*name));
    assert(name != NULL);
    name->resolver = resolver;
    name->text = strdup(text);
    assert(name->text != NULL);
    list_insert(&resolver->names, &name->link);
    wait_ms(name, 0);
}

static void drop(name_t *name)
{
    if (name->state == NAME_WAITS) {
        name_free(name);
        return;
    }
    list_unlink(&name->link);
    name->state = NAME_DROPPED;
}

static bool is_among(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

void resolver_set(resolver_t *resolver, const char *const *names, size_t count)
{
    for (list_t *at = resolver->names.next, *next; at != &resolver->names; at = next) {
        next = at->next;
        name_t *name = CONTAINER_OF(name_t, link, at);
        if (!is_among(name->text, names, count))
            drop(name);
    }
    for (size_t i = 0; i < count; i++)
        if (find(resolver, names[i]) == NULL)
            add(resolver, names[i]);
}

size_t resolver_look(const resolver_t *resolver, const char *name, const struct in6_addr **addresses)
{
    const name_t *found = find(resolver, name);
    *addresses = found != NULL ? found->addresses : NULL;
    return found != NULL ? found->count : 0;
}

resolver_figures_t resolver_figures(const resolver_t *resolver)
{
    resolver_figures_t figures = {.failures = resolver->failures};
    uint64_t now = loop_now(resolver->loop);
    for (list_t *at = resolver->names.next; at != &resolver->names; at = at->next) {
        const name_t *name = CONTAINER_OF(name_t, link, at);
        figures.names++;
        figures.failing += name->failures != 0;
        if (name->failures != 0 && name->count != 0 && now - name->answered_ms > figures.oldest_ms)
            figures.oldest_ms = now - name->answered_ms;
    }
    return figures;
}

/* ---- life ---- */

resolver_t *resolver_new(loop_t *loop, const resolver_options_t *options, random_source_t *random,
                         void (*changed)(void *owner), void *owner)
{
    int rc = ares_library_init(ARES_LIB_INIT_ALL); /* counted by c-ares */
    assert(rc == ARES_SUCCESS);
    resolver_t *resolver = calloc(1, sizeof(*resolver));
    assert(resolver != NULL);
    *resolver =
        (resolver_t){.loop = loop, .options = *options, .random = random, .changed = changed, .owner = owner};
    list_init(&resolver->names);
    list_init(&resolver->watches);
    channel_open(resolver);
    return resolver;
}

void resolver_free(resolver_t **resolver)
{
    resolver_t *r = *resolver;
    *resolver = NULL;
    if (r == NULL)
        return;
    resolver_set(r, NULL, 0);
    channel_close(r); /* calls back for pending queries, which frees their names */
    assert(r->querying == 0);
    deadline_clear(&r->timer);
    loop_undefer(&r->notify);
    ares_library_cleanup();
    free(r);
}
