/* runnel devices: the sound devices that --input and --output can name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/messages.h"
#include "audio/device.h"
#include "core/json.h"

static int json_row(const device_row *r) {
    json_draft *o = json_new_object();
    json_set(o, "index", json_new_int(r->index));
    json_set(o, "name", json_new_string(r->name, strlen(r->name)));
    json_set(o, "host", json_new_string(r->host, strlen(r->host)));
    json_set(o, "inputs", json_new_int(r->in_channels));
    json_set(o, "outputs", json_new_int(r->out_channels));
    json_set(o, "rate", json_new_number(r->rate));
    json_set(o, "latency_in_ms", json_new_number(r->latency_in_ms));
    json_set(o, "latency_out_ms", json_new_number(r->latency_out_ms));
    json_set(o, "default_in", json_new_bool(r->default_in));
    json_set(o, "default_out", json_new_bool(r->default_out));
    return print_json(o);
}

/* One direction of a row: channels and latency, or a dash. */
static void print_end(int channels, double latency_ms, bool is_default) {
    char text[32] = "-";
    if (channels > 0) (void)snprintf(text, sizeof text, "%d, %.0f ms", channels, latency_ms);
    printf("  %c%-11s", is_default ? '*' : ' ', text);
}

static int run(const options *o) {
    device_row *rows = NULL;
    size_t count = 0;
    rnl_error error = {0};
    if (o->argument_count > 0)
        return complain(EXIT_USAGE, "devices: takes no argument, got '%s'", o->arguments[0]);
    if (device_list(&rows, &count, &error) != RNL_OK)
        return complain(EXIT_DEVICE, "%s", error.text);
    if (count == 0)
        return complain(EXIT_DEVICE, "there is no sound device on this machine; plug one in or "
                                     "start the sound server (PulseAudio, PipeWire)");
    if (!o->json) printf("index    in           out          Hz      host, name\n");
    int code = EXIT_OK;
    for (size_t i = 0; i < count && code == EXIT_OK; i++) {
        const device_row *r = &rows[i];
        if (o->json) {
            code = json_row(r);
            continue;
        }
        printf("%5d", r->index);
        print_end(r->in_channels, r->latency_in_ms, r->default_in);
        print_end(r->out_channels, r->latency_out_ms, r->default_out);
        printf(" %6.0f  %s, %s\n", r->rate, r->host, r->name);
    }
    free(rows);
    return code;
}

const command command_devices = {
    .name = "devices",
    .summary = "the sound devices of this machine",
    .synopsis = "[--json]",
    .about = "Index, channels and lowest latency each way (* marks the defaults), rate, host and "
             "name.\nIndex or name is what --input and --output take. --json: one object a line.",
    .options = {&options_json},
    .run = run,
};
