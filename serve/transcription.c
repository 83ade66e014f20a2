/* The request of a transcription: fields of a form. Order of its parts is the client's, so what
 * depends on another field is looked at when all are there. */
#include "serve/transcription.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "serve/limits.h"

typedef enum form_field {
    FIELD_FILE,
    FIELD_MODEL,
    FIELD_LANGUAGE,
    FIELD_FORMAT,
    FIELD_TEMPERATURE,
    FIELD_GRANULARITIES,
    FIELD_INCLUDE,
    FIELD_STREAM,
    FIELD_COUNT
} form_field;

/* Others (prompt, keywords, languages, chunking_strategy and what will come) are passed over. */
static const struct {
    const char *name;
    bool list; /* may come several times, with [] behind the name */
} fields[FIELD_COUNT] = {{"file", false},        {"model", false},
                         {"language", false},    {"response_format", false},
                         {"temperature", false}, {"timestamp_granularities", true},
                         {"include", true},      {"stream", false}};

enum { WORDS = 1, SEGMENTS = 2 };

static int field_of(const char *name) {
    for (int i = 0; i < FIELD_COUNT; i++) {
        const size_t size = strlen(fields[i].name);
        if (strncmp(name, fields[i].name, size) != 0) continue;
        if (name[size] == '\0' || (fields[i].list && strcmp(name + size, "[]") == 0)) return i;
    }
    return -1;
}

/* ---- Values ---- */

static bool refuse(transcription_form *f, const char *sentence) {
    const char *name = fields[f->field].name;
    return api_fail(&f->error, API_INVALID_VALUE, name, "'%s' of the form is %s: %s", name, f->text,
                    sentence);
}

static bool read_format(transcription_form *f) {
    static const char *const names[] = {"json", "text", "srt", "vtt", "verbose_json"};
    for (int i = 0; i < 5; i++) {
        if (strcmp(f->text, names[i]) != 0) continue;
        f->request.format = (transcription_format)i;
        return true;
    }
    if (strcmp(f->text, "diarized_json") == 0)
        return api_fail(&f->error, API_UNSUPPORTED_FORMAT, "response_format",
                        "'diarized_json' needs to know who speaks, which this model does not; "
                        "'json', 'text', 'srt', 'vtt' and 'verbose_json' are there");
    return refuse(f, "'json', 'text', 'srt', 'vtt' and 'verbose_json' are there");
}

static bool read_temperature(transcription_form *f) {
    char *end;
    /* strtod takes hexadecimal numbers, infinities and blanks, too. */
    const bool plain = f->text[strspn(f->text, "0123456789.eE+-")] == '\0';
    const double value = strtod(f->text, &end);
    if (!plain || *end != '\0' || end == f->text || !(value >= 0 && value <= 1))
        return refuse(f, "give a number of 0 to 1");
    f->request.temperature = value;
    return true;
}

/* What the model's own prompt says that it writes down. */
static bool is_japanese(const rnl_model *model) {
    const char *prompt = rnl_model_system_prompt(model, RNL_MODE_TRANSCRIBE);
    return prompt != NULL && strstr(prompt, "japanese") != NULL;
}

static bool read_language(transcription_form *f) {
    const char *known = is_japanese(f->model) ? "ja" : "en";
    if (f->text[0] == '\0' || strcasecmp(f->text, known) == 0) return true;
    return refuse(f, strcmp(known, "ja") == 0 ? "this model writes down 'ja'"
                                              : "this model writes down 'en'");
}

static bool read_granularity(transcription_form *f) {
    if (strcmp(f->text, "word") == 0)
        f->included |= WORDS;
    else if (strcmp(f->text, "segment") == 0)
        f->included |= SEGMENTS;
    else
        return refuse(f, "'word' and 'segment' are there");
    return true;
}

static bool read_include(transcription_form *f) {
    f->request.logprobs = strcmp(f->text, "logprobs") == 0;
    return f->request.logprobs || refuse(f, "'logprobs' can be included");
}

static bool read_stream(transcription_form *f) {
    const bool yes = strcasecmp(f->text, "true") == 0 || strcmp(f->text, "1") == 0;
    const bool no = strcasecmp(f->text, "false") == 0 || strcmp(f->text, "0") == 0;
    if (!yes && !no && f->text[0] != '\0') return refuse(f, "give true or false");
    f->request.stream = yes;
    return true;
}

static bool read_field(transcription_form *f) {
    if (memchr(f->text, '\0', f->text_size) != NULL) return refuse(f, "it holds a NUL byte");
    switch ((form_field)f->field) {
    case FIELD_MODEL:
        memcpy(f->request.model, f->text, sizeof f->text);
        return true;
    case FIELD_LANGUAGE:
        return read_language(f);
    case FIELD_FORMAT:
        return read_format(f);
    case FIELD_TEMPERATURE:
        return read_temperature(f);
    case FIELD_GRANULARITIES:
        return read_granularity(f);
    case FIELD_INCLUDE:
        return read_include(f);
    case FIELD_STREAM:
        return read_stream(f);
    case FIELD_FILE:
    case FIELD_COUNT:
        break;
    }
    return true;
}

/* ---- Parts ---- */

static bool begin_part(void *context, const multipart_part *part) {
    transcription_form *f = context;
    f->field = field_of(part->name);
    f->text_size = 0;
    if (f->field < 0) return true;
    const unsigned bit = 1u << f->field;
    if ((f->seen & bit) != 0 && !fields[f->field].list)
        return api_fail(&f->error, API_INVALID_VALUE, fields[f->field].name,
                        "'%s' stands twice in the form; send it once", fields[f->field].name);
    f->seen |= bit;
    if (f->field == FIELD_FILE)
        (void)snprintf(f->file_name, sizeof f->file_name, "%.*s", (int)sizeof f->file_name - 1,
                       part->file);
    if (f->field == FIELD_FILE && !part->is_file)
        return api_fail(&f->error, API_INVALID_VALUE, "file",
                        "'file' is a text; upload it as a file, with a file name");
    return true;
}

static bool add_to_file(transcription_form *f, const char *bytes, size_t size) {
    transcription_request *r = &f->request;
    if (size > f->upload_max - r->size)
        return api_fail(&f->error, API_PAYLOAD_TOO_LARGE, "file",
                        "'file' has more than %zu bytes; send a shorter or compressed one",
                        f->upload_max);
    if (size > f->file_cap - r->size) {
        size_t cap = 2 * f->file_cap + 65536;
        if (cap < r->size + size) cap = r->size + size;
        if (cap > f->upload_max) cap = f->upload_max;
        uint8_t *grown = realloc(r->file, cap);
        if (grown == NULL)
            return api_fail(&f->error, API_SERVER_OVERLOADED, NULL,
                            "There is no memory for the file now; try again later");
        r->file = grown;
        f->file_cap = cap;
    }
    memcpy(r->file + r->size, bytes, size);
    r->size += size;
    return true;
}

static bool add_to_part(void *context, const char *bytes, size_t size) {
    transcription_form *f = context;
    if (f->field == FIELD_FILE) return add_to_file(f, bytes, size);
    if (f->field < 0) return true;
    if (size >= sizeof f->text - f->text_size)
        return api_fail(&f->error, API_INVALID_VALUE, fields[f->field].name,
                        "'%s' is longer than %zu bytes; shorten it", fields[f->field].name,
                        sizeof f->text - 1);
    memcpy(f->text + f->text_size, bytes, size);
    f->text_size += size;
    return true;
}

static bool end_part(void *context) {
    transcription_form *f = context;
    f->text[f->text_size] = '\0';
    return f->field < 0 || f->field == FIELD_FILE || read_field(f);
}

/* ---- The form ---- */

bool transcription_form_begin(transcription_form *f, const char *content_type,
                              const rnl_model *model, size_t upload_max, api_error *error) {
    char boundary[MULTIPART_BOUNDARY_CAP + 1];
    memset(f, 0, sizeof *f);
    if (content_type == NULL || !multipart_boundary(content_type, strlen(content_type), boundary))
        return api_fail(error, API_UNSUPPORTED_MEDIA_TYPE, NULL,
                        "A transcription is asked for by multipart/form-data with a boundary; set "
                        "Content-Type so");
    f->model = model;
    f->upload_max = upload_max;
    multipart_begin(&f->scanner, boundary, &(multipart_sink){begin_part, add_to_part, end_part, f});
    return true;
}

/* The sink's own refusal, or the scanner's. */
static bool refuse_body(const transcription_form *f, multipart_fault fault, api_error *error) {
    if (fault != MULTIPART_STOPPED)
        return api_fail(error, API_INVALID_VALUE, NULL, "%s", multipart_fault_text(fault));
    if (error != NULL) *error = f->error;
    return false;
}

bool transcription_form_push(transcription_form *f, const void *bytes, size_t size,
                             api_error *error) {
    const multipart_fault fault = multipart_push(&f->scanner, bytes, size);
    return fault == MULTIPART_NONE || refuse_body(f, fault, error);
}

static bool check(const transcription_form *f, api_error *error) {
    const transcription_request *r = &f->request;
    const bool events = r->format == TRANSCRIPTION_JSON || r->format == TRANSCRIPTION_TEXT;
    if ((f->seen & 1u << FIELD_FILE) == 0)
        return api_fail(error, API_MISSING_PARAMETER, "file",
                        "'file' is missing; upload the sound as a part of that name");
    if (r->model[0] == '\0')
        return api_fail(error, API_MISSING_PARAMETER, "model",
                        "'model' is missing; GET /v1/models tells which there is");
    if (r->size == 0)
        return api_fail(error, API_INVALID_AUDIO, "file", "'file' is empty; record it again");
    if (f->included != 0 && r->format != TRANSCRIPTION_VERBOSE_JSON)
        return api_fail(error, API_INVALID_VALUE, "timestamp_granularities",
                        "'timestamp_granularities' need the response_format 'verbose_json'");
    if (r->stream && !events)
        return api_fail(error, API_INVALID_VALUE, "stream",
                        "'stream' needs the response_format 'json' or 'text'");
    if (r->logprobs && r->format != TRANSCRIPTION_JSON)
        return api_fail(error, API_INVALID_VALUE, "include",
                        "'logprobs' need the response_format 'json'");
    return true;
}

bool transcription_form_finish(transcription_form *f, transcription_request *request,
                               api_error *error) {
    memset(request, 0, sizeof *request);
    const multipart_fault fault = multipart_finish(&f->scanner);
    if (fault != MULTIPART_NONE) return refuse_body(f, fault, error);
    if (!check(f, error)) return false;
    f->request.words = (f->included & WORDS) != 0;
    f->request.segments = f->included == 0 || (f->included & SEGMENTS) != 0;
    *request = f->request;
    memset(&f->request, 0, sizeof f->request);
    return true;
}

void transcription_form_free(transcription_form *f) {
    transcription_request_free(&f->request);
}

void transcription_request_free(transcription_request *r) {
    free(r->file);
    memset(r, 0, sizeof *r);
}

rnl_transcript_config transcription_config(const transcription_request *r, const rnl_model *model) {
    rnl_transcript_config config = rnl_transcript_config_default(model);
    config.word_times = r->format >= TRANSCRIPTION_SRT;
    if (r->temperature > 0) config.text = rnl_sampling_plain((float)r->temperature, INT32_MAX);
    return config;
}
