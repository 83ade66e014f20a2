/* The first row: the CPU, layer by layer, in place, by whoever calls. */
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "stack/device.h"

static int list(const rnl_device_config *config, stack_device_entry *entries, int cap) {
    kernels k;
    (void)config;
    kernels_select(&k, kernels_cpu_features() & ~(unsigned)KERNELS_CPU_ROUNDS);
    if (cap > 0) {
        entries[0] = (stack_device_entry){.facts.shared = true};
        (void)strncat(entries[0].facts.name, k.name, sizeof entries[0].facts.name - 1);
    }
    return 1;
}

static rnl_status forward(void *stack, const stack_pass *p, float *x, rnl_error *error) {
    (void)stack, (void)error;
    return stack_pass_layer(p, x);
}

const stack_device_ops stack_device_cpu = {.kind = "cpu", .list = list, .forward = forward};
