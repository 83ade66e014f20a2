#include "tests/support/gpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/opencl.h"
#include "tests/support/device_count.h"

/* What PoCL and its compiler make once and keep until the process ends. */
RNL_API const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libpocl\nleak:libLLVM\n";
}

static int ran, skipped;

rnl_device_config gpu_config(void) {
    rnl_device_config config = rnl_device_config_default();
    config.device = "gpu";
    config.opencl_path = getenv("RUNNEL_TEST_OPENCL");
    config.deadline_ms = 600000; /* machines under test are slow */
    return config;
}

/* Why no device can be used; NULL: one can. */
static const char *find_reason(void) {
#ifdef __SANITIZE_THREAD__
    return "TSan does not see how the threads of PoCL wait for each other";
#else
    static stack_device_entry entries[8];
    const rnl_device_config config = gpu_config();
    int count = opencl_ops.list(&config, entries, 8);
    if (count > 8) count = 8;
    for (int i = 0; i < count; i++)
        if (entries[i].refusal.status == RNL_OK) return NULL;
    return entries[0].refusal.text;
#endif
}

static const char *reason;

void gpu_begin(void) {
    if (ran + skipped == 0) reason = find_reason();
    if (reason == NULL) {
        ran++;
        return;
    }
    skipped++;
    skip();
}

int gpu_run(const char *name, const struct CMUnitTest *tests, size_t count) {
    const int failed = _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
    if (ran > 0)
        device_count_ran("gpu", name, ran);
    else if (reason != NULL)
        device_count_skipped("gpu", name, reason);
    if ((size_t)(ran + skipped) == count && (ran == 0 || skipped == 0)) return failed;
    printf("%d of %zu tests ran on a device, and %d said why not\n", ran, count, skipped);
    return failed + 1;
}
