#include "store.h"

static bool has(const uint16_t *ports, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++)
        if (ports[i] == port)
            return true;
    return false;
}

bool store_box_exposes(const store_box_t *box, uint16_t port)
{
    return box->port_count == 0 || has(box->ports, box->port_count, port);
}

bool store_box_listens(const store_box_t *box, uint16_t port)
{
    return has(box->listening, box->listening_count, port);
}

bool store_box_ready(const store_box_t *box, uint16_t port, uint64_t now_ms)
{
    if (box->state != BOX_RUNNING || box->doubted)
        return false;
    bool settles = now_ms < box->settles_at_ms && box->settles_at_ms - now_ms <= STORE_BOX_SETTLES_MAX_MS;
    return !settles || store_box_listens(box, port);
}

uint32_t store_box_start_ms(const store_box_t *box, uint32_t usual)
{
    return box->start_ms != 0 ? box->start_ms : usual;
}

const char *store_provider_name(box_provider_t provider)
{
    static const char *const names[] = {[PROVIDER_STATIC] = "static",
                                        [PROVIDER_PROCESS] = "process",
                                        [PROVIDER_DOCKER] = "docker",
                                        [PROVIDER_HTTP] = "http"};
    return names[provider];
}

bool store_keeps_log(box_provider_t provider)
{
    return provider == PROVIDER_PROCESS || provider == PROVIDER_DOCKER;
}

host_header_t store_host_header(const store_preview_t *preview, box_provider_t provider)
{
    bool is_private = preview->bearer || preview->basic;
    if (preview->host_header != HOST_HEADER_DEFAULT)
        return preview->host_header;
    return is_private && (provider == PROVIDER_PROCESS || provider == PROVIDER_DOCKER) ? HOST_HEADER_AUTO
                                                                                       : HOST_HEADER_PUBLIC;
}

bool store_tries_hosts(const store_preview_t *preview, box_provider_t provider)
{
    return (preview->bearer || preview->basic) && store_host_header(preview, provider) == HOST_HEADER_AUTO;
}
