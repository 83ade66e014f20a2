#include "apps/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <runnel/runnel_transcript.h>

#include "core/hash_table.h"
#include "engine/model.h"

enum { TENSOR_BYTES = 4096 };

/* Two hashes of 64 bits, from two beginnings. */
typedef struct print {
    uint64_t halves[2];
} print;

static print begin(void) {
    return (print){{hash_bytes(HASH_START, "a", 1), hash_bytes(HASH_START, "b", 1)}};
}

static void add(print *p, const void *bytes, size_t size) {
    for (int i = 0; i < 2; i++) p->halves[i] = hash_bytes(p->halves[i], bytes, size);
}

static void add_text(print *p, const char *text) {
    /* With its NUL; what is not given is no empty text. */
    if (text == NULL)
        add(p, "\1", 1);
    else
        add(p, text, strlen(text) + 1);
}

static void add_int(print *p, int64_t value) {
    add(p, &value, sizeof value);
}

static void add_real(print *p, double value) {
    add(p, &value, sizeof value);
}

static void add_option(print *p, const options *o, const option_row *row) {
    const void *field = (const char *)o + row->offset;
    add_text(p, row->name);
    switch (row->kind) {
    case OPTION_FLAG:
        add_int(p, *(const bool *)field);
        break;
    case OPTION_TEXT:
        add_text(p, *(const char *const *)field);
        break;
    case OPTION_INT:
        add_int(p, *(const int *)field);
        break;
    case OPTION_REAL:
        add_real(p, *(const double *)field);
        break;
    case OPTION_SIZE:
        add_int(p, (int64_t)(*(const size_t *)field));
        break;
    case OPTION_SEED:
        add_int(p, (int64_t)(*(const uint64_t *)field));
        break;
    case OPTION_PAIR:
        for (int i = 0; i < 2; i++) add_int(p, ((const int *)field)[i]);
        break;
    case OPTION_TEXTS:
        for (int i = 0; i < ((const option_texts *)field)->count; i++)
            add_text(p, ((const option_texts *)field)->at[i]);
        break;
    case OPTION_WAITS:
        for (int i = 0; i < 3; i++) add_int(p, ((const int *)field)[i]);
        break;
    case OPTION_SETS:
        for (int i = 0; i < o->set_count; i++) add_text(p, o->sets[i]);
        break;
    }
}

static void add_sampling(print *p, const rnl_sampling *s) {
    add_real(p, (double)s->temperature);
    add_int(p, s->top_k);
    add_real(p, (double)s->top_p);
    add_real(p, (double)s->min_p);
    add_real(p, (double)s->repeat_penalty);
}

/* What holds where no option says otherwise. */
static void add_defaults(print *p, const rnl_model *model, rnl_mode mode) {
    const rnl_turn_config turn = rnl_turn_config_default(model, mode);
    const rnl_transcript_config transcript = rnl_transcript_config_default(model);
    add_int(p, mode);
    add_sampling(p, &turn.text);
    add_sampling(p, &turn.audio);
    add_int(p, turn.step_max);
    add_int(p, turn.text_run);
    add_int(p, turn.audio_run);
    add_text(p, rnl_model_system_prompt(model, mode));
    add_real(p, transcript.piece_min);
    add_real(p, transcript.piece_max);
}

/* In any order. */
static void add_tensor(print *sum, const tensor *t, bool with_bytes) {
    print p = begin();
    const unsigned char *bytes = t->data != NULL ? t->data : t->slabs;
    add_text(&p, t->name);
    add_int(&p, t->type);
    for (int i = 0; i < t->rank; i++) add_int(&p, t->shape[i]);
    add_int(&p, (int64_t)t->size);
    if (with_bytes && bytes != NULL)
        add(&p, bytes, t->size < TENSOR_BYTES ? t->size : TENSOR_BYTES);
    for (int i = 0; i < 2; i++) sum->halves[i] += p.halves[i];
}

static void add_tensors(print *all, const weights *w, bool with_bytes) {
    print tensors = {{0, 0}};
    for (size_t i = 0; i < weights_count(w); i++)
        add_tensor(&tensors, weights_at(w, i), with_bytes);
    add(all, &tensors, sizeof tensors);
}

static void write_out(const print *p, char out[FINGERPRINT_SIZE]) {
    (void)snprintf(out, FINGERPRINT_SIZE, "%016" PRIx64 "%016" PRIx64, p->halves[0], p->halves[1]);
}

static void add_adapters(print *all, const adapters *set) {
    print tensors = {{0, 0}};
    for (int f = 0; f < set->file_count; f++) {
        const lora *l = &set->files[f].lora;
        for (size_t i = 0; i < l->count; i++) {
            add_tensor(&tensors, &l->tensors[i].down, true);
            add_tensor(&tensors, &l->tensors[i].up, true);
            add_real(&tensors, lora_scale(l, &l->tensors[i]));
        }
    }
    add(all, &tensors, sizeof tensors);
}

void fingerprint_of(const command *c, const options *o, const rnl_model *model, rnl_mode mode,
                    char out[FINGERPRINT_SIZE]) {
    print all = begin();
    const option_row *row;
    add_text(&all, c->name);
    for (int i = 0; (row = command_option(c, i)) != NULL; i++)
        if (row->changes_result) add_option(&all, o, row);
    add_defaults(&all, model, mode);
    add_tensors(&all, model->source.w, true);
    if (model->adapters != NULL) add_adapters(&all, model->adapters);
    write_out(&all, out);
}

void fingerprint_shapes(const rnl_model *model, char out[FINGERPRINT_SIZE]) {
    print all = begin();
    add_int(&all, model->exact);
    add_tensors(&all, model->source.w, false);
    write_out(&all, out);
}
