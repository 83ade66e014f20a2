/* Changing the session object by what a client sent: each field with its range, absent ones as they
 * are (server.md A.3). Fields that nobody knows are passed over. */
#include "serve/realtime_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/limits.h"
#include "serve/tool_list.h"

/* Where we are in the object, and what is wrong. */
typedef struct reader {
    char path[API_PARAM_CAP];
    api_error *f;
} reader;

/* A member that is there and not null. */
static const json *member(const json *object, const char *key) {
    const json *v = json_get(object, key);
    return json_is_null(v) ? NULL : v;
}

static bool refuse(const reader *r, api_code code, const char *key, const char *what) {
    char param[API_PARAM_CAP];
    (void)snprintf(param, sizeof param, "%.80s%s%.40s", r->path, key[0] != 0 ? "." : "", key);
    return realtime_refuse(r->f, code, param, "Invalid '%s': %s", param, what);
}

static bool invalid(const reader *r, const char *key, const char *what) {
    return refuse(r, API_INVALID_VALUE, key, what);
}

static reader below(const reader *r, const char *key) {
    reader inner = {.f = r->f};
    (void)snprintf(inner.path, sizeof inner.path, "%.80s.%.40s", r->path, key);
    return inner;
}

/* ---- Values; what is absent changes nothing ---- */

static bool take_number(const reader *r, const json *object, const char *key, double min,
                        double max, double *out) {
    const json *v = member(object, key);
    double value;
    if (v == NULL) return true;
    if (!json_number(v, &value) || value < min || value > max) {
        char what[96];
        (void)snprintf(what, sizeof what, "a number from %g to %g is expected", min, max);
        return invalid(r, key, what);
    }
    *out = value;
    return true;
}

static bool take_int(const reader *r, const json *object, const char *key, int min, int max,
                     int *out) {
    const json *v = member(object, key);
    int64_t value;
    if (v == NULL) return true;
    if (!json_int(v, min, max, &value)) {
        char what[96];
        (void)snprintf(what, sizeof what, "a whole number from %d to %d is expected", min, max);
        return invalid(r, key, what);
    }
    *out = (int)value;
    return true;
}

static bool take_bool(const reader *r, const json *object, const char *key, bool *out) {
    const json *v = member(object, key);
    if (v == NULL || json_bool(v, out)) return true;
    return invalid(r, key, "true or false is expected");
}

/* The text of a value without NUL, at most cap bytes; NULL: it is none. */
static const char *text_of(const json *v, size_t cap) {
    size_t size;
    const char *text = json_chars(v, &size);
    return text != NULL && size <= cap && strlen(text) == size ? text : NULL;
}

/* Replaces *slot; text NULL empties it. */
static bool set_text(const reader *r, char **slot, const char *text) {
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        return refuse(r, API_SERVER_OVERLOADED, "", "memory is exhausted, try again later");
    free(*slot);
    *slot = copy;
    return true;
}

static bool take_text(const reader *r, const json *object, const char *key, size_t cap,
                      char **slot) {
    const json *v = member(object, key);
    if (v == NULL) return true;
    const char *text = text_of(v, cap);
    if (text != NULL) return set_text(r, slot, text[0] != 0 ? text : NULL);
    char what[96];
    (void)snprintf(what, sizeof what, "a text of at most %zu bytes without NUL is expected", cap);
    return invalid(r, key, what);
}

/* Keeps a value as it came; a null that is written out clears it. */
static bool take_extra(const reader *r, realtime_settings *s, const json *object, const char *key,
                       realtime_extra which) {
    const json *v = json_get(object, key);
    if (v == NULL) return true;
    if (json_is_null(v)) return set_text(r, &s->extras[which], NULL);
    char *source = realtime_source(v);
    if (source == NULL)
        return refuse(r, API_SERVER_OVERLOADED, key, "memory is exhausted, try again later");
    if (strlen(source) > REALTIME_EXTRA_MAX) {
        free(source);
        return invalid(r, key, "at most 65536 bytes are kept");
    }
    free(s->extras[which]);
    s->extras[which] = source;
    return true;
}

/* Which of the words a text is, -1: none. */
static int word_of(const json *v, const char *const *words, int count) {
    const char *text = json_chars(v, NULL);
    for (int i = 0; i < count && text != NULL; i++)
        if (strcmp(text, words[i]) == 0) return i;
    return -1;
}

/* ---- Fields ---- */

static bool take_modalities(const reader *r, realtime_settings *s, const json *object,
                            const char *key, const realtime_update *u) {
    static const char *const words[] = {"text", "audio"};
    const json *v = member(object, key);
    if (v == NULL) return true;
    bool found[2] = {false, false};
    for (size_t i = 0; i < json_count(v); i++) {
        const int which = word_of(json_at(v, i), words, 2);
        if (which < 0) return invalid(r, key, "only \"text\" and \"audio\" are known");
        found[which] = true;
    }
    if (!json_is_array(v) || (!found[0] && !found[1]))
        return invalid(r, key, "[\"audio\"] or [\"text\"] is expected");
    if (found[1] && !u->config->gives_audio)
        return refuse(r, API_UNSUPPORTED_PARAMETER, key, "this model gives text only");
    s->text_only = !found[1];
    return true;
}

static bool take_format(const reader *r, const json *object, const char *key, bool beta,
                        realtime_format *out) {
    static const char *const types[] = {"audio/pcm", "audio/pcmu", "audio/pcma"};
    static const char *const beta_types[] = {"pcm16", "g711_ulaw", "g711_alaw"};
    const json *v = member(object, key);
    if (v == NULL) return true;
    const int coding = beta && json_is_string(v) ? word_of(v, beta_types, 3)
                                                 : word_of(json_get(v, "type"), types, 3);
    if (coding < 0)
        return invalid(r, key,
                       beta ? "pcm16, g711_ulaw or g711_alaw is expected"
                            : "type is audio/pcm, audio/pcmu or audio/pcma");
    const reader inner = below(r, key);
    int rate = coding == REALTIME_PCM ? 24000 : 8000;
    if (!take_int(&inner, v, "rate", 8000, 48000, &rate)) return false;
    const bool known = rate == 8000 || rate == 16000 || rate == 24000 || rate == 48000;
    if (coding == REALTIME_PCM ? !known : rate != 8000)
        return invalid(&inner, "rate", "PCM has 8000, 16000, 24000 or 48000 Hz, G.711 has 8000 Hz");
    *out = (realtime_format){(realtime_coding)coding, rate};
    return true;
}

static bool take_in_format(const reader *r, realtime_settings *s, const json *object,
                           const char *key, const realtime_update *u) {
    realtime_format format = s->in;
    if (!take_format(r, object, key, u->beta, &format)) return false;
    const bool same = format.coding == s->in.coding && format.rate == s->in.rate;
    if (!same && u->in_turn)
        return invalid(r, key, "it cannot change while a turn is open; commit or clear it first");
    s->in = format;
    return true;
}

static bool take_transcription(const reader *r, realtime_settings *s, const json *object,
                               const char *key) {
    static const char *const names[] = {"model", "language", "prompt"};
    const json *v = json_get(object, key);
    if (v == NULL) return true;
    s->transcribes = !json_is_null(v);
    if (s->transcribes && !json_is_object(v)) return invalid(r, key, "an object is expected");
    const reader inner = below(r, key);
    for (int i = 0; i < 3; i++) {
        char **slot = &s->words[REALTIME_HEAR_MODEL + i];
        if (!s->transcribes && !set_text(r, slot, NULL)) return false;
        if (s->transcribes && !take_text(&inner, v, names[i], 4096, slot)) return false;
    }
    return true;
}

static bool take_noise(const reader *r, realtime_settings *s, const json *object, const char *key) {
    static const char *const kinds[] = {"near_field", "far_field"};
    const json *v = json_get(object, key), *type = member(v, "type");
    if (v == NULL) return true;
    if (json_is_null(v)) {
        s->noise = REALTIME_NOISE_NONE;
        s->noise_strength = -1;
        return true;
    }
    const int kind = type != NULL ? word_of(type, kinds, 2) : (int)s->noise - 1;
    if (kind < 0) return invalid(r, key, "type is near_field or far_field");
    s->noise = (realtime_noise)(kind + 1);
    const reader inner = below(r, key);
    return take_number(&inner, v, "strength", 0, 1, &s->noise_strength);
}

static bool take_detection_fields(const reader *r, const json *v, realtime_detection *d) {
    static const char *const eager[] = {"auto", "low", "medium", "high"};
    if (d->detector == REALTIME_SEMANTIC_VAD) {
        const json *word = member(v, "eagerness");
        const int which = word != NULL ? word_of(word, eager, 4) : 0;
        if (which < 0) return invalid(r, "eagerness", "low, medium, high or auto is expected");
        d->eagerness = (realtime_eagerness)which;
    } else if (!take_number(r, v, "threshold", 0, 1, &d->threshold) ||
               !take_int(r, v, "prefix_padding_ms", 0, 2000, &d->prefix_ms) ||
               !take_int(r, v, "silence_duration_ms", 100, 5000, &d->silence_ms) ||
               !take_int(r, v, "idle_timeout_ms", 1000, 600000, &d->idle_ms)) {
        return false;
    }
    return take_bool(r, v, "create_response", &d->create_response) &&
           take_bool(r, v, "interrupt_response", &d->interrupt_response);
}

/* Replaced as a whole: what is absent takes its default. */
static bool take_detection(const reader *r, realtime_settings *s, const json *object,
                           const char *key) {
    static const char *const types[] = {"server_vad", "semantic_vad"};
    const json *v = json_get(object, key), *type = member(v, "type");
    bool off;
    if (v == NULL) return true;
    realtime_settings fresh;
    realtime_settings_default(&fresh);
    if (json_is_null(v) || (json_bool(v, &off) && !off)) {
        fresh.detection.detector = REALTIME_MANUAL;
        s->detection = fresh.detection;
        return true;
    }
    const int which = type != NULL ? word_of(type, types, 2) : json_is_object(v) ? 0 : -1;
    if (which < 0) return invalid(r, key, "null, or type server_vad or semantic_vad is expected");
    fresh.detection.detector = which == 0 ? REALTIME_SERVER_VAD : REALTIME_SEMANTIC_VAD;
    const reader inner = below(r, key);
    s->detection = fresh.detection;
    return take_detection_fields(&inner, v, &s->detection);
}

static bool take_voice(const reader *r, realtime_settings *s, const json *object, const char *key,
                       const realtime_update *u) {
    static const char *const others[] = {"alloy", "ash",     "ballad", "coral", "echo",
                                         "sage",  "shimmer", "verse",  "marin", "cedar"};
    const json *v = member(object, key), *named = json_is_object(v) ? json_get(v, "id") : v;
    if (v == NULL) return true;
    const char *text = text_of(named, REALTIME_NAME_CAP - 1), *voice = NULL;
    if (text != NULL && (strcmp(text, "default") == 0 || word_of(named, others, 10) >= 0))
        voice = "default";
    for (int i = 0; u->config->voices != NULL && u->config->voices[i] != NULL && text != NULL; i++)
        if (strcmp(text, u->config->voices[i]) == 0) voice = text;
    if (voice == NULL)
        return invalid(r, key, "this model has no such voice; \"default\" is always there");
    if (u->has_spoken && strcmp(voice, s->voice) != 0)
        return refuse(r, API_CANNOT_UPDATE_VOICE, key,
                      "the voice cannot change any more, because the assistant has spoken");
    (void)snprintf(s->voice, sizeof s->voice, "%s", voice);
    return true;
}

static bool take_tools(const reader *r, realtime_settings *s, const json *object) {
    const json *v = member(object, "tools");
    if (v == NULL) return true;
    if (!json_is_array(v) || json_count(v) > LIMIT_TOOLS)
        return invalid(r, "tools", "a list of at most 32 functions is expected");
    for (size_t i = 0; i < json_count(v); i++) {
        const json *tool = json_at(v, i);
        const char *type = json_chars(json_get(tool, "type"), NULL);
        const char *name = text_of(json_get(tool, "name"), REALTIME_NAME_CAP - 1);
        if (type != NULL && strcmp(type, "mcp") == 0)
            return refuse(r, API_UNSUPPORTED_PARAMETER, "tools",
                          "tools of type mcp are not called here; give functions");
        if (type == NULL || strcmp(type, "function") != 0 || name == NULL || name[0] == 0)
            return invalid(r, "tools", "each is {\"type\": \"function\", \"name\": ...}");
        char *source = realtime_source(tool);
        const size_t size = source != NULL ? strlen(source) : LIMIT_TOOL_SIZE + 1;
        free(source);
        if (size > LIMIT_TOOL_SIZE) return invalid(r, "tools", "one has over 16384 bytes");
    }
    char *source = json_count(v) > 0 ? realtime_source(v) : NULL;
    if (json_count(v) > 0 && source == NULL)
        return refuse(r, API_SERVER_OVERLOADED, "tools", "memory is exhausted, try again later");
    free(s->extras[REALTIME_TOOLS]);
    s->extras[REALTIME_TOOLS] = source;
    s->tool_count = (int)json_count(v);
    return true;
}

static bool take_choice(const reader *r, realtime_settings *s, const json *object,
                        const realtime_update *u) {
    static const char *const words[] = {"auto", "none", "required"};
    const json *v = member(object, "tool_choice");
    if (v == NULL) return true;
    const int which = word_of(v, words, 3);
    const char *name = text_of(json_get(v, "name"), REALTIME_NAME_CAP - 1);
    if (which < 0 &&
        (name == NULL || word_of(json_get(v, "type"), (const char *[]){"function"}, 1) != 0))
        return invalid(r, "tool_choice",
                       "auto, none, required or {\"type\": \"function\", \"name\": ...}");
    const realtime_choice choice = which >= 0 ? (realtime_choice)which : REALTIME_CHOICE_FUNCTION;
    if (choice >= REALTIME_CHOICE_REQUIRED && !u->config->calls)
        return refuse(r, API_UNSUPPORTED_PARAMETER, "tool_choice", "this model calls no functions");
    s->choice = choice;
    s->function[0] = 0;
    if (choice != REALTIME_CHOICE_FUNCTION) return true;
    (void)snprintf(s->function, sizeof s->function, "%s", name);
    return take_extra(r, s, object, "tool_choice", REALTIME_CHOICE_TEXT);
}

/* A function that has to be called is one of the tools, whichever came first. */
static bool check_choice(const reader *r, const realtime_settings *s) {
    const char *tools = s->extras[REALTIME_TOOLS];
    size_t size;
    if (s->choice != REALTIME_CHOICE_FUNCTION) return true;
    char *only = tools != NULL
                     ? tool_list_only(tools, strlen(tools), s->function, strlen(s->function), &size)
                     : NULL;
    free(only);
    return only != NULL ||
           invalid(r, "tool_choice", "the function that it names is not among the tools");
}

static bool take_limit(const reader *r, realtime_settings *s, const json *object, const char *key) {
    const json *v = member(object, key);
    if (v == NULL) return true;
    if (word_of(v, (const char *[]){"inf"}, 1) == 0) {
        s->position_max = 0;
        return true;
    }
    int64_t value;
    if (!json_int(v, 1, REALTIME_POSITIONS_MAX, &value))
        return invalid(r, key, "a whole number from 1 to 4096, or \"inf\", is expected");
    s->position_max = (int)value;
    return true;
}

/* {"type": "retention_ratio", ...} */
static bool take_retention(const reader *r, const json *v, realtime_retention *out) {
    const json *limits = member(v, "token_limits");
    const reader inner = below(r, "token_limits");
    double ratio = -1;
    if (word_of(json_get(v, "type"), (const char *[]){"retention_ratio"}, 1) != 0)
        return invalid(r, "", "auto, disabled or type retention_ratio is expected");
    if (!take_number(r, v, "retention_ratio", 0, 1, &ratio)) return false;
    if (ratio < 0) return invalid(r, "retention_ratio", "it is missing");
    if (limits != NULL && !json_is_object(limits))
        return invalid(r, "token_limits", "an object is expected");
    out->ratio = ratio;
    return take_int(&inner, limits, "post_instructions", 1, INT32_MAX, &out->position_max);
}

static bool take_truncation(const reader *r, realtime_settings *s, const json *object) {
    static const char *const words[] = {"auto", "disabled"};
    const json *v = member(object, "truncation");
    if (v == NULL) return true;
    const int which = word_of(v, words, 2);
    const reader inner = below(r, "truncation");
    realtime_retention taken = {.keeps_all = which == 1, .ratio = REALTIME_RETENTION};
    if (which < 0 && !take_retention(&inner, v, &taken)) return false;
    s->retention = taken;
    return take_extra(r, s, object, "truncation", REALTIME_TRUNCATION);
}

static bool take_include(const reader *r, realtime_settings *s, const json *object) {
    static const char *const known[] = {"item.input_audio_transcription.logprobs"};
    const json *v = json_get(object, "include");
    if (v == NULL) return true;
    if (!json_is_null(v) && !json_is_array(v))
        return invalid(r, "include", "a list of texts is expected");
    s->logprobs = false;
    for (size_t i = 0; i < json_count(v); i++)
        s->logprobs = s->logprobs || word_of(json_at(v, i), known, 1) == 0;
    return true;
}

/* Of UTF-8. */
static size_t characters(const char *text, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += (text[i] & 0xc0) != 0x80;
    return count;
}

typedef struct metadata_check {
    int count;
} metadata_check;

static bool check_pair(void *context, const char *key, size_t key_size, const json *value) {
    metadata_check *c = context;
    c->count++;
    const char *text = text_of(value, 4 * LIMIT_METADATA_VALUE);
    return c->count <= LIMIT_METADATA && characters(key, key_size) <= LIMIT_METADATA_KEY &&
           text != NULL && characters(text, strlen(text)) <= LIMIT_METADATA_VALUE;
}

static bool take_metadata(const reader *r, realtime_settings *s, const json *object) {
    const json *v = member(object, "metadata");
    metadata_check c = {0};
    if (v == NULL) return true;
    if (!json_is_object(v) || !json_each(v, check_pair, &c))
        return invalid(r, "metadata",
                       "at most 16 texts of at most 512 characters, with keys of at most 64");
    return take_extra(r, s, object, "metadata", REALTIME_METADATA);
}

/* ---- Objects ---- */

static bool take_common(const reader *r, realtime_settings *s, const json *object,
                        const realtime_update *u) {
    const char *limit =
        u->beta && !u->response ? "max_response_output_tokens" : "max_output_tokens";
    bool parallel = s->parallel == 1;
    const bool told = member(object, "parallel_tool_calls") != NULL;
    if (!take_text(r, object, "instructions", LIMIT_INSTRUCTIONS_SIZE,
                   &s->words[REALTIME_INSTRUCTIONS]) ||
        !take_modalities(r, s, object, u->beta ? "modalities" : "output_modalities", u) ||
        !take_tools(r, s, object) || !take_choice(r, s, object, u) || !check_choice(r, s) ||
        !take_bool(r, object, "parallel_tool_calls", &parallel) ||
        !take_limit(r, s, object, limit) ||
        !take_number(r, object, "temperature", 0, 2, &s->temperature) ||
        !take_extra(r, s, object, "prompt", REALTIME_PROMPT) ||
        !take_extra(r, s, object, "reasoning", REALTIME_REASONING))
        return false;
    if (told) s->parallel = parallel;
    if (u->response) return take_metadata(r, s, object);
    return take_extra(r, s, object, "tracing", REALTIME_TRACING) && take_truncation(r, s, object) &&
           take_include(r, s, object);
}

/* Keys of what lies in audio.input and audio.output, and flat in the older dialect. */
static bool take_input(const reader *r, realtime_settings *s, const json *object,
                       const realtime_update *u) {
    return take_in_format(r, s, object, u->beta ? "input_audio_format" : "format", u) &&
           take_transcription(r, s, object,
                              u->beta ? "input_audio_transcription" : "transcription") &&
           take_noise(r, s, object, u->beta ? "input_audio_noise_reduction" : "noise_reduction") &&
           take_detection(r, s, object, "turn_detection");
}

static bool take_output(const reader *r, realtime_settings *s, const json *object,
                        const realtime_update *u) {
    return take_format(r, object, u->beta ? "output_audio_format" : "format", u->beta, &s->out) &&
           take_voice(r, s, object, "voice", u) &&
           (u->response || take_number(r, object, "speed", 0.25, 1.5, &s->speed));
}

static bool check_type(const reader *r, const json *object, const realtime_update *u) {
    static const char *const types[] = {"realtime", "transcription"};
    const json *type = member(object, "type");
    if (type == NULL) return true;
    const int which = word_of(type, types, 2);
    if (which < 0) return invalid(r, "type", "realtime or transcription is expected");
    if ((which == 1) == u->config->transcribes_only) return true;
    return invalid(r, "type", "the type of a session cannot change");
}

bool realtime_settings_update(realtime_settings *s, const json *object, const realtime_update *u,
                              api_error *f) {
    reader r = {.f = f};
    (void)snprintf(r.path, sizeof r.path, "%s", u->path);
    if (!json_is_object(object)) return invalid(&r, "", "an object is expected");
    const bool talks = !u->config->transcribes_only;
    if (!u->response && !u->beta && !check_type(&r, object, u)) return false;
    if (u->beta)
        return (u->response || take_input(&r, s, object, u)) &&
               (!talks || (take_common(&r, s, object, u) && take_output(&r, s, object, u))) &&
               (talks || take_include(&r, s, object));
    if (talks ? !take_common(&r, s, object, u) : !take_include(&r, s, object)) return false;
    const json *audio = member(object, "audio");
    if (audio == NULL) return true;
    const reader inner = below(&r, "audio");
    const reader in = below(&inner, "input"), out = below(&inner, "output");
    if (!json_is_object(audio)) return invalid(&r, "audio", "an object is expected");
    return (u->response || take_input(&in, s, json_get(audio, "input"), u)) &&
           (!talks || take_output(&out, s, json_get(audio, "output"), u));
}
