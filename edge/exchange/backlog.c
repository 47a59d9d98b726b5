/*
 * See backlog.h. One list, sorted by the time of the next look: all intervals are equal, so a new entry goes
 * to the end. The timer runs while the list has entries.
 */
#include "backlog.h"

#include <assert.h>
#include <stdlib.h>

#include "list.h"

struct backlogs {
    loop_t *loop;
    list_t list; /* backlog_t.link; earliest due first */
    loop_timer_t timer;
};

static void set_counted(backlog_t *backlog, uint32_t now)
{
    account_move_kernel(backlog->account, backlog->counted, now);
    backlog->counted = now;
}

static void look(backlog_t *backlog)
{
    size_t held = conn_kernel_bytes(backlog->conn);
    set_counted(backlog, held < UINT32_MAX ? (uint32_t)held : UINT32_MAX);
}

static void put_last(backlog_t *backlog)
{
    backlog->due_ms = loop_now(backlog->all->loop) + BACKLOG_STILL_MS;
    list_insert(&backlog->all->list, &backlog->link);
}

static void on_tick(loop_timer_t *timer)
{
    backlogs_t *all = CONTAINER_OF(backlogs_t, timer, timer);
    uint64_t now = loop_now(all->loop);
    for (unsigned looks = 0; looks < BACKLOG_LOOKS && !list_is_empty(&all->list); looks++) {
        backlog_t *backlog = CONTAINER_OF(backlog_t, link, all->list.next);
        if (backlog->due_ms > now)
            break;
        list_unlink(&backlog->link);
        put_last(backlog);
        backlog->look(backlog);
    }
    if (!list_is_empty(&all->list))
        loop_timer_start(all->loop, timer, BACKLOG_TICK_MS, on_tick);
}

backlogs_t *backlogs_new(loop_t *loop)
{
    backlogs_t *all = calloc(1, sizeof(*all));
    assert(all != NULL);
    all->loop = loop;
    list_init(&all->list);
    return all;
}

void backlogs_free(backlogs_t **all)
{
    if (*all == NULL)
        return;
    assert(list_is_empty(&(*all)->list));
    loop_timer_stop(&(*all)->timer);
    free(*all);
    *all = NULL;
}

static void begin(backlog_t *backlog)
{
    backlogs_t *all = backlog->all;
    put_last(backlog);
    if (!loop_timer_running(&all->timer))
        loop_timer_start(all->loop, &all->timer, BACKLOG_TICK_MS, on_tick);
}

void backlog_watch(backlogs_t *all, backlog_t *backlog, const conn_t *conn, account_t *account)
{
    if (all == NULL)
        return;
    backlog_end(backlog);
    *backlog = (backlog_t){.all = all, .look = look, .conn = conn, .account = account};
    begin(backlog);
}

void backlog_watch_by(backlogs_t *all, backlog_t *backlog, void (*look_at)(backlog_t *backlog))
{
    if (all == NULL)
        return;
    backlog_end(backlog);
    *backlog = (backlog_t){.all = all, .look = look_at};
    begin(backlog);
}

void backlog_end(backlog_t *backlog)
{
    if (!backlog_watched(backlog))
        return;
    if (backlog->account != NULL)
        set_counted(backlog, 0);
    list_unlink(&backlog->link);
}
