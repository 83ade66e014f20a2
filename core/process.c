#include "core/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <unistd.h>

int process_start(pid_t *child, const char *const *arguments, int in, int out, int reports) {
    extern char **environ;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    *child = 0;
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE); /* ours is ignored; it shall end with its reader */
    if (posix_spawn_file_actions_init(&files) != 0) return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    int fault =
        in >= 0 ? posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO)
                : posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (fault == 0 && out >= 0)
        fault = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (fault == 0 && reports >= 0)
        fault = posix_spawn_file_actions_adddup2(&files, reports, STDERR_FILENO);
    /* A process group of its own: Ctrl-C is for us, and what to do then ours to decide. */
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    if (fault == 0)
        fault = posix_spawnp(child, arguments[0], &files, &attributes,
                             (char *const *)(uintptr_t)arguments, environ);
    if (fault != 0) *child = 0;
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    return fault;
}
