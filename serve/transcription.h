/* POST /v1/audio/transcriptions: a multipart body to what is wanted, and a transcript's pieces to
 * the answer. No sockets here: bytes come by calls, the answer's bytes are taken from a buffer.
 *
 *     body ──► transcription_form ──► transcription_request ──► (work.h: a transcript)
 *     pieces ──► transcription_answer ──► out: bytes of the answer, or of its events
 */
#ifndef SERVE_TRANSCRIPTION_H
#define SERVE_TRANSCRIPTION_H

#include <runnel/runnel_transcript.h>

#include "audio/file.h"
#include "serve/json_out.h"
#include "serve/multipart.h"
#include "serve/work.h"

typedef enum transcription_format {
    TRANSCRIPTION_JSON,
    TRANSCRIPTION_TEXT,
    TRANSCRIPTION_SRT,
    TRANSCRIPTION_VTT,
    TRANSCRIPTION_VERBOSE_JSON
} transcription_format;

enum { TRANSCRIPTION_FIELD_CAP = 256 }; /* bytes of a field that is looked at, its end included */

typedef struct transcription_request {
    transcription_format format;
    bool stream;                         /* as events: json and text only */
    bool words, segments;                /* verbose_json: which of them */
    bool logprobs;                       /* of each token: json only */
    double temperature;                  /* [0, 1], 0: greedy */
    char model[TRANSCRIPTION_FIELD_CAP]; /* as asked for, "" never */
    uint8_t *file;                       /* [size] from malloc; transcription_request_free() */
    size_t size;
} transcription_request;

void transcription_request_free(transcription_request *r);
/* The transcript's configuration: the model's own, and what the request changes of it. */
rnl_transcript_config transcription_config(const transcription_request *r, const rnl_model *model);

/* ---- The request ---- */

typedef struct transcription_form {
    multipart scanner;
    transcription_request request;
    const rnl_model *model;
    size_t upload_max, file_cap;
    int field;   /* of the part under way: an index of the table of fields; -1: passed over */
    bool failed; /* of the sink: error says why */
    api_error error;
    unsigned seen;     /* fields that were there, a bit each */
    unsigned included; /* timestamp granularities, a bit each */
    char text[TRANSCRIPTION_FIELD_CAP];
    size_t text_size;
    char file_name[128]; /* as the client gave it, or its beginning: for the log */
} transcription_form;

/* content_type: of the request. model: says which language can be. False: UNSUPPORTED_MEDIA_TYPE.
 * The form is then empty. */
bool transcription_form_begin(transcription_form *f, const char *content_type,
                              const rnl_model *model, size_t upload_max, api_error *error);
/* Bytes of the body, in any cuts. After a refusal the form takes no more. */
bool transcription_form_push(transcription_form *f, const void *bytes, size_t size,
                             api_error *error);
/* The body is complete: *request is the caller's. */
bool transcription_form_finish(transcription_form *f, transcription_request *request,
                               api_error *error);
void transcription_form_free(transcription_form *f); /* begun or zeroed */

/* ---- The answer ---- */

typedef struct transcription_answer transcription_answer;

/* Copies what it needs of the request. NULL: memory is exhausted. */
transcription_answer *transcription_answer_create(const transcription_request *request,
                                                  const rnl_model *model);
void transcription_answer_destroy(transcription_answer **a);          /* NULL is fine; sets NULL */
const char *transcription_answer_type(const transcription_answer *a); /* Content-Type */
/* The next piece of the transcript, and its end, as ENDED has it: s of sound, what is missing in it
 * (NULL: nothing), usage as far as it is known. Objects and the last event of a stream tell of
 * damage, and so do notes of WebVTT; of all that is no stream headers do. False: memory is
 * exhausted, or the answer would be longer than 64 MiB. */
bool transcription_answer_piece(transcription_answer *a, const rnl_piece *piece);
bool transcription_answer_end(transcription_answer *a, const event *ended);
/* The values of these headers: "1.250-3.500, 59.100-60.000", where a place whose length is not
 * known has no end; and s of the first second of channels out of phase. False: there is nothing to
 * tell. */
enum { TRANSCRIPTION_HEADER_CAP = 32 * SOUND_PLACE_CAP };
bool transcription_damage(const sound_faults *faults, char text[TRANSCRIPTION_HEADER_CAP]);
bool transcription_phase(const sound_faults *faults, char text[TRANSCRIPTION_HEADER_CAP]);
/* What can be sent now, whole events or, behind the end, the answer: out->text [out->size]. The
 * caller sends it and clears it. */
json_out *transcription_answer_out(transcription_answer *a);

#endif
