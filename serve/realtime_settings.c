/* Defaults, copies and the sight of the session object. How it is changed: realtime_update.c. */
#include "serve/realtime_settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/json_in.h"
#include "serve/limits.h"

enum { REALTIME_SOURCE_MAX = 2 * LIMIT_MESSAGE_SIZE };

bool realtime_refuse(api_error *f, api_code code, const char *param, const char *form, ...) {
    char message[API_MESSAGE_CAP];
    va_list args;
    if (f->code != API_OK) return false;
    va_start(args, form);
    (void)vsnprintf(message, sizeof message, form, args);
    va_end(args);
    return api_fail(f, code, param, "%s", message);
}

char *realtime_source(const json *v) {
    json_out o;
    size_t size;
    if (v == NULL) return NULL;
    json_out_begin_growing(&o, REALTIME_SOURCE_MAX);
    json_in_copy(v, &o, NULL);
    json_out_raw(&o, NULL, "", 1); /* the end of the text */
    char *text = json_out_take(&o, &size);
    json_out_free(&o);
    return text;
}

void realtime_settings_default(realtime_settings *s) {
    memset(s, 0, sizeof *s);
    s->parallel = -1;
    s->retention.ratio = REALTIME_RETENTION;
    s->temperature = s->noise_strength = -1;
    s->in = s->out = (realtime_format){REALTIME_PCM, 24000};
    s->detection = (realtime_detection){.detector = REALTIME_SERVER_VAD,
                                        .threshold = 0.5,
                                        .prefix_ms = 300,
                                        .silence_ms = 500,
                                        .create_response = true,
                                        .interrupt_response = true};
    (void)snprintf(s->voice, sizeof s->voice, "default");
    s->speed = 1.0;
}

static bool copy_texts(char *const *from, char **to, int count) {
    bool whole = true;
    for (int i = 0; i < count; i++) {
        to[i] = from[i] != NULL ? strdup(from[i]) : NULL;
        whole = whole && (to[i] != NULL) == (from[i] != NULL);
    }
    return whole;
}

bool realtime_settings_copy(const realtime_settings *from, realtime_settings *to) {
    *to = *from;
    const bool words = copy_texts(from->words, to->words, REALTIME_WORD_COUNT);
    if (copy_texts(from->extras, to->extras, REALTIME_EXTRA_COUNT) && words) return true;
    realtime_settings_free(to);
    return false;
}

void realtime_settings_free(realtime_settings *s) {
    for (int i = 0; i < REALTIME_WORD_COUNT; i++) free(s->words[i]);
    for (int i = 0; i < REALTIME_EXTRA_COUNT; i++) free(s->extras[i]);
    memset(s, 0, sizeof *s);
}

/* ---- Writing ---- */

static void write_extra(const realtime_settings *s, realtime_extra which, const char *key,
                        const char *otherwise, json_out *o) {
    const char *text = s->extras[which] != NULL ? s->extras[which] : otherwise;
    json_out_raw(o, key, text, strlen(text));
}

void realtime_format_write(realtime_format format, bool beta, const char *key, json_out *o) {
    static const char *const types[] = {"audio/pcm", "audio/pcmu", "audio/pcma"};
    static const char *const beta_types[] = {"pcm16", "g711_ulaw", "g711_alaw"};
    if (beta) {
        json_out_word(o, key, beta_types[format.coding]);
        return;
    }
    json_out_object(o, key);
    json_out_word(o, "type", types[format.coding]);
    if (format.coding == REALTIME_PCM) json_out_int(o, "rate", format.rate);
    json_out_end(o);
}

static void write_modalities(const realtime_settings *s, bool beta, json_out *o) {
    json_out_array(o, beta ? "modalities" : "output_modalities");
    if (!s->text_only) json_out_word(o, NULL, "audio");
    if (s->text_only || beta) json_out_word(o, NULL, "text");
    json_out_end(o);
}

static void write_limit(const realtime_settings *s, const char *key, json_out *o) {
    if (s->position_max == 0)
        json_out_word(o, key, "inf");
    else
        json_out_int(o, key, s->position_max);
}

static void write_detection(const realtime_detection *d, json_out *o) {
    static const char *const eager[] = {"auto", "low", "medium", "high"};
    if (d->detector == REALTIME_MANUAL) {
        json_out_null(o, "turn_detection");
        return;
    }
    const bool semantic = d->detector == REALTIME_SEMANTIC_VAD;
    json_out_object(o, "turn_detection");
    json_out_word(o, "type", semantic ? "semantic_vad" : "server_vad");
    if (semantic) {
        json_out_word(o, "eagerness", eager[d->eagerness]);
    } else {
        json_out_number(o, "threshold", d->threshold);
        json_out_int(o, "prefix_padding_ms", d->prefix_ms);
        json_out_int(o, "silence_duration_ms", d->silence_ms);
        if (d->idle_ms > 0)
            json_out_int(o, "idle_timeout_ms", d->idle_ms);
        else
            json_out_null(o, "idle_timeout_ms");
    }
    json_out_bool(o, "create_response", d->create_response);
    json_out_bool(o, "interrupt_response", d->interrupt_response);
    json_out_end(o);
}

static void write_transcription(const realtime_settings *s, const char *key, json_out *o) {
    static const char *const names[] = {"model", "language", "prompt"};
    if (!s->transcribes) {
        json_out_null(o, key);
        return;
    }
    json_out_object(o, key);
    for (int i = 0; i < 3; i++)
        if (s->words[REALTIME_HEAR_MODEL + i] != NULL)
            json_out_word(o, names[i], s->words[REALTIME_HEAR_MODEL + i]);
    json_out_end(o);
}

static void write_noise(const realtime_settings *s, const char *key, json_out *o) {
    if (s->noise == REALTIME_NOISE_NONE) {
        json_out_null(o, key);
        return;
    }
    json_out_object(o, key);
    json_out_word(o, "type", s->noise == REALTIME_NOISE_NEAR ? "near_field" : "far_field");
    if (s->noise_strength >= 0) json_out_number(o, "strength", s->noise_strength);
    json_out_end(o);
}

static void write_input(const realtime_settings *s, bool beta, json_out *o) {
    if (!beta) json_out_object(o, "input");
    realtime_format_write(s->in, beta, beta ? "input_audio_format" : "format", o);
    write_transcription(s, beta ? "input_audio_transcription" : "transcription", o);
    write_noise(s, beta ? "input_audio_noise_reduction" : "noise_reduction", o);
    write_detection(&s->detection, o);
    if (!beta) json_out_end(o);
}

static void write_include(const realtime_settings *s, json_out *o) {
    if (!s->logprobs) {
        json_out_null(o, "include");
        return;
    }
    json_out_array(o, "include");
    json_out_word(o, NULL, "item.input_audio_transcription.logprobs");
    json_out_end(o);
}

static void write_tools(const realtime_settings *s, json_out *o) {
    static const char *const choices[] = {"auto", "none", "required"};
    write_extra(s, REALTIME_TOOLS, "tools", "[]", o);
    if (s->choice == REALTIME_CHOICE_FUNCTION)
        write_extra(s, REALTIME_CHOICE_TEXT, "tool_choice", "null", o);
    else
        json_out_word(o, "tool_choice", choices[s->choice]);
    if (s->parallel >= 0) json_out_bool(o, "parallel_tool_calls", s->parallel == 1);
}

static const char *instructions_of(const realtime_settings *s, const realtime_config *config) {
    const char *own = config->instructions[s->text_only];
    if (s->words[REALTIME_INSTRUCTIONS] != NULL) return s->words[REALTIME_INSTRUCTIONS];
    return own != NULL ? own : "";
}

static void write_talk(const realtime_settings *s, const realtime_config *config, json_out *o) {
    json_out_word(o, "model", config->model);
    write_modalities(s, false, o);
    json_out_word(o, "instructions", instructions_of(s, config));
    write_tools(s, o);
    write_limit(s, "max_output_tokens", o);
    if (s->temperature >= 0) json_out_number(o, "temperature", s->temperature);
    write_extra(s, REALTIME_TRACING, "tracing", "null", o);
    write_extra(s, REALTIME_TRUNCATION, "truncation", "\"auto\"", o);
    write_extra(s, REALTIME_PROMPT, "prompt", "null", o);
    if (s->extras[REALTIME_REASONING] != NULL)
        write_extra(s, REALTIME_REASONING, "reasoning", "null", o);
}

static void write_beta(const realtime_settings *s, const realtime_config *config, json_out *o) {
    json_out_word(o, "model", config->model);
    write_modalities(s, true, o);
    json_out_word(o, "instructions", instructions_of(s, config));
    json_out_word(o, "voice", s->voice);
    realtime_format_write(s->out, true, "output_audio_format", o);
    write_tools(s, o);
    json_out_number(o, "temperature", s->temperature >= 0 ? s->temperature : 0.8);
    write_limit(s, "max_response_output_tokens", o);
    json_out_number(o, "speed", s->speed);
    write_extra(s, REALTIME_TRACING, "tracing", "null", o);
}

static void write_secret(const realtime_facts *facts, json_out *o) {
    json_out_object(o, "client_secret");
    json_out_word(o, "value", facts->secret);
    json_out_int(o, "expires_at", facts->expires_unix);
    json_out_end(o);
}

static void write_ga(const realtime_settings *s, const realtime_config *config, json_out *o) {
    const bool talks = !config->transcribes_only;
    if (talks) write_talk(s, config, o);
    write_include(s, o);
    json_out_object(o, "audio");
    write_input(s, false, o);
    if (talks) {
        json_out_object(o, "output");
        realtime_format_write(s->out, false, "format", o);
        json_out_word(o, "voice", s->voice);
        json_out_number(o, "speed", s->speed);
        json_out_end(o);
    }
    json_out_end(o);
}

void realtime_settings_write(const realtime_settings *s, const realtime_config *config, bool beta,
                             const realtime_facts *facts, const char *key, json_out *o) {
    json_out_object(o, key);
    if (!beta) json_out_word(o, "type", config->transcribes_only ? "transcription" : "realtime");
    json_out_word(o, "object",
                  config->transcribes_only ? "realtime.transcription_session" : "realtime.session");
    json_out_word(o, "id", facts->id);
    json_out_int(o, "expires_at", facts->expires_unix);
    if (!beta) {
        write_ga(s, config, o);
    } else {
        if (config->transcribes_only)
            write_modalities(s, true, o);
        else
            write_beta(s, config, o);
        write_input(s, true, o);
        write_include(s, o);
        if (facts->secret != NULL) write_secret(facts, o);
    }
    json_out_end(o);
}

void realtime_settings_write_response(const realtime_settings *s, bool beta, json_out *o) {
    write_modalities(s, beta, o);
    write_limit(s, "max_output_tokens", o);
    if (beta) {
        json_out_word(o, "voice", s->voice);
        realtime_format_write(s->out, true, "output_audio_format", o);
        json_out_number(o, "temperature", s->temperature >= 0 ? s->temperature : 0.8);
    } else {
        json_out_object(o, "audio");
        json_out_object(o, "output");
        realtime_format_write(s->out, false, "format", o);
        json_out_word(o, "voice", s->voice);
        json_out_end(o);
        json_out_end(o);
    }
    write_extra(s, REALTIME_METADATA, "metadata", "null", o);
}

/* ---- For the model ---- */

realtime_prompt realtime_settings_prompt(const realtime_settings *s,
                                         const realtime_config *config) {
    const bool offers = config->calls && s->choice != REALTIME_CHOICE_NONE;
    return (realtime_prompt){
        .mode = s->text_only ? RNL_MODE_TEXT : RNL_MODE_INTERLEAVED,
        .instructions = s->words[REALTIME_INSTRUCTIONS],
        .tools = offers && s->tool_count > 0 ? s->extras[REALTIME_TOOLS] : NULL,
        .retention = s->retention,
    };
}

realtime_wish realtime_settings_wish(const realtime_settings *s) {
    return (realtime_wish){
        .mode = s->text_only ? RNL_MODE_TEXT : RNL_MODE_INTERLEAVED,
        .position_max = s->position_max,
        .temperature = s->temperature,
        .choice = s->tool_count > 0 ? s->choice : REALTIME_CHOICE_NONE,
        .function = s->choice == REALTIME_CHOICE_FUNCTION ? s->function : NULL,
    };
}
