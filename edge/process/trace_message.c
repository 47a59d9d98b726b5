#include "trace_message.h"

#include <assert.h>

void trace_message_put(char *field, size_t size, str_t text)
{
    size_t n = text.n < size ? text.n : size - 1;
    if (n != 0)
        memcpy(field, text.p, n);
    field[n] = '\0';
}

static bool is_text(const char *field, size_t size)
{
    return memchr(field, '\0', size) != NULL;
}

/* Hex digits: `size` - 1, or none if `may_lack`. */
static bool is_id(const char *field, size_t size, bool may_lack)
{
    if (!is_text(field, size))
        return false;
    size_t n = strspn(field, "0123456789abcdef");
    return field[n] == '\0' && (n == size - 1 || (n == 0 && may_lack));
}

static bool are_texts(const trace_message_t *m)
{
    return is_id(m->id, sizeof(m->id), false) && is_id(m->span, sizeof(m->span), false) &&
           is_id(m->parent, sizeof(m->parent), true) && is_text(m->version, sizeof(m->version)) &&
           is_text(m->request_id, sizeof(m->request_id)) && is_text(m->box, sizeof(m->box)) &&
           is_text(m->method, sizeof(m->method)) && is_text(m->code, sizeof(m->code)) &&
           is_text(m->origin, sizeof(m->origin)) && is_text(m->host, sizeof(m->host)) &&
           is_text(m->path, sizeof(m->path));
}

/* A bool of another process may have any byte. */
static bool is_bool(const bool *field)
{
    unsigned char byte;
    memcpy(&byte, field, sizeof(byte));
    return byte <= 1;
}

bool trace_message_read(str_t bytes, trace_message_t *out)
{
    if (bytes.n != sizeof(*out))
        return false;
    memcpy(out, bytes.p, sizeof(*out));
    if (!are_texts(out) || out->kind >= MEASURE_KINDS || !is_bool(&out->https) || !is_bool(&out->cut) ||
        !is_bool(&out->gone))
        return false;
    for (unsigned i = 0; i < TRACE_PHASES; i++) {
        const trace_span_t *span = &out->phases[i];
        if (!is_bool(&span->there) || !is_bool(&span->failed) || span->from_us > span->to_us ||
            span->to_us > out->took_us)
            return false;
    }
    return true;
}

const char *trace_phase_text(trace_phase_t phase)
{
    static const char *const texts[] = {
        [TRACE_ACCEPT] = "accept",     [TRACE_ACCESS] = "access",   [TRACE_WAKE] = "wake",
        [TRACE_QUEUE] = "queue",       [TRACE_CONNECT] = "connect", [TRACE_FIRST_BYTE] = "first_byte",
        [TRACE_RESPONSE] = "response",
    };
    assert(phase < TRACE_PHASES);
    return texts[phase];
}
