#include "engine/config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/status.h"
#include "stack/kind.h"

static const char *const mode_names[RNL_MODE_COUNT] = {"interleaved", "transcribe", "speak",
                                                       "text"};

static void set_prompt(mode_config *m, const char *prompt, size_t size) {
    if (size >= sizeof m->prompt) return;
    memcpy(m->prompt, prompt, size);
    m->prompt[size] = '\0';
    m->has_prompt = true;
}

static bool is_word_end(const char *name, size_t size, size_t at) {
    return at >= size || strchr("-_. ", name[at]) != NULL;
}

bool config_says_japanese(const char *name, size_t size) {
    for (size_t i = 0; i + 2 <= size; i++)
        if ((name[i] | 0x20) == 'j' && (name[i + 1] | 0x20) == 'p' &&
            (i == 0 || is_word_end(name, size, i - 1)) && is_word_end(name, size, i + 2))
            return true;
    return false;
}

/* Whether the word stands in a name between '-', '_', '.', spaces or the ends, in any case; "2.5"
 * stands in "LFM2.5-1.2B" as part of the family's name only. */
static bool says(const char *name, const char *word) {
    const size_t size = strlen(name), length = strlen(word);
    for (size_t i = 0; i + length <= size; i++)
        if (strncasecmp(name + i, word, length) == 0 &&
            (i == 0 || is_word_end(name, size, i - 1)) && is_word_end(name, size, i + length))
            return true;
    return false;
}

/* family.md 3.3: what the cards of the models recommend; the first row whose words are all in the
 * name holds. */
static rnl_sampling text_sampling(const char *name) {
    static const struct {
        const char *words[2];
        rnl_sampling how;
    } rows[] = {
        {{"lfm2-vl", NULL}, {0.1f, INT32_MAX, 1, 0.15f, 1.05f}},
        {{"lfm2.5-vl", NULL}, {0.1f, INT32_MAX, 1, 0.15f, 1.05f}},
        {{"extract", NULL}, {0, 1, 1, 0, 1}}, /* of the small ones for one task */
        {{"rag", NULL}, {0, 1, 1, 0, 1}},
        {{"mt", NULL}, {0, 1, 1, 0, 1}},
        {{"lfm2.5", "thinking"}, {0.05f, 50, 1, 0, 1.05f}},
        {{"lfm2.5", "2.6b"}, {0.1f, 50, 1, 0, 1.1f}},
        {{"lfm2.5", NULL}, {0.1f, 50, 1, 0, 1.05f}},
        {{"lfm2", NULL}, {0.3f, INT32_MAX, 1, 0.15f, 1.05f}},
    };
    char plain[CONFIG_NAME_CAP];
    size_t size = 0;
    for (; name[size] != '\0' && size + 1 < sizeof plain; size++)
        plain[size] = name[size] == ' ' || name[size] == '_' ? '-' : name[size];
    plain[size] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (says(plain, rows[i].words[0]) &&
            (rows[i].words[1] == NULL || says(plain, rows[i].words[1])))
            return rows[i].how;
    return rnl_sampling_plain(0.0f, 1);
}

void config_defaults(model_config *c) {
    /* What the models are trained on are clips of some 20 s. */
    c->asr_piece_min = 15;
    c->asr_piece_max = 25;
    const rnl_sampling greedy = rnl_sampling_plain(0.0f, 1);
    for (int i = 0; i < RNL_MODE_COUNT; i++)
        c->modes[i] = (mode_config){.text = greedy, .audio = greedy, .step_max = 512};
    if (c->codebook_count == 0 && !c->has_encoder) {
        /* A text model: no prompts of its own, sampling as its card recommends. */
        c->modes[RNL_MODE_TEXT].text = text_sampling(c->name);
        return;
    }
    /* audio.md 7.2: the Japanese checkpoint is known by its name and its 6:9 interleave. */
    const bool japanese = c->japanese || c->audio_run == 9;
    const char *asr = japanese ? "Perform ASR in japanese." : "Perform ASR.";
    const char *tts = japanese                 ? "Perform TTS in japanese."
                      : c->codec == CODEC_MIMI ? "Perform TTS."
                                               : "Perform TTS. Use the US female voice.";
    const char *talk = "Respond with interleaved text and audio.";
    set_prompt(&c->modes[RNL_MODE_TRANSCRIBE], asr, strlen(asr));
    set_prompt(&c->modes[RNL_MODE_SPEAK], tts, strlen(tts));
    set_prompt(&c->modes[RNL_MODE_INTERLEAVED], talk, strlen(talk));
    /* audio.md 7.3 */
    c->modes[RNL_MODE_SPEAK].audio = rnl_sampling_plain(0.8f, 64);
    c->modes[RNL_MODE_INTERLEAVED].audio = rnl_sampling_plain(1.0f, 4);
    c->modes[RNL_MODE_INTERLEAVED].step_max = 1024;
}

static void key_of(char *out, size_t cap, int mode, const char *field) {
    (void)snprintf(out, cap, "runnel.default.%s.%s", mode_names[mode], field);
}

rnl_sampling rnl_sampling_plain(float temperature, int top_k) {
    return (rnl_sampling){
        .temperature = temperature, .top_k = top_k, .top_p = 1.0f, .repeat_penalty = 1.0f};
}

/* The settings of text that are real numbers: name behind "text_", range, place. */
typedef struct real_setting {
    const char *name;
    double min, max;
    size_t offset; /* in rnl_sampling */
} real_setting;

static const real_setting text_settings[] = {
    {"text_temperature", 0, 2, offsetof(rnl_sampling, temperature)},
    {"text_top_p", 1e-6, 1, offsetof(rnl_sampling, top_p)},
    {"text_min_p", 0, 1, offsetof(rnl_sampling, min_p)},
    {"text_repeat_penalty", 0.1, 10, offsetof(rnl_sampling, repeat_penalty)},
};
enum { TEXT_SETTING_COUNT = sizeof text_settings / sizeof *text_settings };

static float *setting_of(rnl_sampling *s, const real_setting *row) {
    return (float *)((char *)s + row->offset);
}

static void read_text_settings(rnl_sampling *s, const gguf *g, int mode) {
    for (int i = 0; i < TEXT_SETTING_COUNT; i++) {
        const real_setting *row = &text_settings[i];
        char key[128];
        double value;
        key_of(key, sizeof key, mode, row->name);
        if (gguf_float(g, key, &value) && value >= row->min && value <= row->max)
            *setting_of(s, row) = (float)value;
    }
}

static void read_sampling(rnl_sampling *s, const gguf *g, int mode, const char *modality) {
    char field[64], key[128];
    double temperature;
    int64_t top_k;
    (void)snprintf(field, sizeof field, "%s_temperature", modality);
    key_of(key, sizeof key, mode, field);
    if (gguf_float(g, key, &temperature) && temperature >= 0.0 && temperature <= 2.0)
        s->temperature = (float)temperature;
    (void)snprintf(field, sizeof field, "%s_top_k", modality);
    key_of(key, sizeof key, mode, field);
    if (gguf_int(g, key, 1, INT32_MAX, &top_k)) s->top_k = (int)top_k;
}

static bool is_piece(double min, double max) {
    return min >= 0.0 && min <= max && max >= 1.0 && max <= 30.0;
}

static const char *const history_key = "runnel.default.history_turns";
static const char *const backchannel_key = "runnel.default.backchannel_ms";

void config_read_defaults(model_config *c, const gguf *g) {
    double piece_min, piece_max;
    int64_t turns, ms;
    if (gguf_int(g, history_key, 0, CONFIG_HISTORY_MAX, &turns)) c->history_turns = (int)turns;
    if (gguf_int(g, backchannel_key, 0, CONFIG_BACKCHANNEL_MAX, &ms)) c->backchannel_ms = (int)ms;
    if (gguf_float(g, "runnel.asr.piece_min", &piece_min) &&
        gguf_float(g, "runnel.asr.piece_max", &piece_max) && is_piece(piece_min, piece_max)) {
        c->asr_piece_min = piece_min;
        c->asr_piece_max = piece_max;
    }
    for (int i = 0; i < RNL_MODE_COUNT; i++) {
        mode_config *m = &c->modes[i];
        char key[128];
        const char *text;
        size_t size;
        int64_t steps;
        key_of(key, sizeof key, i, "system");
        if (gguf_string(g, key, &text, &size)) set_prompt(m, text, size);
        read_sampling(&m->text, g, i, "text");
        read_text_settings(&m->text, g, i);
        read_sampling(&m->audio, g, i, "audio");
        key_of(key, sizeof key, i, "step_max");
        if (gguf_int(g, key, 1, 1 << 20, &steps)) m->step_max = (int)steps;
    }
}

void config_write_defaults(const model_config *c, gguf_writer *w) {
    if (c->has_encoder) {
        gguf_put_f32(w, "runnel.asr.piece_min", (float)c->asr_piece_min);
        gguf_put_f32(w, "runnel.asr.piece_max", (float)c->asr_piece_max);
    }
    if (c->history_turns > 0) gguf_put_u32(w, history_key, (uint32_t)c->history_turns);
    if (c->backchannel_ms > 0) gguf_put_u32(w, backchannel_key, (uint32_t)c->backchannel_ms);
    for (int i = 0; i < RNL_MODE_COUNT; i++) {
        const mode_config *m = &c->modes[i];
        rnl_sampling text = m->text;
        char key[128];
        key_of(key, sizeof key, i, "system");
        if (m->has_prompt) gguf_put_string(w, key, m->prompt, strlen(m->prompt));
        for (int k = 0; k < TEXT_SETTING_COUNT; k++) {
            key_of(key, sizeof key, i, text_settings[k].name);
            gguf_put_f32(w, key, *setting_of(&text, &text_settings[k]));
        }
        key_of(key, sizeof key, i, "text_top_k");
        gguf_put_u32(w, key, (uint32_t)m->text.top_k);
        key_of(key, sizeof key, i, "audio_temperature");
        gguf_put_f32(w, key, m->audio.temperature);
        key_of(key, sizeof key, i, "audio_top_k");
        gguf_put_u32(w, key, (uint32_t)m->audio.top_k);
        key_of(key, sizeof key, i, "step_max");
        gguf_put_u32(w, key, (uint32_t)m->step_max);
    }
}

/* A plain decimal number: strtod alone also takes spaces, 0x10 and infinities. */
static bool parse_number(const char *text, double min, double max, double *out) {
    char *end;
    if (text[strspn(text, "0123456789.")] != '\0') return false;
    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0' && *out >= min && *out <= max;
}

static bool set_number(const char *field, const char *name, const char *value, double min,
                       double max, double *out) {
    return strcmp(field, name) == 0 && parse_number(value, min, max, out);
}

static bool set_count(const char *field, const char *name, const char *value, double max,
                      double *out) {
    return strchr(value, '.') == NULL && set_number(field, name, value, 1, max, out);
}

/* The lengths of pieces: each is checked against the other as it stands, so that a larger pair is
 * set beginning with piece_max, a smaller one with piece_min. */
static bool set_piece(model_config *c, const char *field, const char *value) {
    double min = c->asr_piece_min, max = c->asr_piece_max;
    if (!set_number(field, "piece_min", value, 0, 30, &min) &&
        !set_number(field, "piece_max", value, 1, 30, &max))
        return false;
    if (!is_piece(min, max)) return false;
    c->asr_piece_min = min;
    c->asr_piece_max = max;
    return true;
}

static bool set_text_setting(rnl_sampling *s, const char *field, const char *value) {
    for (int i = 0; i < TEXT_SETTING_COUNT; i++) {
        const real_setting *row = &text_settings[i];
        double number;
        if (!set_number(field, row->name, value, row->min, row->max, &number)) continue;
        *setting_of(s, row) = (float)number;
        return true;
    }
    return false;
}

/* A whole number from 0 on. */
static bool set_whole(int *field, const char *value, int max) {
    double number;
    if (strchr(value, '.') != NULL || !parse_number(value, 0, max, &number)) return false;
    *field = (int)number;
    return true;
}

bool config_set_default(model_config *c, const char *key, const char *value) {
    const char *pieces = "runnel.asr.";
    if (strncmp(key, pieces, strlen(pieces)) == 0) return set_piece(c, key + strlen(pieces), value);
    if (strcmp(key, history_key) == 0)
        return set_whole(&c->history_turns, value, CONFIG_HISTORY_MAX);
    if (strcmp(key, backchannel_key) == 0)
        return set_whole(&c->backchannel_ms, value, CONFIG_BACKCHANNEL_MAX);
    const char *prefix = "runnel.default.";
    if (strncmp(key, prefix, strlen(prefix)) != 0) return false;
    key += strlen(prefix);
    for (int i = 0; i < RNL_MODE_COUNT; i++) {
        const size_t length = strlen(mode_names[i]);
        if (strncmp(key, mode_names[i], length) != 0 || key[length] != '.') continue;
        const char *field = key + length + 1;
        mode_config *m = &c->modes[i];
        double number;
        if (strcmp(field, "system") == 0 && strlen(value) < sizeof m->prompt) {
            set_prompt(m, value, strlen(value));
            return true;
        }
        if (set_text_setting(&m->text, field, value)) return true;
        if (set_number(field, "audio_temperature", value, 0, 2, &number))
            m->audio.temperature = (float)number;
        else if (set_count(field, "text_top_k", value, INT32_MAX, &number))
            m->text.top_k = (int)number;
        else if (set_count(field, "audio_top_k", value, INT32_MAX, &number))
            m->audio.top_k = (int)number;
        else if (set_count(field, "step_max", value, 1 << 20, &number))
            m->step_max = (int)number;
        else
            return false;
        return true;
    }
    return false;
}
