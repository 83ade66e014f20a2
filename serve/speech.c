#include "serve/speech.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/json_in.h"
#include "serve/json_out.h"
#include "serve/limits.h"
#include "text/script.h"
#include "text/voices.h"

/* ---- The request ---- */

bool speech_voice(const char *name, size_t size, const char **prompt) {
    static const char *const others[] = {"default", "alloy", "ash",   "ballad", "coral",
                                         "echo",    "fable", "onyx",  "nova",   "sage",
                                         "shimmer", "verse", "marin", "cedar"};
    *prompt = voice_prompt(name, size);
    if (*prompt != NULL) return true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == size && memcmp(others[i], name, size) == 0) return true;
    return false;
}

static bool read_voice(const json *body, const rnl_model *model, speech_request *r,
                       api_error *error) {
    const json *voice = json_get(body, "voice");
    const char *prompt = NULL;
    size_t size;
    if (json_is_object(voice)) voice = json_get(voice, "id");
    const char *name = json_chars(voice, &size);
    if (!json_is_null(voice) && name == NULL)
        return api_fail(error, API_INVALID_VALUE, "voice",
                        "'voice' is neither a name nor {\"id\": name}");
    if (name != NULL && !speech_voice(name, size, &prompt))
        return api_fail(error, API_INVALID_VALUE, "voice",
                        "'voice' %.*s is not known; 'default', " VOICE_NAMES " are there",
                        (int)(size < 64 ? size : 64), name);
    r->prompt = prompt != NULL ? prompt : rnl_model_system_prompt(model, RNL_MODE_SPEAK);
    return true;
}

static bool read_format(const json *body, speech_request *r, api_error *error) {
    const bool mp3 = sound_format_is_there(SOUND_FORMAT_MP3);
    const json *format = json_get(body, "response_format");
    size_t size;
    const char *name = json_chars(format, &size);
    r->format = mp3 ? SOUND_FORMAT_MP3 : SOUND_FORMAT_WAV;
    if (json_is_null(format)) return true;
    if (name != NULL && sound_format_named(name, size, &r->format) &&
        sound_format_is_there(r->format))
        return true;
    return api_fail(error, name != NULL ? API_UNSUPPORTED_FORMAT : API_INVALID_VALUE,
                    "response_format",
                    "'response_format' %.*s cannot be made here; %swav, pcm, "
                    "opus and flac can",
                    name == NULL ? 0 : (int)(size < 64 ? size : 64), name != NULL ? name : "",
                    mp3 ? "mp3, " : "");
}

static bool read_stream_format(const json *body, speech_request *r, api_error *error) {
    const json *format = json_get(body, "stream_format");
    r->events = json_in_is(format, "sse");
    if (json_is_null(format) || r->events || json_in_is(format, "audio")) return true;
    return api_fail(error, API_INVALID_VALUE, "stream_format",
                    "'stream_format' is neither 'audio' nor 'sse'");
}

static size_t character_count(const char *text, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

static bool read_input(const json *body, speech_request *r, api_error *error) {
    size_t size;
    const json *input = json_get(body, "input");
    const char *text = json_chars(input, &size);
    if (json_is_null(input))
        return api_fail(error, API_MISSING_PARAMETER, "input",
                        "'input' is missing; give the text to speak");
    if (text == NULL || size == 0)
        return api_fail(error, API_INVALID_VALUE, "input", "'input' is no text to speak");
    if (character_count(text, size) > LIMIT_SPEECH_INPUT)
        return api_fail(error, API_INVALID_VALUE, "input",
                        "'input' has more than %d characters; send it in parts",
                        LIMIT_SPEECH_INPUT);
    r->input = malloc(size);
    if (r->input == NULL)
        return api_fail(error, API_SERVER_OVERLOADED, NULL, "There is no memory now");
    memcpy(r->input, text, size);
    r->size = size;
    return true;
}

static bool read_body(const json *body, const rnl_model *model, speech_request *r,
                      api_error *error) {
    double speed = 1;
    const char *name = NULL, *instructions = NULL;
    size_t size;
    if (!json_in_text(body, "model", NULL, SPEECH_MODEL_CAP - 1, &name, &size, error)) return false;
    if (name == NULL || size == 0)
        return api_fail(error, API_MISSING_PARAMETER, "model",
                        "'model' is missing; GET /v1/models tells which there is");
    memcpy(r->model, name, size);
    if (!json_in_number(body, "speed", NULL, 0.25, 4, &speed, error)) return false;
    if (speed < 1 || speed > 1)
        return api_fail(error, API_UNSUPPORTED_PARAMETER, "speed",
                        "'speed' can only be 1 here; change the speed where the sound is played");
    /* The prompts of the voices are all that these models were trained on, so instructions are
     * taken and change nothing. */
    return json_in_text(body, "instructions", NULL, LIMIT_INSTRUCTIONS_SIZE, &instructions, &size,
                        error) &&
           read_voice(body, model, r, error) && read_format(body, r, error) &&
           read_stream_format(body, r, error) && read_input(body, r, error);
}

bool speech_request_read(const char *text, size_t size, const rnl_model *model,
                         speech_request *request, api_error *error) {
    json *body;
    memset(request, 0, sizeof *request);
    if (!json_in_parse(text, size, &body, error)) return false;
    const bool done = read_body(body, model, request, error);
    json_destroy(&body);
    if (!done) speech_request_free(request);
    return done;
}

void speech_request_free(speech_request *r) {
    free(r->input);
    memset(r, 0, sizeof *r);
}

/* ---- Speaking ---- */

struct speech {
    speech_request request;
    FILE *file; /* of the text */
    script *script;
    script_piece piece;
    sound_stream *stream;
    bool ended; /* no sentence is left, and the stream is finished */
    bool told;  /* the event of the end was taken */
    int input_count, output_count;
};

/* The next sentence, and the pause before it; or the end. */
static bool next_sentence(speech *s, api_error *error) {
    static const float silence[1024];
    rnl_error why = {0};
    rnl_status status = script_next(s->script, &s->piece, &why);
    if (status == RNL_DONE) {
        s->ended = true;
        status = sound_stream_finish(s->stream, &why);
        return status == RNL_OK || api_fail_library(error, &why, NULL, false);
    }
    if (status != RNL_OK) return api_fail(error, API_INVALID_VALUE, "input", "%s", why.text);
    const double seconds = script_gap_seconds(s->piece.gap);
    for (size_t left = (size_t)lrint(seconds * RNL_RATE_OUT); left > 0;) {
        const size_t part = left < 1024 ? left : 1024;
        if (!speech_sound(s, silence, part, error)) return false;
        left -= part;
    }
    return true;
}

static bool begin(speech *s, api_error *error) {
    rnl_error why = {0};
    s->file = fmemopen(s->request.input, s->request.size, "rb");
    s->script =
        s->file != NULL ? script_create(s->file, "input", false, SCRIPT_CHAR_DEFAULT) : NULL;
    if (s->script == NULL)
        return api_fail(error, API_SERVER_OVERLOADED, NULL, "There is no memory now");
    if (sound_stream_create(s->request.format, RNL_RATE_OUT, &s->stream, &why) != RNL_OK)
        return api_fail_library(error, &why, NULL, false);
    if (!next_sentence(s, error)) return false;
    if (s->ended)
        return api_fail(error, API_INVALID_VALUE, "input",
                        "'input' has nothing that can be spoken: no letter and no digit");
    return true;
}

bool speech_create(speech_request *request, speech **out, api_error *error) {
    speech *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return api_fail(error, API_SERVER_OVERLOADED, NULL, "There is no memory now");
    s->request = *request;
    memset(request, 0, sizeof *request);
    const bool begun = begin(s, error);
    if (!begun) speech_destroy(out);
    return begun;
}

void speech_destroy(speech **out) {
    speech *s = *out;
    if (s == NULL) return;
    *out = NULL;
    script_destroy(&s->script);
    if (s->file != NULL) (void)fclose(s->file);
    sound_stream_destroy(&s->stream);
    speech_request_free(&s->request);
    free(s);
}

const char *speech_type(const speech *s) {
    return s->request.events ? "text/event-stream" : sound_format_type(s->request.format);
}

bool speech_sentence(const speech *s, const char **text, size_t *size) {
    *text = s->piece.text;
    *size = s->piece.size;
    return !s->ended;
}

bool speech_sound(speech *s, const float *samples, size_t count, api_error *error) {
    rnl_error why = {0};
    return sound_stream_write(s->stream, samples, count, &why) == RNL_OK ||
           api_fail_library(error, &why, NULL, false);
}

bool speech_end_sentence(speech *s, const work_usage *usage, api_error *error) {
    s->input_count += work_usage_input(usage);
    s->output_count += usage->output_text + usage->output_audio;
    return next_sentence(s, error);
}

/* ---- The answer ---- */

/* One event with as much sound as fits; 0: there is none, or no room. */
static size_t take_event(speech *s, char *bytes, size_t cap) {
    enum { FRAME = 64, PART = 3 * 4096 }; /* what stands around the sound of an event */
    char sound[PART];
    json_out o;
    if (cap < FRAME + 4) return 0;
    size_t room = (cap - FRAME) / 4 * 3;
    if (room > PART) room = PART;
    const size_t size = sound_stream_take(s->stream, sound, room);
    if (size == 0) return 0;
    json_out_begin(&o, bytes, cap);
    json_out_event_open(&o);
    json_out_object(&o, NULL);
    json_out_word(&o, "type", "speech.audio.delta");
    json_out_base64(&o, "audio", sound, size);
    json_out_end(&o);
    json_out_event_close(&o);
    return o.size;
}

static size_t take_end(speech *s, char *bytes, size_t cap) {
    json_out o;
    json_out_begin(&o, bytes, cap);
    json_out_event_open(&o);
    json_out_object(&o, NULL);
    json_out_word(&o, "type", "speech.audio.done");
    json_out_object(&o, "usage");
    json_out_int(&o, "input_tokens", s->input_count);
    json_out_int(&o, "output_tokens", s->output_count);
    json_out_int(&o, "total_tokens", s->input_count + s->output_count);
    json_out_end(&o);
    json_out_end(&o);
    json_out_event_close(&o);
    s->told = json_out_whole(&o);
    return s->told ? o.size : 0;
}

size_t speech_take(speech *s, char *bytes, size_t cap) {
    if (!s->request.events) return sound_stream_take(s->stream, bytes, cap);
    const size_t size = take_event(s, bytes, cap);
    if (size > 0 || s->told || !s->ended || sound_stream_size(s->stream) > 0) return size;
    return take_end(s, bytes, cap);
}

bool speech_is_over(const speech *s) {
    return s->ended && sound_stream_size(s->stream) == 0 && (s->told || !s->request.events);
}

size_t speech_waiting(const speech *s) {
    return sound_stream_size(s->stream);
}
