/* See verdict.h. */
#include "verdict.h"

#include <assert.h>

#include "credentials.h"

/* Added to a preview's version: failures of embedded requests. */
#define EMBEDDED_FAILURES (UINT64_C(1) << 63)

static bool matches(str_t secret, const uint8_t *sha256)
{
    return sha256 != NULL && secret_matches(secret, sha256);
}

/* The name under which the lockout counts failures. */
static uint64_t name_of(const verdict_guard_t *guard)
{
    assert((guard->preview & EMBEDDED_FAILURES) == 0);
    return guard->preview | (guard->embedded ? EMBEDDED_FAILURES : 0);
}

/* Milliseconds until the lockout ends; 0: not locked out. */
static uint32_t locked_for(const verdict_guard_t *guard)
{
    if (guard->lockout == NULL)
        return 0;
    uint32_t left = lockout_left(guard->lockout, guard->client, guard->preview, guard->now_ms);
    return left != 0 || !guard->embedded
               ? left
               : lockout_left(guard->lockout, guard->client, name_of(guard), guard->now_ms);
}

static void note_failure(const verdict_guard_t *guard, str_t secret)
{
    uint8_t hash[32];
    if (guard->lockout == NULL)
        return;
    secret_hash(secret, hash);
    lockout_failed(guard->lockout, guard->client, name_of(guard), hash, guard->now_ms);
}

secret_check_t secret_check(const verdict_guard_t *guard, str_t secret, const uint8_t *sha256,
                            unsigned *retry_after)
{
    uint32_t left = locked_for(guard);
    if (left != 0) {
        *retry_after = (left + 999) / 1000;
        return SECRET_LOCKED;
    }
    if (matches(secret, sha256))
        return SECRET_RIGHT;
    note_failure(guard, secret);
    if (guard->lockouts != NULL && locked_for(guard) != 0)
        atomic_fetch_add_explicit(guard->lockouts, 1, memory_order_relaxed);
    return SECRET_WRONG;
}

static const uint8_t *of_authorization(const verdict_shown_t *shown, const verdict_secrets_t *secrets)
{
    return shown->basic ? secrets->basic : secrets->bearer;
}

verdict_t verdict_of_session(const verdict_shown_t *shown, const verdict_secrets_t *secrets,
                             const browser_request_t *browser, str_t own, str_t allowed)
{
    if (shown->authorization.n != 0 && matches(shown->authorization, of_authorization(shown, secrets)))
        return (verdict_t){.kind = VERDICT_PASS, .own_authorization = true, .by_secret = true};
    if (shown->token.n != 0 && matches(shown->token, secrets->bearer))
        return (verdict_t){.kind = VERDICT_PASS, .by_secret = true};
    if (shown->query.n != 0) /* only a token that matches renews the session */
        return (verdict_t){.kind =
                               matches(shown->query, secrets->bearer) ? VERDICT_SIGN_IN : VERDICT_DROP_TOKEN};
    return (verdict_t){.kind = browser_cookie_suffices(browser, own, allowed) ? VERDICT_PASS
                                                                              : VERDICT_CROSS_SITE};
}

/* X-Preview-Token, then Authorization. With a right token, an Authorization belongs to the app unless it
 * matches too. */
static secret_check_t check_fields(const verdict_shown_t *shown, const verdict_secrets_t *secrets,
                                   const verdict_guard_t *guard, verdict_t *verdict)
{
    const uint8_t *sha256 = of_authorization(shown, secrets);
    secret_check_t result = SECRET_WRONG;
    if (shown->token.n != 0)
        result = secret_check(guard, shown->token, secrets->bearer, &verdict->retry_after);
    if (shown->authorization.n == 0 || result == SECRET_LOCKED)
        return result;
    if (result == SECRET_RIGHT) {
        verdict->own_authorization = matches(shown->authorization, sha256);
        return result;
    }
    result = secret_check(guard, shown->authorization, sha256, &verdict->retry_after);
    verdict->own_authorization = result == SECRET_RIGHT;
    return result;
}

verdict_t verdict_of_secrets(const verdict_shown_t *shown, const verdict_secrets_t *secrets,
                             const verdict_guard_t *guard)
{
    static const verdict_kind_t kinds[] = {
        [SECRET_RIGHT] = VERDICT_PASS, [SECRET_WRONG] = VERDICT_WRONG, [SECRET_LOCKED] = VERDICT_LOCKED};
    verdict_t verdict = {.kind = VERDICT_MISSING};
    if (shown->token.n != 0 || shown->authorization.n != 0)
        verdict.kind = kinds[check_fields(shown, secrets, guard, &verdict)];
    verdict.by_secret = verdict.kind == VERDICT_PASS;
    if (shown->query.n == 0 || (verdict.kind != VERDICT_MISSING && verdict.kind != VERDICT_WRONG))
        return verdict;
    secret_check_t result = secret_check(guard, shown->query, secrets->bearer, &verdict.retry_after);
    verdict.kind = result == SECRET_RIGHT ? VERDICT_SIGN_IN : kinds[result];
    return verdict;
}
