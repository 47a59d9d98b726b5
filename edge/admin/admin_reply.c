/*
 * Answers of the admin API: always JSON, never cached.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>

#include <openssl/crypto.h>

#include "admin_internal.h"

#include "arena.h"

/* Maximum bytes of a sentence. */
#define SENTENCE_BYTES 512

/* A text that is cleansed when the exchange's arena is freed. */
typedef struct fleeting {
    size_t n;
    char text[];
} fleeting_t;

static void cleanse(void *memory)
{
    fleeting_t *fleeting = memory;
    OPENSSL_cleanse(fleeting->text, fleeting->n);
}

static str_t cleansed_later(exchange_t *ex, str_t text)
{
    fleeting_t *fleeting = arena_alloc_shared(&ex->arena, sizeof(*fleeting) + text.n, cleanse);
    fleeting->n = text.n;
    memcpy(fleeting->text, text.p, text.n);
    return str_make(fleeting->text, text.n);
}

static void reply(exchange_t *ex, int status, fields_t *fields, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    assert(text != NULL);
    json_decref(body);
    size_t n = strlen(text);
    text[n++] = '\n'; /* in place of the NUL */
    str_t copy = cleansed_later(ex, str_make(text, n));
    OPENSSL_cleanse(text, n);
    free(text);
    fields_add(&ex->arena, fields, FIELD_OTHER, STR("cache-control"), STR("no-store"));
    exchange_reply(ex, status, STR("application/json"), fields, copy);
}

void admin_reply(exchange_t *ex, int status, json_t *body)
{
    fields_t fields = {0};
    reply(ex, status, &fields, body);
}

void admin_error(exchange_t *ex, int status, const char *code, const char *allow, const char *format, ...)
{
    char sentence[SENTENCE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    assert(n > 0);
    for (char *c = sentence; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?'; /* a path or a message of the system may not be UTF-8 */
    json_t *body = json_pack("{s:s,s:s,s:s}", "error", sentence, "code", code, "request_id", ex->request_id);
    assert(body != NULL);
    fields_t fields = {0};
    if (allow != NULL)
        fields_add(&ex->arena, &fields, FIELD_OTHER, STR("allow"), str_from(allow));
    ex->local_code = code;
    reply(ex, status, &fields, body);
}

void admin_store_error(exchange_t *ex, store_result_t result, const char *why)
{
    assert(result == STORE_FULL || result == STORE_FAILED);
    if (result == STORE_FULL)
        admin_error(ex, 507, "store_full", NULL, "Nothing was changed: %s.",
                    why[0] != '\0' ? why
                                   : "the store is full: delete what is not needed, or raise store.map_size "
                                     "and restart the edge");
    else
        admin_error(ex, 503, "store_failed", NULL, "The store cannot be used: %s",
                    why[0] != '\0' ? why : "see the edge's own log");
}

const char *admin_disk_text(int error)
{
    if (error == 0)
        return "";
    if (error == EUCLEAN)
        return "it is damaged: nothing is changed (`boxedge store check` lists all faults, `boxedge store "
               "restore "
               "DIR` puts a backup in its place)";
    return error == ENOSPC ? "the disk is full" : strerror(error);
}

long admin_peer_uid(const exchange_t *ex)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(conn_fd(ex->client->conn), SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return -1;
    return (long)peer.uid;
}
