#include "serve/wyoming.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/wyoming_frame.h"
#include "serve/wyoming_sound.h"
#include "text/script.h"
#include "text/sentences.h"

enum { NAME_CAP = 128 }; /* of a voice, a language, a conversation */

/* Which request is under way. */
typedef enum phase {
    PHASE_IDLE,
    PHASE_HEAR,      /* transcribe or audio-start came, the clip is not over */
    PHASE_WRITE,     /* its transcript is being made */
    PHASE_SPEAK,     /* synthesize */
    PHASE_SPEAK_ON,  /* synthesize-start came, synthesize-stop did not */
    PHASE_SPEAK_OUT, /* synthesize-stop came, not all is spoken */
    PHASE_ANSWER
} phase;

struct wyoming {
    wyoming_host host;
    wyoming_reader *reader;
    const char *info;
    int64_t heard_us; /* when the client's last bytes came, or the last answer was complete */
    phase phase;
    bool waits;    /* the reader's event begins a request and waits for the end of another */
    bool over;     /* close */
    bool job;      /* one is under way */
    bool begun;    /* the answer's first event is written */
    bool is_chunk; /* the reader's payload is sound of the clip */
    wyoming_sound sound;
    char voice[NAME_CAP], language[NAME_CAP], conversation[NAME_CAP];
    size_t text_size; /* of what is to be spoken, or of the answer so far */
    char text[WYOMING_TEXT_CAP];
};

/* ---- writing ---- */

static void write_event(wyoming *w, const char *type, const char *data) {
    char head[WYOMING_HEAD_CAP];
    const size_t size = strlen(data);
    w->host.write(w->host.context, head, wyoming_write_head(head, type, size, 0));
    if (size > 0) w->host.write(w->host.context, data, size);
}

/* The text as a JSON string, allocated. */
static char *quoted(const char *text, size_t size) {
    json_draft *draft = json_new_string(text, size);
    char *out = json_text(draft);
    json_drop(&draft);
    return out;
}

/* {"text": TEXT}, and beside it the conversation that the text belongs to, unless that is "". */
static void write_text(wyoming *w, const char *type, const char *text, size_t size,
                       const char *conversation) {
    char *said = quoted(text, size), *id = quoted(conversation, strlen(conversation)), *data = NULL;
    const char *format = conversation[0] == '\0'
                             ? "{\"text\": %s}"
                             : "{\"text\": %s, \"context\": {\"conversation_id\": %s}}";
    const size_t room = said == NULL || id == NULL ? 0 : strlen(format) + strlen(said) + strlen(id);
    if (room > 0) data = malloc(room);
    if (data != NULL) {
        (void)snprintf(data, room, format, said, id);
        write_event(w, type, data);
    } else {
        w->over = true; /* memory is exhausted: nothing can be told */
    }
    free(data);
    free(id);
    free(said);
}

static void fail(wyoming *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(wyoming *w, const char *format, ...) {
    char sentence[400];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    write_text(w, "error", sentence, strlen(sentence), "");
    w->over = true;
}

/* ---- what events carry ---- */

static bool is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (strchr(" \t\r\n\v\f", text[i]) == NULL) return false;
    return true;
}

/* A name that the client gave, or "": one that is too long, or holds a NUL, is none. */
static void read_name(char out[NAME_CAP], const json *v) {
    size_t size = 0;
    const char *name = json_chars(v, &size);
    const bool fits = name != NULL && size < NAME_CAP && strlen(name) == size;
    (void)snprintf(out, NAME_CAP, "%s", fits ? name : "");
}

/* Adds the event's `text` to what is to be spoken or answered. False: refused, and told. */
static bool add_text(wyoming *w) {
    size_t size = 0;
    const char *type = wyoming_type(w->reader);
    const char *text = json_chars(wyoming_field(w->reader, "text"), &size);
    if (text == NULL)
        fail(w, "%s has no text; give it a field \"text\"", type);
    else if (size > WYOMING_TEXT_CAP - w->text_size)
        fail(w, "%s: more than %d bytes of text; send it in several requests", type,
             WYOMING_TEXT_CAP);
    if (w->over) return false;
    memcpy(w->text + w->text_size, text, size);
    w->text_size += size;
    return true;
}

/* Only plain text is spoken. */
static bool is_plain(wyoming *w) {
    const char *form = json_chars(wyoming_field(w->reader, "text_format"), NULL);
    if (form == NULL || strcmp(form, "text") == 0) return true;
    fail(w, "%s: this text_format is not known here; send plain text", wyoming_type(w->reader));
    return false;
}

/* ---- requests ---- */

static void begin(wyoming *w, phase next) {
    assert(w->phase == PHASE_IDLE && !w->job);
    w->phase = next;
    w->begun = false;
    w->text_size = 0;
}

static void end(wyoming *w) {
    w->phase = PHASE_IDLE;
}

/* Starts a job over the first text_size bytes of the text. */
static void start(wyoming *w, wyoming_ask ask, size_t text_size) {
    const wyoming_job job = {.ask = ask,
                             .text = w->text,
                             .text_size = text_size,
                             .voice = w->voice,
                             .language = w->language,
                             .conversation = w->conversation,
                             .rate = w->sound.rate};
    const char *refusal = w->host.start(w->host.context, &job);
    w->job = refusal == NULL;
    if (refusal != NULL) fail(w, "%s", refusal);
}

static void write_sound_begin(wyoming *w) {
    if (!w->begun)
        write_event(w, "audio-start",
                    "{\"rate\": 24000, \"width\": 2, \"channels\": 1, \"timestamp\": null}");
    w->begun = true;
}

/* One audio-chunk of at most WYOMING_SPEECH_CAP samples. */
static void write_samples(wyoming *w, const int16_t *samples, size_t count) {
    static const char data[] =
        "{\"rate\": 24000, \"width\": 2, \"channels\": 1, \"timestamp\": null}";
    char head[WYOMING_HEAD_CAP], bytes[2 * WYOMING_SPEECH_CAP];
    write_sound_begin(w);
    for (size_t i = 0; i < count; i++) {
        bytes[2 * i] = (char)(samples[i] & 0xff);
        bytes[2 * i + 1] = (char)((samples[i] >> 8) & 0xff);
    }
    const size_t head_size = wyoming_write_head(head, "audio-chunk", sizeof data - 1, 2 * count);
    w->host.write(w->host.context, head, head_size);
    w->host.write(w->host.context, data, sizeof data - 1);
    w->host.write(w->host.context, bytes, 2 * count);
}

/* The pause between two sentences. */
static void write_pause(wyoming *w) {
    static const int16_t silence[WYOMING_SPEECH_CAP];
    size_t left = (size_t)lrint(script_gap_seconds(SCRIPT_GAP_SENTENCE) * WYOMING_SPEECH_RATE);
    while (left > 0) {
        const size_t count = left < WYOMING_SPEECH_CAP ? left : WYOMING_SPEECH_CAP;
        write_samples(w, silence, count);
        left -= count;
    }
}

static void end_speech(wyoming *w, bool streamed) {
    write_sound_begin(w); /* without a sound in it the client still gets the format */
    write_event(w, "audio-stop", "{\"timestamp\": null}");
    if (streamed) write_event(w, "synthesize-stopped", "");
    end(w);
}

/* Bytes of the text that may be spoken now: whole sentences, at the end everything. */
static size_t speakable(const wyoming *w) {
    if (w->phase == PHASE_SPEAK_OUT) return w->text_size;
    size_t size = 0;
    while (size < w->text_size) {
        const size_t next = sentence_next(w->text + size, w->text_size - size);
        if (size + next == w->text_size) break; /* it may go on */
        size += next;
    }
    return size;
}

/* Speaks what can be spoken of a streamed synthesis, and ends it when that was all. */
static void speak_on(wyoming *w) {
    if (w->job || w->over) return;
    const size_t size = speakable(w);
    const bool silent = !sentence_is_speakable(w->text, size);
    if (!silent && w->begun) write_pause(w);
    if (!silent) start(w, WYOMING_SPEAK, size);
    memmove(w->text, w->text + size, w->text_size - size);
    w->text_size -= size;
    if (silent && w->phase == PHASE_SPEAK_OUT) end_speech(w, true);
}

/* ---- events ---- */

static void on_describe(wyoming *w) {
    write_event(w, "info", w->info);
}

static void on_ping(wyoming *w) {
    size_t size = 0;
    const char *text = json_chars(wyoming_field(w->reader, "text"), &size);
    if (text != NULL)
        write_text(w, "pong", text, size, "");
    else
        write_event(w, "pong", "");
}

static void on_transcribe(wyoming *w) {
    begin(w, PHASE_HEAR);
    read_name(w->language, wyoming_field(w->reader, "language"));
    wyoming_sound_reset(&w->sound);
}

/* The format that audio-start or audio-chunk names is that of the clip, or the first is named. */
static bool take_format(wyoming *w) {
    int64_t rate, width, channels;
    const char *type = wyoming_type(w->reader);
    if (!json_int(wyoming_field(w->reader, "rate"), 4000, 192000, &rate))
        fail(w, "%s: the rate is not within 4000 to 192000", type);
    else if (!json_int(wyoming_field(w->reader, "width"), 1, 4, &width) || width == 3)
        fail(w, "%s: the width is not 1, 2 or 4 bytes", type);
    else if (!json_int(wyoming_field(w->reader, "channels"), 1, WYOMING_CHANNELS_CAP, &channels))
        fail(w, "%s: the channels are not 1 to %d", type, WYOMING_CHANNELS_CAP);
    else if (!wyoming_sound_format(&w->sound, (int)rate, (int)width, (int)channels))
        fail(w, "%s: the rate changed within a clip; send one rate", type);
    return !w->over;
}

static void on_audio_start(wyoming *w) {
    if (w->phase == PHASE_IDLE) on_transcribe(w); /* some clients say no more */
    (void)take_format(w);
}

static void on_audio_chunk(wyoming *w) {
    if (w->phase != PHASE_HEAR || !take_format(w)) return;
    w->is_chunk = true;
    if (!w->job && wyoming_payload_size(w->reader) > 0) start(w, WYOMING_HEAR, 0);
}

static void on_audio_stop(wyoming *w) {
    if (w->phase != PHASE_HEAR) return;
    w->phase = PHASE_WRITE;
    if (w->job) {
        w->host.sound_end(w->host.context);
    } else { /* no sound came */
        write_text(w, "transcript", "", 0, "");
        end(w);
    }
}

static void on_synthesize(wyoming *w) {
    if (w->phase == PHASE_SPEAK_ON)
        return; /* the whole once more, for servers that cannot stream */
    begin(w, PHASE_SPEAK);
    read_name(w->voice, json_get(wyoming_field(w->reader, "voice"), "name"));
    if (!is_plain(w) || !add_text(w)) return;
    if (!sentence_is_speakable(w->text, w->text_size))
        end_speech(w, false);
    else
        start(w, WYOMING_SPEAK, w->text_size);
}

static void on_synthesize_start(wyoming *w) {
    if (w->phase == PHASE_SPEAK_ON) return;
    begin(w, PHASE_SPEAK_ON);
    read_name(w->voice, json_get(wyoming_field(w->reader, "voice"), "name"));
    (void)is_plain(w);
}

static void on_synthesize_chunk(wyoming *w) {
    if (w->phase == PHASE_SPEAK_ON && add_text(w)) speak_on(w);
}

static void on_synthesize_stop(wyoming *w) {
    if (w->phase != PHASE_SPEAK_ON) return;
    w->phase = PHASE_SPEAK_OUT;
    speak_on(w);
}

static void on_transcript(wyoming *w) {
    begin(w, PHASE_ANSWER);
    const json *context = wyoming_field(w->reader, "context");
    read_name(w->conversation, json_get(context, "conversation_id"));
    if (!add_text(w)) return;
    if (is_blank(w->text, w->text_size)) {
        write_text(w, "not-handled", "", 0, w->conversation);
        end(w);
        return;
    }
    start(w, WYOMING_ANSWER, w->text_size);
    w->text_size = 0; /* from now on the answer */
}

/* An event of a type that is not here is passed over, as the protocol wants it. */
static const struct {
    const char *type;
    void (*on)(wyoming *w);
    bool begins; /* a request; unless it belongs to the one under way, it waits for its end */
} events[] = {
    {"describe", on_describe, false},
    {"ping", on_ping, false},
    {"transcribe", on_transcribe, true},
    {"audio-start", on_audio_start, true},
    {"audio-chunk", on_audio_chunk, false},
    {"audio-stop", on_audio_stop, false},
    {"synthesize", on_synthesize, true},
    {"synthesize-start", on_synthesize_start, true},
    {"synthesize-chunk", on_synthesize_chunk, false},
    {"synthesize-stop", on_synthesize_stop, false},
    {"transcript", on_transcript, true},
};

/* The event belongs to the request under way, or gives it up before it has begun. */
static bool is_inside(wyoming *w, void (*on)(wyoming *w)) {
    if (w->phase == PHASE_SPEAK_ON) return on == on_synthesize || on == on_synthesize_start;
    if (w->phase != PHASE_HEAR) return false;
    if (on == on_audio_start) return true;
    if (!w->job) end(w); /* transcribe, and no sound behind it */
    return !w->job;
}

/* Handles the reader's event; false when it must wait. */
static bool handle(wyoming *w) {
    const char *type = wyoming_type(w->reader);
    size_t i = 0;
    while (i < sizeof events / sizeof *events && strcmp(events[i].type, type) != 0) i++;
    if (i == sizeof events / sizeof *events) return true;
    if (events[i].begins && w->phase != PHASE_IDLE && !is_inside(w, events[i].on)) {
        const bool open = w->phase == PHASE_HEAR || w->phase == PHASE_SPEAK_ON;
        /* Only the client can end what is open, and he would wait for us. */
        if (open)
            fail(w, "%s: end what was begun before, by %s", type,
                 w->phase == PHASE_HEAR ? "audio-stop" : "synthesize-stop");
        return open;
    }
    events[i].on(w);
    return true;
}

/* ---- the outside ---- */

rnl_status wyoming_create(const wyoming_host *host, const char *info, int64_t now_us,
                          wyoming **out) {
    wyoming *w = *out = malloc(sizeof *w); /* not cleared: most texts are short */
    if (w == NULL) return RNL_ERR_MEMORY;
    w->host = *host;
    w->info = info;
    w->heard_us = now_us;
    w->phase = PHASE_IDLE;
    w->waits = w->over = w->job = w->begun = w->is_chunk = false;
    w->voice[0] = w->language[0] = w->conversation[0] = '\0';
    w->text_size = 0;
    wyoming_sound_reset(&w->sound);
    if (wyoming_reader_create(&w->reader) == RNL_OK) return RNL_OK;
    wyoming_destroy(out);
    return RNL_ERR_MEMORY;
}

void wyoming_destroy(wyoming **w) {
    if (*w == NULL) return;
    wyoming_reader_destroy(&(*w)->reader);
    free(*w);
    *w = NULL;
}

/* Offers the host what waits of the clip; false when some of it still waits. */
static bool offer_sound(wyoming *w) {
    wyoming_sound *s = &w->sound;
    if (s->ready_at == s->ready_end) return true;
    if (!w->job || w->phase != PHASE_HEAR) { /* the clip was ended from within */
        s->ready_at = s->ready_end;
        return true;
    }
    const size_t count = s->ready_end - s->ready_at;
    const size_t taken = w->host.sound(w->host.context, s->ready + s->ready_at, count);
    assert(taken <= count);
    s->ready_at += taken;
    return taken == count;
}

/* Reads on; *count of size bytes are taken. */
static void read_on(wyoming *w, const char *bytes, size_t size, size_t *count) {
    /* A sample has at least one byte, so that what is read at once becomes no more samples than
     * there is room for. */
    const size_t at_once = size < WYOMING_READY_CAP ? size : WYOMING_READY_CAP;
    const char *piece;
    size_t piece_size;
    switch (wyoming_read(w->reader, bytes, at_once, count)) {
    case WYOMING_MORE:
        break;
    case WYOMING_EVENT:
        w->waits = true;
        w->is_chunk = false;
        break;
    case WYOMING_PAYLOAD:
        if (!w->is_chunk || w->phase != PHASE_HEAR) break;
        piece = wyoming_piece(w->reader, &piece_size);
        piece_size -= wyoming_sound_push(&w->sound, piece, piece_size);
        assert(piece_size == 0);
        break;
    case WYOMING_BROKEN:
        w->over = true;
        break;
    }
}

rnl_status wyoming_push(wyoming *w, const char *bytes, size_t size, size_t *taken, int64_t now_us) {
    *taken = 0;
    if (size > 0) w->heard_us = now_us;
    for (;;) {
        if (w->over) return RNL_DONE;
        if (!offer_sound(w)) return RNL_AGAIN;
        if (w->waits && !handle(w)) return RNL_AGAIN;
        if (w->waits) {
            w->waits = false;
        } else if (*taken < size) {
            size_t count = 0;
            read_on(w, bytes + *taken, size - *taken, &count);
            *taken += count;
        } else {
            return RNL_OK;
        }
    }
}

rnl_status wyoming_tick(wyoming *w, int64_t now_us) {
    const bool ours = w->job && w->phase != PHASE_HEAR; /* the client waits for us */
    if (!ours && now_us - w->heard_us >= (int64_t)LIMIT_WYOMING_IDLE_SECONDS * 1000000)
        w->over = true;
    return w->over ? RNL_DONE : RNL_OK;
}

void wyoming_text(wyoming *w, const char *text, size_t size) {
    assert(w->job);
    if (w->over || size == 0) return;
    if (size > WYOMING_TEXT_CAP - w->text_size) {
        fail(w, "the answer is longer than %d bytes; send less sound", WYOMING_TEXT_CAP);
        return;
    }
    const bool answers = w->phase == PHASE_ANSWER;
    if (!w->begun) write_event(w, answers ? "handled-start" : "transcript-start", "");
    w->begun = true;
    write_text(w, answers ? "handled-chunk" : "transcript-chunk", text, size, "");
    memcpy(w->text + w->text_size, text, size);
    w->text_size += size;
}

void wyoming_speech(wyoming *w, const int16_t *samples, size_t count) {
    assert(w->job && count <= WYOMING_SPEECH_CAP);
    if (!w->over && count > 0) write_samples(w, samples, count);
}

void wyoming_voice(wyoming *w, bool begins, int64_t ms) {
    if (w->over) return;
    char data[48];
    (void)snprintf(data, sizeof data, "{\"timestamp\": %lld}", (long long)ms);
    write_event(w, begins ? "voice-started" : "voice-stopped", data);
}

/* The answer whole, behind its pieces. */
static void end_text(wyoming *w, const char *stop, const char *whole, const char *conversation) {
    if (w->begun) write_event(w, stop, "");
    write_text(w, whole, w->text, w->text_size, conversation);
    end(w);
}

void wyoming_finished(wyoming *w, int64_t now_us) {
    assert(w->job);
    w->job = false;
    w->heard_us = now_us;
    if (w->over) return;
    switch (w->phase) {
    case PHASE_HEAR: /* enough was heard: the rest of the clip is for nobody */
    case PHASE_WRITE:
        end_text(w, "transcript-stop", "transcript", "");
        break;
    case PHASE_SPEAK:
        end_speech(w, false);
        break;
    case PHASE_SPEAK_ON:
    case PHASE_SPEAK_OUT:
        speak_on(w);
        break;
    case PHASE_ANSWER:
        end_text(w, "handled-stop", "handled", w->conversation);
        break;
    case PHASE_IDLE:
        assert(false); /* a job belongs to a request */
    }
}

void wyoming_failed(wyoming *w, const char *sentence) {
    w->job = false;
    if (!w->over) fail(w, "%s", sentence);
}
