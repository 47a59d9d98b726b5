/* Macros for the rows of the key table. Only the files with rows (conf_keys*.c) include this. */
#ifndef BOXEDGE_CONF_ROWS_H
#define BOXEDGE_CONF_ROWS_H

#include "conf_keys.h"

/* Milliseconds and bytes, the units of values. */
#define SECOND (1000u)
#define MINUTE (60u * SECOND)
#define HOUR   (60u * MINUTE)
#define DAY    (24u * HOUR)
#define KIB    (UINT64_C(1) << 10)
#define MIB    (UINT64_C(1) << 20)
#define TIB    (UINT64_C(1) << 40)

/* The location of a field. */
#define AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
/* The location of a list and its count. */
#define LIST(field, counter, element_type)                                                                   \
    .offset = offsetof(conf_t, field), .width = sizeof(((conf_t *)0)->field),                                \
    .count_offset = offsetof(conf_t, counter), .element_size = sizeof(element_type)
#define TABLE(rows)                                                                                          \
    {                                                                                                        \
        (rows), sizeof(rows) / sizeof((rows)[0])                                                             \
    }

#endif
