/* What became of the tests of devices, which leave out what has no driver here: each says so in a
 * file of the folder RUNNEL_DEVICE_COUNT, and tests/devices/count.py counts, so that nothing is
 * left out in silence. Without that folder a line on stdout is all. */
#ifndef TESTS_SUPPORT_DEVICE_COUNT_H
#define TESTS_SUPPORT_DEVICE_COUNT_H

/* kind: "fake", "gpu", "npu". count: what was tried on a device, at least 1. */
void device_count_ran(const char *kind, const char *test, int count);
void device_count_skipped(const char *kind, const char *test, const char *why);

#endif
