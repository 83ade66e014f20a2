#include "apps/ending.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "apps/keys.h"
#include "apps/messages.h"

static atomic_bool stop_requested; /* signals may come to two threads at once */

/* Written under the lock; the signal handler reads without it, and only what is complete. */
enum { DOOMED_CAP = 512 };
static struct {
    atomic_bool complete;
    char path[4096];
} doomed[DOOMED_CAP];
static pthread_mutex_t doomed_lock = PTHREAD_MUTEX_INITIALIZER;

void doomed_add(const char *path) {
    if (strlen(path) >= sizeof doomed[0].path) return;
    (void)pthread_mutex_lock(&doomed_lock);
    int at = 0;
    while (at < DOOMED_CAP && atomic_load(&doomed[at].complete)) at++;
    if (at < DOOMED_CAP) {
        (void)strcpy(doomed[at].path, path);
        atomic_store(&doomed[at].complete, true);
    }
    (void)pthread_mutex_unlock(&doomed_lock);
}

void doomed_clear(void) {
    for (int i = 0; i < DOOMED_CAP; i++) atomic_store(&doomed[i].complete, false);
}

void doomed_remove(const char *path) {
    (void)pthread_mutex_lock(&doomed_lock);
    int at = 0;
    while (at < DOOMED_CAP &&
           !(atomic_load(&doomed[at].complete) && strcmp(doomed[at].path, path) == 0))
        at++;
    if (at < DOOMED_CAP) atomic_store(&doomed[at].complete, false);
    (void)pthread_mutex_unlock(&doomed_lock);
}

/* From a signal handler: async-signal-safe calls only. */
static void end_at_once(int code) {
    for (int i = 0; i < DOOMED_CAP; i++)
        if (atomic_load(&doomed[i].complete) && unlink(doomed[i].path) != 0)
            (void)rmdir(doomed[i].path);
    keys_end();
    _exit(code);
}

/* Wakes whoever waits for input. A flag alone would be missed by a wait that begins just after the
 * signal; a signal mask of this thread would not help, since a pool thread may take the signal. */
static int wake_pipe[2] = {-1, -1}; /* read end, write end */

static void on_interrupt(int signal_number) {
    (void)signal_number;
    if (atomic_exchange(&stop_requested, true)) end_at_once(EXIT_STOPPED);
    const int kept = errno;
    (void)!write(wake_pipe[1], "", 1);
    errno = kept;
}

/* From outside, without a person who waits for an answer. */
static void on_terminate(int signal_number) {
    end_at_once(128 + signal_number);
}

static void on_bus_error(int signal_number) {
    (void)signal_number;
    /* Several threads read the model: one of them speaks, the others wait for the end. */
    static atomic_flag told = ATOMIC_FLAG_INIT;
    while (atomic_flag_test_and_set(&told)) (void)pause();
    static const char sentence[] =
        "runnel: a model file became shorter while it was in use; restore it and start again\n";
    (void)!write(STDERR_FILENO, sentence, sizeof sentence - 1);
    end_at_once(EXIT_FAILED);
}

void interrupt_install(void) {
    if (pipe(wake_pipe) == 0)
        for (int i = 0; i < 2; i++) (void)fcntl(wake_pipe[i], F_SETFL, O_NONBLOCK);
    struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = on_terminate;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    action.sa_handler = on_bus_error;
    (void)sigaction(SIGBUS, &action, NULL);
    /* A reader that goes away (`| head`) is an error of the write then, and files are cleared
     * up. */
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

bool interrupted(void) {
    return stop_requested != 0;
}

bool wait_for_input(void) {
    /* A descriptor of -1 (no pipe could be made) is ignored by poll. */
    struct pollfd ends[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = wake_pipe[0], .events = POLLIN}};
    while (!interrupted()) {
        if (poll(ends, 2, -1) < 0 && errno != EINTR) return true; /* the read tells the error */
        if (ends[0].revents != 0) return !interrupted();
    }
    return false;
}
