#include "search/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/staged_file.h"
#include "core/status.h"
#include "learn/scratch.h"
#include "search/config.h"

enum { PATH_CAP = 4096 };

static rnl_status write_config(const search_space *narrow, const search_candidate *c,
                               const char *path, rnl_error *error) {
    char *text = search_config_text(narrow, c);
    const rnl_status status = staged_write_line(path, text, error);
    free(text);
    return status;
}

static rnl_status open_model(const char *path, int thread_count, rnl_model **out,
                             rnl_error *error) {
    rnl_model_config config = rnl_model_config_default();
    config.exact = true;
    config.thread_count = thread_count;
    return rnl_model_open(path, &config, out, error);
}

rnl_status search_proxy_make(const search_space *narrow, const search_candidate *c,
                             const char *folder, uint64_t seed, int thread_count, int row_count,
                             search_proxy *out, rnl_error *error) {
    char config[PATH_CAP], start[PATH_CAP];
    const learn_config learning = {.choice = {.full = true, .moments = true},
                                   .row_cap = row_count * narrow->length,
                                   .run_cap = row_count,
                                   .keeps_all = true,
                                   .thread_count = thread_count,
                                   .seed = seed};
    *out = (search_proxy){0};
    if ((size_t)snprintf(config, sizeof config, "%s/config.json", folder) >= sizeof config ||
        (size_t)snprintf(start, sizeof start, "%s/start.gguf", folder) >= sizeof start)
        return status_fail(error, RNL_ERR_ARGUMENT, "%.60s...: the name is too long", folder);
    rnl_status status = write_config(narrow, c, config, error);
    if (status == RNL_OK)
        status = learn_scratch_write(folder, NULL, seed, thread_count, start, error);
    if (status == RNL_OK) status = open_model(start, thread_count, &out->model, error);
    (void)unlink(config); /* what is open stays mapped */
    (void)unlink(start);
    if (status == RNL_OK)
        status = learn_network_create(out->model, &learning, &out->network, error);
    return status;
}

void search_proxy_free(search_proxy *p) {
    learn_network_destroy(&p->network);
    rnl_model_close(&p->model);
}
