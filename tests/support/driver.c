#include "tests/support/driver.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double pi = 3.14159265358979323846;

static rnl_status driver_start(device *d, device_fn fn, void *context, rnl_error *error) {
    (void)error;
    ((driver *)d)->fn = fn;
    ((driver *)d)->context = context;
    return RNL_OK;
}
static rnl_status driver_find(device *d, rnl_error *error) {
    (void)d;
    (void)error;
    return RNL_OK;
}
static void driver_stop(device *d) {
    (void)d;
}
static int64_t driver_now(const device *d) {
    return ((const driver *)d)->now_us;
}
static rnl_status driver_wait(device *d, int64_t us, rnl_error *error) {
    (void)error;
    ((driver *)d)->now_us += us;
    return ((driver *)d)->fails ? RNL_ERR_IO : RNL_OK;
}
static bool driver_over(const device *d) {
    (void)d;
    return false;
}
static rnl_status driver_finish(device **d, bool abort, rnl_error *error) {
    (void)abort;
    (void)error;
    free(((driver *)*d)->said);
    free(*d);
    *d = NULL;
    return RNL_OK;
}
static const device_verbs verbs = {.find = driver_find,
                                   .start = driver_start,
                                   .stop = driver_stop,
                                   .now_us = driver_now,
                                   .wait = driver_wait,
                                   .charge = driver_wait,
                                   .input_over = driver_over,
                                   .finish = driver_finish};

driver *open_driver(int rate_in, int rate_out, bool one_clock, duplex **d) {
    driver *v = calloc(1, sizeof *v);
    assert_non_null(v);
    v->said = calloc(OUT_CAP, sizeof *v->said);
    assert_non_null(v->said);
    v->head.verbs = &verbs;
    v->head.facts = (device_facts){.name_in = "fake microphone",
                                   .name_out = "fake loudspeaker",
                                   .rate_in = rate_in,
                                   .rate_out = rate_out,
                                   .one_clock = one_clock};
    assert_int_equal(duplex_open_on(&v->head, d, NULL), RNL_OK);
    return v;
}

void period(driver *v, double hz, double level) {
    const int rate = v->head.facts.rate_in, rate_out = v->head.facts.rate_out;
    const int64_t k = v->periods++, first = k * rate / 100, out_first = k * rate_out / 100;
    device_block b = {.in = v->in,
                      .in_count = (size_t)((k + 1) * rate / 100 - first),
                      .out = v->out,
                      .out_count = (size_t)((k + 1) * rate_out / 100 - out_first),
                      .adc_us = k * PERIOD_US,
                      .dac_us = (k + 2) * PERIOD_US};
    for (size_t i = 0; i < b.in_count; i++)
        v->in[i] =
            (float)(hz == 0.0 ? level
                              : level * sin(2.0 * pi * hz * (double)(first + (int64_t)i) / rate));
    memset(v->out, 0x7F, sizeof v->out);
    v->fn(v->context, &b);
    v->now_us = (k + 1) * PERIOD_US;
    assert_true(v->said_count + b.out_count <= OUT_CAP);
    memcpy(v->said + v->said_count, v->out, b.out_count * sizeof(float));
    v->said_count += b.out_count;
}

void close_it(duplex *d) {
    assert_int_equal(duplex_close(&d, false, NULL), RNL_OK);
}
