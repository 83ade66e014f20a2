#define _GNU_SOURCE /* syscall, O_PATH, CLONE_THREAD */

#include "serve/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <seccomp.h>

#include "core/status.h"

/* ---- Landlock ---- */

/* Of <linux/landlock.h>, whose version on Debian 12 ends before the network. */
typedef struct ruleset {
    uint64_t files, network;
} ruleset;
typedef struct __attribute__((packed)) path_rule {
    uint64_t allowed;
    int32_t folder;
} path_rule;
enum {
    LANDLOCK_VERSION = 1, /* flag: tell the version */
    LANDLOCK_PATH = 1,    /* kind of rule */
    READ_FILE = 1 << 2,
    READ_FOLDER = 1 << 3,
    NETWORK_ALL = 3 /* bind and connect of TCP */
};

/* All accesses to files that a version knows are guarded. */
static uint64_t files_of(int version) {
    const int bits = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    return ((uint64_t)1 << bits) - 1;
}

static rnl_status allow_folder(int rules, const char *path, rnl_error *error) {
    path_rule rule = {.allowed = READ_FILE | READ_FOLDER,
                      .folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    long made = -1;
    if (rule.folder >= 0) made = syscall(SYS_landlock_add_rule, rules, LANDLOCK_PATH, &rule, 0);
    const int fault = errno;
    if (rule.folder >= 0) close(rule.folder);
    if (made == 0) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: the folder cannot be kept readable: %s", path,
                       strerror(fault));
}

static rnl_status guard_files(const sandbox_config *config, sandbox_report *report,
                              rnl_error *error) {
    const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
    if (version < 1) return RNL_OK; /* not built in, or not switched on */
    const ruleset all = {.files = files_of((int)version), .network = NETWORK_ALL};
    const size_t size = version >= 4 ? sizeof all : sizeof all.files;
    const int rules = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (rules < 0)
        return status_fail(error, RNL_ERR_IO, "Landlock fails: %s; try --sandbox=off",
                           strerror(errno));
    rnl_status status = RNL_OK;
    for (size_t i = 0; i < config->folder_count && status == RNL_OK; i++)
        status = allow_folder(rules, config->folders[i], error);
    if (status == RNL_OK && syscall(SYS_landlock_restrict_self, rules, 0) != 0)
        status = status_fail(error, RNL_ERR_IO, "Landlock fails: %s; try --sandbox=off",
                             strerror(errno));
    close(rules);
    if (status == RNL_OK) report->landlock = (int)version;
    return status;
}

/* ---- seccomp ---- */

/* By what they are for. Some architectures lack some of the names. */
static const char *const allowed[] = {
    /* connections */
    "accept", "accept4", "getpeername", "getsockname", "getsockopt", "poll", "ppoll", "recvfrom",
    "recvmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    /* what is open */
    "close", "fcntl", "fstat", "ftruncate", "getdents64", "lseek", "memfd_create", "newfstatat",
    "pread64", "pwrite64", "read", "readv", "stat", "statx", "write", "writev",
    /* threads and signals */
    "exit", "exit_group", "futex", "get_robust_list", "getpid", "gettid", "membarrier",
    "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "sched_getaffinity", "sched_yield", "set_robust_list", "sigaltstack", "tgkill",
    /* memory */
    "brk", "madvise", "mremap", "munmap",
    /* the machine */
    "arch_prctl", "clock_getres", "clock_gettime", "clock_nanosleep", "getcpu", "getegid",
    "geteuid", "getgid", "getrandom", "getrusage", "gettimeofday", "getuid", "nanosleep", "sysinfo",
    "time", "uname"};

typedef struct filter {
    scmp_filter_ctx context;
    int fault; /* the first error, negative errno */
} filter;

/* Allows a call; with count of comparisons that must all hold. */
static void allow(filter *f, const char *name, unsigned count, const struct scmp_arg_cmp *holds) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR || f->fault != 0) return;
    const int made = seccomp_rule_add_array(f->context, SCMP_ACT_ALLOW, number, count, holds);
    /* A name that the architecture lacks is no fault. */
    if (made < 0 && number >= 0) f->fault = made;
}

static void add_rules(filter *f) {
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) allow(f, allowed[i], 0, NULL);
    const scmp_datum_t writes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
    const struct scmp_arg_cmp reads = SCMP_A1(SCMP_CMP_MASKED_EQ, writes, 0);
    const struct scmp_arg_cmp reads_here = SCMP_A2(SCMP_CMP_MASKED_EQ, writes, 0);
    allow(f, "open", 1, &reads);
    allow(f, "openat", 1, &reads_here);
    const struct scmp_arg_cmp plain = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    allow(f, "mmap", 1, &plain);
    allow(f, "mprotect", 1, &plain);
    const struct scmp_arg_cmp thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
    allow(f, "clone", 1, &thread);
    const unsigned long asked[] = {FIONREAD, FIONBIO, TCGETS};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        const struct scmp_arg_cmp request = SCMP_A1(SCMP_CMP_EQ, asked[i], 0);
        allow(f, "ioctl", 1, &request);
    }
    const struct scmp_arg_cmp name = SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0);
    allow(f, "prctl", 1, &name);
    const struct scmp_arg_cmp only_asks = SCMP_A2(SCMP_CMP_EQ, 0, 0);
    allow(f, "prlimit64", 1, &only_asks);
    /* Its flags lie in memory, which a filter cannot see: the C library then takes clone. */
    if (f->fault == 0)
        f->fault = seccomp_rule_add(f->context, SCMP_ACT_ERRNO(ENOSYS),
                                    seccomp_syscall_resolve_name("clone3"), 0);
}

static rnl_status guard_calls(const sandbox_config *config, sandbox_report *report,
                              rnl_error *error) {
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) return RNL_OK; /* not built in */
    const uint32_t otherwise = config->kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM);
    filter f = {.context = seccomp_init(otherwise)};
    if (f.context == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    add_rules(&f);
    if (f.fault == 0) f.fault = seccomp_load(f.context);
    seccomp_release(f.context);
    if (f.fault != 0)
        return status_fail(error, RNL_ERR_IO, "seccomp fails: %s; try --sandbox=off",
                           strerror(-f.fault));
    report->seccomp = true;
    return RNL_OK;
}

/* Threads that this process has; 1 where nobody tells. */
static int count_threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) return 1;
    int count = 0;
    for (const struct dirent *e; (e = readdir(tasks)) != NULL;) count += e->d_name[0] != '.';
    closedir(tasks);
    return count;
}

rnl_status sandbox_enter(const sandbox_config *config, sandbox_report *report, rnl_error *error) {
    *report = (sandbox_report){0};
    const int threads = count_threads();
    if (threads > 1)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "%d threads run outside the sandbox; enter it before they begin",
                           threads - 1);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return status_fail(error, RNL_ERR_IO, "the sandbox cannot be entered: %s", strerror(errno));
    rnl_status status = guard_files(config, report, error);
    if (status == RNL_OK) status = guard_calls(config, report, error);
    return status;
}
