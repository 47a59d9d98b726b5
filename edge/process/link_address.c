#include "link_address.h"

#include <assert.h>
#include <stdio.h>

void link_address(const conf_t *conf, const store_link_t *link, str_t host_id, const char *secret,
                  char out[LINK_URL_MAX])
{
    char id[LINK_ID_DIGITS + 1], host[2 * BOX_ID_MAX], port[8] = "";
    bool hidden = link->alias[0] != '\0';
    link_id_text(link->id, id);
    int n = hidden ? snprintf(host, sizeof(host), "%s", link->alias)
                   : snprintf(host, sizeof(host), "%.*s-%u", STR_ARG(host_id), link->port);
    assert(n > 0 && (size_t)n < sizeof(host));
    if (conf->public_port != 443)
        (void)snprintf(port, sizeof(port), ":%u", conf->public_port);
    n = snprintf(out, LINK_URL_MAX, "https://%s.%s%s" LINK_PATH "?key=%s.%s", host, conf->preview_domain,
                 port, id, secret);
    assert(n > 0 && n < LINK_URL_MAX);
}
