#include "target.h"

#include <assert.h>

#include "address.h"
#include "context.h"
#include "http1_client.h"
#include "http2_client.h"
#include "process_log.h"
#include "shm.h"

/* Formats the target for the access line. */
static void name_origin(exchange_t *ex)
{
    char address[INET6_ADDRSTRLEN];
    str_t text = address_text(&ex->target.address, address);
    str_t digits = str_decimal(&ex->arena, ex->target.connect_port);
    bool v6 = memchr(text.p, ':', text.n) != NULL;
    char *at = ex->origin_text;
    assert(text.n + digits.n + 4 <= sizeof(ex->origin_text));
    if (v6)
        *at++ = '[';
    at = (char *)mempcpy(at, text.p, text.n);
    if (v6)
        *at++ = ']';
    *at++ = ':';
    at = (char *)mempcpy(at, digits.p, digits.n);
    *at = '\0';
}

/* With auto: the mode that worked for this generation of the box, unless the exchange tries one itself. */
static void choose_host(exchange_t *ex)
{
    shm_t *shm = ex->context->shm;
    host_header_t asked = ex->preview->host_header;
    if ((asked != HOST_HEADER_DEFAULT && asked != HOST_HEADER_AUTO) || ex->tries_host || shm == NULL ||
        !store_tries_hosts(ex->preview, ex->box.provider))
        return;
    uint64_t key = shm_host_key(shm, str_from(ex->box.id), ex->box.generation, ex->preview->port);
    ex->asks_again = !ex->request.has_body;
    ex->host_mode = host_modes_get(shm_host_modes(shm), key);
}

void target_box(exchange_t *ex)
{
    ex->target = (origin_target_t){
        .name = str_from(ex->box.id),
        .generation = ex->box.generation,
        .port = ex->preview->port,
        .connect_port = ex->box.fixed_port != 0 ? ex->box.fixed_port : ex->preview->port,
        .address = ex->box.address,
        .is_box = true,
        .h2 = ex->preview->protocol == PREVIEW_H2C,
        .first_byte_ms = ex->context->conf->timeouts.first_byte,
    };
    name_origin(ex);
    choose_host(ex);
}

bool target_other_loopback(exchange_t *ex)
{
    static const struct in6_addr v4 = {{{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}};
    origin_target_t *target = &ex->target;
    bool is_v4 = memcmp(&target->address, &v4, sizeof(v4)) == 0;
    if (!target->is_box || ex->box.provider != PROVIDER_STATIC ||
        !(is_v4 || IN6_IS_ADDR_LOOPBACK(&target->address)))
        return false;
    target->turned = !target->turned; /* if it refused a second time: back to the box's own address */
    target->address = is_v4 ? in6addr_loopback : v4;
    name_origin(ex);
    return target->turned;
}

void target_box_again(exchange_t *ex, const store_box_t *now, uint64_t epoch)
{
    ex->box = *now;
    ex->box_epoch = epoch;
    ex->sent_again = true;
    target_box(ex);
}

void target_server(exchange_t *ex, const conf_t *conf, origin_tls_t *tls, size_t upstream,
                   const balance_pick_t *pick, bool (*elsewhere)(exchange_t *ex, const resend_facts_t *facts))
{
    const conf_upstream_t *from = &conf->upstreams[upstream];
    ex->target = (origin_target_t){
        .name = from->tls && tls != NULL ? origin_tls_pool(tls, upstream) : str_from(from->pool),
        .generation = pick->generation,
        .port = pick->port,
        .connect_port = pick->port,
        .address = pick->address,
        .h2 = from->protocol == CONF_PROTOCOL_H2,
        .tls = from->tls,
        .pool_after_body = from->pool_after_body,
        .upstream = (uint16_t)upstream,
        .server = pick->index,
        .first_byte_ms = from->first_byte,
        .elsewhere = elsewhere,
        .origin_tls = tls,
    };
    name_origin(ex);
}

bool target_tls(exchange_t *ex, SSL **ssl)
{
    const origin_target_t *target = &ex->target;
    *ssl = NULL;
    if (!target->tls)
        return true;
    if (target->origin_tls != NULL)
        *ssl = origin_tls_make(target->origin_tls, target->upstream, target->server);
    return *ssl != NULL;
}

void target_tls_failed(context_t *context, SSL *ssl, char reason[TARGET_TLS_REASON_MAX])
{
    char process[24];
    if (!origin_tls_failed(ssl, loop_now(context->loop), reason, TARGET_TLS_REASON_MAX))
        return;
    snprintf(process, sizeof(process), "worker %u", context->index);
    process_log(LOG_SERVER_TLS_FAILED, process, "no TLS with a server of the API: %s", reason);
}

void target_start(exchange_t *ex)
{
    if (ex->target.h2)
        http2_client_start(ex);
    else
        http1_client_start(ex);
}
