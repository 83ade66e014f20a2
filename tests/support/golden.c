#include "tests/support/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/support/npy.h"

double golden_off(const float *got, const float *want, size_t count) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = (double)got[i] - (double)want[i];
        difference += d * d;
        size += (double)want[i] * (double)want[i];
    }
    return sqrt(difference / size);
}

void golden_compare(const char *what, const float *want, const float *got, size_t count,
                    double tolerance, double tolerance_rms) {
    double worst = 0, sum = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = fabs((double)want[i] - (double)got[i]);
        if (!(d <= worst)) worst = d, at = i; /* a NaN wins */
        sum += d * d;
    }
    const double rms = count > 0 ? sqrt(sum / (double)count) : 0;
    printf("%s: max %.3g of %.3g, rms %.3g of %.3g\n", what, worst, tolerance, rms, tolerance_rms);
    if (!(worst <= tolerance) || !(rms <= tolerance_rms))
        fail_msg("%s: off at %zu: %.9g instead of %.9g", what, at, (double)got[at],
                 (double)want[at]);
}

static void tolerances(const char *dir, const char *file, double *max, double *rms) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s/manifest.json", TEST_DATA, dir);
    json_error_t e;
    json_t *root = json_load_file(path, 0, &e);
    if (root == NULL) fail_msg("%s: %s", path, e.text);
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(root, "arrays"), i, entry) {
        if (strcmp(json_string_value(json_object_get(entry, "file")), file) != 0) continue;
        *max = json_number_value(json_object_get(entry, "tolerance"));
        const json_t *r = json_object_get(entry, "tolerance_rms");
        *rms = r != NULL ? json_number_value(r) : *max;
        json_decref(root);
        return;
    }
    fail_msg("%s: no entry for %s", path, file);
}

static void check(const char *dir, const char *file, const float *got, size_t count,
                  bool transposed) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    npy want = npy_read(path);
    assert_non_null(want.f);
    assert_int_equal(want.count, count);
    double max = 0, rms = 0;
    tolerances(dir, file, &max, &rms);
    if (!transposed) {
        golden_compare(path, want.f, got, count, max, rms);
    } else {
        const size_t rows = (size_t)want.shape[0], cols = count / rows;
        float *turned = malloc(count * sizeof *turned);
        assert_non_null(turned);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++) turned[c * rows + r] = want.f[r * cols + c];
        golden_compare(path, turned, got, count, max, rms);
        free(turned);
    }
    npy_free(&want);
}

void golden_check(const char *dir, const char *file, const float *got, size_t count) {
    check(dir, file, got, count, false);
}

void golden_check_transposed(const char *dir, const char *file, const float *got, size_t count) {
    check(dir, file, got, count, true);
}
