/*
 * POST /upload of the demo app: counts and hashes the body as it comes, and never keeps it.
 */
#include <assert.h>

#include <openssl/evp.h>

#include "arena.h"
#include "demo_internal.h"
#include "step.h"

typedef struct upload {
    EVP_MD_CTX *hash;
    uint64_t bytes;
    bool complete;
} upload_t;

static size_t upload_room(const exchange_t *ex)
{
    (void)ex;
    return EXCHANGE_BODY_BYTES;
}

static void upload_body(exchange_t *ex, str_t data)
{
    upload_t *upload = ex->origin;
    upload->bytes += data.n;
    int ok = EVP_DigestUpdate(upload->hash, data.p, data.n);
    assert(ok == 1);
}

static void upload_end(exchange_t *ex)
{
    upload_t *upload = ex->origin;
    upload->complete = true;
}

static void upload_release(exchange_t *ex)
{
    upload_t *upload = ex->origin;
    EVP_MD_CTX_free(upload->hash);
    upload->hash = NULL;
    ex->origin = NULL;
}

static void answer(exchange_t *ex)
{
    const upload_t *upload = ex->origin;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int ok = EVP_DigestFinal_ex(upload->hash, digest, &len);
    assert(ok == 1 && len == 32);
    char hex[2 * 32 + 1];
    for (unsigned i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    str_t body = str_format(&ex->arena, "{\"bytes\":%llu,\"sha256\":\"%s\"}\n",
                            (unsigned long long)upload->bytes, hex);
    ex->origin_ops = NULL;
    upload_release(ex);
    exchange_reply(ex, 200, STR("application/json"), NULL, body);
}

static void upload_flush(exchange_t *ex)
{
    const upload_t *upload = ex->origin;
    if (upload->complete)
        answer(ex);
}

static void upload_resume(exchange_t *ex)
{
    (void)ex; /* exchange_reply sends the answer */
}

static const origin_ops_t upload_ops = {
    .room = upload_room,
    .send_body = upload_body,
    .send_end = upload_end,
    .flush = upload_flush,
    .resume_response = upload_resume,
    .cancel = upload_release,
};

void demo_upload(exchange_t *ex)
{
    assert(ex->origin_ops == NULL);
    upload_t *upload = arena_alloc(&ex->arena, sizeof *upload);
    *upload = (upload_t){.hash = EVP_MD_CTX_new(), .complete = !ex->request.has_body};
    assert(upload->hash != NULL);
    int ok = EVP_DigestInit_ex(upload->hash, EVP_sha256(), NULL);
    assert(ok == 1);
    ex->origin_ops = &upload_ops;
    ex->origin = upload;
    exchange_to_origin(ex);
    upload_flush(ex);
}
