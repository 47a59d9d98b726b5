/* Regular changes of the store: session cookies get a new key each day, and previews are deleted once they
 * have been expired for an hour. */
#include <assert.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "controller.h"
#include "process_log.h"

#define ROTATE_SECONDS 86400

static void make_key(uint8_t key[32])
{
    int made = RAND_bytes(key, 32);
    assert(made == 1);
}

store_result_t controller_rotate_cookie_keys(store_t *store, uint64_t now_unix, wall_span_t span,
                                             bool *rotated, bool *lost)
{
    store_cookie_keys_t keys = {.rotated_at = 0};
    *rotated = false;
    store_result_t result = store_get_cookie_keys(store, &keys);
    *lost = result == STORE_FAILED && store_bad_record(store);
    if (result == STORE_FAILED && !*lost)
        return result;
    /* A clock that was set back must not keep keys forever. One that jumps and comes back must not replace
     * both keys, which would end all sessions. */
    bool fresh = keys.rotated_at <= span.latest &&
                 (span.earliest < keys.rotated_at || span.earliest - keys.rotated_at < ROTATE_SECONDS);
    if (result == STORE_OK && fresh)
        return STORE_OK;
    if (result == STORE_OK)
        memcpy(keys.previous, keys.current, sizeof(keys.previous));
    else
        make_key(
            keys.previous); /* a first key, or an unreadable record: the previous key must be a secret too */
    make_key(keys.current);
    keys.rotated_at = now_unix;
    result = store_put_cookie_keys(store, &keys);
    OPENSSL_cleanse(&keys, sizeof(keys));
    *rotated = result == STORE_OK;
    return result;
}

bool controller_refresh_cookie_keys(store_t *store, uint64_t now_unix, wall_span_t span)
{
    bool rotated, lost;
    store_result_t result = controller_rotate_cookie_keys(store, now_unix, span, &rotated, &lost);
    if (result != STORE_OK && !store_in_trouble(store))
        process_log(LOG_STORE_CHANGE_FAILED, "controller",
                    "the keys of session cookies cannot be recorded: %s", store_error(store));
    else if (result == STORE_OK && lost)
        process_log(LOG_COOKIE_KEYS_NEW, "controller",
                    "the keys of session cookies were damaged, and new ones replace them: "
                    "every session of a browser has ended");
    return rotated;
}

void controller_look_at_clock(wall_clock_t *clock, const loop_t *loop)
{
    long long jump_s = wall_clock_note(clock, loop_now(loop), loop_wall_us(loop));
    if (jump_s != 0)
        process_log(LOG_CLOCK_JUMPED, "controller",
                    "the wall clock jumped %lld s %s; expired previews are hidden at once, and deleted only "
                    "after an hour",
                    jump_s > 0 ? jump_s : -jump_s, jump_s > 0 ? "ahead" : "back");
}

/* The result of one piece of a walk. */
typedef struct piece {
    uint64_t until;
    controller_sweep_t *sweep;
    size_t looked_at;
    size_t count;
    store_change_t changes[CONTROLLER_SWEEP_MAX];
} piece_t;

static bool look(const store_preview_t *preview, void *arg)
{
    piece_t *piece = arg;
    if (piece->looked_at == CONTROLLER_SWEEP_MAX) {
        memcpy(piece->sweep->id, preview->id, sizeof(preview->id));
        piece->sweep->port = preview->port;
        piece->sweep->done = false;
        return false;
    }
    piece->looked_at++;
    if (preview->expires_at != 0 && preview->expires_at <= piece->until)
        piece->changes[piece->count++] = (store_change_t){.remove = true, .preview = *preview};
    return true;
}

store_result_t controller_sweep(store_t *store, uint64_t until, controller_sweep_t *sweep, bool *deleted)
{
    assert(!sweep->done);
    controller_sweep_t from = *sweep;
    piece_t *piece = calloc(1, sizeof *piece);
    assert(piece != NULL);
    piece->until = until;
    piece->sweep = sweep;
    sweep->done = true; /* unless more follow */
    *deleted = false;
    store_result_t result = store_each_preview_from(store, str_from(from.id), from.port, false, look, piece);
    if (result == STORE_OK && piece->count != 0) {
        result = store_apply(store, piece->changes, piece->count);
        *deleted = result == STORE_OK;
    }
    free(piece);
    return result;
}
