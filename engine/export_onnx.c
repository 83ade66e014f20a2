#include "engine/export_onnx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "core/status.h"
#include "devices/onnx_set.h"

/* A stage and its files. */
typedef struct stage_export {
    const char *name;
    const stack_weights *w; /* NULL: the encoder */
    onnx_set set;
    onnx_set_files files;
} stage_export;

enum { STAGE_CAP = 3, BACKBONE_ROWS = 128 };

/* ---- onnx.json ---- */

static json_draft *text(const char *s) {
    return json_new_string(s, strlen(s));
}

/* What the numbers of an input follow from. */
static json_draft *describe(const stack_weights *w, const onnx_port *p) {
    static const char *const roles[ONNX_ROLE_COUNT] = {
        [ONNX_ROWS] = "rows", [ONNX_MASK] = "mask",    [ONNX_COS] = "cosines",
        [ONNX_SIN] = "sines", [ONNX_LAST] = "last",    [ONNX_TAIL] = "tail",
        [ONNX_KEYS] = "keys", [ONNX_VALUES] = "values"};
    const stack_layer_config *l = &w->config.layers[p->layer];
    json_draft *o = json_new_object();
    json_set(o, "name", text(p->name));
    json_set(o, "role", text(roles[p->role]));
    if (p->role == ONNX_MASK) json_set(o, "window", json_new_int(l->window));
    if (p->role == ONNX_LAST) json_set(o, "taps", json_new_int(l->taps));
    if (p->role == ONNX_TAIL || p->role == ONNX_KEYS || p->role == ONNX_VALUES)
        json_set(o, "layer", json_new_int(p->layer));
    if (p->role == ONNX_COS || p->role == ONNX_SIN) {
        json_set(o, "base", json_new_number(l->rotary.base));
        json_set(o, "head_width", json_new_int(l->head_width));
        json_set(o, "pairs", json_new_int(l->rotary.pair_count));
        json_set(o, "adjacent", json_new_bool(l->rotary.adjacent));
    }
    return o;
}

static json_draft *describe_all(const stack_weights *w, const onnx_port *ports, int count) {
    json_draft *all = json_new_array();
    for (int i = 0; i < count; i++) json_append(all, describe(w, &ports[i]));
    return all;
}

static json_draft *describe_stack(const stage_export *e) {
    json_draft *o = json_new_object(), *graphs = json_new_array();
    const onnx_stack_config c = onnx_set_config(&e->set, e->set.sizes[0]);
    onnx_ports ports;
    if (onnx_ports_make(e->w, &c, &ports) != RNL_OK) {
        json_drop(&graphs);
        json_drop(&o);
        return NULL;
    }
    for (int i = 0; i < e->set.count; i++) {
        char file[64];
        json_draft *g = json_new_object();
        (void)snprintf(file, sizeof file, "%s-%d.onnx", e->name, e->set.sizes[i]);
        json_set(g, "file", text(file));
        json_set(g, "rows", json_new_int(e->set.sizes[i]));
        json_append(graphs, g);
    }
    json_set(o, "graphs", graphs);
    json_set(o, "past", json_new_int(e->set.past_count));
    json_set(o, "width", json_new_int(e->w->config.width));
    json_set(o, "inputs", describe_all(e->w, ports.inputs, ports.input_count));
    json_set(o, "outputs", describe_all(e->w, ports.outputs, ports.output_count));
    onnx_ports_free(&ports);
    return o;
}

static rnl_status write_description(const stage_export *stages, int count, const char *path,
                                    rnl_error *error) {
    json_draft *o = json_new_object();
    for (int i = 0; i < count; i++)
        if (stages[i].w != NULL) json_set(o, stages[i].name, describe_stack(&stages[i]));
    char *line = json_text(o);
    json_drop(&o);
    const rnl_status status = staged_write_line(path, line, error);
    free(line);
    return status;
}

/* ---- All files ---- */

static int find_stages(const rnl_model *m, const export_onnx_config *c, stage_export *stages) {
    int count = 0;
    stages[count++] = (stage_export){
        .name = "backbone",
        .w = &m->backbone.stack,
        .set = onnx_set_of_stack(&m->backbone.stack, BACKBONE_ROWS, c->context, false)};
    if (m->source.config.codebook_count > 0) /* a step for each codebook, nothing kept behind */
        stages[count++] = (stage_export){
            .name = "depthformer",
            .w = &m->depth.stack,
            .set = onnx_set_of_stack(&m->depth.stack, 1, m->source.config.codebook_count, false)};
    if (m->source.config.has_encoder)
        stages[count++] =
            (stage_export){.name = "encoder", .set = onnx_set_of_encoder(&m->encoder)};
    return count;
}

static rnl_status ask(const export_onnx_config *c, const char *name, int row_count,
                      const char *ending, rnl_error *error) {
    char path[ONNX_PATH_CAP];
    const rnl_status status = onnx_set_path(c->folder, name, row_count, ending, path, error);
    if (status != RNL_OK) return status;
    return c->target != NULL ? c->target(c->target_context, path, error) : RNL_OK;
}

/* Whether all of it can be written. */
static rnl_status check(const rnl_model *m, const export_onnx_config *c, const stage_export *stages,
                        int count, rnl_error *error) {
    rnl_status status = ask(c, "onnx", 0, ".json", error);
    for (int i = 0; i < count && status == RNL_OK; i++) {
        const stage_export *e = &stages[i];
        status = e->w != NULL ? onnx_stack_check(e->w, m->path, error)
                              : onnx_encoder_check(&m->encoder, m->path, error);
        if (status == RNL_OK) status = ask(c, e->name, 0, ".weights", error);
        for (int n = 0; n < e->set.count && status == RNL_OK; n++)
            status = ask(c, e->name, e->set.sizes[n], ".onnx", error);
    }
    return status;
}

static rnl_status write_all(const export_onnx_config *c, stage_export *stages, int count,
                            rnl_error *error) {
    char path[ONNX_PATH_CAP];
    rnl_status status = RNL_OK;
    for (int i = 0; i < count && status == RNL_OK; i++)
        status = onnx_set_stage(&stages[i].set, c->folder, stages[i].name, true, c->opened,
                                c->target_context, &stages[i].files, error);
    /* A disk that is full shows above, before any file has its name. */
    for (int i = 0; i < count && status == RNL_OK; i++)
        status = onnx_set_commit(&stages[i].files, error);
    if (status == RNL_OK) status = onnx_set_path(c->folder, "onnx", 0, ".json", path, error);
    if (status == RNL_OK) status = write_description(stages, count, path, error);
    for (int i = 0; i < count; i++) onnx_set_abort(&stages[i].files);
    return status;
}

rnl_status export_onnx(const rnl_model *m, const export_onnx_config *c, rnl_error *error) {
    stage_export stages[STAGE_CAP];
    const int count = find_stages(m, c, stages);
    rnl_status status = check(m, c, stages, count, error);
    if (status != RNL_OK) return status;
    const bool made = mkdir(c->folder, 0777) == 0;
    if (!made && errno != EEXIST)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be made: %s", c->folder, strerror(errno));
    status = write_all(c, stages, count, error);
    if (status != RNL_OK && made) (void)rmdir(c->folder);
    return status;
}
