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
    const search_report report = {h, &none, &none};
    for (int i = 0; i < h->count; i++) {
        char *text = search_config_text(&h->plan->space, &h->all[i].candidate);
        if (text == NULL) abort();
        free(text);
    }
    if (f == NULL || (h->count > 0 && !search_report_write(f, &report))) abort();
    (void)fclose(f);
}

typedef rnl_status (*way)(const search_run *run, search_history *h, rnl_error *error);

/* What a log has, or as many evaluations as are let through without one. */
static void search(const search_plan *p, search_log *log, way how) {
    rnl_error error = {0};
    search_history h;
    int left = log == NULL ? MEASURED_MAX : 0;
    const search_run run = {
        .plan = p, .device = &search_made_up, .log = log, .goes_on = goes_on, .context = &left};
    search_history_begin(&h, p);
    if (how(&run, &h, &error) != RNL_OK && error.text[0] == '\0') abort();
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
    search(&p, NULL, search_evolve);
}

static void take_log(const char *space, const char *text, size_t size) {
    search_plan p;
    search_log log;
    if (search_plan_parse(&p, "space", space, strlen(space), NULL) != RNL_OK) abort();
    if (search_log_of_text(&log, "log", text, size, NULL) != RNL_OK) abort();
    search(&p, &log, search_evolve); /* it cannot be written to */
    search_log_close(&log);
    if (search_log_of_text(&log, "log", text, size, NULL) != RNL_OK) abort();
    search(&p, &log, search_given);
    search_log_close(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char made_up[] =
        "{\"device\": \"made-up\", \"d\": 96, \"heads\": 4, \"params\": 1000000,"
        "\"vocab\": 512, \"ff_multiple\": 16, \"population\": 4,"
        "\"evaluations\": 12, \"limits\": {\"decode\": 20}}";
    static const char here[] =
        "{\"d\": 64, \"heads\": 4, \"blocks\": 3, \"params\": 150000, \"vocab\": 256,"
        "\"ff_multiple\": 32, \"tolerance\": 0.1, \"population\": 3, \"evaluations\": 4}";
    if (size == 0) return 0;
    const char *text = (const char *)data + 1;
    if (data[0] % 3 == 0)
        take_plan(text, size - 1);
    else
        take_log(data[0] % 3 == 1 ? made_up : here, text, size - 1);
    return 0;
}
