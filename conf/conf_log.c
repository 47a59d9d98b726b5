#include "conf_log.h"

#include <stdio.h>

#include "conf_net.h"
#include "conf_value.h"

_Static_assert(CONF_LOG_HOST_MAX == CONF_HOST_MAX, "room for each name");

conf_log_kind_t conf_log_kind(str_t text)
{
    if (str_eq(text, STR("off")))
        return CONF_LOG_OFF;
    if (str_eq(text, STR("stdout")))
        return CONF_LOG_STDOUT;
    if (str_eq(text, STR("journald")))
        return CONF_LOG_JOURNALD;
    return str_starts(text, STR(CONF_SYSLOG)) ? CONF_LOG_SYSLOG : CONF_LOG_FILE;
}

const char *conf_log_server(str_t text, char host[CONF_LOG_HOST_MAX + 1], uint16_t *port)
{
    conf_address_t address;
    uint64_t number = CONF_SYSLOG_PORT;
    text = str_from_offset(text, sizeof(CONF_SYSLOG) - 1);
    const char *end = text.n != 0 ? memrchr(text.p, text.p[0] == '[' ? ']' : ':', text.n) : NULL;
    str_t name = end != NULL ? str_make(text.p, (size_t)(end - text.p)) : text;
    if (conf_net_read_address(text, false, &address) == NULL) {
        if (name.p[0] == '[')
            name = str_from_offset(name, 1);
        memcpy(host, name.p, name.n);
        host[name.n] = '\0';
        *port = conf_net_port(&address) != 0 ? conf_net_port(&address) : CONF_SYSLOG_PORT;
        return NULL;
    }
    if (end != NULL) {
        str_t digits = str_from_offset(text, name.n + 1);
        if (digits.n == 0 || digits.p[0] == '0' || !str_to_uint(digits, UINT16_MAX, &number))
            return "has a port that is not a number from 1 to 65535";
    }
    *port = (uint16_t)number;
    return conf_value_host(name, host);
}

/* "journal" or "syslog:/h" would make a file where nobody looks for it. */
static bool is_path(str_t text)
{
    for (size_t i = 0; i < text.n && text.p[i] != ':'; i++)
        if (text.p[i] == '/' || text.p[i] == '.')
            return true;
    return false;
}

const char *conf_log_refusal(str_t text)
{
    char host[CONF_LOG_HOST_MAX + 1];
    uint16_t port;
    conf_log_kind_t kind = conf_log_kind(text);
    if (kind == CONF_LOG_SYSLOG)
        return conf_log_server(text, host, &port);
    bool refused = kind == CONF_LOG_FILE && text.n != 0 && !is_path(text);
    return refused ? "is neither a destination nor a path (./ before a name makes it one)" : NULL;
}

access_fields_t conf_log_fields(const conf_t *conf)
{
    access_fields_t fields = 0;
    for (size_t i = 0; i < conf->log_field_count; i++)
        fields |= ACCESS_FIELD_BIT(conf->log_fields[i]);
    return conf->log_field_count != 0 ? fields : ACCESS_FIELDS_ALL;
}

const char *conf_log_set_field(str_t name, uint8_t *fields, size_t i)
{
    access_field_t field = access_field_find(name, ACCESS_FIELD_TIME);
    if (field == ACCESS_FIELD_COUNT)
        return "is not a field of the access log";
    for (size_t j = 0; j < i; j++)
        if (fields[j] == (uint8_t)field)
            return "is given twice";
    fields[i] = (uint8_t)field;
    return NULL;
}

void conf_log_print_fields(char *out, size_t room)
{
    size_t used = 0;
    for (unsigned i = 0; i < ACCESS_FIELD_COUNT && used < room; i++) {
        str_t name = access_field_name((access_field_t)i);
        used += (size_t)snprintf(out + used, room - used, "%s`%.*s`", i != 0 ? ", " : "", STR_ARG(name));
    }
}
