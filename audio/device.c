/* Which kind of device a configuration asks for: a card (card.c) or files (device_file.c). */
#include "audio/device.h"

#include <string.h>

#include "core/status.h"

device_config device_config_default(void) {
    return (device_config){.latency_ms = 20.0, .sim_cost_ms = -1.0};
}

rnl_status device_open(const device_config *config, device **out, rnl_error *error) {
    const char *const names[] = {config->input, config->output};
    int files = 0, nulls = 0;
    *out = NULL;
    for (int i = 0; i < 2; i++) {
        files += device_is_file(names[i]);
        nulls += names[i] != NULL && strcmp(names[i], "null") == 0;
    }
    if (files > 0 && files + nulls < 2)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "a file beside a sound card would need two clocks; give both --input "
                           "and --output as file:PATH or null");
    if (config->rate != 0 && (config->rate < DEVICE_RATE_MIN || config->rate > DEVICE_RATE_MAX))
        return status_fail(error, RNL_ERR_ARGUMENT, "a rate of %d Hz is outside %d to %d Hz",
                           config->rate, DEVICE_RATE_MIN, DEVICE_RATE_MAX);
    return files > 0 || nulls == 2 ? device_file_open(config, out, error)
                                   : device_card_open(config, out, error);
}
