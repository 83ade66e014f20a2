/* Telling systemd how the service does (Type=notify): datagrams to the socket of NOTIFY_SOCKET. */
#ifndef SERVE_NOTIFY_H
#define SERVE_NOTIFY_H

#include <runnel/runnel.h>

typedef struct notify {
    int fd; /* -1: nobody listens; every call is then without effect */
} notify;

/* address: the value of NOTIFY_SOCKET, NULL or "" when there is none: a path, or '@' and an
 * abstract name. Connects now, because a sandbox allows no new sockets later. RNL_ERR_IO names the
 * address. */
RNL_MUST_USE rnl_status notify_open(notify *n, const char *address, rnl_error *error);
void notify_close(notify *n);

/* state: one or several lines, as "READY=1\nSTATUS=4 conversations". Never waits; what the other
 * side does not take is lost, which it may be. */
void notify_tell(const notify *n, const char *state);

/* Microseconds between two WATCHDOG=1 that keep the service alive: half of WATCHDOG_USEC. usec,
 * pid: the values of WATCHDOG_USEC and WATCHDOG_PID or NULL. 0: nobody watches, or another process
 * is meant. */
int64_t notify_watchdog_us(const char *usec, const char *pid);

#endif
