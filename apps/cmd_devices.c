/* runnel devices: the sound devices that --input and --output can name; with --compute what
 * --device can. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/runnel_device.h>

#include "apps/commands.h"
#include "apps/device_options.h"
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

/* ---- Who computes ---- */

static int json_compute(const rnl_device_info *d) {
    json_draft *o = json_new_object();
    json_set(o, "kind", json_new_string(d->kind, strlen(d->kind)));
    json_set(o, "name", json_new_string(d->name, strlen(d->name)));
    json_set(o, "driver", json_new_string(d->driver, strlen(d->driver)));
    json_set(o, "memory", json_new_int((int64_t)d->memory));
    json_set(o, "shared", json_new_bool(d->shared));
    json_set(o, "usable", json_new_bool(d->refusal.status == RNL_OK));
    if (d->refusal.status != RNL_OK)
        json_set(o, "refusal", json_new_string(d->refusal.text, strlen(d->refusal.text)));
    return print_json(o);
}

static void print_compute(const rnl_device_info *d) {
    char memory[32] = "";
    if (d->memory > 0)
        (void)snprintf(memory, sizeof memory, ", %.1f GB%s", 1e-9 * (double)d->memory,
                       d->shared ? " shared" : "");
    printf("%-4s %s%s%s%s%s%s%s\n", d->kind, d->name, d->driver[0] != '\0' ? " (" : "", d->driver,
           d->driver[0] != '\0' ? ")" : "", memory,
           d->refusal.status != RNL_OK && d->name[0] != '\0' ? "; " : "",
           d->refusal.status != RNL_OK ? "not used: " : "");
    if (d->refusal.status != RNL_OK) printf("     %s\n", d->refusal.text);
}

static int list_compute(const options *o) {
    enum { CAP = 32 };
    rnl_device_config config;
    rnl_error error = {0};
    if (!device_options_parse(o, &config, &error)) return complain(EXIT_USAGE, "%s", error.text);
    rnl_device_info *infos = calloc(CAP, sizeof *infos);
    if (infos == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    const size_t found = rnl_device_list(&config, infos, CAP), count = found < CAP ? found : CAP;
    int code = EXIT_OK;
    for (size_t i = 0; i < count && code == EXIT_OK; i++) {
        if (o->json)
            code = json_compute(&infos[i]);
        else
            print_compute(&infos[i]);
    }
    free(infos);
    return code == EXIT_OK ? flush_output() : code;
}

/* ---- Sound ---- */

static int run(const options *o) {
    device_row *rows = NULL;
    size_t count = 0;
    rnl_error error = {0};
    if (o->argument_count > 0)
        return complain(EXIT_USAGE, "devices: takes no argument, got '%s'", o->arguments[0]);
    if (o->compute) return list_compute(o);
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

static const option_row own_rows[] = {
    {.name = "compute",
     .help = "what could compute models, and why not what cannot",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(compute)},
};
static const option_list own = OPTION_LIST(own_rows);

const command command_devices = {
    .name = "devices",
    .summary = "the sound devices of this machine, or what could compute",
    .synopsis = "[--json] [--compute [--device-set KEY=VALUE]...]",
    .about = "Index, channels and lowest latency each way (* marks the defaults), rate, host and "
             "name.\nIndex or name is what --input and --output take. --json: one object a line.\n"
             "--compute: who could compute the layers of a model, as --device names them, the CPU\n"
             "first; a device that cannot is listed with the reason. Files of drivers are named\n"
             "by --device-set.",
    .options = {&options_json, &options_device, &own},
    .run = run,
};
