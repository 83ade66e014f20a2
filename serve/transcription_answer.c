/* What a transcription is answered with. Pieces come one by one; the forms of one object are made
 * of lists that grow meanwhile, subtitles by the writers of text/formats. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "core/utf8.h"
#include "engine/model.h"
#include "serve/transcription.h"
#include "text/formats.h"
#include "text/subtitles.h"

enum { ANSWER_SIZE_MAX = 64 << 20 };

struct transcription_answer {
    transcription_request request; /* without its file */
    const rnl_model *model;
    const char *language; /* "english" */
    json_out out;
    json_out text;                      /* plain, of all pieces so far */
    json_out segments, words, logprobs; /* open lists */
    bool wide_end;                      /* the text so far ends with a wide character */
    int segment_count;
    int output_count; /* tokens */
    double heard;     /* s of sound in the pieces */
    FILE *file;       /* of srt and vtt, with its writer */
    char *file_text;
    size_t file_size;
    format_writer *writer;
    bool failed;
};

static bool is_events(const transcription_answer *a) {
    return a->request.stream;
}

static bool is_file(const transcription_answer *a) {
    return a->request.format == TRANSCRIPTION_SRT || a->request.format == TRANSCRIPTION_VTT;
}

static bool open_file(transcription_answer *a) {
    const bool srt = a->request.format == TRANSCRIPTION_SRT;
    static const format_head head = {.input = "file", .model = ""};
    a->file = open_memstream(&a->file_text, &a->file_size);
    if (a->file == NULL) return false;
    a->writer = format_begin(srt ? FORMAT_SRT : FORMAT_VTT, a->file, &head);
    return a->writer != NULL;
}

transcription_answer *transcription_answer_create(const transcription_request *request,
                                                  const rnl_model *model) {
    transcription_answer *a = calloc(1, sizeof *a);
    if (a == NULL) return NULL;
    const char *prompt = rnl_model_system_prompt(model, RNL_MODE_TRANSCRIBE);
    a->request = *request;
    a->request.file = NULL;
    a->model = model;
    a->language = prompt != NULL && strstr(prompt, "japanese") != NULL ? "japanese" : "english";
    json_out *const all[] = {&a->out, &a->text, &a->segments, &a->words, &a->logprobs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_out_begin_growing(all[i], ANSWER_SIZE_MAX);
    json_out_array(&a->segments, NULL);
    json_out_array(&a->words, NULL);
    json_out_array(&a->logprobs, NULL);
    if (is_file(a) && !open_file(a)) transcription_answer_destroy(&a);
    return a;
}

void transcription_answer_destroy(transcription_answer **out) {
    transcription_answer *a = *out;
    if (a == NULL) return;
    *out = NULL;
    format_drop(&a->writer);
    if (a->file != NULL) (void)fclose(a->file);
    free(a->file_text);
    json_out_free(&a->out);
    json_out_free(&a->text);
    json_out_free(&a->segments);
    json_out_free(&a->words);
    json_out_free(&a->logprobs);
    free(a);
}

const char *transcription_answer_type(const transcription_answer *a) {
    if (is_events(a)) return "text/event-stream";
    const transcription_format format = a->request.format;
    const bool object = format == TRANSCRIPTION_JSON || format == TRANSCRIPTION_VERBOSE_JSON;
    return object ? "application/json" : "text/plain; charset=utf-8";
}

json_out *transcription_answer_out(transcription_answer *a) {
    return &a->out;
}

/* ---- Parts of answers ---- */

static double rounded(double value, double steps) {
    return round(steps * value) / steps;
}

static void put_logprobs(const transcription_answer *a, json_out *o, const char *key,
                         const rnl_piece *p) {
    if (key != NULL) json_out_array(o, key);
    for (size_t i = 0; i < p->token_count; i++) {
        const char *bytes = "";
        size_t size = 0;
        (void)model_token_bytes(a->model, p->tokens[i], &bytes, &size);
        json_out_object(o, NULL);
        json_out_logprob(o, bytes, size, true, (double)p->token_confidences[i]);
        json_out_end(o);
    }
    if (key != NULL) json_out_end(o);
}

/* How much a text shrinks: what is said over and over shrinks much. */
static double compression_of(const char *text, size_t size) {
    uLongf packed = compressBound((uLong)size);
    Bytef *bytes = malloc(packed);
    if (bytes == NULL ||
        compress2(bytes, &packed, (const Bytef *)text, (uLong)size, Z_DEFAULT_COMPRESSION) != Z_OK)
        packed = 0;
    free(bytes);
    return packed > 0 ? rounded((double)size / (double)packed, 1e4) : 1.0;
}

static void put_segment(transcription_answer *a, const rnl_piece *p, const rnl_segment *s) {
    json_out *o = &a->segments;
    const char *text = p->text + s->text_at;
    json_out_object(o, NULL);
    json_out_int(o, "id", a->segment_count++);
    json_out_int(o, "seek", (int64_t)(100 * s->begin));
    json_out_number(o, "start", rounded(s->begin, 1e3));
    json_out_number(o, "end", rounded(s->end, 1e3));
    json_out_text(o, "text", text, s->text_size);
    json_out_array(o, "tokens");
    for (size_t i = 0; i < s->token_count; i++) json_out_int(o, NULL, p->tokens[s->token_at + i]);
    json_out_end(o);
    json_out_number(o, "temperature", a->request.temperature);
    json_out_number(o, "avg_logprob", rounded((double)s->confidence, 1e6));
    json_out_number(o, "compression_ratio", compression_of(text, s->text_size));
    json_out_number(o, "no_speech_prob", rounded(1 - (double)p->speech, 1e4));
    json_out_end(o);
}

static void put_word(json_out *o, const rnl_piece *p, const rnl_word *w) {
    json_out_object(o, NULL);
    json_out_text(o, "word", p->text + w->text_at, w->text_size);
    json_out_number(o, "start", rounded(w->begin, 1e3));
    json_out_number(o, "end", rounded(w->end, 1e3));
    json_out_end(o);
}

static bool is_wide(const char *text, size_t size) {
    return subtitle_columns(text, size) == 2;
}

/* What stands between the text so far and a piece: nothing between wide characters. */
static const char *glue_of(const transcription_answer *a, const rnl_piece *p) {
    uint32_t first;
    const size_t size = utf8_next(p->text, p->text_size, &first);
    const bool closed = a->wide_end && is_wide(p->text, size);
    return a->text.size == 0 || closed ? "" : " ";
}

static bool ends_wide(const rnl_piece *p) {
    size_t at = p->text_size;
    while (at > 0 && ((unsigned char)p->text[--at] & 0xc0) == 0x80) continue;
    return is_wide(p->text + at, p->text_size - at);
}

/* ---- Pieces ---- */

static void put_delta(transcription_answer *a, const rnl_piece *p, const char *glue) {
    json_out *o = &a->out;
    json_out_event_open(o);
    json_out_object(o, NULL);
    json_out_word(o, "type", "transcript.text.delta");
    json_out_text_open(o, "delta");
    json_out_text_more(o, glue, strlen(glue));
    json_out_text_more(o, p->text, p->text_size);
    json_out_text_close(o);
    if (a->request.logprobs) put_logprobs(a, o, "logprobs", p);
    json_out_end(o);
    json_out_event_close(o);
}

static bool is_well(const transcription_answer *a) {
    return !a->failed && !a->out.full && !a->text.full && !a->segments.full && !a->words.full &&
           !a->logprobs.full;
}

bool transcription_answer_piece(transcription_answer *a, const rnl_piece *p) {
    const char *glue = glue_of(a, p);
    a->output_count += (int)p->emitted_count;
    a->heard += p->end - p->begin;
    if (is_file(a)) {
        a->failed = a->failed || !format_piece(a->writer, p);
        return is_well(a);
    }
    if (is_events(a)) put_delta(a, p, glue);
    json_out_raw(&a->text, NULL, glue, strlen(glue));
    json_out_raw(&a->text, NULL, p->text, p->text_size);
    if (a->request.logprobs) put_logprobs(a, &a->logprobs, NULL, p);
    if (a->request.segments)
        for (size_t i = 0; i < p->segment_count; i++) put_segment(a, p, &p->segments[i]);
    if (a->request.words)
        for (size_t i = 0; i < p->word_count; i++) put_word(&a->words, p, &p->words[i]);
    a->wide_end = ends_wide(p);
    return is_well(a);
}

/* ---- The end ---- */

static void put_raw(json_out *o, const char *key, const json_out *value) {
    json_out_raw(o, key, value->text, value->size);
}

static void put_tokens(json_out *o, const char *key, int text, int audio) {
    json_out_object(o, key);
    json_out_int(o, "text_tokens", text);
    json_out_int(o, "audio_tokens", audio);
    json_out_end(o);
}

bool transcription_damage(const sound_faults *faults, char text[TRANSCRIPTION_HEADER_CAP]) {
    size_t size = 0;
    text[0] = '\0';
    for (int i = 0; faults != NULL && i < faults->place_count; i++) {
        const sound_place *p = &faults->places[i];
        char end[24] = "";
        if (p->to > p->from) (void)snprintf(end, sizeof end, "%.3f", p->to);
        size += (size_t)snprintf(text + size, TRANSCRIPTION_HEADER_CAP - size, "%s%.3f-%s",
                                 i > 0 ? ", " : "", p->from, end);
        assert(size < TRANSCRIPTION_HEADER_CAP); /* a sound has hours, not years */
    }
    return size > 0;
}

bool transcription_phase(const sound_faults *faults, char text[TRANSCRIPTION_HEADER_CAP]) {
    if (faults == NULL || !faults->out_of_phase) return false;
    (void)snprintf(text, TRANSCRIPTION_HEADER_CAP, "%.3f", faults->out_of_phase_at);
    return true;
}

/* As the files of `transcribe` have it. */
static void put_faults(json_out *o, const sound_faults *faults) {
    if (faults == NULL) return;
    if (faults->place_count > 0) {
        json_out_array(o, "damaged");
        for (int i = 0; i < faults->place_count; i++) {
            json_out_array(o, NULL);
            json_out_number(o, NULL, rounded(faults->places[i].from, 1e3));
            json_out_number(o, NULL, rounded(faults->places[i].to, 1e3));
            json_out_end(o);
        }
        json_out_end(o);
    }
    if (faults->out_of_phase)
        json_out_number(o, "out_of_phase", rounded(faults->out_of_phase_at, 1e3));
}

static void end_events(transcription_answer *a, const event *ended) {
    json_out *o = &a->out;
    const work_usage *u = &ended->usage;
    /* Whoever does not count them: a position of the model is 80 ms of what it heard. */
    const int audio = u->input_audio > 0 ? u->input_audio : (int)ceil(12.5 * a->heard);
    const int input = u->input_text + audio;
    const int output = u->output_text > 0 ? u->output_text : a->output_count;
    json_out_event_open(o);
    json_out_object(o, NULL);
    json_out_word(o, "type", "transcript.text.done");
    json_out_text(o, "text", a->text.text, a->text.size);
    if (a->request.logprobs) put_raw(o, "logprobs", &a->logprobs);
    put_faults(o, ended->faults);
    json_out_object(o, "usage");
    json_out_word(o, "type", "tokens");
    json_out_int(o, "input_tokens", input);
    json_out_int(o, "output_tokens", output);
    json_out_int(o, "total_tokens", input + output);
    put_tokens(o, "input_token_details", u->input_text, audio);
    json_out_end(o);
    json_out_end(o);
    json_out_event_close(o);
}

static void end_object(transcription_answer *a, const event *ended) {
    json_out *o = &a->out;
    json_out_object(o, NULL);
    if (a->request.format == TRANSCRIPTION_VERBOSE_JSON) {
        json_out_word(o, "task", "transcribe");
        json_out_word(o, "language", a->language);
        json_out_number(o, "duration", rounded(ended->seconds, 1e3));
    }
    json_out_text(o, "text", a->text.text, a->text.size);
    if (a->request.format == TRANSCRIPTION_VERBOSE_JSON && a->request.segments)
        put_raw(o, "segments", &a->segments);
    if (a->request.words) put_raw(o, "words", &a->words);
    if (a->request.logprobs) put_raw(o, "logprobs", &a->logprobs);
    put_faults(o, ended->faults);
    json_out_object(o, "usage");
    json_out_word(o, "type", "duration");
    json_out_int(o, "seconds",
                 (int64_t)ceil(ended->seconds)); /* as the makers' server counts them */
    json_out_end(o);
    json_out_end(o);
}

static bool end_file(transcription_answer *a, const event *ended) {
    static const sound_faults none;
    const bool done =
        format_end(&a->writer, ended->seconds, ended->faults != NULL ? ended->faults : &none);
    const bool closed = fclose(a->file) == 0;
    a->file = NULL;
    if (!done || !closed) return false;
    json_out_raw(&a->out, NULL, a->file_text, a->file_size);
    return true;
}

bool transcription_answer_end(transcription_answer *a, const event *ended) {
    json_out_end(&a->segments);
    json_out_end(&a->words);
    json_out_end(&a->logprobs);
    if (!is_well(a)) return false;
    if (is_file(a)) return end_file(a, ended) && is_well(a);
    if (is_events(a)) {
        end_events(a, ended);
    } else if (a->request.format == TRANSCRIPTION_TEXT) {
        json_out_raw(&a->out, NULL, a->text.text, a->text.size);
        json_out_raw(&a->out, NULL, "\n", 1);
    } else {
        end_object(a, ended);
    }
    return is_well(a);
}
