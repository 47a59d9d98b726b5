#include "exchange_measure.h"

#include <assert.h>

#include "client.h"

measure_kind_t exchange_kind(const exchange_t *ex)
{
    switch (ex->client->kind) {
    case CONF_LISTENER_REDIRECT:
        return MEASURE_REDIRECT;
    case CONF_LISTENER_HEALTH:
    case CONF_LISTENER_METRICS:
        return MEASURE_HEALTH;
    case CONF_LISTENER_TLS:
    case CONF_LISTENER_PLAIN:
        break;
    }
    if (ex->api != NULL)
        return MEASURE_API;
    return ex->routed ? MEASURE_PREVIEW : MEASURE_NONE;
}

measure_protocol_t exchange_protocol(const exchange_t *ex)
{
    return ex->request.version == HTTP_2 ? MEASURE_H2 : MEASURE_H1;
}

static void measure_code(const exchange_t *ex)
{
    unsigned code = error_code_find(ex->local_code);
#ifdef BOXEDGE_ASAN
    assert(code != ERROR_CODE_OTHER); /* error_code.h lacks it */
#endif
    counter_add(&exchange_measures(ex)->codes[code], 1);
}

void exchange_measure(const exchange_t *ex)
{
    const exchange_times_t *times = &ex->times;
    if (times->end_us == 0 || ex->internal || ex->client->local)
        return;
    measures_t *measures = exchange_measures(ex);
    measure_kind_t kind = exchange_kind(ex);
    measure_protocol_t protocol = exchange_protocol(ex);
    counter_add(&measures->statuses[kind][protocol][measure_status(ex->status)], 1);
    counter_add(&measures->listeners[ex->client->listener].counts[MEASURE_LISTENER_REQUESTS], 1);
    if (ex->status != 101) /* a tunnel lasts as long as its ends want */
        histogram_add(&measures->duration[kind][protocol], times->end_us - times->start_us);
    if (times->first_byte_us != 0)
        histogram_add(&measures->first_byte[kind][protocol], times->first_byte_us);
    if (ex->local_code != NULL)
        measure_code(ex);
}
