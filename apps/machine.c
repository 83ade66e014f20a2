#include "apps/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"

enum { PATH_CAP = 4096, LINE_CAP = 1024, CAP_IPC_LOCK = 14, CAP_SYS_NICE = 23 };

static FILE *open_below(const char *root, const char *path) {
    char name[PATH_CAP];
    if ((size_t)snprintf(name, sizeof name, "%s%s", root, path) >= sizeof name) return NULL;
    return fopen(name, "r");
}

/* The first line of a file that begins with `key`, without it and the blanks behind; "" as key: the
 * first line. False: there is none, and value is "". */
static bool read_value(const char *root, const char *path, const char *key, char *value,
                       size_t cap) {
    char line[LINE_CAP];
    bool found = false;
    value[0] = '\0';
    FILE *f = open_below(root, path);
    if (f == NULL) return false;
    while (!found && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        const char *rest = line + strlen(key);
        rest += strspn(rest, " \t:");
        (void)snprintf(value, cap, "%.*s", (int)strcspn(rest, "\n"), rest);
        found = true;
    }
    (void)fclose(f);
    return found;
}

/* A number of the file that stands behind the key, times the unit; -1: none. "unlimited" is as much
 * as there can be. */
static int64_t read_count(const char *root, const char *path, const char *key, int64_t unit) {
    char text[LINE_CAP], *end;
    if (!read_value(root, path, key, text, sizeof text)) return -1;
    if (strncmp(text, "unlimited", 9) == 0) return INT64_MAX;
    const long long count = strtoll(text, &end, 10);
    return end == text || count < 0 || count > INT64_MAX / unit ? -1 : (int64_t)count * unit;
}

static int64_t bytes_of(size_t told) {
    return told < INT64_MAX ? (int64_t)told : -1;
}

void machine_cpu(const char *root, char name[MACHINE_NAME_CAP]) {
    static const char *const keys[] = {"model name", "cpu family", "model\t", "CPU implementer",
                                       "CPU part"};
    char line[LINE_CAP];
    size_t size = 0;
    name[0] = '\0';
    FILE *f = open_below(root, "/proc/cpuinfo");
    if (f == NULL) return;
    while (fgets(line, sizeof line, f) != NULL && line[0] != '\n') {
        char *value = strchr(line, ':');
        if (value == NULL) continue;
        value += strspn(value, ": ");
        value[strcspn(value, "\n")] = '\0';
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (strncmp(line, keys[i], strlen(keys[i])) == 0 && size + 1 < MACHINE_NAME_CAP)
                size += (size_t)snprintf(name + size, MACHINE_NAME_CAP - size,
                                         size > 0 ? " %s" : "%s", value);
    }
    (void)fclose(f);
}

void machine_read(const char *root, machine *m) {
    static const char limits[] = "/proc/self/limits";
    char text[LINE_CAP], *end;
    *m = (machine){.load = -1};
    machine_cpu(root, m->cpu);
    (void)read_value(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", m->governor,
                     sizeof m->governor);
    m->memory_free = bytes_of(memory_of_machine(root));
    m->memory_limit = bytes_of(memory_of_group(root));
    m->swap_size = read_count(root, "/proc/meminfo", "SwapTotal:", 1024);
    if (read_value(root, "/proc/loadavg", "", text, sizeof text)) {
        m->load = strtod(text, &end);
        if (end == text || !(m->load >= 0)) m->load = -1;
    }
    const int64_t priority = read_count(root, limits, "Max realtime priority", 1);
    m->priority_max = priority > 99 ? 99 : (int)priority;
    m->locked_max = read_count(root, limits, "Max locked memory", 1);
    if (read_value(root, "/proc/self/status", "CapEff:", text, sizeof text)) {
        const unsigned long long capabilities = strtoull(text, NULL, 16);
        if ((capabilities >> CAP_SYS_NICE & 1) != 0) m->priority_max = 99;
        if ((capabilities >> CAP_IPC_LOCK & 1) != 0) m->locked_max = INT64_MAX;
    }
}
