#include "serve/origin.h"

#include <string.h>
#include <strings.h>

bool origin_is_loopback(const char *host) {
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcasecmp(host, "localhost") == 0 || strncmp(host, "unix:", 5) == 0;
}

/* Bytes of the name, without the port; 0: it is not a name with or without a port. */
static size_t name_size(const char *host) {
    size_t size;
    if (*host == '[') {
        const char *end = strchr(host, ']');
        if (end == NULL) return 0;
        size = (size_t)(end - host) + 1;
    } else {
        size = strcspn(host, ":");
    }
    const char *port = host + size;
    if (*port == '\0') return size;
    const size_t digits = strspn(port + 1, "0123456789");
    return *port == ':' && digits > 0 && digits < 6 && port[1 + digits] == '\0' ? size : 0;
}

static bool is(const char *host, size_t size, const char *name) {
    return strlen(name) == size && strncasecmp(host, name, size) == 0;
}

bool origin_host_allowed(const origin_rules *r, const char *host) {
    const size_t size = host != NULL ? name_size(host) : 0;
    if (size == 0) return false;
    if (r->loopback &&
        (is(host, size, "localhost") || is(host, size, "127.0.0.1") || is(host, size, "[::1]")))
        return true;
    for (int i = 0; i < r->name_count; i++)
        if (is(host, size, r->names[i])) return true;
    return false;
}

origin_verdict origin_check(const origin_rules *r, const char *origin, const char *host,
                            bool https) {
    if (origin == NULL) return ORIGIN_NONE;
    const char *scheme = https ? "https://" : "http://";
    const size_t size = strlen(scheme);
    if (strncasecmp(origin, scheme, size) == 0 && host != NULL &&
        strcasecmp(origin + size, host) == 0)
        return ORIGIN_NONE;
    if (strcasecmp(origin, "null") == 0) return ORIGIN_REFUSED;
    for (int i = 0; i < r->origin_count; i++)
        if (strcasecmp(origin, r->origins[i]) == 0) return ORIGIN_LISTED;
    return ORIGIN_REFUSED;
}
