#include "devices/onnx_runner.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "core/status.h"
#include "stack/device.h"

static rnl_status make_tensors(onnx_runtime *r, const onnx_terminal *terminals, size_t count,
                               onnx_tensor **tensors, const char **names, rnl_error *error) {
    rnl_status status = RNL_OK;
    for (size_t i = 0; i < count && status == RNL_OK; i++) {
        const onnx_terminal *t = &terminals[i];
        names[i] = t->name;
        if (t->memory != NULL)
            status = onnx_tensor_create(r, t->type, &t->shape, t->memory, &tensors[i], error);
    }
    return status;
}

static rnl_status open_session(onnx_runner *u, const onnx_place *place, int size,
                               rnl_error *error) {
    char graph[ONNX_PATH_CAP], kept[ONNX_PATH_CAP];
    rnl_status status = onnx_set_path(place->folder, "graph", size, ".onnx", graph, error);
    if (status == RNL_OK) status = onnx_set_path(place->folder, "compiled", size, "", kept, error);
    if (status != RNL_OK) return status;
    const onnx_session_config config = {.provider = u->d->provider,
                                        .graph_path = graph,
                                        .kept_path = place->kept ? kept : NULL,
                                        .options = u->d->options};
    return onnx_session_create(u->d->r, &config, &u->session, error);
}

rnl_status onnx_runner_open(onnx_runner *u, const onnx_device *d, const onnx_place *place, int size,
                            const onnx_terminal *inputs, size_t input_count,
                            const onnx_terminal *outputs, size_t output_count, rnl_error *error) {
    *u = (onnx_runner){.d = d,
                       .input_count = input_count,
                       .output_count = output_count,
                       .inputs = calloc(input_count, sizeof *u->inputs),
                       .outputs = calloc(output_count, sizeof *u->outputs),
                       .bound = calloc(input_count, sizeof *u->bound),
                       .input_names = calloc(input_count, sizeof *u->input_names),
                       .output_names = calloc(output_count, sizeof *u->output_names)};
    if (u->inputs == NULL || u->outputs == NULL || u->bound == NULL || u->input_names == NULL ||
        u->output_names == NULL)
        return stack_device_no_memory(error);
    rnl_status status = make_tensors(d->r, inputs, input_count, u->inputs, u->input_names, error);
    if (status == RNL_OK)
        status = make_tensors(d->r, outputs, output_count, u->outputs, u->output_names, error);
    for (size_t i = 0; i < input_count; i++) u->bound[i] = u->inputs[i];
    return status == RNL_OK ? open_session(u, place, size, error) : status;
}

void onnx_runner_close(onnx_runner *u) {
    for (size_t i = 0; i < u->input_count && u->inputs != NULL; i++)
        onnx_tensor_destroy(u->d->r, &u->inputs[i]);
    for (size_t i = 0; i < u->output_count && u->outputs != NULL; i++)
        onnx_tensor_destroy(u->d->r, &u->outputs[i]);
    onnx_session_destroy(&u->session);
    free(u->inputs);
    free(u->outputs);
    free(u->bound);
    free(u->input_names);
    free(u->output_names);
    *u = (onnx_runner){0};
}

rnl_status onnx_runner_run(const onnx_runner *u, rnl_error *error) {
    return onnx_session_run(u->session, u->input_names, u->bound, u->input_count, u->output_names,
                            u->outputs, u->output_count, error);
}

size_t onnx_runner_weights_size(const onnx_place *place) {
    char path[ONNX_PATH_CAP];
    struct stat info;
    if (onnx_set_path(place->folder, "graph", 0, ".weights", path, NULL) != RNL_OK) return 0;
    return stat(path, &info) == 0 ? (size_t)info.st_size : 0;
}
