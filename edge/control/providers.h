/*
 * The configured providers that are reached by calls, docker and http: made and freed as the configuration
 * changes.
 */
#ifndef BOXEDGE_PROVIDERS_H
#define BOXEDGE_PROVIDERS_H

#include "boxes.h"
#include "conf.h"
#include "control_box.h"
#include "loop.h"

typedef struct providers providers_t;

/* `boxes` must outlive it and gets the providers; `conf` must be valid until providers_set_conf. */
providers_t *providers_new(loop_t *loop, const conf_t *conf, boxes_t *boxes);
void providers_free(providers_t **providers);
/* Call after boxes_set_conf. The boxes of a removed provider are gone. */
void providers_set_conf(providers_t *providers, const conf_t *conf);
/* The control plane pushed a state. False if the configuration has no control plane. */
MUST_USE bool providers_push(providers_t *providers, const control_box_t *box);

#endif
