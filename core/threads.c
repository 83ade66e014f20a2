#define _GNU_SOURCE /* sched_getaffinity, sched_setaffinity, CPU_ISSET */
#include "core/threads.h"

#include <runnel/runnel.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_CAP = 1024, LINE_CAP = 512 };

/* The first line of a file. */
static bool read_line(const char *path, char line[LINE_CAP]) {
    FILE *f = fopen(path, "re");
    if (f == NULL) return false;
    const bool ok = fgets(line, LINE_CAP, f) != NULL;
    (void)fclose(f);
    return ok;
}

/* The lowest processor of a list such as "0-1,64-65" that is in the mask; -1: none. */
static int first_of(const char *list, const cpu_set_t *mask) {
    while (*list >= '0' && *list <= '9') {
        char *end;
        const long begin = strtol(list, &end, 10);
        const long last = *end == '-' ? strtol(end + 1, &end, 10) : begin;
        for (long cpu = begin; cpu <= last && cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET((size_t)cpu, mask)) return (int)cpu;
        list = *end == ',' ? end + 1 : end;
    }
    return -1;
}

int threads_processors(int *cpus, int cpu_cap) {
    cpu_set_t mask;
    int count = 0;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) return 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < cpu_cap; cpu++)
        if (CPU_ISSET((size_t)cpu, &mask)) cpus[count++] = cpu;
    return count;
}

int threads_cores(const char *root, int *cpus, int cpu_cap) {
    cpu_set_t mask;
    char path[PATH_CAP], list[LINE_CAP];
    int count = 0;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) return 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < cpu_cap; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &mask)) continue;
        (void)snprintf(path, sizeof path,
                       "%s/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", root, cpu);
        if (!read_line(path, list) || first_of(list, &mask) == cpu) cpus[count++] = cpu;
    }
    return count;
}

bool threads_bind(const int *cpus, int cpu_count) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    for (int i = 0; i < cpu_count; i++) CPU_SET((size_t)cpus[i], &mask);
    return sched_setaffinity(0, sizeof mask, &mask) == 0;
}

static int core_count(const char *root) {
    int cpus[CPU_SETSIZE];
    const int count = threads_cores(root, cpus, CPU_SETSIZE);
    return count > 0 ? count : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Whole processors of "quota period", rounded up; 0: no limit. */
static int processors_of(const char *text) {
    char *end;
    const double quota = strtod(text, &end); /* "max" and -1 are no limit */
    const double period = end != text ? strtod(end, NULL) : 0;
    if (!(quota > 0) || !(period > 0) || quota > period * RNL_THREAD_CAP) return 0;
    const int whole = (int)(quota / period);
    return (double)whole * period < quota ? whole + 1 : whole;
}

/* The least limit of a group and all above it; path is cut down on the way. */
static int group_limit(const char *mount, char *group, bool is_v2) {
    int least = 0;
    for (;;) {
        char path[2 * PATH_CAP], line[LINE_CAP] = "", period[LINE_CAP] = "";
        if (is_v2) {
            (void)snprintf(path, sizeof path, "%s%s/cpu.max", mount, group);
            (void)read_line(path, line);
        } else {
            (void)snprintf(path, sizeof path, "%s%s/cpu.cfs_period_us", mount, group);
            (void)read_line(path, period);
            (void)snprintf(path, sizeof path, "%s%s/cpu.cfs_quota_us", mount, group);
            if (read_line(path, line)) {
                line[strcspn(line, "\n")] = ' ';
                (void)strncat(line, period, sizeof line - strlen(line) - 1);
            }
        }
        const int limit = processors_of(line);
        if (limit > 0 && (least == 0 || limit < least)) least = limit;
        char *slash = strrchr(group, '/');
        if (slash == NULL) return least;
        *slash = '\0';
    }
}

/* Lines of /proc/self/cgroup: "0::/group" (v2) and "3:cpu,cpuacct:/group" (v1). */
static int quota(const char *root) {
    char path[PATH_CAP], mount[PATH_CAP], line[LINE_CAP];
    int least = 0;
    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (f == NULL) return 0;
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':'), *group = names != NULL ? strchr(names + 1, ':') : NULL;
        if (group == NULL) continue;
        *group++ = '\0';
        const bool is_v2 = names[1] == '\0';
        if (!is_v2 && strstr(names, "cpu") == NULL) continue;
        (void)snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, is_v2 ? "" : "/cpu");
        const int limit = group_limit(mount, group, is_v2);
        if (limit > 0 && (least == 0 || limit < least)) least = limit;
    }
    (void)fclose(f);
    return least;
}

int threads_default(const char *root) {
    int count = core_count(root);
    const int limit = quota(root);
    if (limit > 0 && limit < count) count = limit;
    return count < 1 ? 1 : count > RNL_THREAD_CAP ? RNL_THREAD_CAP : count;
}

int rnl_thread_count_default(void) {
    return threads_default("");
}
