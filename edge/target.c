#include "target.h"

#include <assert.h>

#include "address.h"
#include "http1_client.h"
#include "http2_client.h"
#include "worker.h"

/* For the access line. */
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

void target_box(exchange_t *ex)
{
    ex->target = (origin_target_t){
        .name = str_from(ex->box.id),
        .generation = ex->box.generation,
        .port = ex->preview.port,
        .connect_port = ex->box.fixed_port != 0 ? ex->box.fixed_port : ex->preview.port,
        .address = ex->box.address,
        .is_box = true,
        .h2 = ex->preview.protocol == PREVIEW_H2C,
        .first_byte_ms = ex->worker->conf->timeouts.first_byte,
    };
    name_origin(ex);
}

void target_server(exchange_t *ex, const conf_t *conf, size_t upstream, const balance_pick_t *pick)
{
    const conf_upstream_t *from = &conf->upstreams[upstream];
    ex->target = (origin_target_t){
        .name = str_from(from->pool),
        .generation = pick->generation,
        .port = pick->port,
        .connect_port = pick->port,
        .address = pick->address,
        .h2 = from->protocol == CONF_PROTOCOL_H2,
        .tls = from->tls,
        .upstream = (uint16_t)upstream,
        .server = pick->index,
        .first_byte_ms = from->first_byte,
    };
    name_origin(ex);
}

void target_start(exchange_t *ex)
{
    if (ex->target.h2)
        http2_client_start(ex);
    else
        http1_client_start(ex);
}
