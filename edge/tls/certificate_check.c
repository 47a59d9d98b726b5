#include "certificate_check.h"

#include <stdio.h>

#include "conf_errors.h"

/* Maximum length of a sentence with a certificate's name. */
#define SENTENCE_BYTES 512
#define HOST_BYTES     300

typedef struct hosts {
    char preview[HOST_BYTES]; /* an example host that represents all previews */
    const conf_t *conf;
} hosts_t;

static size_t host_count(const hosts_t *hosts)
{
    return 1 + hosts->conf->api.host_count;
}

static str_t host_at(const hosts_t *hosts, size_t i)
{
    return str_from(i == 0 ? hosts->preview : hosts->conf->api.hosts[i - 1]);
}

static bool covers_any(const hosts_t *hosts, const tls_pem_t *pem)
{
    for (size_t i = 0; i < host_count(hosts); i++)
        if (tls_pem_covers(pem, host_at(hosts, i)))
            return true;
    return false;
}

static void check_one(const hosts_t *hosts, size_t i, const tls_pem_t *pem, uint64_t now_unix,
                      conf_errors_t *errors)
{
    const conf_t *conf = hosts->conf;
    const conf_certificate_t *files = &conf->certificates[i];
    char sentence[SENTENCE_BYTES] = "";
    tls_pem_result_t result = tls_pem_try(pem, sentence, sizeof(sentence));
    if (result != TLS_PEM_GOOD) {
        bool key = result == TLS_PEM_BAD_KEY;
        conf_errors_add(errors, CONF_ERROR, conf->source, key ? files->key_place : files->chain_place,
                        key ? "certificates.key" : "certificates.chain", "\"%s\": %s",
                        key ? files->key_path : files->chain_path, sentence);
        return;
    }
    if (!tls_check(pem, 1, now_unix, sentence, sizeof(sentence)))
        conf_errors_add(errors, CONF_WARNING, conf->source, files->chain_place, "certificates.chain",
                        "\"%s\": %s; clients will refuse it", files->chain_path, sentence);
    if (!covers_any(hosts, pem))
        conf_errors_add(errors, CONF_WARNING, conf->source, files->chain_place, "certificates.chain",
                        "\"%s\" covers none of the hosts of this edge", files->chain_path);
}

static void check_names(const hosts_t *hosts, const tls_pem_t *pems, conf_errors_t *errors)
{
    const conf_t *conf = hosts->conf;
    for (size_t i = 0; i < host_count(hosts); i++) {
        bool covered = false;
        for (size_t j = 0; j < conf->certificate_count; j++)
            covered = covered || tls_pem_covers(&pems[j], host_at(hosts, i));
        const char *host = i == 0 ? conf->preview_domain : conf->api.hosts[i - 1];
        if (!covered)
            conf_errors_add(errors, CONF_WARNING, conf->source, conf->certificates[0].chain_place,
                            "certificates", "none is for %s%s: requests for it over TLS get 421",
                            i == 0 ? "*." : "", host);
    }
}

void certificate_check(const conf_t *conf, const tls_pem_t *pems, uint64_t now_unix, conf_errors_t *errors)
{
    hosts_t hosts = {.conf = conf};
    size_t before = conf_errors_count(errors);
    (void)snprintf(hosts.preview, sizeof(hosts.preview), "a.%s", conf->preview_domain);
    for (size_t i = 0; i < conf->certificate_count; i++)
        check_one(&hosts, i, &pems[i], now_unix, errors);
    if (conf->certificate_count != 0 && conf_errors_count(errors) == before)
        check_names(&hosts, pems, errors);
}
