/* Ranges of addresses: "10.0.0.0/8", "::1", "192.168.1.0/24". */
#ifndef SERVE_CIDR_H
#define SERVE_CIDR_H

#include <stdbool.h>

typedef struct cidr {
    unsigned char bytes[16]; /* an IPv4 address as ::ffff:a.b.c.d */
    int bits;                /* of them that count, [0, 128] */
} cidr;

/* False: it is none. */
bool cidr_parse(const char *text, cidr *out);
/* address: numeric; anything else is in no range. */
bool cidr_has(const cidr *range, const char *address);

/* Who may come: this machine's own addresses, and those of the ranges. */
bool cidr_allows(const cidr *ranges, int count, const char *address);

#endif
