/* An OpenCL device for tests: PoCL, which computes on the CPU, or the library that
 * RUNNEL_TEST_OPENCL names (Oclgrind, in the campaign `device`). Where there is none the tests are
 * skipped with the reason, all of them: some alone fail the group. */
#ifndef TESTS_SUPPORT_GPU_H
#define TESTS_SUPPORT_GPU_H

#include "stack/device.h"

/* device "gpu", and the library. */
rnl_device_config gpu_config(void);

/* First in every test: skips it where there is no device. */
void gpu_begin(void);
/* Runs a group whose tests all begin so, and returns how many failed. name: of the program, for
 * device_count.h. */
struct CMUnitTest;
int gpu_run(const char *name, const struct CMUnitTest *tests, size_t count);

#endif
