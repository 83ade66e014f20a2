/* Any bytes as space.json, or as the log of a search. A plan that is taken is written and read back
 * the same, and begins a search; a log that is taken is one that the search would have written. */
#include <stdlib.h>
#include <string.h>

#include "search/config.h"
#include "search/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEASURED_MAX = 3 };

static bool goes_on(void *context, const search_history *h) {
    int *left = context;
    (void)h;
    return (*left)-- > 0;
}

static void look(const search_history *h) {
    FILE *f = fopen("/dev/null", "w");
    const search_history none = {.plan = h->plan};
    const search_report report = {h, &none};
    for (int i = 0; i < h->count; i++) {
        char *text = search_config_text(&h->plan->space, &h->all[i].candidate);
        if (text == NULL) abort();
        free(text);
    }
    if (f == NULL || (h->count > 0 && !search_report_write(f, &report))) abort();
    (void)fclose(f);
}

/* What a log has, and so many evaluations behind it. */
static void search(const search_plan *p, search_log *log, int left) {
    rnl_error error = {0};
    search_history h;
    const search_run run = {
        .plan = p, .device = &search_made_up, .log = log, .goes_on = goes_on, .context = &left};
    search_history_begin(&h, p);
    if (search_evolve(&run, &h, &error) != RNL_OK && error.text[0] == '\0') abort();
    look(&h);
    search_history_free(&h);
}

static void take_plan(const char *text, size_t size) {
    search_plan p, again;
    rnl_error error = {0};
    if (search_plan_parse(&p, "space", text, size, &error) != RNL_OK) {
        if (error.text[0] == '\0') abort();
        return;
    }
    char *written = search_plan_text(&p);
    if (written == NULL) abort();
    if (search_plan_parse(&again, "space", written, strlen(written), &error) != RNL_OK) abort();
    if (memcmp(&p, &again, sizeof p) != 0) abort();
    free(written);
    search(&p, NULL, MEASURED_MAX);
}

static void take_log(const char *text, size_t size) {
    static const char space[] =
        "{\"device\": \"made-up\", \"d\": 96, \"heads\": 4, \"params\": 1000000,"
        "\"vocab\": 512, \"ff_multiple\": 16, \"population\": 4,"
        "\"evaluations\": 12, \"limits\": {\"decode\": 20}}";
    search_plan p;
    search_log log;
    if (search_plan_parse(&p, "space", space, sizeof space - 1, NULL) != RNL_OK) abort();
    if (search_log_of_text(&log, "log", text, size, NULL) != RNL_OK) abort();
    search(&p, &log, 0); /* it cannot be written to */
    search_log_close(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    if (data[0] % 2 == 0)
        take_plan((const char *)data + 1, size - 1);
    else
        take_log((const char *)data + 1, size - 1);
    return 0;
}
