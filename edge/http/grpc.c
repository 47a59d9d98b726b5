#include "grpc.h"

#include "arena.h"

/* Codes of the gRPC core. */
enum {
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

bool grpc_is_request(const request_t *request)
{
    static const str_t name = {"application/grpc", 16};
    str_t type = fields_value(&request->fields, FIELD_CONTENT_TYPE);
    if (request->version != HTTP_2 || type.n < name.n || !str_ieq(str_make(type.p, name.n), name))
        return false;
    return type.n == name.n || type.p[name.n] == '+' || type.p[name.n] == ';' || type.p[name.n] == ' ';
}

/*
 * The mapping that clients apply to an HTTP status without a grpc-status, except for 429, after which they
 * would retry although that only costs more, and for a timeout after which the call may have been executed.
 */
unsigned grpc_status_of(int status, const char *code)
{
    switch (status) {
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
    case 501:
        return GRPC_UNIMPLEMENTED;
    case 408:
        return GRPC_DEADLINE_EXCEEDED;
    case 413:
    case 429:
    case 431:
    case 507:
        return GRPC_RESOURCE_EXHAUSTED;
    case 400:
    case 500:
        return GRPC_INTERNAL;
    case 504:
        return code != NULL && str_eq(str_from(code), STR("origin_timeout")) ? GRPC_DEADLINE_EXCEEDED
                                                                             : GRPC_UNAVAILABLE;
    case 502:
    case 503:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

/* Percent-encodes all but printable ASCII, as grpc-message requires. */
static str_t encode(arena_t *pool, str_t text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_alloc(pool, text.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= ' ' && c <= '~' && c != '%') {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    return str_make(out, n);
}

void grpc_add_status(arena_t *pool, fields_t *fields, int status, const char *code, const char *sentence)
{
    fields_add(pool, fields, FIELD_OTHER, STR("grpc-status"),
               str_decimal(pool, grpc_status_of(status, code)));
    fields_add(pool, fields, FIELD_OTHER, STR("grpc-message"), encode(pool, str_from(sentence)));
}
