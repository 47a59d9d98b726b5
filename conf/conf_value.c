#include "conf_value.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "box_id.h"
#include "conf_bind.h"
#include "conf_errors.h"
#include "conf_log.h"
#include "conf_net.h"

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit_t;

/* Descending, so that printing takes the largest that fits. */
static const unit_t durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const unit_t sizes[] = {{"TiB", UINT64_C(1) << 40},
                               {"GiB", UINT64_C(1) << 30},
                               {"MiB", UINT64_C(1) << 20},
                               {"KiB", UINT64_C(1) << 10},
                               {"", 1}};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c)
{
    return is_digit(c) || (str_lower(c) >= 'a' && str_lower(c) <= 'z');
}

/* "<digits><unit>"; spaces between them are allowed. */
static const char *read_unit(str_t text, const unit_t *units, size_t count, const char *no_unit,
                             uint64_t *out)
{
    size_t digits = 0;
    while (digits < text.n && is_digit(text.p[digits]))
        digits++;
    str_t suffix = str_trim(str_from_offset(text, digits));
    if (digits == 0)
        return "does not begin with a whole number";
    if (suffix.n != 0 && suffix.p[0] == '.')
        return "has a fraction (write a whole number of a smaller unit)";
    uint64_t number;
    if (!str_to_uint(str_make(text.p, digits), UINT64_MAX, &number))
        return "is too large";
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(suffix, str_from(units[i].name)))
            continue;
        if (number > UINT64_MAX / units[i].factor)
            return "is too large";
        *out = number * units[i].factor;
        return NULL;
    }
    if (suffix.n == 0 && number == 0) {
        *out = 0;
        return NULL;
    }
    return suffix.n == 0 ? no_unit : "has an unknown unit";
}

const char *conf_value_size(str_t text, uint64_t *bytes)
{
    return read_unit(text, sizes, COUNT(sizes), "", bytes);
}

const char *conf_value_duration(str_t text, uint64_t *ms)
{
    return read_unit(text, durations, COUNT(durations), "has no unit", ms);
}

const char *conf_value_bool(str_t text, bool *out)
{
    bool yes = str_eq(text, STR("true"));
    if (!yes && !str_eq(text, STR("false")))
        return "is not true or false";
    *out = yes;
    return NULL;
}

const char *conf_value_domain(str_t text, char lower[CONF_DOMAIN_MAX + 1])
{
    char host[CONF_HOST_MAX + 1];
    if (text.n > CONF_DOMAIN_MAX + 1 || (text.n == CONF_DOMAIN_MAX + 1 && text.p[text.n - 1] != '.'))
        return "is too long: a label of 63 characters before it must fit into the 253 of a host name";
    const char *why = conf_value_host(text, host);
    if (why == NULL)
        memcpy(lower, host, strlen(host) + 1);
    return why;
}

const char *conf_value_host(str_t text, char lower[CONF_HOST_MAX + 1])
{
    if (text.n != 0 && text.p[text.n - 1] == '.')
        text.n--;
    if (text.n == 0)
        return "is empty";
    if (text.n > CONF_HOST_MAX)
        return "is too long";
    size_t label = 0;   /* characters of the label so far */
    bool number = true; /* all of them are digits */
    for (size_t i = 0; i <= text.n; i++) {
        char c = i < text.n ? text.p[i] : '.';
        if (c != '.') {
            if (!is_alphanumeric(c) && c != '-')
                return "has a character that is not allowed in host names (write other alphabets as xn--)";
            if (c == '-' && label == 0)
                return "has a label that begins with a dash";
            lower[i] = str_lower(c);
            number = number && is_digit(c);
            label++;
            continue;
        }
        if (label == 0 || label > 63)
            return "has a label that is not 1 to 63 characters long";
        if (text.p[i - 1] == '-')
            return "has a label that ends with a dash";
        if (i == text.n && number)
            return "ends with a number, as an address does";
        lower[i] = i < text.n ? '.' : '\0';
        label = 0;
        number = true;
    }
    return NULL;
}

const char *conf_value_node(str_t text)
{
    if (text.n == 0)
        return "is empty";
    if (text.n > CONF_NODE_MAX)
        return "is too long";
    for (size_t i = 0; i < text.n; i++)
        if (!is_alphanumeric(text.p[i]) && memchr("-._", text.p[i], 3) == NULL)
            return "has a character other than letters, digits, \"-\", \".\" and \"_\"";
    return NULL;
}

static const char *read_user(str_t text)
{
    if (text.n > CONF_USER_MAX)
        return "is too long";
    if (text.n != 0 && text.p[0] == '-')
        return "begins with a dash";
    for (size_t i = 0; i < text.n; i++)
        if (!is_alphanumeric(text.p[i]) && memchr("-._", text.p[i], 3) == NULL)
            return "has a character other than letters, digits, \"-\", \".\" and \"_\"";
    return NULL;
}

static void set_string(void *field, char *value)
{
    char *before;
    memcpy(&before, field, sizeof(before));
    free(before);
    memcpy(field, &value, sizeof(value));
}

static const char *set_path(str_t text, const char *dir, void *field)
{
    if (text.n == 0)
        return "is empty";
    size_t dir_len = text.p[0] == '/' ? 0 : strlen(dir);
    if (dir_len + 1 + text.n >= PATH_MAX)
        return "is too long";
    char path[PATH_MAX];
    if (text.p[0] == '/')
        snprintf(path, sizeof(path), "%.*s", STR_ARG(text));
    else
        snprintf(path, sizeof(path), "%s%s%.*s", dir, dir_len == 1 && dir[0] == '/' ? "" : "/",
                 STR_ARG(text));
    set_string(field, conf_copy(str_from(path)));
    return NULL;
}

static const char *set_domain(str_t text, void *field)
{
    char lower[CONF_DOMAIN_MAX + 1];
    const char *why = conf_value_domain(text, lower);
    if (why == NULL)
        set_string(field, conf_copy(str_from(lower)));
    return why;
}

static const char *set_box_id(const conf_key_t *key, str_t text, void *field)
{
    if (!box_id_valid(text))
        return "is not a box id";
    assert(key->width > BOX_ID_MAX);
    memcpy(field, text.p, text.n);
    ((char *)field)[text.n] = '\0';
    return NULL;
}

static const char *set_idle_action(str_t text, void *field)
{
    bool freeze = str_eq(text, STR("freeze"));
    if (!freeze && !str_eq(text, STR("stop")))
        return "is neither stop nor freeze";
    *(conf_idle_action_t *)field = freeze ? CONF_IDLE_FREEZE : CONF_IDLE_STOP;
    return NULL;
}

static const char *read_word(str_t text)
{
    if (text.n == 0)
        return "is empty";
    if (text.n > CONF_NODE_MAX)
        return "is too long";
    for (size_t i = 0; i < text.n; i++)
        if (!is_alphanumeric(text.p[i]) && memchr("-._/", text.p[i], 4) == NULL)
            return "has a character other than letters, digits, \"-\", \".\", \"_\" and \"/\"";
    return NULL;
}

static const char *read_url(str_t text)
{
    str_t scheme = str_starts(text, STR("https://")) ? STR("https://") : STR("http://");
    if (!str_starts(text, scheme))
        return "does not begin with http:// or https://";
    if (text.n > CONF_URL_MAX)
        return "is too long";
    str_t rest = str_from_offset(text, scheme.n);
    if (rest.n == 0 || rest.p[0] == '/')
        return "has no host";
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] == '@')
            return "contains a user; a URL takes no password";
        if (rest.p[i] == '?' || rest.p[i] == '#')
            return "has a query or a fragment";
        if (!is_alphanumeric(rest.p[i]) && memchr("-._~%!$&'()*+,;=:/[]", rest.p[i], 20) == NULL)
            return "has a character that is not allowed in URLs";
    }
    return rest.p[rest.n - 1] == '/' ? "ends with a slash" : NULL;
}

const char *conf_value_string(str_t text)
{
    if (text.n > CONF_STRING_MAX)
        return "is too long";
    return memchr(text.p, '\0', text.n) != NULL ? "has a NUL in it" : NULL;
}

const char *conf_value_variable(str_t text)
{
    size_t name = 0;
    while (name < text.n && (is_alphanumeric(text.p[name]) || text.p[name] == '_'))
        name++;
    if (name == 0 || is_digit(text.p[0]))
        return "does not begin with a name of letters, digits and \"_\"";
    if (name == text.n || text.p[name] != '=')
        return "has no \"=\" after its name";
    return conf_value_string(text);
}

static const char *set_network(str_t text, void *field)
{
    conf_network_t *network = field;
    const char *why = conf_net_read_network(text, network);
    if (why != NULL)
        network->bits = CONF_NETWORK_UNREAD;
    return why;
}

static const char *set_kind(str_t text, void *field)
{
    static const char *const names[] = {[CONF_LISTENER_TLS] = "tls",
                                        [CONF_LISTENER_REDIRECT] = "redirect",
                                        [CONF_LISTENER_PLAIN] = "plain",
                                        [CONF_LISTENER_HEALTH] = "health",
                                        [CONF_LISTENER_METRICS] = "metrics"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (str_eq(text, str_from(names[i]))) {
            *(conf_listener_kind_t *)field = (conf_listener_kind_t)i;
            return NULL;
        }
    }
    return "is not a kind of listener";
}

static const char *set_number(const conf_key_t *key, uint64_t value, void *field)
{
    if (value < key->min)
        return "is too small";
    if (value > key->max)
        return "is too large";
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;
    switch (key->width) {
    case sizeof(u16):
        assert(key->max <= UINT16_MAX);
        memcpy(field, &u16, sizeof(u16));
        return NULL;
    case sizeof(u32):
        assert(key->max <= UINT32_MAX);
        memcpy(field, &u32, sizeof(u32));
        return NULL;
    default:
        assert(key->width == sizeof(value));
        memcpy(field, &value, sizeof(value));
        return NULL;
    }
}

static const char *set_name(str_t text, void *field)
{
    const char *why = conf_value_node(text);
    if (why != NULL)
        return why;
    if (text.n > CONF_NAME_MAX)
        return "is too long";
    memcpy(field, text.p, text.n);
    ((char *)field)[text.n] = '\0';
    return NULL;
}

static const char *read_target(str_t text)
{
    if (text.n == 0 || text.p[0] != '/')
        return "does not begin with a slash";
    if (text.n > CONF_URL_MAX)
        return "is too long";
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] >= 0x7f || text.p[i] == '#')
            return "has a character that is not allowed in paths";
    return NULL;
}

static const char *read_pattern(str_t text)
{
    const char *why = read_target(text);
    return why != NULL ? why : conf_value_pattern(text);
}

/* RFC 6454 section 6.2, as browsers write it. */
static const char *read_origin(str_t text)
{
    static const str_t schemes[] = {{"https://", 8}, {"http://", 7}};
    if (str_eq(text, STR("*")))
        return NULL;
    str_t host = str_make(NULL, 0);
    for (size_t i = 0; i < COUNT(schemes); i++)
        if (str_starts(text, schemes[i]))
            host = str_from_offset(text, schemes[i].n);
    if (host.n == 0 || text.n > 255)
        return "is not an origin: http:// or https:// and a host";
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (c >= 'A' && c <= 'Z')
            return "has capitals";
        if (c <= ' ' || c >= 0x7f || strchr("/?#*@,\"\\", c) != NULL)
            return "has more than a scheme, a host and a port";
    }
    return NULL;
}

static const char *set_method(str_t text, void *field)
{
    if (text.n == 0 || text.n > 15)
        return "is not 1 to 15 characters long";
    for (size_t i = 0; i < text.n; i++)
        if ((text.p[i] < 'A' || text.p[i] > 'Z') && !(text.p[i] == '*' && text.n == 1))
            return "is neither a method in capitals nor \"*\"";
    memcpy(field, text.p, text.n);
    ((char *)field)[text.n] = '\0';
    return NULL;
}

static const char *set_sha256(str_t text, void *field)
{
    uint8_t bytes[32] = {0};
    if (text.n != 2 * sizeof(bytes))
        return "is not 64 hexadecimal digits long";
    for (size_t i = 0; i < text.n; i++) {
        int digit = str_hex_value(text.p[i]);
        if (digit < 0)
            return "has a character that is not a hexadecimal digit";
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | digit);
    }
    memcpy(field, bytes, sizeof(bytes));
    return NULL;
}

/* "10/s": units and their period; "0" is no limit. */
static const char *set_rate(str_t text, void *field)
{
    static const unit_t periods[] = {{"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    const uint64_t fastest = 1000000; /* a second */
    const char *slash = memchr(text.p, '/', text.n);
    str_t digits = slash != NULL ? str_make(text.p, (size_t)(slash - text.p)) : text;
    uint64_t rate[2] = {0, 1000};
    if (!str_to_uint(digits, UINT64_MAX, &rate[0]))
        return "does not begin with a whole number";
    if (slash == NULL && rate[0] != 0)
        return "has no unit";
    if (slash != NULL) {
        str_t unit = str_from_offset(text, digits.n + 1);
        size_t i = 0;
        while (i < COUNT(periods) && !str_eq(unit, str_from(periods[i].name)))
            i++;
        if (i == COUNT(periods))
            return "has an unknown unit";
        rate[1] = periods[i].factor;
        if (rate[0] == 0)
            return "is never (write 0 for no limit)";
        if (rate[0] > fastest * (rate[1] / 1000))
            return "is more than 1000000/s";
    }
    memcpy(field, rate, sizeof(rate));
    return NULL;
}

static const char *set_server(str_t text, void *field)
{
    conf_server_t *server = field;
    conf_address_t address;
    char host[CONF_HOST_MAX + 1];
    if (conf_net_read_address(text, true, &address) == NULL) {
        bool v6 = text.p[0] == '[';
        const char *end = v6 ? memchr(text.p, ']', text.n) : memrchr(text.p, ':', text.n);
        str_t literal = str_make(text.p + v6, (size_t)(end - text.p) - v6);
        set_string(&server->host, conf_copy(literal));
        server->port = conf_net_port(&address);
        conf_net_print(&address, server->text);
        return NULL;
    }
    const char *colon = text.n != 0 ? memrchr(text.p, ':', text.n) : NULL;
    uint64_t port;
    if (colon == NULL)
        return "has no port";
    str_t digits = str_from_offset(text, (size_t)(colon - text.p) + 1);
    if (digits.n == 0 || digits.p[0] == '0' || !str_to_uint(digits, UINT16_MAX, &port))
        return "has a port that is not a number from 1 to 65535";
    const char *why = conf_value_host(str_make(text.p, (size_t)(colon - text.p)), host);
    if (why != NULL)
        return why;
    set_string(&server->host, conf_copy(str_from(host)));
    server->port = (uint16_t)port;
    size_t n = strlen(host);
    assert(n + 1 + digits.n < sizeof(server->text));
    memcpy(server->text, host, n);
    server->text[n] = ':';
    memcpy(server->text + n + 1, digits.p, digits.n);
    server->text[n + 1 + digits.n] = '\0';
    return NULL;
}

static const char *set_choice(const conf_key_t *key, str_t text, void *field)
{
    assert(key->width == sizeof(int));
    for (int i = 0; key->choices[i] != NULL; i++) {
        if (!str_eq(text, str_from(key->choices[i])))
            continue;
        memcpy(field, &i, sizeof(i));
        return NULL;
    }
    return "is none of the choices";
}

static const char *set_host(str_t text, void *field)
{
    char lower[CONF_HOST_MAX + 1] = "";
    const char *why = text.n == 0 ? NULL : conf_value_host(text, lower);
    if (why == NULL)
        set_string(field, conf_copy(str_from(lower)));
    return why;
}

static const char *set_scalar_number(const conf_key_t *key, str_t text, void *field)
{
    uint64_t value = 0;
    const char *why = NULL;
    if (key->type == CONF_SIZE)
        why = conf_value_size(text, &value);
    else if (key->type == CONF_DURATION)
        why = conf_value_duration(text, &value);
    else if (!str_to_uint(text, UINT64_MAX, &value))
        why = "is not a whole number";
    return why != NULL ? why : set_number(key, value, field);
}

static const char *set_address(const conf_key_t *key, str_t text, void *field)
{
    conf_address_t address;
    const char *why = conf_net_read_address(text, key->type == CONF_ADDRESS, &address);
    if (why == NULL)
        *(conf_address_t *)field = address;
    return why;
}

static const char *set_checked_string(str_t text, const char *why, void *field)
{
    if (why == NULL)
        set_string(field, conf_copy(text));
    return why;
}

const char *conf_value_set(const conf_key_t *key, str_t text, const char *dir, void *field)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return "has a control character";
    switch (key->type) {
    case CONF_UINT:
    case CONF_DURATION:
    case CONF_SIZE:
        return set_scalar_number(key, text, field);
    case CONF_BOOL:
        return conf_value_bool(text, field);
    case CONF_FRACTION:
        return conf_value_fraction(text, field);
    case CONF_PATH:
        return set_path(text, dir, field);
    case CONF_LOG:
        return conf_log_kind(text) == CONF_LOG_FILE && conf_log_refusal(text) == NULL
                   ? set_path(text, dir, field)
                   : set_checked_string(text, conf_log_refusal(text), field);
    case CONF_NO_PATH:
        return text.n == 0 ? set_checked_string(text, NULL, field) : set_path(text, dir, field);
    case CONF_URL:
        return set_checked_string(text, text.n == 0 ? NULL : read_url(text), field);
    case CONF_WORD:
        return set_checked_string(text, read_word(text), field);
    case CONF_PATTERN:
        return set_checked_string(text, read_pattern(text), field);
    case CONF_NO_TARGET:
        return set_checked_string(text, text.n == 0 ? NULL : read_target(text), field);
    case CONF_NO_DOMAIN:
        return set_host(text, field);
    case CONF_NO_NAME:
        return set_checked_string(text, text.n == 0 ? NULL : conf_value_node(text), field);
    case CONF_NAME:
        return set_name(text, field);
    case CONF_METHOD:
        return set_method(text, field);
    case CONF_SHA256:
        return set_sha256(text, field);
    case CONF_ORIGIN:
        return set_checked_string(text, read_origin(text), field);
    case CONF_RATE:
        return set_rate(text, field);
    case CONF_SERVER:
        return set_server(text, field);
    case CONF_CHOICE:
        return set_choice(key, text, field);
    case CONF_IDLE_ACTION:
        return set_idle_action(text, field);
    case CONF_NETWORK:
        return set_network(text, field);
    case CONF_NODE:
        return set_checked_string(text, conf_value_node(text), field);
    case CONF_USER:
        return set_checked_string(text, read_user(text), field);
    case CONF_DOMAIN:
        return set_domain(text, field);
    case CONF_LISTENER_KIND:
        return set_kind(text, field);
    case CONF_ADDRESS:
    case CONF_BOX_ADDRESS:
        return set_address(key, text, field);
    case CONF_BOX_ID:
        return set_box_id(key, text, field);
    case CONF_SECTION:
    case CONF_COMMAND:
    case CONF_ENVIRONMENT:
    case CONF_PORTS:
    case CONF_HOSTS:
    case CONF_NETWORKS:
    case CONF_FIELDS:
    case CONF_MAPS:
        break;
    }
    assert(false); /* lists and sections are no scalars */
    return NULL;
}

static void print_unit(uint64_t value, const unit_t *units, size_t count, char out[32])
{
    size_t i = 0;
    while (i + 1 < count && (value < units[i].factor || value % units[i].factor != 0))
        i++;
    snprintf(out, 32, "%llu%s", (unsigned long long)(value / units[i].factor), units[i].name);
}

void conf_value_print_size(uint64_t bytes, char out[32])
{
    print_unit(bytes, sizes, COUNT(sizes), out);
}

void conf_value_print_duration(uint64_t ms, char out[32])
{
    print_unit(ms, durations, COUNT(durations), out);
}
