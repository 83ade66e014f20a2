#include "apps/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "apps/tuning.h"

int complain(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)fflush(stdout);
    (void)fputs("runnel: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    return code;
}

int exit_code(const rnl_error *error) {
    switch (error->status) {
    case RNL_ERR_BUDGET:
        return EXIT_BUDGET;
    case RNL_ERR_TOO_LONG:
    case RNL_ERR_DATA:
        return EXIT_INPUT;
    case RNL_ERR_UNSUPPORTED:
    case RNL_ERR_FORMAT: /* of a model: it may show only when it computes */
        return EXIT_MODEL;
    case RNL_ERR_ARGUMENT:
        return EXIT_USAGE;
    default:
        return EXIT_FAILED;
    }
}

bool is_blank(const char *text) {
    return text[strspn(text, " \t\r\n")] == '\0';
}

int flush_output(void) {
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return EXIT_OK;
    const char *reason = errno != 0 ? strerror(errno) : "an earlier write failed";
    return complain(EXIT_FAILED, "standard output cannot be written: %s", reason);
}

char *read_to_end(FILE *stream, size_t size_max, size_t *size) {
    size_t cap = size_max < 65536 ? size_max : 65536;
    char *text = malloc(cap + 1); /* a byte more tells whether there is more */
    *size = 0;
    while (text != NULL) {
        *size += fread(text + *size, 1, cap + 1 - *size, stream);
        if (*size <= cap) return text;
        char *grown = NULL;
        if (cap < size_max) {
            cap = cap < size_max / 2 ? 2 * cap : size_max;
            grown = realloc(text, cap + 1);
        }
        if (grown == NULL) free(text);
        text = grown;
    }
    return NULL;
}

int print_json(json *object) {
    char *line = json_text(object);
    json_destroy(&object);
    if (line == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    (void)puts(line);
    free(line);
    return flush_output();
}

int check_target(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode)) return EXIT_OK;
    return complain(EXIT_FAILED,
                    "%s: cannot be written: this is no regular file; name a file to write", path);
}

static atomic_bool stop_requested; /* signals may come to two threads at once */
static atomic_bool keys_on;
static struct termios terminal; /* as it was; complete while keys_on is 1 */

bool keys_begin(void) {
    if (tcgetattr(STDIN_FILENO, &terminal) != 0) return false;
    struct termios raw = terminal;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    atomic_signal_fence(memory_order_release);
    keys_on = 1;
    return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void keys_end(void) {
    if (keys_on) (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    keys_on = 0;
}

bool key_waits(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) == 1 && (input.revents & POLLIN) != 0;
}

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

bool replace_file(const char *path, bool (*write)(FILE *f, const void *context),
                  const void *context) {
    char temporary[4096];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid()) >=
        sizeof temporary) {
        errno = ENAMETOOLONG;
        return false;
    }
    FILE *f = fopen(temporary, "wbx");
    if (f == NULL) return false;
    doomed_add(temporary);
    bool done = write(f, context);
    done = fclose(f) == 0 && done;
    done = done && rename(temporary, path) == 0;
    const int reason = errno;
    if (!done) (void)unlink(temporary);
    doomed_remove(temporary);
    errno = reason;
    return done;
}

/* From a signal handler: async-signal-safe calls only. */
static void end_at_once(int code) {
    for (int i = 0; i < DOOMED_CAP; i++)
        if (atomic_load(&doomed[i].complete)) (void)unlink(doomed[i].path);
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

double now_seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool colour_allowed(int fd) {
    const char *plain = getenv("NO_COLOR");
    return isatty(fd) != 0 && (plain == NULL || *plain == '\0');
}

int terminal_columns(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col;
}

/* PREFIX/share/runnel/minnow.gguf for a binary PREFIX/bin/runnel. */
static bool installed_model(char *path, size_t cap) {
    char binary[4096];
    const ssize_t size = readlink("/proc/self/exe", binary, sizeof binary - 1);
    if (size <= 0) return false;
    binary[size] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(binary, '/');
        if (slash == NULL) return false;
        *slash = '\0';
    }
    return (size_t)snprintf(path, cap, "%s/share/runnel/minnow.gguf", binary) < cap &&
           access(path, R_OK) == 0;
}

static void log_to_stderr(void *context, rnl_log_level level, const char *text) {
    const options *o = context;
    if (level == RNL_LOG_WARNING && !o->quiet) (void)fprintf(stderr, "runnel: %s\n", text);
}

rnl_model *open_model(const options *o, int *code) {
    char installed[4096];
    const char *path = o->model, *named = getenv("RUNNEL_MODEL");
    if (path == NULL && named != NULL && *named != '\0') path = named;
    if (path == NULL)
        path = installed_model(installed, sizeof installed) ? installed : RUNNEL_SAMPLES;
    rnl_model_config config = rnl_model_config_default();
    config.mmproj_path = o->mmproj;
    config.vocoder_path = o->vocoder;
    config.tokenizer_path = o->tokenizer;
    config.exact = o->exact;
    config.cpu = o->cpu;
    rnl_tuning tuning;
    if (tuning_read(&tuning, o->quiet)) config.tuning = &tuning;
    config.log = log_to_stderr;
    config.log_context = (void *)o;
    rnl_model *model = NULL;
    rnl_error error = {0};
    *code = EXIT_OK;
    if (rnl_model_open(path, &config, &model, &error) == RNL_OK) return model;
    *code = EXIT_MODEL;
    if (error.status == RNL_ERR_MEMORY) *code = EXIT_FAILED;
    if (error.status == RNL_ERR_ARGUMENT) *code = EXIT_USAGE;
    complain(*code, "%s", error.text);
    return NULL;
}

/* NULL: the default. False after a complaint. */
static bool kv_of(const char *name, rnl_kv_cache *out) {
    static const struct {
        const char *name;
        rnl_kv_cache kv;
    } rows[] = {{"f16", RNL_KV_F16}, {"q8_0", RNL_KV_Q8_0}, {"f32", RNL_KV_F32}};
    *out = RNL_KV_DEFAULT;
    if (name == NULL) return true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(name, rows[i].name) != 0) continue;
        *out = rows[i].kv;
        return true;
    }
    (void)complain(EXIT_USAGE, "--kv: '%s' is not f16, q8_0 or f32", name);
    return false;
}

bool session_options(const options *o, rnl_session_config *config) {
    if (o->threads > 0) config->thread_count = o->threads;
    if (o->context > 0) config->context_cap = o->context;
    if (o->seconds_max > 0) config->clip_seconds_max = o->seconds_max;
    config->memory_size_max = o->memory_max;
    config->seed = o->seed;
    config->drop_oldest_turns = config->drop_oldest_turns || o->drop_oldest;
    return kv_of(o->kv, &config->kv_cache);
}

rnl_session *open_session(const options *o, rnl_model *model, int *code) {
    rnl_session_config config = rnl_session_config_default();
    *code = EXIT_USAGE;
    if (!session_options(o, &config)) return NULL;
    config.snapshot_cap = 0;
    rnl_session *session = NULL;
    rnl_error error = {0};
    *code = EXIT_OK;
    if (rnl_session_create(model, &config, &session, &error) == RNL_OK) return session;
    *code = complain(exit_code(&error), "%s", error.text);
    return NULL;
}

rnl_turn_config turn_config(const options *o, const rnl_model *model, rnl_mode mode) {
    rnl_turn_config t = rnl_turn_config_default(model, mode);
    /* A temperature alone means sampling from everything; a top_k alone changes no temperature. */
    if (o->temperature >= 0) {
        t.text.temperature = (float)o->temperature;
        t.text.top_k = INT32_MAX;
    }
    if (o->top_k > 0) t.text.top_k = o->top_k;
    if (o->audio_temperature >= 0) {
        t.audio.temperature = (float)o->audio_temperature;
        if (t.audio.top_k == 1) t.audio.top_k = INT32_MAX;
    }
    if (o->audio_top_k > 0) t.audio.top_k = o->audio_top_k;
    if (o->max_tokens > 0) t.step_max = o->max_tokens;
    if (o->text_run > 0) t.text_run = o->text_run;
    if (o->audio_run > 0) t.audio_run = o->audio_run;
    return t;
}
