/*
 * The providers that the configuration asks for and that are reached by calls: made when they are asked for,
 * freed when they no longer are.
 */
#ifndef BOXEDGE_PROVIDERS_H
#define BOXEDGE_PROVIDERS_H

#include "boxes.h"
#include "conf.h"
#include "control_box.h"
#include "loop.h"

typedef struct providers providers_t;

/* `boxes` outlives it and gets the providers; `conf` is valid until providers_set_conf. */
providers_t *providers_new(loop_t *loop, const conf_t *conf, boxes_t *boxes);
void providers_free(providers_t **providers);
/* To be called after boxes_set_conf. Boxes of a provider that is no longer asked for are gone. */
void providers_set_conf(providers_t *providers, const conf_t *conf);
/* The control plane pushed a state. False where the configuration has no control plane. */
MUST_USE bool providers_push(providers_t *providers, const control_box_t *box);

#endif
