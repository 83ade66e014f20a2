/* What a process in the sandbox may do and may not, each tried in a child of its own. */
#define _GNU_SOURCE /* CLONE_NEWUSER, MAP_ANONYMOUS */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "serve/process_watch.h"
#include "serve/sandbox.h"

enum { SKIPPED = 77, FAILED = 1 };

/* What a child reports of the kernel; a deed that needs what the kernel lacks is not tried. */
static sandbox_report report;
static process_watch *watch;
static int pair[2], listener;
static struct sockaddr_in address;

/* Deeds: true when the call was let through. */
static bool reads_the_folder(void) {
    const int fd = open(TEST_DATA "/serve/wyoming-bytes.txt", O_RDONLY);
    return fd >= 0 && close(fd) == 0;
}
static bool reads_elsewhere(void) {
    return open("/etc/passwd", O_RDONLY) >= 0;
}
static bool writes_the_folder(void) {
    return open(TEST_DATA "/serve/wyoming-bytes.txt", O_RDWR) >= 0;
}
static bool makes_a_file(void) {
    return open("/tmp/runnel-sandbox-never", O_WRONLY | O_CREAT, 0600) >= 0;
}
static bool removes_a_file(void) {
    return unlink("/tmp/runnel-sandbox-none") == 0 || errno == ENOENT;
}
static bool starts_a_program(void) {
    char *const arguments[] = {"/bin/true", NULL};
    return execv("/bin/true", arguments) == 0;
}
static bool forks(void) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    return child > 0;
}
static bool makes_a_socket(void) {
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
static bool traces(void) {
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}
static bool leaves_by_a_namespace(void) {
    return unshare(CLONE_NEWUSER) == 0;
}
static bool makes_code(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}
static bool raises_limits(void) {
    const struct rlimit limit = {100, 100};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}
static bool kills_its_parent(void) {
    return kill(getppid(), 0) == 0;
}
static void *set_flag(void *flag) {
    *(int *)flag = 1;
    return NULL;
}
static bool makes_a_thread(void) {
    pthread_t thread;
    int flag = 0;
    if (pthread_create(&thread, NULL, set_flag, &flag) != 0) return false;
    return pthread_join(thread, NULL) == 0 && flag == 1;
}
static bool computes(void) {
    struct timespec now;
    void *memory = malloc(64 << 20);
    if (memory == NULL) return false;
    memset(memory, 1, 64 << 20);
    free(memory);
    const struct timespec pause = {0, 1000};
    return clock_gettime(CLOCK_MONOTONIC, &now) == 0 && nanosleep(&pause, NULL) == 0;
}
static bool talks(void) {
    char byte = 'a';
    return send(pair[0], &byte, 1, 0) == 1 && recv(pair[1], &byte, 1, 0) == 1;
}
static bool accepts(void) {
    const int flags = fcntl(listener, F_GETFL);
    if (flags < 0 || fcntl(listener, F_SETFL, flags | O_NONBLOCK) < 0) return false;
    return accept(listener, NULL, NULL) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}
static bool connects(void) { /* with a socket that is there already */
    return connect(pair[0], (const struct sockaddr *)&address, sizeof address) == 0;
}
static bool watches_itself(void) {
    process_facts facts;
    process_watch_read(watch, &facts);
    return facts.resident_size > 0 && facts.fd_count > 3;
}

/* Enters the sandbox in a child and tries the deed: 0 let through, FAILED not, SKIPPED. */
static int tried(bool (*deed)(void), bool needs_files, bool kills) {
    const pid_t child = fork();
    if (child != 0) {
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    static const char *const folders[] = {TEST_DATA "/serve"};
    const sandbox_config config = {.folders = folders, .folder_count = 1, .kill = kills};
    rnl_error error;
    if (sandbox_enter(&config, &report, &error) != RNL_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        _exit(99);
    }
    if (!report.seccomp || (needs_files && report.landlock == 0)) _exit(SKIPPED);
    _exit(deed() ? 0 : FAILED);
}

static void open_all(void) {
    assert_int_equal(process_watch_create(&watch), RNL_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 4), 0);
}

static void close_all(void) {
    process_watch_destroy(&watch);
    close(pair[0]);
    close(pair[1]);
    close(listener);
}

static void what_a_server_does_is_let_through(void **state) {
    (void)state;
    bool (*const deeds[])(void) = {makes_a_thread, computes,       talks,
                                   accepts,        watches_itself, reads_the_folder};
    open_all();
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        for (int kills = 0; kills < 2; kills++) {
            const int told = tried(deeds[i], false, kills == 1);
            if (told != 0 && told != SKIPPED) fail_msg("deed %zu: %d", i, told);
        }
    close_all();
}

static void all_else_is_not(void **state) {
    (void)state;
    static const struct {
        bool (*deed)(void);
        bool files;
    } rows[] = {{reads_elsewhere, true},   {writes_the_folder, false},
                {makes_a_file, false},     {removes_a_file, false},
                {starts_a_program, false}, {forks, false},
                {makes_a_socket, false},   {traces, false},
                {connects, false},         {leaves_by_a_namespace, false},
                {makes_code, false},       {raises_limits, false},
                {kills_its_parent, false}};
    open_all();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int told = tried(rows[i].deed, rows[i].files, false);
        if (told == SKIPPED) continue;
        if (told != FAILED) fail_msg("deed %zu: %d", i, told);
        const int killed = tried(rows[i].deed, rows[i].files, true);
        if (killed != -SIGSYS && !(rows[i].files && killed == FAILED))
            fail_msg("deed %zu with kill: %d", i, killed);
    }
    close_all();
}

static void a_folder_that_is_none_is_named(void **state) {
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        static const char *const folders[] = {"/nowhere"};
        const sandbox_config config = {.folders = folders, .folder_count = 1};
        rnl_error error;
        const rnl_status status = sandbox_enter(&config, &report, &error);
        if (status == RNL_OK) _exit(SKIPPED); /* without Landlock nothing is opened */
        _exit(status == RNL_ERR_IO && strstr(error.text, "/nowhere") != NULL ? 0 : FAILED);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == SKIPPED));
}

static void *wait_for_byte(void *fd) {
    char byte;
    (void)!read(*(int *)fd, &byte, 1);
    return NULL;
}

static void threads_outside_are_told(void **state) {
    (void)state;
    int ends[2];
    pthread_t thread;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_byte, &ends[0]), 0);
    const sandbox_config config = {0};
    rnl_error error;
    assert_int_equal(sandbox_enter(&config, &report, &error), RNL_ERR_ARGUMENT);
    close(ends[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(ends[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_server_does_is_let_through),
        cmocka_unit_test(all_else_is_not),
        cmocka_unit_test(a_folder_that_is_none_is_named),
        cmocka_unit_test(threads_outside_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
