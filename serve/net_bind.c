/* Whether an address can be had, in a sentence. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/status.h"
#include "serve/net_inner.h"

rnl_status net_try_bind(const char *host, int port, rnl_error *error) {
    char service[16];
    (void)snprintf(service, sizeof service, "%d", port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    const int found = getaddrinfo(host, service, &hints, &list);
    if (found != 0)
        return status_fail(error, RNL_ERR_IO, "--host %s: no such address (%s)", host,
                           gai_strerror(found));
    const int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    int fault = fd < 0 ? errno : 0;
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, 1) != 0) fault = errno;
        (void)close(fd);
    }
    freeaddrinfo(list);
    if (fault == 0) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s port %d cannot be bound: %s; choose another --port",
                       host, port, strerror(fault));
}
