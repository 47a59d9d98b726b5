/*
 * The figures of this edge as a whole for the metrics, in the shared segment. The supervisor measures the
 * queues, since a worker that hangs would not report its own. See supervisor_internal.h.
 */
#include "supervisor_internal.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static void put(_Atomic uint64_t *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

/* ---- queues ---- */

/* Of a listening socket, the kernel gives the length of its queue and its maximum in these two (tcp(7)). */
static bool queue_of(int fd, uint64_t *length, uint64_t *limit)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    *length = info.tcpi_unacked;
    *limit = info.tcpi_sacked;
    return true;
}

static void measure_queue(const listener_address_t *address, uint64_t id, shm_queue_t *cell)
{
    uint64_t longest = 0, longest_limit = 0, length, limit;
    for (unsigned worker = 0; worker < address->count; worker++)
        if (queue_of(address->fds[worker], &length, &limit) && (length >= longest || longest_limit == 0)) {
            longest = length;
            longest_limit = limit;
        }
    put(&cell->length, longest);
    put(&cell->limit, longest_limit);
    put(&cell->id, id);
}

static void measure_queues(const supervisor_t *s)
{
    const conf_t *conf = s->snapshot->conf;
    size_t count = s->listeners != NULL ? s->listeners->count : 0;
    for (size_t i = 0; i < SHM_QUEUES_MAX; i++) {
        if (i < count && i < conf->listener_count)
            measure_queue(&s->listeners->at[i], conf->listeners[i].id, shm_queue(s->shm, (unsigned)i));
        else
            put(&shm_queue(s->shm, (unsigned)i)->id, 0);
    }
}

/* ---- processes ---- */

void facts_turn(supervisor_t *s, uint64_t now_ms)
{
    shm_facts_t *own = shm_facts(s->shm);
    if (s->facts.cells == NULL)
        process_facts_open(&s->facts, &own->supervisor);
    process_facts_turn(&s->facts, now_ms);
    if (now_ms < s->facts_due_ms)
        return;
    s->facts_due_ms = now_ms + PROCESS_FACTS_MS;
    if (s->logger.pid > 0)
        process_facts_look(s->logger.pid, &own->logger);
    else
        process_facts_wipe(&own->logger);
    measure_queues(s);
}

/* ---- the configuration in force ---- */

static void note_certificate(const tls_pem_t *pem, shm_certificate_t *cell)
{
    uint64_t expires_s, words[SHM_NAME_WORDS] = {0};
    char name[sizeof(words)] = "";
    if (!tls_pem_facts(pem, &expires_s, name, sizeof(name)))
        expires_s = 0;
    memcpy(words, name, sizeof(words));
    for (size_t i = 0; i < SHM_NAME_WORDS; i++)
        put(&cell->name[i], words[i]);
    put(&cell->expires_s, expires_s);
}

void facts_loaded(supervisor_t *s, bool took_effect)
{
    shm_facts_t *own = shm_facts(s->shm);
    uint64_t now_s = (uint64_t)time(NULL);
    put(&own->load_s, now_s);
    put(&own->load_failed, !took_effect);
    if (!took_effect)
        return;
    put(&own->loaded_s, now_s);
    size_t count =
        s->snapshot->pem_count < SHM_CERTIFICATES_MAX ? s->snapshot->pem_count : SHM_CERTIFICATES_MAX;
    for (size_t i = 0; i < count; i++)
        note_certificate(&s->snapshot->pems[i], shm_certificate(s->shm, (unsigned)i));
    put(shm_certificate_count(s->shm), count);
}
