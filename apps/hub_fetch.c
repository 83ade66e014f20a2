#include "apps/hub_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/progress.h"
#include "core/clock.h"

enum { AT_ONCE = 4, BLOCK = 256 << 10 };

/* A file that is being fetched. */
typedef struct fetch {
    fetch_file *file; /* NULL: the place is free */
    int fd;           /* -1: none */
    digest *sum;
    struct job *job;
} fetch;

typedef struct job {
    int code; /* not EXIT_OK: a complaint was made, and what is left ends in silence */
    progress bar;
    int64_t total, before; /* bytes in all, -1: not known; bytes that were here at the start */
    double begun;
    fetch work[AT_ONCE];
} job;

static int fault_of_disk(const fetch *t, const char *action) {
    const int fault = errno;
    progress_clear(&t->job->bar);
    const bool full = fault == ENOSPC || fault == EDQUOT || fault == EFBIG;
    return complain(EXIT_FAILED, "%s: %s: %s%s", t->file->name, action, strerror(fault),
                    full ? "; what has come is kept, make room and run the same command again"
                         : "");
}

/* Opens what has come before, or a new file; never another's and never through a link. */
static int open_partial(fetch *t) {
    const fetch_file *f = t->file;
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    struct stat st;
    t->fd = openat(f->folder, f->partial, flags);
    if (t->fd < 0 && errno == ENOENT)
        t->fd = openat(f->folder, f->partial, flags | O_CREAT | O_EXCL, 0666);
    if (t->fd < 0 && errno != ELOOP) return fault_of_disk(t, "cannot be written");
    if (t->fd < 0 || fstat(t->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
        st.st_uid != geteuid())
        return complain(EXIT_FAILED,
                        "%s: %s is a link or another's; it is not written through, remove it",
                        f->name, f->partial);
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0)
        return complain(EXIT_FAILED, "%s: another pull writes %s; wait for it", f->name,
                        f->partial);
    t->file->have = st.st_size;
    return EXIT_OK;
}

/* Begins anew: what has come is of no use. False: errno says why. */
static bool restart(fetch *t) {
    digest_drop(&t->sum);
    t->file->have = 0;
    if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) != 0) return false;
    t->sum = digest_open(t->file->kind, t->file->size);
    if (t->sum == NULL) errno = ENOMEM;
    return t->sum != NULL;
}

/* Adds what has come before to the sum. */
static int add_partial(fetch *t) {
    static unsigned char block[BLOCK]; /* one thread */
    const fetch_file *f = t->file;
    const int64_t have = f->have;
    if (f->size >= 0 && have > f->size)
        return restart(t) ? EXIT_OK : fault_of_disk(t, "cannot be written");
    t->sum = digest_open(f->kind, f->size);
    if (t->sum == NULL) return complain(EXIT_FAILED, "%s: memory is exhausted", f->name);
    for (int64_t done = 0; done < have && !interrupted();) {
        const ssize_t got = read(t->fd, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return fault_of_disk(t, "cannot be read");
        digest_add(t->sum, block, (size_t)got);
        done += got;
    }
    return interrupted() ? EXIT_STOPPED : EXIT_OK;
}

/* ---- What comes ---- */

/* What came is not the file of the listing: it goes, so that the next try begins anew. */
static int refuse(fetch *t, const char *why) {
    const fetch_file *f = t->file;
    (void)unlinkat(f->folder, f->partial, 0);
    progress_clear(&t->job->bar);
    return complain(EXIT_FAILED,
                    "%s: %s; what came was removed, run the same command again, and if it stays "
                    "so do not trust this hub",
                    f->name, why);
}

static bool on_begin(void *context, int64_t start, int64_t length) {
    fetch *t = context;
    fetch_file *f = t->file;
    if (t->job->code != EXIT_OK) return false;
    if (start == 0 && f->have > 0 && !restart(t)) {
        t->job->code = fault_of_disk(t, "cannot be written");
        return false;
    }
    if (f->size < 0 || length < 0 || start + length == f->size) return true;
    t->job->code = refuse(t, "it has another size than in the hub's listing");
    return false;
}

static bool on_bytes(void *context, const void *bytes, size_t size) {
    fetch *t = context;
    fetch_file *f = t->file;
    if (t->job->code != EXIT_OK) return false;
    if (f->size >= 0 && (int64_t)size > f->size - f->have) {
        t->job->code = refuse(t, "more bytes came than the hub's listing says");
        return false;
    }
    for (size_t done = 0; done < size;) {
        const ssize_t put = write(t->fd, (const char *)bytes + done, size - done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) {
            t->job->code = fault_of_disk(t, "cannot be written");
            return false;
        }
        digest_add(t->sum, (const char *)bytes + done, (size_t)put);
        done += (size_t)put;
        f->have += put;
    }
    return true;
}

/* Checks a whole file and gives it its name. */
static int complete(fetch *t) {
    fetch_file *f = t->file;
    if (!digest_end(&t->sum, f->found))
        return complain(EXIT_FAILED, "%s: its sum cannot be computed", f->name);
    if (f->sum != NULL && strcmp(f->found, f->sum) != 0)
        return refuse(t, f->kind == DIGEST_SHA256
                             ? "its SHA-256 is not that of the hub's listing"
                             : "its git sum (SHA-1) is not that of the hub's listing");
    if (fsync(t->fd) != 0 || renameat(f->folder, f->partial, f->folder, f->complete) != 0)
        return fault_of_disk(t, "cannot be written");
    return EXIT_OK;
}

/* ---- All of them ---- */

static void close_fetch(fetch *t) {
    digest_drop(&t->sum);
    if (t->fd >= 0) (void)close(t->fd);
    *t = (fetch){.fd = -1};
}

/* Starts a file; *runs: a request is under way. A file that came whole before needs none. */
static int begin_fetch(hub *h, fetch *t, bool *runs) {
    fetch_file *f = t->file;
    *runs = false;
    int code = open_partial(t);
    if (code == EXIT_OK) code = add_partial(t);
    if (code == EXIT_OK && f->size >= 0 && f->have == f->size)
        code = complete(t);
    else if (code == EXIT_OK) {
        const http_request r = {.url = f->url,
                                .token = f->token,
                                .offset = f->have,
                                .begin = on_begin,
                                .take = on_bytes,
                                .context = t};
        *runs = http_add(h->http, &r);
        if (!*runs) code = complain(EXIT_FAILED, "%s: memory is exhausted", f->name);
    }
    if (!*runs) close_fetch(t);
    return code;
}

static int end_fetch(const hub *h, fetch *t, const http_answer *a) {
    const fetch_file *f = t->file;
    if (a->fault == HTTP_RANGE || (a->fault == HTTP_STATUS && a->status == 416))
        (void)unlinkat(f->folder, f->partial, 0); /* cannot be gone on with */
    http_answer b = *a;
    if (b.fault == HTTP_FINE && f->size >= 0 && f->have < f->size) b.fault = HTTP_CUT;
    return b.fault == HTTP_FINE ? complete(t) : hub_complain(h, f->name, f->repo, &b);
}

/* "3:05", "1:02:03". */
static void time_text(double seconds, char text[40]) {
    const int64_t s = seconds < 3.6e6 ? (int64_t)seconds : 3600000;
    const int hours = (int)(s / 3600), minutes = (int)(s / 60 % 60), rest = (int)(s % 60);
    if (hours > 0)
        (void)snprintf(text, 40, "%d:%02d:%02d", hours, minutes, rest);
    else
        (void)snprintf(text, 40, "%d:%02d", minutes, rest);
}

/* One bar for all: bytes, rate, time that is left. */
static void show(job *m, const fetch_file *files, size_t count, size_t left) {
    char done[SIZE_TEXT_CAP], total[SIZE_TEXT_CAP], rate[SIZE_TEXT_CAP], wait[40], detail[160];
    int64_t have = 0;
    for (size_t i = 0; i < count; i++) have += files[i].have;
    const double seconds = clock_seconds() - m->begun;
    const double speed = seconds > 0.5 ? (double)(have - m->before) / seconds : 0;
    size_text(have, done);
    size_text(m->total, total);
    int size = snprintf(detail, sizeof detail, "%s", done);
    if (m->total >= 0)
        size += snprintf(detail + size, sizeof detail - (size_t)size, " of %s", total);
    if (speed > 0) {
        size_text((int64_t)speed, rate);
        size += snprintf(detail + size, sizeof detail - (size_t)size, ", %s/s", rate);
    }
    if (m->total >= 0 && speed > 0) {
        time_text((double)(m->total - have) / speed, wait);
        size += snprintf(detail + size, sizeof detail - (size_t)size, ", %s left", wait);
    }
    (void)snprintf(detail + size, sizeof detail - (size_t)size, ", %zu file%s", left,
                   left == 1 ? "" : "s");
    progress_work(&m->bar, "pulling", m->total > 0 ? (double)have / (double)m->total : -1, detail);
}

static void tell_complete(job *m, const fetch_file *f) {
    if (!m->bar.shown && !m->bar.told) return;
    char size[SIZE_TEXT_CAP];
    size_text(f->have, size);
    progress_clear(&m->bar);
    (void)fprintf(stderr, "%s: %s, complete\n", f->name, size);
}

/* Starts what there is room for; *next: the first that was not started. */
static void start_some(hub *h, job *m, fetch_file *files, size_t count, size_t *next,
                       size_t *left) {
    for (int i = 0; i < AT_ONCE && *next < count && m->code == EXIT_OK; i++) {
        fetch *t = &m->work[i];
        bool runs;
        if (t->file != NULL) continue;
        fetch_file *f = &files[(*next)++];
        *t = (fetch){.file = f, .fd = -1, .job = m};
        m->code = begin_fetch(h, t, &runs);
        if (m->code != EXIT_OK || runs) continue;
        tell_complete(m, f);
        --*left;
    }
}

static int fetch_all(hub *h, job *m, fetch_file *files, size_t count) {
    size_t next = 0, left = count;
    while (left > 0) {
        start_some(h, m, files, count, &next, &left);
        if (m->code != EXIT_OK) return m->code;
        if (interrupted()) return EXIT_STOPPED;
        if (!http_move(h->http, 100)) return complain(EXIT_FAILED, "memory is exhausted");
        show(m, files, count, left);
        http_answer a;
        for (fetch *t; m->code == EXIT_OK && (t = http_ended(h->http, &a)) != NULL; left--) {
            progress_clear(&m->bar);
            m->code = end_fetch(h, t, &a);
            if (m->code == EXIT_OK) tell_complete(m, t->file);
            close_fetch(t);
        }
    }
    return m->code;
}

/* Whether what is still to come fits on the disk. */
static int check_room(const fetch_file *files, size_t count, int64_t missing) {
    struct statvfs v;
    if (count == 0 || fstatvfs(files[0].folder, &v) != 0) return EXIT_OK;
    const double room = (double)v.f_bavail * (double)v.f_frsize;
    if ((double)missing <= room) return EXIT_OK;
    return complain(EXIT_FAILED,
                    "%s: there is no room: %.1f MB are still to come, %.1f MB are free; make room "
                    "or set HF_HUB_CACHE to another disk",
                    files[0].name, (double)missing / 1e6, room / 1e6);
}

int fetch_files(hub *h, fetch_file *files, size_t count, const options *o) {
    job m = {.begun = clock_seconds()};
    progress_begin(&m.bar, o);
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        files[i].have = 0;
        if (fstatat(files[i].folder, files[i].partial, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            files[i].have = st.st_size;
        m.before += files[i].have;
        m.total = files[i].size >= 0 && m.total >= 0 ? m.total + files[i].size : -1;
    }
    int code = m.total >= 0 ? check_room(files, count, m.total - m.before) : EXIT_OK;
    for (int i = 0; i < AT_ONCE; i++) m.work[i].fd = -1;
    if (code == EXIT_OK) code = fetch_all(h, &m, files, count);
    progress_clear(&m.bar);
    http_close(&h->http); /* before what its requests point to */
    for (int i = 0; i < AT_ONCE; i++) close_fetch(&m.work[i]);
    return code;
}
