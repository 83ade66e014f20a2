/* Containers that libsndfile does not know, decoded by the program ffmpeg: file -> ffmpeg -> WAV in
 * a pipe -> pcm.c. No shell takes part; the name goes as "file:NAME", so that it is never an
 * option, another protocol or standard input. */
#define _GNU_SOURCE /* pipe2: another thread's child must not inherit this one's pipe */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audio/codec.h"
#include "core/status.h"

enum { REASON_CAP = 200 };

typedef struct ffmpeg_state {
    const char *name;
    pid_t child;   /* 0: not running, or waited for */
    int fd;        /* of the pipe; -1: closed */
    FILE *reports; /* what ffmpeg writes to its standard error; NULL: nowhere */
    sound_decoder pcm;
    bytes b;
} ffmpeg_state;

/* Starts the child. 0, or an errno; ENOENT: there is no ffmpeg. */
static int start(ffmpeg_state *s, const char *input, int out, int reports) {
    char *const arguments[] = {(char[]){"ffmpeg"},
                               (char[]){"-nostdin"},
                               (char[]){"-v"},
                               (char[]){"error"},
                               (char[]){"-protocol_whitelist"},
                               (char[]){"file"}, /* a playlist must not reach the network */
                               (char[]){"-i"},
                               (char *)input,
                               (char[]){"-map"},
                               (char[]){"0:a:0"},
                               (char[]){"-c:a"},
                               (char[]){"pcm_f32le"},
                               (char[]){"-f"},
                               (char[]){"wav"},
                               (char[]){"pipe:1"},
                               NULL};
    extern char **environ;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE); /* ours is ignored; ffmpeg shall end with its reader */
    if (posix_spawn_file_actions_init(&files) != 0) return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    int fault = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (fault == 0) fault = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (fault == 0 && reports >= 0)
        fault = posix_spawn_file_actions_adddup2(&files, reports, STDERR_FILENO);
    /* A process group of its own: Ctrl-C is for us, and what to do then ours to decide. */
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    if (fault == 0)
        fault = posix_spawnp(&s->child, "ffmpeg", &files, &attributes, arguments, environ);
    if (fault != 0) s->child = 0;
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    return fault;
}

/* The last line ffmpeg wrote to its standard error, or "". */
static void last_report(ffmpeg_state *s, char reason[REASON_CAP]) {
    char line[REASON_CAP];
    reason[0] = '\0';
    if (s->reports == NULL || fseek(s->reports, 0, SEEK_SET) != 0) return;
    while (fgets(line, sizeof line, s->reports) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0') strcpy(reason, line);
    }
}

/* Waits for the child; true when it ended well. */
static bool ended_well(ffmpeg_state *s) {
    int how = 0;
    while (waitpid(s->child, &how, 0) < 0)
        if (errno != EINTR) break;
    s->child = 0;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static rnl_status decode_fault(ffmpeg_state *s, rnl_error *error) {
    char reason[REASON_CAP];
    last_report(s, reason);
    return status_fail(error, RNL_ERR_DATA, "%s: ffmpeg cannot decode it: %s", s->name,
                       reason[0] != '\0' ? reason : "it gives no reason");
}

static rnl_status read_frames(void *state, float *frames, size_t cap, size_t *got,
                              rnl_error *error) {
    ffmpeg_state *s = state;
    const rnl_status status = s->pcm.read(s->pcm.state, frames, cap, got, error);
    if (status != RNL_DONE || s->child == 0) return status;
    return ended_well(s) ? RNL_DONE : decode_fault(s, error);
}

static void close_ffmpeg(void *state) {
    ffmpeg_state *s = state;
    if (s->pcm.close != NULL) s->pcm.close(s->pcm.state);
    if (s->fd >= 0) (void)close(s->fd);
    if (s->child != 0) {
        (void)kill(s->child, SIGKILL); /* it writes no file */
        (void)ended_well(s);
    }
    if (s->reports != NULL) (void)fclose(s->reports);
    free(s);
}

/* Makes the pipe and the child; 0 or an errno. */
static int connect_child(ffmpeg_state *s) {
    int ends[2];
    const size_t cap = strlen(s->name) + sizeof "file:";
    char *input = malloc(cap);
    if (input == NULL) return ENOMEM;
    (void)snprintf(input, cap, "file:%s", s->name);
    s->reports = tmpfile(); /* a pipe could fill up while we wait at the other one */
    int fault = pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
    if (fault == 0) {
        s->fd = ends[0];
        if (s->reports != NULL) (void)fcntl(fileno(s->reports), F_SETFD, FD_CLOEXEC);
        fault = start(s, input, ends[1], s->reports != NULL ? fileno(s->reports) : -1);
        (void)close(ends[1]);
    }
    free(input);
    return fault;
}

rnl_status ffmpeg_open(const char *name, sound_decoder *d, sound_info *info, rnl_error *error) {
    ffmpeg_state *s = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    s->name = name;
    s->fd = -1;
    const int fault = connect_child(s);
    rnl_status status = RNL_OK;
    if (fault == ENOENT)
        status = status_fail(error, RNL_ERR_DATA,
                             "%s: only ffmpeg can read such a file, and it is not installed: "
                             "install ffmpeg, or convert the file to WAV, FLAC or Opus",
                             name);
    else if (fault != 0)
        status = status_fail(error, RNL_ERR_IO, "%s: ffmpeg cannot be started: %s", name,
                             strerror(fault));
    if (status == RNL_OK) {
        bytes_begin(&s->b, s->fd);
        status = pcm_open_riff(name, &s->b, &s->pcm, info, error);
        /* Without a header there was no sound, and ffmpeg knows why. */
        if (status == RNL_ERR_DATA && !ended_well(s)) status = decode_fault(s, error);
    }
    if (status != RNL_OK) {
        close_ffmpeg(s);
        return status;
    }
    info->format_name = "sound decoded by ffmpeg";
    *d = (sound_decoder){.read = read_frames, .close = close_ffmpeg, .state = s};
    return RNL_OK;
}
