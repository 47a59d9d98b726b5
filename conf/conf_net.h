/*
 * Addresses and networks as text and as numbers. Readers return NULL on success, else the error as
 * a part of a sentence ("has no port"). Names are never looked up. IPv6 addresses are in brackets,
 * with or without a port, to be unambiguous.
 */
#ifndef BOXEDGE_CONF_NET_H
#define BOXEDGE_CONF_NET_H

#include "conf.h"

/* "127.0.0.1:8443", "[::1]:8443"; without `port_needed` also "127.0.0.1" and "[::1]", which give
 * port 0. */
MUST_USE const char *conf_net_read_address(str_t text, bool port_needed, conf_address_t *out);
/* "10.0.0.0/8", "fd00::/8", or one address. */
MUST_USE const char *conf_net_read_network(str_t text, conf_network_t *out);
/* "10.0.0.0/8", "fd00::/8": the canonical text of a network (RFC 5952), with its length. */
void conf_net_print_network(const conf_network_t *network, char out[64]);
/* Writes the text that conf_net_read_address reads, with the port unless it is 0. */
void conf_net_print(const conf_address_t *address, char out[64]);

uint16_t conf_net_port(const conf_address_t *address);
/* 0.0.0.0 or [::]: all addresses of the machine, of that family. */
bool conf_net_is_any(const conf_address_t *address);
/* Same family, address and port. */
bool conf_net_equal(const conf_address_t *a, const conf_address_t *b);
/* Whether one socket cannot listen beside the other: they are equal, or one has all addresses of the
 * machine for the port. */
bool conf_net_overlap(const conf_address_t *a, const conf_address_t *b);
/* Returns NULL if a box may have this address, else its kind: "a link-local address". */
const char *conf_net_not_for_boxes(const conf_address_t *address);

#endif
