#include "fault_log.h"

#include <stdio.h>

#include "address.h"
#include "client.h"
#include "context.h"
#include "exchange.h"
#include "process_log.h"

bool fault_log_take(fault_log_t *log, uint64_t now_ms, unsigned *left_out)
{
    if (log->lines == 0 || now_ms - log->window_ms >= FAULT_WINDOW_MS) {
        log->window_ms = now_ms;
        log->lines = 0;
    }
    if (log->lines == FAULT_LINES) {
        log->left_out++;
        return false;
    }
    log->lines++;
    *left_out = log->left_out;
    log->left_out = 0;
    return true;
}

/* The sender of the faulty message. */
static void name_culprit(const exchange_t *ex, bool of_app, char *out, size_t room)
{
    char address[INET6_ADDRSTRLEN];
    str_t client = address_text(remote_address(ex), address);
    if (!of_app)
        (void)snprintf(out, room, "a request of %.*s", STR_ARG(client));
    else if (ex->target.is_box)
        (void)snprintf(out, room, "the answer of box %s, port %u", ex->preview->id, ex->preview->port);
    else
        (void)snprintf(out, room, "the answer of server %s", ex->origin_text);
}

/* Logs one line if `log` allows it. */
static void log_fault(context_t *context, fault_log_t *log, const char *culprit, const fault_t *fault,
                      const char *more)
{
    char process[24], quoted[FAULT_TEXT] = "", byte[24] = "", suppressed[48] = "";
    unsigned left_out;
    if (!fault_log_take(log, loop_now(context->loop), &left_out))
        return;
    if (fault->bytes.n != 0)
        fault_quote(fault->bytes, quoted);
    if (fault->has_byte)
        (void)snprintf(byte, sizeof(byte), ", byte 0x%02x", fault->byte);
    if (left_out != 0)
        (void)snprintf(suppressed, sizeof(suppressed), " (%u similar lines suppressed)", left_out);
    (void)snprintf(process, sizeof(process), "worker %u", context->index);
    process_log(LOG_HTTP_FAULT, process, "%s: %s%s%s%s%s%s", culprit, fault->reason, more,
                quoted[0] != '\0' ? " In " : "", quoted, byte, suppressed);
}

void fault_report(exchange_t *ex, const fault_t *fault, bool of_app)
{
    context_t *context = ex->context;
    char culprit[160], line[sizeof(culprit) + sizeof(ex->request_id) + 4];
    ex->detail = fault->reason;
    name_culprit(ex, of_app, culprit, sizeof(culprit));
    (void)snprintf(line, sizeof(line), "%s (%s)", culprit, ex->request_id);
    log_fault(context, of_app ? &context->app_faults : &context->client_faults, line, fault, "");
}

void fault_report_connection(const client_t *client, fault_log_t *log, const char *kind, const char *end,
                             const fault_t *fault, const char *more)
{
    char address[INET6_ADDRSTRLEN], culprit[160];
    str_t text = address_text(&client->address, address);
    (void)snprintf(culprit, sizeof(culprit), "%s of %.*s %s", kind, STR_ARG(text), end);
    log_fault(client->context, log, culprit, fault, more);
}
