#define _GNU_SOURCE /* pipe2: another thread's child must not inherit this one's pipe */
#include "core/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/process.h"
#include "core/status.h"

/* Room for more; false: no memory. */
static bool grow(child_result *out, size_t *cap) {
    const size_t wanted = *cap == 0 ? 1 << 16 : 2 * *cap;
    unsigned char *grown = realloc(out->data, wanted);
    if (grown == NULL) return false;
    out->data = grown;
    *cap = wanted;
    return true;
}

/* All that comes until the end or a limit. 0 or an errno. */
static int drain(int fd, const child_limits *limits, child_result *out) {
    size_t cap = 0;
    const double deadline = clock_seconds() + limits->seconds_max;
    for (;;) {
        if (out->size == cap && !grow(out, &cap)) return ENOMEM;
        const double left = deadline - clock_seconds();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        const int ready = left > 0 ? poll(&wait, 1, left < 1 ? (int)(1000 * left) : 1000) : 0;
        out->overran =
            left <= 0 || out->size > limits->size_max || (limits->stop != NULL && limits->stop());
        if (out->overran) return 0;
        if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
        const ssize_t got = read(fd, out->data + out->size, cap - out->size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) return 0;
        out->size += (size_t)got;
    }
}

static bool ended_well(pid_t child) {
    int how = 0;
    while (waitpid(child, &how, 0) < 0)
        if (errno != EINTR) return false;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static void read_reason(FILE *reports, char reason[CHILD_REASON_CAP]) {
    char line[CHILD_REASON_CAP];
    if (fseek(reports, 0, SEEK_SET) != 0) return;
    while (fgets(line, sizeof line, reports) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0') strcpy(reason, line);
    }
}

static int run(const char *const *arguments, int in, const child_limits *limits, FILE *reports,
               child_result *out) {
    int ends[2];
    pid_t child = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    int fault = process_start(&child, arguments, in, ends[1], fileno(reports));
    (void)close(ends[1]);
    if (fault == 0) {
        fault = drain(ends[0], limits, out);
        if (fault != 0 || out->overran)
            (void)kill(-child, SIGKILL); /* its group; it writes no file */
        out->well = ended_well(child) && !out->overran;
        read_reason(reports, out->reason);
    }
    (void)close(ends[0]);
    return fault;
}

rnl_status child_run(const char *const *arguments, int in, const child_limits *limits,
                     child_result *out, rnl_error *error) {
    *out = (child_result){0};
    FILE *reports = tmpfile(); /* a pipe could fill up while we wait at the other one */
    int fault = reports == NULL ? errno : 0;
    if (reports != NULL) (void)fcntl(fileno(reports), F_SETFD, FD_CLOEXEC);
    if (fault == 0) fault = run(arguments, in, limits, reports, out);
    if (reports != NULL) (void)fclose(reports);
    out->missing = fault == ENOENT;
    if (fault == 0 || out->missing) return RNL_OK;
    free(out->data);
    *out = (child_result){0};
    return status_fail(error, fault == ENOMEM ? RNL_ERR_MEMORY : RNL_ERR_IO, "%s cannot be run: %s",
                       arguments[0], strerror(fault));
}
