/* One Wyoming connection (Home Assistant's voice protocol) as a state machine, without sockets and
 * clock: speech to text, text to speech, and an agent that answers texts.
 *
 *   bytes from the client --> wyoming_push --> host->start, host->sound   (what the model shall do)
 *   host->write <-- wyoming_text, wyoming_speech, wyoming_finished        (what it did)
 *
 * A connection has one request under way at a time. An event that begins the next one waits in the
 * machine until the answer is complete; wyoming_push then takes no more bytes, which lets the
 * client's writes wait in turn. Framing is wyoming_frame.h's. */
#ifndef SERVE_WYOMING_H
#define SERVE_WYOMING_H

#include <runnel/runnel.h>

enum {
    WYOMING_TEXT_CAP = 128 * 1024, /* bytes of a text to be spoken, or of an answer */
    WYOMING_SPEECH_CAP = 4096,     /* samples of one audio-chunk that we write */
    WYOMING_SPEECH_RATE = 24000
};

typedef enum wyoming_ask {
    WYOMING_HEAR,  /* sound to text: host->sound until host->sound_end */
    WYOMING_SPEAK, /* text to sound */
    WYOMING_ANSWER /* text to text, in a conversation that goes on */
} wyoming_ask;

typedef struct wyoming_job {
    wyoming_ask ask;
    const char *text;         /* SPEAK, ANSWER: valid UTF-8, not blank; else "" */
    size_t text_size;         /* bytes */
    const char *voice;        /* SPEAK: a name, or "" */
    const char *language;     /* HEAR: what the client names, or "" */
    const char *conversation; /* ANSWER: the client's conversation_id, or "" */
    int rate;                 /* HEAR: of the clip, Hz, [4000, 192000] */
} wyoming_job;

/* What a connection asks of the outside. All are called from within the functions below, and may
 * not call them. */
typedef struct wyoming_host {
    void *context;
    /* Bytes for the client; copied. */
    void (*write)(void *context, const char *bytes, size_t size);
    /* Begins a job; its texts are borrowed for the call. NULL: begun; else a sentence why not,
     * which the client is told. One job at a time: the next after wyoming_finished. */
    const char *(*start)(void *context, const wyoming_job *job);
    /* More of the clip, mono within [-1, 1); returns how many samples were taken. The others are
     * offered again at the next wyoming_push. */
    size_t (*sound)(void *context, const float *samples, size_t count);
    void (*sound_end)(void *context); /* that was all of the clip */
} wyoming_host;

typedef struct wyoming wyoming;

/* info: the data of the event `info` (wyoming_info.h), borrowed. RNL_ERR_MEMORY; *out is then
 * NULL. */
RNL_MUST_USE rnl_status wyoming_create(const wyoming_host *host, const char *info, int64_t now_us,
                                       wyoming **out);
void wyoming_destroy(
    wyoming **w); /* NULL is fine; sets NULL; a job under way is the host's to end */

/* Bytes from the client, *taken of size; none (size 0) to go on with what waits. RNL_OK: all taken.
 * RNL_AGAIN: the rest again when the job under way is finished or took sound. RNL_DONE: the
 * connection is over, close it when all is written. */
RNL_MUST_USE rnl_status wyoming_push(wyoming *w, const char *bytes, size_t size, size_t *taken,
                                     int64_t now_us);
/* RNL_DONE when nothing came for a minute and nothing is under way; else RNL_OK. */
RNL_MUST_USE rnl_status wyoming_tick(wyoming *w, int64_t now_us);

/* What the job under way made: text of HEAR and ANSWER in whole UTF-8 characters, at most
 * WYOMING_SPEECH_CAP samples of SPEAK, speech that begins or ends in the clip of HEAR. */
void wyoming_text(wyoming *w, const char *text, size_t size);
void wyoming_speech(wyoming *w, const int16_t *samples, size_t count);
void wyoming_voice(wyoming *w, bool begins, int64_t ms);
/* The job is done. In a streamed synthesis this may start the next one. Call wyoming_push after
 * it. */
void wyoming_finished(wyoming *w, int64_t now_us);
/* The job failed: the client is told this sentence, and wyoming_push says RNL_DONE from now on. */
void wyoming_failed(wyoming *w, const char *sentence);

#endif
