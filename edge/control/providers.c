#include "providers.h"

#include <assert.h>
#include <stdlib.h>

#include "fetch.h"
#include "provider_docker.h"
#include "provider_http.h"

struct providers {
    loop_t *loop;
    boxes_t *boxes;
    fetcher_t *fetcher;
    provider_t *docker; /* NULL: no container engine */
    provider_t *http;   /* NULL: no control plane */
};

typedef provider_t *(*make_t)(loop_t *loop, fetcher_t *fetcher, const conf_t *conf,
                              const provider_handlers_t *handlers, void *owner);

static void set_provider(providers_t *providers, const conf_t *conf, bool wanted, box_provider_t kind,
                         make_t make, provider_t **provider)
{
    if (wanted && *provider == NULL) {
        *provider =
            make(providers->loop, providers->fetcher, conf, &boxes_provider_handlers, providers->boxes);
        boxes_set_provider(providers->boxes, kind, *provider);
    } else if (!wanted && *provider != NULL) {
        boxes_set_provider(providers->boxes, kind, NULL);
        (*provider)->free(*provider);
        *provider = NULL;
    }
}

void providers_set_conf(providers_t *providers, const conf_t *conf)
{
    set_provider(providers, conf, conf->docker.socket[0] != '\0', PROVIDER_DOCKER, provider_docker_new,
                 &providers->docker);
    set_provider(providers, conf, conf->control_plane.url[0] != '\0', PROVIDER_HTTP, provider_http_new,
                 &providers->http);
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
    if (p->docker != NULL)
        p->docker->free(p->docker);
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
