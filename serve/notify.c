#include "serve/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/status.h"

rnl_status notify_open(notify *n, const char *address, rnl_error *error) {
    n->fd = -1;
    if (address == NULL || address[0] == '\0') return RNL_OK;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const size_t size = strlen(address);
    if ((address[0] != '/' && address[0] != '@') || size >= sizeof to.sun_path)
        return status_fail(error, RNL_ERR_IO,
                           "NOTIFY_SOCKET=%s is no address of a socket; leave it out", address);
    memcpy(to.sun_path, address, size);
    if (address[0] == '@') to.sun_path[0] = '\0';
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const socklen_t used = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (n->fd >= 0 && connect(n->fd, (const struct sockaddr *)&to, used) == 0) return RNL_OK;
    const int fault = errno;
    notify_close(n);
    return status_fail(error, RNL_ERR_IO, "NOTIFY_SOCKET=%s cannot be reached: %s; leave it out",
                       address, strerror(fault));
}

void notify_close(notify *n) {
    if (n->fd >= 0) close(n->fd);
    n->fd = -1;
}

void notify_tell(const notify *n, const char *state) {
    if (n->fd >= 0) (void)send(n->fd, state, strlen(state), MSG_NOSIGNAL);
}

int64_t notify_watchdog_us(const char *usec, const char *pid) {
    if (usec == NULL) return 0;
    if (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()) return 0;
    const long long period = strtoll(usec, NULL, 10);
    return period > 0 ? period / 2 : 0;
}
