/* Describes the allowed values of a key, for messages and the reference. */
#include <assert.h>
#include <stdio.h>

#include "conf_keys.h"
#include "conf_log.h"
#include "conf_value.h"

static void print_bounds(const conf_key_t *key, char out[CONF_ALLOWED_MAX])
{
    char min[32];
    char max[32];
    if (key->type == CONF_SIZE) {
        conf_value_print_size(key->min, min);
        conf_value_print_size(key->max, max);
        snprintf(out, CONF_ALLOWED_MAX, "a size from %s to %s, such as %s", min, max, key->fallback);
    } else if (key->type == CONF_DURATION) {
        conf_value_print_duration(key->min, min);
        conf_value_print_duration(key->max, max);
        snprintf(out, CONF_ALLOWED_MAX, "a duration from %s to %s, such as %s", min, max, key->fallback);
    } else {
        snprintf(out, CONF_ALLOWED_MAX, "a whole number%s%s from %llu to %llu",
                 key->unit != NULL ? " of " : "", key->unit != NULL ? key->unit : "",
                 (unsigned long long)key->min, (unsigned long long)key->max);
    }
}

static const char *of_scalar(conf_type_t type)
{
    switch (type) {
    case CONF_BOOL:
        return "`true` or `false`";
    case CONF_FRACTION:
        return "a number from 0 to 1 with at most six decimals, such as 0.01";
    case CONF_PATH:
        return "a path";
    case CONF_NO_PATH:
        return "a path, or \"\" for none";
    case CONF_URL:
        return "a URL with http or https, such as https://control.example.com/v1, or \"\" for none";
    case CONF_PATTERN:
        return "a path such as /v2/box, /v2/box/{id}/exec or /v2/box/*";
    case CONF_NO_TARGET:
        return "a path such as /health, or \"\" for none";
    case CONF_NO_DOMAIN:
        return "a host name, or \"\" for none";
    case CONF_NO_NAME:
        return "a name, or \"\" for none";
    case CONF_NAME:
        return "1 to 63 letters, digits, `-`, `.` and `_`";
    case CONF_METHOD:
        return "a method such as `POST`, or `*`";
    case CONF_SHA256:
        return "64 hexadecimal digits";
    case CONF_ORIGIN:
        return "an origin such as https://app.example.com, or `*`";
    case CONF_RATE:
        return "a number and `/s`, `/min`, `/h` or `/d`, at most 1000000/s; `0` is no limit";
    case CONF_SERVER:
        return "an address or a host name, and a port, such as 10.0.0.1:8080 or api.internal:8080";
    case CONF_WORD:
        return "1 to 64 letters, digits, `-`, `.`, `_` and `/`";
    case CONF_NETWORK:
        return "a network such as 10.0.0.0/8 or fd00::/8";
    case CONF_IDLE_ACTION:
        return "`stop` or `freeze`";
    case CONF_LOG:
        return "`stdout`, `off`, `journald`, syslog://HOST[:PORT] or the path of a file";
    case CONF_NODE:
        return "1 to 64 letters, digits, `-`, `.` and `_`";
    case CONF_USER:
        return "the name of a user, or \"\"";
    case CONF_DOMAIN:
        return "a domain name of at most 189 characters, such as preview.box.example.com";
    case CONF_LISTENER_KIND:
        return "`tls`, `redirect`, `plain`, `health` or `metrics`";
    case CONF_ADDRESS:
        return "an address with a port, such as 0.0.0.0:443 or [::]:443";
    case CONF_BOX_ADDRESS:
        return "an address, with or without a port, such as 127.0.0.1, 10.0.0.5:3000 or [fd00::5]";
    case CONF_BOX_ID:
        return "1 to 57 of a-z, 0-9, `-` and `_`, the first and the last a letter or digit";
    default:
        return "a map of keys";
    }
}

/* "`a`, `b` or `c`" */
static void print_choices(const char *const *choices, char out[CONF_ALLOWED_MAX])
{
    size_t used = 0;
    for (size_t i = 0; choices[i] != NULL; i++) {
        const char *before = i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ";
        used += (size_t)snprintf(out + used, CONF_ALLOWED_MAX - used, "%s`%s`", before, choices[i]);
        assert(used < CONF_ALLOWED_MAX);
    }
}

const char *conf_keys_allowed(const conf_key_t *key, char out[CONF_ALLOWED_MAX])
{
    switch (key->type) {
    case CONF_CHOICE:
        print_choices(key->choices, out);
        break;
    case CONF_HOSTS:
        snprintf(out, CONF_ALLOWED_MAX, "a list of at most %llu host names, each once",
                 (unsigned long long)key->max);
        break;
    case CONF_UINT:
    case CONF_SIZE:
    case CONF_DURATION:
        print_bounds(key, out);
        break;
    case CONF_NETWORKS:
        snprintf(out, CONF_ALLOWED_MAX, "a list of at most %llu networks, such as 10.0.0.0/8 or fd00::/8",
                 (unsigned long long)key->max);
        break;
    case CONF_COMMAND:
        snprintf(out, CONF_ALLOWED_MAX, "a string, or a list of 1 to %llu strings, such as [npm, start]",
                 (unsigned long long)key->max);
        break;
    case CONF_ENVIRONMENT:
        snprintf(out, CONF_ALLOWED_MAX, "a list of at most %llu strings such as NAME=value",
                 (unsigned long long)key->max);
        break;
    case CONF_PORTS:
        snprintf(out, CONF_ALLOWED_MAX, "a list of %llu to %llu ports from 1 to 65535, each once",
                 (unsigned long long)key->min, (unsigned long long)key->max);
        break;
    case CONF_FIELDS:
        conf_log_print_fields(out + snprintf(out, CONF_ALLOWED_MAX, "a list of "), CONF_ALLOWED_MAX - 16);
        break;
    case CONF_MAPS:
        snprintf(out, CONF_ALLOWED_MAX, "a list of %llu to %llu maps", (unsigned long long)key->min,
                 (unsigned long long)key->max);
        break;
    default:
        snprintf(out, CONF_ALLOWED_MAX, "%s", of_scalar(key->type));
    }
    return out;
}
