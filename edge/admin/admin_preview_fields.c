/*
 * The fields of a preview in a request of the admin API that makes or changes one. A missing field leaves the
 * preview as it is.
 */
#include <assert.h>

#include "admin_internal.h"
#include "preview_text.h"

/* Maximum lifetime by expires_in: ten years, in seconds. */
#define EXPIRES_IN_MAX 315360000

static const char *const host_headers[] = {
    [HOST_HEADER_PUBLIC] = "public",
    [HOST_HEADER_LOCALHOST] = "localhost",
    [HOST_HEADER_LOCALHOST_BARE] = "localhost-bare",
    [HOST_HEADER_AUTO] = "auto",
};

host_header_t admin_host_header_found(const exchange_t *ex, const store_preview_t *preview,
                                      const store_box_t *box)
{
    static const host_header_t modes[] = {[HOST_MODE_PUBLIC] = HOST_HEADER_PUBLIC,
                                          [HOST_MODE_LOCALHOST] = HOST_HEADER_LOCALHOST,
                                          [HOST_MODE_BARE] = HOST_HEADER_LOCALHOST_BARE};
    shm_t *shm = admin_of(ex)->shm;
    if (shm == NULL || !store_tries_hosts(preview, box->provider))
        return HOST_HEADER_PUBLIC;
    uint64_t key = shm_host_key(shm, str_from(preview->id), box->generation, preview->port);
    return modes[host_modes_get(shm_host_modes(shm), key)];
}

const char *admin_host_header_text(host_header_t host_header)
{
    assert(host_header <= HOST_HEADER_LAST && host_headers[host_header] != NULL);
    return host_headers[host_header];
}

static bool take_host_header(exchange_t *ex, const json_t *value, host_header_t *out)
{
    const char *text = json_string_value(value);
    if (value == NULL)
        return true;
    for (unsigned i = 0; text != NULL && i <= HOST_HEADER_LAST; i++) {
        if (host_headers[i] == NULL || strcmp(text, host_headers[i]) != 0)
            continue;
        *out = (host_header_t)i;
        return true;
    }
    admin_error(ex, 400, "bad_host_header", NULL,
                "\"host_header\" must be \"public\", \"localhost\", \"localhost-bare\" or \"auto\".");
    return false;
}

static bool take_protocol(exchange_t *ex, const json_t *value, preview_protocol_t *out)
{
    const char *text = json_string_value(value);
    bool h2c = text != NULL && strcmp(text, "h2c") == 0;
    if (value == NULL)
        return true;
    if (!h2c && (text == NULL || strcmp(text, "http1") != 0)) {
        admin_error(ex, 400, "bad_protocol", NULL, "\"protocol\" must be \"http1\" or \"h2c\".");
        return false;
    }
    *out = h2c ? PREVIEW_H2C : PREVIEW_HTTP1;
    return true;
}

static bool take_background_wakes(exchange_t *ex, const json_t *value, bool *out)
{
    const char *text = json_string_value(value);
    bool always = text != NULL && strcmp(text, "always") == 0;
    if (value == NULL)
        return true;
    if (!always && (text == NULL || strcmp(text, "once") != 0)) {
        admin_error(ex, 400, "bad_background_wakes", NULL,
                    "\"background_wakes\" must be \"once\" or \"always\".");
        return false;
    }
    *out = always;
    return true;
}

static bool take_label(exchange_t *ex, const json_t *value, store_preview_t *preview)
{
    str_t text = str_make(json_string_value(value), json_string_length(value));
    if (value == NULL)
        return true;
    if (!json_is_string(value) || !preview_label_valid(text)) {
        admin_error(ex, 400, "bad_label", NULL, "\"label\" must be printable text of at most %d bytes.",
                    STORE_LABEL_MAX);
        return false;
    }
    memset(preview->label, 0, sizeof(preview->label));
    if (text.n != 0)
        memcpy(preview->label, text.p, text.n);
    return true;
}

static bool take_expiry(exchange_t *ex, const json_t *value, uint64_t now, store_preview_t *preview)
{
    json_int_t seconds = json_integer_value(value);
    if (value == NULL)
        return true;
    if (!json_is_integer(value) || seconds < 1 || seconds > EXPIRES_IN_MAX) {
        admin_error(ex, 400, "bad_expiry", NULL, "\"expires_in\" must be a number of seconds from 1 to %d.",
                    EXPIRES_IN_MAX);
        return false;
    }
    preview->expires_at = now + (uint64_t)seconds;
    return true;
}

static bool take_origins(exchange_t *ex, const json_t *list, store_preview_t *preview)
{
    if (list == NULL)
        return true;
    bool ok = json_is_array(list);
    memset(preview->allow_origins, 0, sizeof(preview->allow_origins));
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        str_t text = str_make(json_string_value(item), json_string_length(item));
        ok = json_is_string(item) && preview_origins_add(preview->allow_origins, text);
    }
    if (!ok)
        admin_error(ex, 400, "bad_origin", NULL,
                    "\"allow_origins\" must be a list of origins such as \"https://app.example\", %d "
                    "characters in all.",
                    STORE_ORIGINS_MAX);
    return ok;
}

bool admin_take_preview_fields(exchange_t *ex, json_t *object, uint64_t now, store_preview_t *preview)
{
    return take_host_header(ex, json_object_get(object, "host_header"), &preview->host_header) &&
           take_protocol(ex, json_object_get(object, "protocol"), &preview->protocol) &&
           take_background_wakes(ex, json_object_get(object, "background_wakes"),
                                 &preview->background_wakes) &&
           take_label(ex, json_object_get(object, "label"), preview) &&
           take_expiry(ex, json_object_get(object, "expires_in"), now, preview) &&
           take_origins(ex, json_object_get(object, "allow_origins"), preview);
}

bool admin_take_credentials(exchange_t *ex, json_t *object, bool *bearer, bool *basic, bool *open)
{
    if (!admin_take_flag(ex, object, "bearer", bearer) || !admin_take_flag(ex, object, "basic", basic) ||
        !admin_take_flag(ex, object, "public", open))
        return false;
    if (*open && (*bearer || *basic)) {
        admin_error(ex, 400, "bad_field", NULL,
                    "\"public\" asks for no credentials: it excludes \"bearer\" and \"basic\".");
        return false;
    }
    return true;
}

void admin_alias_taken(exchange_t *ex, const store_preview_t *preview)
{
    admin_error(ex, 409, "alias_taken", NULL, "\"%s\" is the alias of another box.", preview->alias);
}

void admin_would_become_public(exchange_t *ex, const store_preview_t *preview)
{
    admin_error(
        ex, 409, "would_become_public", NULL,
        "Nothing was changed: the preview %s-%u asks for credentials, and this change would show it to "
        "everyone. "
        "\"bearer\" or \"basic\" (--bearer, --basic) make new ones, `boxedge preview update` keeps them, "
        "\"public\" (--public) makes it public.",
        preview->id, preview->port);
}
