/*
 * The requests in flight of a worker, for the operator (`boxedge requests`): their list, and their end one by
 * one; and the latest access lines (`boxedge recent`). The controller asks (traffic_message.h).
 */
#ifndef BOXEDGE_REQUESTS_H
#define BOXEDGE_REQUESTS_H

#include "channel.h"
#include "exchange.h"
#include "traffic_message.h"

/* Requests that one question ends; more than one has an id only if a trusted proxy gives it to several. */
#define REQUESTS_KILL_MAX 16

/* The place where a request is: the name of the source that it waits for, of its step, or of its phase
 * ("connect", "upload", "first_byte", "response", "tunnel", "client"). */
str_t requests_state(const exchange_t *ex);

/* Answers PROCESS_TRAFFIC_ASK over `channel`. Ignores a malformed question. */
void requests_take(context_t *context, channel_t *channel, const ipc_message_t *message);

#endif
