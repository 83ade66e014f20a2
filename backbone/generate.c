#include "backbone/generate.h"

void generate_begin(generate *g, const generate_config *config) {
    *g = (generate){.config = *config, .left = config->text_run};
}

bool generate_wants_frame(const generate *g) {
    return g->in_audio;
}

static void enter_audio(generate *g) {
    g->in_audio = true;
    g->left = g->config.audio_run;
}

static void enter_text(generate *g) {
    g->in_audio = false;
    g->left = g->config.text_run;
}

static bool is_stop(const generate_config *c, int32_t id) {
    for (int i = 0; i < c->stop_count; i++)
        if (c->stop_ids[i] == id) return true;
    return false;
}

int generate_text_left(const generate *g, int steps) {
    const generate_config *c = &g->config;
    if (!c->interleaved) return steps;
    if (g->text_done) return steps < 1 ? steps : 1; /* the next one turns to frames again */
    int text = 0;
    for (int run = g->left > 0 ? g->left : c->text_run; steps > 0; run = c->text_run) {
        const int taken = run < steps ? run : steps;
        text += taken;
        steps -= taken + c->audio_run;
    }
    return text;
}

generate_result generate_text(generate *g, int32_t id) {
    const generate_config *c = &g->config;
    const bool end = id == c->end_id;
    if (is_stop(c, id)) return (generate_result){.emit = false, .stop = true};
    if (!c->interleaved) {
        if (id == c->audio_start_id) g->in_audio = true;
        return (generate_result){.emit = true, .stop = end};
    }
    g->left--;
    if (end) return (generate_result){.emit = false, .stop = true};
    if (id == c->text_end_id) g->text_done = true;
    if (g->left == 0 || g->text_done) enter_audio(g);
    return (generate_result){.emit = true, .stop = false};
}

void generate_frame(generate *g, int32_t *codes) {
    const generate_config *c = &g->config;
    g->left--;
    if (c->interleaved && g->left == 0 && !g->text_done) enter_text(g);
    if (codes[0] != c->end_code) return;
    for (int k = 0; k < c->codebook_count; k++) codes[k] = c->end_code;
    /* The counter keeps what the chunk had left: an end frame before the text is done gives that
     * many text tokens (audio.md 7.6, leftover counter). */
    g->in_audio = false;
}
