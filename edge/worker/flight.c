#include "flight.h"

#include <string.h>

#include "client.h"
#include "flights.h"
#include "target_text.h"
#include "worker.h"

static size_t copy(char *to, size_t most, str_t text)
{
    size_t n = text.n < most ? text.n : most;
    if (n != 0)
        memcpy(to, text.p, n);
    return n;
}

void flight_begin(exchange_t *ex)
{
    flights_t *flights = worker_of(ex->context)->flights;
    const request_t *request = &ex->request;
    flight_t *flight;
    if (flights == NULL || ex->client->local)
        return;
    ex->flight = flights_take(flights, &flight);
    if (flight == NULL)
        return;
    flight->client = *remote_address(ex);
    flight->version = (uint8_t)request->version;
    flight->https = remote_is_https(ex);
    flight->listener = (uint8_t)ex->client->kind;
    flight->api = false;
    flight->box[0] = '\0';
    memcpy(flight->id, ex->request_id, FLIGHT_ID_BYTES);
    flight->method_n = (uint8_t)copy(flight->method, FLIGHT_METHOD_BYTES, request->method);
    flight->host_n = (uint8_t)copy(flight->host, FLIGHT_HOST_BYTES, request->authority);
    size_t path_len = target_text_copy(request->target, flight->path, FLIGHT_PATH_BYTES);
    flight->path_n = (uint16_t)(path_len <= FLIGHT_PATH_BYTES ? path_len : FLIGHT_PATH_BYTES + 1);
    atomic_store_explicit(&flight->wall_us, ex->times.wall_us, memory_order_release);
}

void flight_end(exchange_t *ex)
{
    if (ex->flight == 0)
        return;
    flights_give(worker_of(ex->context)->flights, ex->flight);
    ex->flight = 0;
}
