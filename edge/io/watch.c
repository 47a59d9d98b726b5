/* See watch.h. */
#include "watch.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

#include "alloc.h"
#include "list.h"
#include "loop_internal.h"

struct watch {
    list_t link;
    h2o_socket_t *sock; /* on the duplicate, which it owns */
    int fd;             /* the library's */
    bool want_write;
    bool armed; /* a write notification is pending and cannot be cancelled */
    watch_ready_t ready;
    void *owner;
};

static void on_writable(h2o_socket_t *sock, const char *err);

static void arm(watch_t *watch)
{
    if (watch->armed || !watch->want_write)
        return;
    watch->armed = true;
    h2o_socket_notify_write(watch->sock, on_writable);
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    (void)err; /* the socket does not read, so it reports no error */
    watch_t *watch = sock->data;
    watch->ready(watch->owner, watch->fd, WATCH_READ);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    (void)err;
    watch_t *watch = sock->data;
    watch->armed = false;
    if (!watch->want_write)
        return;
    arm(watch); /* first, because the callback may free the watch */
    watch->ready(watch->owner, watch->fd, WATCH_WRITE);
}

watch_t *watch_new(loop_t *loop, list_t *list, int fd, watch_ready_t ready, void *owner)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return NULL;
    watch_t *watch = mem_alloc(sizeof(*watch));
    *watch = (watch_t){.fd = fd, .ready = ready, .owner = owner};
    watch->sock = h2o_evloop_socket_create(loop_evloop(loop), copy, H2O_SOCKET_FLAG_DONT_READ);
    watch->sock->data = watch;
    list_insert(list, &watch->link);
    return watch;
}

void watch_set(watch_t *watch, unsigned what)
{
    assert((what & ~(WATCH_READ | WATCH_WRITE)) == 0);
    if ((what & WATCH_READ) != 0)
        h2o_socket_read_start(watch->sock, on_readable);
    else
        h2o_socket_read_stop(watch->sock);
    watch->want_write = (what & WATCH_WRITE) != 0;
    arm(watch);
}

void watch_free(watch_t **watch)
{
    watch_t *w = *watch;
    *watch = NULL;
    list_unlink(&w->link);
    h2o_socket_read_stop(w->sock);
    h2o_socket_close(w->sock);
    free(w);
}

watch_t *watch_find(const list_t *list, int fd)
{
    for (list_t *at = list->next; at != list; at = at->next) {
        watch_t *watch = CONTAINER_OF(watch_t, link, at);
        if (watch->fd == fd)
            return watch;
    }
    return NULL;
}

void watch_free_all(list_t *list)
{
    while (!list_is_empty(list)) {
        watch_t *watch = CONTAINER_OF(watch_t, link, list->next);
        watch_free(&watch);
    }
}
