/* The child writes a report as a line of JSON, or the number of a status and its sentence. */
#include "measure/apart.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/status.h"
#include "measure/report.h"

static rnl_status exhausted(rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
}

/* ---- There ---- */

static rnl_status measure_them(const measure_config *c, const char *reference,
                               const char *const *paths, int path_count, measure_report *out,
                               rnl_error *error) {
    measure *m = NULL;
    rnl_status status = measure_create(c, &m, error);
    if (status == RNL_OK && c->round_count > 0) status = measure_set_reference(m, reference, error);
    for (int i = 0; i < path_count && status == RNL_OK; i++)
        status = measure_add_config(m, paths[i], error);
    if (status == RNL_OK) status = measure_all(m, out, error);
    measure_destroy(&m);
    return status;
}

static bool put_report(FILE *f, const measure_report *r) {
    json_draft *draft = measure_report_json(r);
    char *text = json_text_exact(draft);
    json_drop(&draft);
    const bool put = text != NULL && fputs(text, f) >= 0;
    free(text);
    return put;
}

static bool answer(int fd, const measure_config *c, const char *reference, const char *const *paths,
                   int path_count) {
    measure_report report = {0};
    rnl_error error = {0};
    FILE *f = fdopen(fd, "wb");
    if (f == NULL) return false;
    const rnl_status status = measure_them(c, reference, paths, path_count, &report, &error);
    const bool put = status == RNL_OK ? put_report(f, &report)
                                      : fprintf(f, "%d %s", (int)status, error.text) > 0;
    return fclose(f) == 0 && put;
}

/* ---- Here ---- */

typedef struct told {
    char *text; /* [size], owned */
    size_t size;
    bool stopped;
} told;

/* All that comes, until the end or until stop says so. False: memory is exhausted. */
static bool listen(int fd, bool (*stop)(void), told *out) {
    char piece[1 << 12];
    FILE *f = open_memstream(&out->text, &out->size);
    if (f == NULL) return false;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        const int ready = poll(&wait, 1, 1000);
        out->stopped = stop != NULL && stop();
        if (out->stopped) break;
        if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
        const ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || fwrite(piece, 1, (size_t)got, f) != (size_t)got) break;
    }
    return fclose(f) == 0;
}

static rnl_status understand(const told *t, int how, measure_report *out, rnl_error *error) {
    char *sentence = NULL;
    if (t->stopped) return status_fail(error, RNL_ERR_STATE, "stopped");
    if (WIFSIGNALED(how))
        return status_fail(error, RNL_ERR_IO, "the process that measures was ended by signal %d%s",
                           WTERMSIG(how),
                           WTERMSIG(how) == SIGKILL ? ", as the system does without memory" : "");
    if (t->size > 0 && t->text[0] == '{')
        return measure_report_read(t->text, t->size, "what was measured", out, error);
    const long status = t->size > 0 ? strtol(t->text, &sentence, 10) : 0;
    if (status < 0 && sentence[0] == ' ')
        return status_fail(error, (rnl_status)status, "%s", sentence + 1);
    return status_fail(error, RNL_ERR_IO, "the process that measures said nothing");
}

rnl_status measure_apart(const measure_config *c, const char *reference, const char *const *paths,
                         int path_count, measure_report *out, rnl_error *error) {
    int ends[2], how = 0;
    told heard = {0};
    assert(path_count >= 1 && path_count <= MEASURE_MODEL_CAP);
    *out = (measure_report){0};
    if (pipe(ends) != 0)
        return status_fail(error, RNL_ERR_IO, "no pipe to measure by: %s", strerror(errno));
    const pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(ends[0]);
        _exit(answer(ends[1], c, reference, paths, path_count) ? 0 : 1);
    }
    const int fault = errno;
    (void)close(ends[1]);
    const bool heard_all = child > 0 && listen(ends[0], c->stop, &heard);
    (void)close(ends[0]);
    if (heard.stopped) (void)kill(child, SIGKILL); /* it writes no file */
    while (child > 0 && waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    rnl_status status;
    if (child < 0)
        status = status_fail(error, RNL_ERR_IO, "no process to measure in: %s", strerror(fault));
    else
        status = heard_all ? understand(&heard, how, out, error) : exhausted(error);
    free(heard.text);
    return status;
}
