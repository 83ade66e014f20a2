/* The memory that an OpenCL driver takes by itself: opencl_alone [LIBRARY]. Opens the first device
 * with Runnel's kernels, multiplies by a matrix of 64 rows, and prints what the process took at the
 * most beyond what it had before, in KiB. No model is there. (tests/long/device_gpu.sh) */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "devices/opencl_driver.h"
#include "devices/opencl_product.h"

enum { ROWS = 64, COLS = 64 };

static long peak_kib(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0;
}

int main(int argc, char **argv) {
    static float w[ROWS * COLS], x[COLS], y[ROWS];
    const matrix m = {.data = (const unsigned char *)w,
                      .row_count = ROWS,
                      .col_count = COLS,
                      .row_size = COLS * sizeof *w,
                      .type = QUANT_F32};
    rnl_device_config config = rnl_device_config_default();
    stack_device_facts facts;
    rnl_error error;
    gpu *g = NULL;
    if (argc > 1) config.opencl_path = argv[1];
    for (int i = 0; i < ROWS; i++) w[i * COLS + i] = 1;
    for (int i = 0; i < COLS; i++) x[i] = (float)i;
    const long before = peak_kib();
    rnl_status status = gpu_open(&config, NULL, &g, &facts, &error);
    if (status == RNL_OK) status = gpu_multiply_once(g, &m, true, x, 1, y, &error);
    gpu_close(&g);
    if (status != RNL_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return EXIT_FAILURE;
    }
    if (y[ROWS - 1] != x[COLS - 1]) {
        (void)fprintf(stderr, "%s multiplies wrongly\n", facts.name);
        return EXIT_FAILURE;
    }
    printf("%ld\n", peak_kib() - before);
    return EXIT_SUCCESS;
}
