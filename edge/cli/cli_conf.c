#include "cli_conf.h"

#include <unistd.h>

#include "conf_environment.h"

#define DEFAULT_CONF "/etc/boxedge/boxedge.yaml"

conf_t *cli_conf_find(const char *path)
{
    static const char nothing[] = "preview_domain: preview.example\n"
                                  "listeners: [{address: \"127.0.0.1:8443\", kind: tls}]\n";
    conf_errors_t *errors = conf_errors_new();
    conf_environment_t env;
    conf_environment_read(&env);
    if (path == NULL && access(DEFAULT_CONF, R_OK) == 0)
        path = DEFAULT_CONF;
    conf_t *conf = path != NULL ? conf_load_in(&env, path, errors)
                                : conf_parse_in(&env, "defaults", str_from(nothing), errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    return conf;
}
