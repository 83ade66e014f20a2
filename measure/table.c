#include "measure/table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/status.h"
#include "stack/stack_lists.h"

enum { VOCABULARY = 256 /* of stacks that stand for a block: nothing beside it */ };

/* What a file says of the two, but for what they share: all else is common to a stack's layers. */
static bool same_block(const stack_config *c, int one, int other) {
    if (stack_type_of(&c->layers[one]) != stack_type_of(&c->layers[other])) return false;
    for (int i = 0; i < STACK_LIST_COUNT; i++) {
        const stack_list *list = &stack_lists[i];
        if (!list->has_default &&
            stack_list_entry(list, c, one) != stack_list_entry(list, c, other))
            return false;
    }
    return true;
}

static rnl_status find_blocks(const stack_config *c, const char *path, measure_table *t,
                              rnl_error *error) {
    *t = (measure_table){.layer_count = c->layer_count};
    for (int i = 0; i < t->layer_count; i++) {
        int b = 0;
        while (b < t->block_count && !same_block(c, i, t->layer_of[b])) b++;
        if (b == MEASURE_BLOCK_CAP)
            return status_fail(error, RNL_ERR_UNSUPPORTED,
                               "%s: it has more than %d different blocks, too many for a table",
                               path, MEASURE_BLOCK_CAP);
        if (b == t->block_count) t->layer_of[t->block_count++] = i;
        t->block_of[i] = b;
    }
    return RNL_OK;
}

/* So many copies of a block, with that vocabulary. */
static rnl_status add_copies(measure *m, const measure_shape *whole, measure_shape *scratch,
                             int layer, int copies, int vocab_count, rnl_error *error) {
    stack_layer_config block = whole->stack.layers[layer];
    char name[64];
    block.kv_above = block.ff_above = 0;
    *scratch = *whole;
    scratch->vocab_count = vocab_count;
    scratch->stack.layer_count = copies;
    stack_config_fill(&scratch->stack, &block);
    (void)snprintf(name, sizeof name, "%d blocks as layer %d", copies, layer);
    return measure_add_shape(m, scratch, name, error);
}

rnl_status measure_table_add(measure *m, const char *path, measure_table *t, rnl_error *error) {
    measure_shape *shapes = calloc(2, sizeof *shapes); /* too large for a stack */
    if (shapes == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    rnl_status status = measure_shape_read(&shapes[0], path, error);
    if (status == RNL_OK) status = find_blocks(&shapes[0].stack, path, t, error);
    if (status == RNL_OK) status = measure_add_shape(m, &shapes[0], path, error);
    for (int b = 0; b < t->block_count && status == RNL_OK; b++)
        status = add_copies(m, &shapes[0], &shapes[1], t->layer_of[b], t->layer_count, VOCABULARY,
                            error);
    if (status == RNL_OK)
        status = add_copies(m, &shapes[0], &shapes[1], t->layer_of[t->block_of[0]], 1,
                            shapes[0].vocab_count, error);
    free(shapes);
    return status;
}

void measure_table_settle(measure_table *t, measure_report *r) {
    assert(r->count == t->block_count + 2);
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) {
        for (int b = 0; b < t->block_count; b++)
            t->blocks[b][m] = r->results[1 + b].times[m].ms / t->layer_count;
        const double more = r->results[r->count - 1].times[m].ms - t->blocks[t->block_of[0]][m];
        t->head[m] = more > 0 ? more : 0;
        t->predicted[m] = t->head[m];
        for (int i = 0; i < t->layer_count; i++) t->predicted[m] += t->blocks[t->block_of[i]][m];
    }
    r->count = 1;
}

/* ---- Writing ---- */

static json_draft *metrics_json(const double ms[MEASURE_METRIC_COUNT]) {
    json_draft *o = json_new_object();
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++)
        json_set(o, measure_metric_names[m], json_new_number(ms[m]));
    return o;
}

static json_draft *block_json(const measure_table *t, int block) {
    json_draft *o = metrics_json(t->blocks[block]), *layers = json_new_array();
    for (int i = 0; i < t->layer_count; i++)
        if (t->block_of[i] == block) json_append(layers, json_new_int(i));
    json_set(o, "layers", layers);
    return o;
}

json_draft *measure_table_json(const measure_table *t, const measure_result *whole) {
    json_draft *o = json_new_object(), *blocks = json_new_array();
    double differences[MEASURE_METRIC_COUNT];
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++)
        differences[m] = t->predicted[m] / whole->times[m].ms - 1;
    for (int b = 0; b < t->block_count; b++) json_append(blocks, block_json(t, b));
    json_set(o, "blocks", blocks);
    json_set(o, "head", metrics_json(t->head));
    json_set(o, "predicted", metrics_json(t->predicted));
    json_set(o, "difference", metrics_json(differences));
    return o;
}
