/*
 * Configurations for tests: parsed in an environment that is always the same, errors as text.
 */
#ifndef BOXEDGE_CONF_FIXTURE_H
#define BOXEDGE_CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "conf_environment.h"

/* The minimum of a file: two lines. */
#define BASE "preview_domain: p.example\nlisteners: [{address: \"127.0.0.1:8443\", kind: tls}]\n"

conf_environment_t fixture_environment(void);

/* The output of conf_errors_print; the caller frees it. */
char *fixture_print(const conf_errors_t *errors);

/* Parses a copy of exactly that size, so that the sanitizer sees a read beyond it. *printed is the caller's.
 */
conf_t *fixture_parse_in(const conf_environment_t *env, str_t text, char **printed);

/* The configuration of `text`, which must cause neither errors nor warnings. */
conf_t *fixture_good(const char *text);
void fixture_expect_in(const conf_environment_t *env, const char *text, bool good, const char *wanted);

/* `text` is refused with exactly these lines. */
void fixture_bad(const char *text, const char *wanted);

/* `text` is taken with exactly these warnings. */
void fixture_doubtful(const char *text, const char *wanted);

#endif
