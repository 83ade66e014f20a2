/* Looking for devices: each kind's own search, on a thread that can be given up. */
#include <runnel/runnel_device.h>

#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "core/watched.h"
#include "devices/devices.h"

enum { ENTRY_CAP = 16 };

/* What a search works with, which is its own for good if it hangs. */
typedef struct search {
    const stack_device_ops *ops;
    rnl_device_config config;
    char *strings;
    stack_device_entry entries[ENTRY_CAP];
    int count;
} search;

static void run(void *context) {
    search *s = context;
    s->count = s->ops->list(&s->config, s->entries, ENTRY_CAP);
    if (s->count > ENTRY_CAP) s->count = ENTRY_CAP;
}

static void fail(search *s, rnl_status status, const char *why) {
    s->entries[0] = (stack_device_entry){.refusal.status = status};
    (void)status_fail(&s->entries[0].refusal, status, "%s", why);
    s->count = 1;
}

static void copy(char out[RNL_DEVICE_NAME_CAP], const char *text) {
    out[0] = '\0';
    (void)strncat(out, text, RNL_DEVICE_NAME_CAP - 1);
    status_clean(out);
}

static rnl_device_info info_of(const char *kind, const stack_device_entry *e) {
    rnl_device_info info = {
        .memory = e->facts.memory, .shared = e->facts.shared, .refusal = e->refusal};
    (void)strncat(info.kind, kind, sizeof info.kind - 1);
    copy(info.name, e->facts.name);
    copy(info.driver, e->facts.driver);
    return info;
}

/* Adds what one kind finds. */
static size_t add(const stack_device_ops *ops, const rnl_device_config *config,
                  rnl_device_info *infos, size_t cap, size_t count) {
    search *s = calloc(1, sizeof *s), told = {.ops = ops};
    watched *thread = NULL;
    bool hangs = false;
    if (s == NULL || !stack_device_config_copy(&s->config, &s->strings, config) ||
        watched_create(&thread) != RNL_OK) {
        fail(&told, RNL_ERR_MEMORY, "memory to look for devices is exhausted");
    } else {
        s->ops = ops;
        hangs = watched_call(thread, run, s, RNL_DEVICE_LIST_MS * INT64_C(1000)) != RNL_OK;
        if (hangs)
            fail(&told, RNL_ERR_IO, "its driver does not answer");
        else
            told = *s;
    }
    for (int i = 0; i < told.count; i++, count++)
        if (count < cap) infos[count] = info_of(ops->kind, &told.entries[i]);
    watched_destroy(&thread);
    if (hangs) return count;
    if (s != NULL) free(s->strings);
    free(s);
    return count;
}

size_t rnl_device_list(const rnl_device_config *config, rnl_device_info *infos, size_t cap) {
    const rnl_device_config c = config != NULL ? *config : rnl_device_config_default();
    size_t count = add(&stack_device_cpu, &c, infos, cap, 0);
    for (int i = 0; devices_all[i] != NULL; i++)
        count = add(devices_all[i]->ops, &c, infos, cap, count);
    return count;
}
