#include "serve/wyoming_info.h"

#include <math.h>
#include <string.h>

#include "core/json.h"

static json_draft *text(const char *value) {
    return json_new_string(value, strlen(value));
}

/* What every program, model and voice tells. */
static json_draft *thing(const char *name, const char *description) {
    json_draft *d = json_new_object(), *attribution = json_new_object();
    json_set(attribution, "name", text("Runnel"));
    json_set(attribution, "url", text(""));
    json_set(d, "name", text(name));
    json_set(d, "attribution", attribution);
    json_set(d, "installed", json_new_bool(true));
    json_set(d, "description", text(description));
    json_set(d, "version", text(RNL_VERSION));
    return d;
}

static json_draft *with_languages(json_draft *d, const wyoming_about *about) {
    json_draft *list = json_new_array();
    for (size_t i = 0; i < about->language_count; i++) json_append(list, text(about->languages[i]));
    json_set(d, "languages", list);
    return d;
}

static json_draft *models(const wyoming_about *about) {
    json_draft *list = json_new_array();
    json_append(list, with_languages(thing(about->model, about->model), about));
    return list;
}

static json_draft *voices(const wyoming_about *about) {
    json_draft *list = json_new_array();
    for (size_t i = 0; i < about->voice_count; i++) {
        json_draft *voice = with_languages(thing(about->voices[i], about->voices[i]), about);
        json_set(voice, "speakers", json_new_number(NAN)); /* null */
        json_append(list, voice);
    }
    return list;
}

/* The program alone, or an empty list without it. */
static json_draft *list_of(json_draft *program, bool there) {
    json_draft *list = json_new_array();
    if (there)
        json_append(list, program);
    else
        json_drop(&program);
    return list;
}

char *wyoming_info(const wyoming_about *about) {
    json_draft *info = json_new_object();
    json_draft *asr = thing("runnel", "Speech to text"), *tts = thing("runnel", "Text to speech");
    json_draft *handle = thing("runnel", "Answers what is said");
    json_set(asr, "models", models(about));
    json_set(asr, "supports_transcript_streaming", json_new_bool(true));
    json_set(asr, "requires_external_vad", json_new_bool(true));
    json_set(asr, "prefers_auto_gain_enabled", json_new_bool(false));
    json_set(asr, "prefers_noise_reduction_enabled", json_new_bool(false));
    json_set(tts, "voices", voices(about));
    json_set(tts, "supports_synthesize_streaming", json_new_bool(true));
    json_set(handle, "models", models(about));
    json_set(handle, "supports_handled_streaming", json_new_bool(true));
    json_set(handle, "supports_home_control", json_new_bool(false));
    json_set(info, "asr", list_of(asr, about->hears));
    json_set(info, "tts", list_of(tts, about->speaks));
    json_set(info, "handle", list_of(handle, true));
    static const char *const none[] = {"intent", "wake", "mic", "snd"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        json_set(info, none[i], json_new_array());
    char *out = json_text(info);
    json_drop(&info);
    return out;
}
