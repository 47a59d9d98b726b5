/* The address of a link, which has its secret. */
#ifndef BOXEDGE_LINK_ADDRESS_H
#define BOXEDGE_LINK_ADDRESS_H

#include "conf.h"
#include "link_make.h"

/* Two host labels' worth of a name, the path and the key, and a NUL. */
#define LINK_URL_MAX 512

/* `host_id` is that of the preview (preview_host_id). To be cleansed. */
void link_address(const conf_t *conf, const store_link_t *link, str_t host_id, const char *secret,
                  char out[LINK_URL_MAX]);

#endif
