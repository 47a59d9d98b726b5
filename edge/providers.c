/* See providers.h. */
#include "providers.h"

#include <assert.h>
#include <stdlib.h>

#include "fetch.h"
#include "provider_http.h"

struct providers {
    loop_t *loop;
    boxes_t *boxes;
    fetcher_t *fetcher;
    provider_t *http; /* NULL: no control plane */
};

void providers_set_conf(providers_t *providers, const conf_t *conf)
{
    bool http = conf->control_plane.url[0] != '\0';
    if (http && providers->http == NULL) {
        providers->http = provider_http_new(providers->loop, providers->fetcher, conf,
                                            &boxes_provider_handlers, providers->boxes);
        boxes_set_provider(providers->boxes, PROVIDER_HTTP, providers->http);
    } else if (!http && providers->http != NULL) {
        boxes_set_provider(providers->boxes, PROVIDER_HTTP, NULL);
        providers->http->free(providers->http);
        providers->http = NULL;
    }
}

providers_t *providers_new(loop_t *loop, const conf_t *conf, boxes_t *boxes)
{
    providers_t *providers = calloc(1, sizeof(*providers));
    assert(providers != NULL);
    *providers = (providers_t){.loop = loop, .boxes = boxes, .fetcher = fetcher_new(loop)};
    providers_set_conf(providers, conf);
    return providers;
}

void providers_free(providers_t **providers)
{
    providers_t *p = *providers;
    *providers = NULL;
    if (p == NULL)
        return;
    if (p->http != NULL)
        p->http->free(p->http);
    fetcher_free(&p->fetcher);
    free(p);
}

bool providers_push(providers_t *providers, const control_box_t *box)
{
    if (providers->http == NULL)
        return false;
    provider_http_push(providers->http, box);
    return true;
}
