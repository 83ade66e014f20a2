#include "serve/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 0: no address; else bits of it: 32 or 128. */
static int parse_address(const char *text, unsigned char bytes[16]) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(AF_INET6, text, bytes) == 1) return 128;
    memcpy(bytes, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, bytes + 12) == 1 ? 32 : 0;
}

bool cidr_parse(const char *text, cidr *out) {
    char address[64];
    const char *slash = strchr(text, '/');
    const size_t size = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (size >= sizeof address) return false;
    memcpy(address, text, size);
    address[size] = '\0';
    const int width = parse_address(address, out->bytes);
    if (width == 0) return false;
    int bits = width;
    if (slash != NULL) {
        const size_t digits = strspn(slash + 1, "0123456789");
        if (digits == 0 || digits > 3 || slash[1 + digits] != '\0') return false;
        bits = atoi(slash + 1);
        if (bits > width) return false;
    }
    out->bits = bits + 128 - width;
    return true;
}

bool cidr_has(const cidr *range, const char *address) {
    unsigned char bytes[16];
    if (parse_address(address, bytes) == 0) return false;
    const size_t whole = (size_t)range->bits / 8;
    if (memcmp(range->bytes, bytes, whole) != 0) return false;
    const int left = range->bits % 8;
    return left == 0 || ((range->bytes[whole] ^ bytes[whole]) >> (8 - left)) == 0;
}

bool cidr_allows(const cidr *ranges, int count, const char *address) {
    static const char *const own[] = {"127.0.0.0/8", "::1"};
    for (int i = 0; i < 2; i++) {
        cidr range;
        if (cidr_parse(own[i], &range) && cidr_has(&range, address)) return true;
    }
    for (int i = 0; i < count; i++)
        if (cidr_has(&ranges[i], address)) return true;
    return false;
}
