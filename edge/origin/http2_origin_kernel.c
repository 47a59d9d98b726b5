/*
 * Accounting of the bytes that the kernel holds for a connection whose origin takes none (backlog.h). Each
 * request counts a share in proportion to the bytes that it has sent. The box counts the rest, left behind by
 * ended requests.
 *
 * A connection is stalled between two checks if both find CONN_LITTLE_BYTES or more, and the origin's kernel
 * has taken less than that in between. Writes by the edge prove nothing: a queue with room takes bytes in any
 * case. A stalled connection without a request is reset.
 */
#include "http2_client_internal.h"
#include "list.h"

static void set_part(http2_client_t *client, uint32_t now)
{
    account_move_kernel(&client->ex->account, client->kernel, now);
    client->kernel = now;
}

static void set_rest(http2_kernel_t *kernel, uint32_t now)
{
    account_move_kernel(&kernel->account, kernel->rest, now);
    kernel->rest = now;
}

static http2_client_t *client_of(list_t *link)
{
    return CONTAINER_OF(http2_client_t, link, link);
}

/* Replaces the counts by shares of `held` bytes. */
static void divide(http2_origin_t *origin, uint32_t held)
{
    list_t *clients = &origin->clients;
    uint64_t output = 0;
    uint32_t rest = held;
    for (list_t *link = clients->next; link != clients; link = link->next)
        output += client_of(link)->output;
    uint64_t whole = output > origin->kernel.untaken ? output : origin->kernel.untaken;
    for (list_t *link = clients->next; link != clients; link = link->next) {
        http2_client_t *client = client_of(link);
        uint32_t part = whole != 0 ? (uint32_t)((uint64_t)held * client->output / whole) : 0;
        set_part(client, part);
        rest -= part;
    }
    set_rest(&origin->kernel, rest);
}

void http2_origin_unwatch(http2_origin_t *origin)
{
    origin->kernel.still = false;
    origin->kernel.unwatched = 0;
    divide(origin, 0);
    backlog_end(&origin->kernel.backlog);
}

/* Reads the origin's progress from the kernel. */
static void find_taken(http2_origin_t *origin)
{
    http2_kernel_t *kernel = &origin->kernel;
    kernel->untaken = conn_untaken(origin->conn);
    kernel->taken = kernel->written - kernel->untaken; /* modulo 2^64: TLS adds bytes */
}

/* True if the origin takes none of the bytes found at the last check. */
static bool stands_still(http2_origin_t *origin)
{
    uint64_t taken = origin->kernel.taken;
    bool much = origin->kernel.untaken >= CONN_LITTLE_BYTES;
    find_taken(origin);
    return much && (int64_t)(origin->kernel.taken - taken) < CONN_LITTLE_BYTES;
}

static void give_up(http2_origin_t *origin)
{
    http2_origin_unwatch(origin);
    origin->failed = true;
    http2_origin_schedule(origin);
}

static bool has_request(const http2_origin_t *origin)
{
    return !list_is_empty(&origin->clients) || !list_is_empty(&origin->waiting);
}

static void look(backlog_t *backlog)
{
    http2_origin_t *origin = CONTAINER_OF(http2_origin_t, kernel.backlog, backlog);
    bool still = stands_still(origin);
    if (origin->kernel.untaken < CONN_LITTLE_BYTES) {
        http2_origin_unwatch(origin);
    } else if (still && !has_request(origin)) {
        give_up(origin);
    } else {
        size_t held = still ? conn_kernel_bytes(origin->conn) : 0;
        origin->kernel.still = still;
        divide(origin, held < UINT32_MAX ? (uint32_t)held : UINT32_MAX);
    }
}

void http2_origin_wrote(http2_origin_t *origin, size_t n, bool blocked)
{
    http2_kernel_t *kernel = &origin->kernel;
    if (n == 0)
        return;
    kernel->written += n;
    kernel->unwatched += n;
    if (backlog_watched(&kernel->backlog) && !blocked)
        return;
    if (kernel->unwatched < CONN_LITTLE_BYTES)
        return;
    http2_origin_unwatch(origin);
    find_taken(origin);
    backlog_watch_by(http2_origin_context(origin)->backlogs, &kernel->backlog, look);
}

void http2_origin_left(http2_origin_t *origin, http2_client_t *client)
{
    uint32_t part = client->kernel;
    set_part(client, 0);
    if (origin->kernel.still && !has_request(origin))
        give_up(origin);
    else
        set_rest(&origin->kernel, origin->kernel.rest + part);
}
