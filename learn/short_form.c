#include "learn/short_form.h"

#include <string.h>

static bool has(const json *line, const char *key) {
    return !json_is_null(json_get(line, key));
}

bool learn_is_short_form(const json *line) {
    if (has(line, "messages") || has(line, "prompt")) return false;
    return has(line, "question_audio") || has(line, "audio") || has(line, "codes");
}

/* ---- Messages under way ---- */

static json_draft *word(const char *text) {
    return json_new_string(text, strlen(text));
}

static json_draft *part_of(const char *type) {
    json_draft *part = json_new_object();
    json_set(part, "type", word(type));
    return part;
}

/* part.name = line.key, where the line has such a text. */
static bool take(json_draft *part, const char *name, const json *line, const char *key) {
    size_t size;
    const char *text = json_chars(json_get(line, key), &size);
    if (text != NULL) json_set(part, name, json_new_string(text, size));
    return text != NULL;
}

static void say(json_draft *messages, const char *role, json_draft *content) {
    json_draft *message = json_new_object();
    json_set(message, "role", word(role));
    json_set(message, "content", content);
    json_append(messages, message);
}

static void say_part(json_draft *messages, const char *role, json_draft *part) {
    json_draft *content = json_new_array();
    json_append(content, part);
    say(messages, role, content);
}

static void prompt(json_draft *messages, const rnl_model *m, rnl_mode mode) {
    const mode_config *c = &m->source.config.modes[mode];
    if (c->has_prompt) say(messages, "system", word(c->prompt));
}

/* ---- The forms ---- */

/* Each: NULL, or what is wrong. */
static const char *heard(json_draft *messages, const json *line, const rnl_model *m) {
    json_draft *sound = part_of("audio"), *text = part_of("text");
    const bool whole = take(sound, "audio", line, "audio") && take(text, "text", line, "text");
    prompt(messages, m, RNL_MODE_TRANSCRIBE);
    say_part(messages, "user", sound);
    say_part(messages, "assistant", text);
    return whole ? NULL
                 : "the line has not \"audio\" and \"text\", both texts, as --task asr wants";
}

static const char *spoken(json_draft *messages, const json *line, const learn_reading *how,
                          const rnl_model *m) {
    json_draft *sound = part_of("audio"), *text = part_of("text");
    const bool has_text = take(text, "text", line, "text");
    const bool has_sound =
        take(sound, "codes", line, "codes") || take(sound, "audio", line, "audio");
    const json *voice = json_get(line, "voice");
    size_t size;
    const char *name = json_chars(voice, &size), *asks = NULL;
    if (name != NULL && how->media.voice != NULL) asks = how->media.voice(name, size);
    if (asks != NULL)
        say(messages, "system", word(asks));
    else
        prompt(messages, m, RNL_MODE_SPEAK);
    say_part(messages, "user", text);
    say_part(messages, "assistant", sound);
    if (!has_text || !has_sound)
        return "the line has not \"text\" and one of \"audio\", \"codes\", all texts, as --task "
               "tts "
               "wants";
    return asks != NULL || json_is_null(voice) ? NULL
                                               : "\"voice\" is none of us-male, us-female, "
                                                 "uk-male, uk-female";
}

static const char *answered(json_draft *messages, const json *line, const rnl_model *m) {
    json_draft *question = part_of("audio"), *answer = part_of("interleaved");
    const bool has_question = take(question, "audio", line, "question_audio");
    const bool has_text = take(answer, "text", line, "answer_text");
    const bool has_sound =
        take(answer, "codes", line, "answer_codes") || take(answer, "audio", line, "answer_audio");
    const bool whole = has_question && has_text && has_sound;
    prompt(messages, m, RNL_MODE_INTERLEAVED);
    say_part(messages, "user", question);
    say_part(messages, "assistant", answer);
    return whole ? NULL
                 : "the line has not \"question_audio\", \"answer_text\" and one of "
                   "\"answer_audio\", \"answer_codes\", all texts";
}

char *learn_short_form(const json *line, const learn_reading *how, const rnl_model *m,
                       const char **fault) {
    json_draft *messages = json_new_array(), *root = json_new_object();
    if (has(line, "question_audio"))
        *fault = answered(messages, line, m);
    else if (how->task == LEARN_TASK_ASR)
        *fault = heard(messages, line, m);
    else if (how->task == LEARN_TASK_TTS)
        *fault = spoken(messages, line, how, m);
    else
        *fault = "the line is a sound and a text; --task asr or --task tts says which of them is "
                 "learnt";
    json_set(root, "messages", messages);
    char *text = *fault == NULL ? json_text(root) : NULL;
    json_drop(&root);
    return text;
}
