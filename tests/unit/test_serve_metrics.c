/* /metrics: what was counted stands there in Prometheus' form, and nothing of a client's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/api_error.h"
#include "serve/metrics.h"
#include "serve/process_watch.h"

enum { PAGE_CAP = 64 * 1024 };

static const char *const paths[] = {"/v1/models", "/v1/realtime"};

static metrics *make(const char *model) {
    const metrics_config config = {
        .kernels = "avx2", .model = model, .paths = paths, .path_count = 2};
    metrics *m;
    assert_int_equal(metrics_create(&config, &m), RNL_OK);
    return m;
}

static char page[PAGE_CAP];

static void write_page(const metrics *m) {
    const size_t size = metrics_write(m, page, sizeof page - 1);
    assert_in_range(size, 1, sizeof page - 1);
    page[size] = '\0';
}

/* The page has this line. */
static void has(const char *line) {
    char whole[300];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(page, whole) == NULL) fail_msg("no line %s in:\n%s", line, page);
}

static void has_not(const char *text) {
    if (strstr(page, text) != NULL) fail_msg("%s in:\n%s", text, page);
}

static void counters_and_gauges(void **state) {
    (void)state;
    metrics *m = make("minnow");
    metrics_count(m, METRIC_FRAMES, 0, 40);
    metrics_count(m, METRIC_FRAMES, 0, 2);
    metrics_count(m, METRIC_CONNECTIONS, METRIC_WYOMING, 3);
    metrics_count(m, METRIC_CONNECTIONS, METRIC_WYOMING, -1);
    metrics_set(m, METRIC_LOAD, 0, 1500000);
    metrics_set(m, METRIC_UP, 0, 61000001);
    metrics_count(m, METRIC_EVENT_ERRORS, API_INVALID_VALUE, 1);
    metrics_count(m, METRIC_SESSIONS_REFUSED, METRIC_FOR_DRAINING, 7);
    write_page(m);
    has("runnel_frames_total 42");
    has("# TYPE runnel_frames_total counter");
    has("runnel_connections{protocol=\"wyoming\"} 2");
    has("runnel_connections{protocol=\"realtime\"} 0");
    has("# TYPE runnel_connections gauge");
    has("runnel_load_ratio 1.500000");
    has("runnel_up_seconds 61.000001");
    has("runnel_event_errors_total{code=\"invalid_value\"} 1");
    has_not("invalid_json"); /* it never came */
    has("runnel_sessions_refused_total{reason=\"draining\"} 7");
    has("runnel_sessions{state=\"idle\"} 0");
    has("runnel_memory_bytes{kind=\"buffers\"} 0");
    metrics_destroy(&m);
}

static void histograms_are_cumulative(void **state) {
    (void)state;
    metrics *m = make("minnow");
    const int64_t slacks[] = {-2000000, -1, 0, 1, 10000000, 10000001};
    for (size_t i = 0; i < 6; i++) metrics_observe(m, METRIC_SLACK, slacks[i]);
    metrics_observe(m, METRIC_BATCH_ROWS, 5);
    write_page(m);
    has("# TYPE runnel_slack_seconds histogram");
    has("runnel_slack_seconds_bucket{le=\"-1.000000\"} 1");
    has("runnel_slack_seconds_bucket{le=\"-0.100000\"} 1");
    has("runnel_slack_seconds_bucket{le=\"0.000000\"} 3");
    has("runnel_slack_seconds_bucket{le=\"0.100000\"} 4");
    has("runnel_slack_seconds_bucket{le=\"10.000000\"} 5");
    has("runnel_slack_seconds_bucket{le=\"+Inf\"} 6");
    has("runnel_slack_seconds_sum 18.000001");
    has("runnel_slack_seconds_count 6");
    has("runnel_batch_rows_bucket{le=\"4\"} 0");
    has("runnel_batch_rows_bucket{le=\"8\"} 1");
    has("runnel_batch_rows_sum 5");
    metrics_observe(m, METRIC_SLACK, -19000002);
    write_page(m);
    has("runnel_slack_seconds_sum -1.000001");
    metrics_destroy(&m);
}

static void requests_by_path_and_status(void **state) {
    (void)state;
    metrics *m = make("minnow");
    metrics_request(m, 0, 200, 4000);
    metrics_request(m, 0, 200, 6000);
    metrics_request(m, 1, 503, 100);
    metrics_request(m, 1, 418, 100); /* no status of ours */
    write_page(m);
    has("runnel_http_requests_total{path=\"/v1/models\",code=\"200\"} 2");
    has("runnel_http_requests_total{path=\"/v1/realtime\",code=\"503\"} 1");
    has("runnel_http_requests_total{path=\"/v1/realtime\",code=\"0\"} 1");
    has_not("path=\"/v1/models\",code=\"503\"");
    has("runnel_http_request_seconds_bucket{le=\"0.005000\"} 3");
    has("runnel_http_request_seconds_count 4");
    metrics_destroy(&m);
}

/* Every line is a comment or a name, labels and one number; each family has its head, once. */
static void every_line_has_the_form(void **state) {
    (void)state;
    metrics *m = make("a \"b\"\\c\nd");
    write_page(m);
    assert_non_null(strstr(page, "model=\"a \\\"b\\\"\\\\c\\nd\"} 1\n"));
    metrics_destroy(&m);
    m = make("minnow");
    for (int code = 0; code < API_CODE_COUNT; code++)
        metrics_count(m, METRIC_EVENT_ERRORS, code, 1);
    write_page(m);
    size_t families = 0;
    for (char *line = page, *end; *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        if (strncmp(line, "# HELP ", 7) == 0) {
            families++;
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0) continue;
        const size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
        assert_true(name > 0);
        const char *rest = line + name;
        if (*rest == '{') rest = strchr(rest, '}') + 1;
        char *after;
        assert_int_equal(*rest, ' ');
        (void)strtod(rest, &after);
        if (*after != '\0' || after == rest + 1) fail_msg("line: %s", line);
    }
    assert_int_equal(families, METRIC_COUNT + 2); /* build_info and http_requests besides */
    metrics_destroy(&m);
}

static void a_small_room_is_said(void **state) {
    (void)state;
    metrics *m = make("minnow");
    write_page(m);
    char small[100];
    memset(small, 'x', sizeof small);
    assert_int_equal(metrics_write(m, small, 50), strlen(page));
    assert_memory_equal(small, page, 50);
    assert_int_equal(small[50], 'x');
    metrics_destroy(&m);
}

static void the_process_itself(void **state) {
    (void)state;
    process_watch *w;
    process_facts before, after;
    assert_int_equal(process_watch_create(&w), RNL_OK);
    process_watch_read(w, &before);
    assert_in_range(before.resident_size, 100 * 1024, (uint64_t)64 << 30);
    assert_true(before.fd_count >= 5);
    FILE *f = fopen("/dev/null", "r");
    assert_non_null(f);
    process_watch_read(w, &after);
    assert_int_equal(after.fd_count, before.fd_count + 1);
    assert_true(after.cpu_us >= before.cpu_us && after.cpu_us > 0);
    (void)fclose(f);
    process_watch_destroy(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges),         cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(requests_by_path_and_status), cmocka_unit_test(every_line_has_the_form),
        cmocka_unit_test(a_small_room_is_said),        cmocka_unit_test(the_process_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
