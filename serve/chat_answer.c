#include "serve/chat_answer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "serve/chat_logprobs.h"
#include "serve/json_in.h"

enum { ANSWER_SIZE_MAX = 64 << 20, SOUND_PART = 1920 /* samples of an event: one frame */ };

typedef struct call {
    char id[CHAT_ID_CAP];
    char *name, *arguments; /* terminated */
} call;

struct chat_answer {
    chat_answer_config config;
    json_out out;
    json_out words; /* plain: what was said so far, as far as it is settled */
    json_out held;  /* plain: what may be the beginning of a stop text */
    chat_logprobs logprobs;
    sound_stream *stream; /* of a spoken answer that is no stream */
    call calls[CHAT_CALLS_MAX];
    int call_count;
    bool begun; /* a stream: its first chunk is out */
    bool stopped, failed;
};

static const chat_request *asked(const chat_answer *a) {
    return a->config.request;
}

bool chat_answer_create(const chat_answer_config *config, chat_answer **out, api_error *error) {
    chat_answer *a = *out = calloc(1, sizeof *a);
    rnl_error why = {0};
    if (a == NULL)
        return api_fail(error, API_SERVER_OVERLOADED, NULL,
                        "There is no memory for the answer now; try again later");
    a->config = *config;
    json_out_begin_growing(&a->out, ANSWER_SIZE_MAX);
    json_out_begin_growing(&a->words, ANSWER_SIZE_MAX);
    json_out_begin_growing(&a->held, ANSWER_SIZE_MAX);
    chat_logprobs_begin(&a->logprobs);
    if (!asked(a)->audio || asked(a)->stream) return true;
    if (sound_stream_create(asked(a)->format, RNL_RATE_OUT, &a->stream, &why) == RNL_OK)
        return true;
    chat_answer_destroy(out);
    return api_fail_library(error, &why, NULL, false);
}

void chat_answer_destroy(chat_answer **out) {
    chat_answer *a = *out;
    if (a == NULL) return;
    *out = NULL;
    for (int i = 0; i < a->call_count; i++) {
        free(a->calls[i].name);
        free(a->calls[i].arguments);
    }
    sound_stream_destroy(&a->stream);
    json_out_free(&a->out);
    json_out_free(&a->words);
    json_out_free(&a->held);
    chat_logprobs_free(&a->logprobs);
    free(a);
}

const char *chat_answer_type(const chat_answer *a) {
    return asked(a)->stream ? "text/event-stream" : "application/json";
}

json_out *chat_answer_out(chat_answer *a) {
    return &a->out;
}

const char *chat_answer_words(const chat_answer *a, size_t *size) {
    *size = a->words.size;
    return a->words.text;
}

static bool is_well(const chat_answer *a) {
    return !a->failed && !a->out.full && !a->words.full && !a->held.full;
}

/* ---- Chunks of a stream ---- */

static void put_head(chat_answer *a, const char *object) {
    json_out *o = &a->out;
    json_out_object(o, NULL);
    json_out_word(o, "id", a->config.id);
    json_out_word(o, "object", object);
    json_out_int(o, "created", a->config.created);
    json_out_word(o, "model", a->config.model);
}

/* What is written between the two is the delta. */
static void open_chunk(chat_answer *a) {
    json_out *o = &a->out;
    json_out_event_open(o);
    put_head(a, "chat.completion.chunk");
    json_out_array(o, "choices");
    json_out_object(o, NULL);
    json_out_int(o, "index", 0);
    json_out_object(o, "delta");
    if (!a->begun) {
        json_out_word(o, "role", "assistant");
        json_out_word(o, "content", "");
    }
}

/* With the tokens of the text before byte `told`. */
static void close_chunk(chat_answer *a, const char *finish, size_t told) {
    json_out *o = &a->out;
    json_out_end(o);
    chat_logprobs_put(&a->logprobs, o, told);
    json_out_word(o, "finish_reason", finish);
    json_out_end(o);
    json_out_end(o);
    json_out_end(o);
    json_out_event_close(o);
    a->begun = true;
}

/* The first chunk, when nothing was said yet. */
static void begin_stream(chat_answer *a) {
    if (a->begun) return;
    open_chunk(a);
    close_chunk(a, NULL, 0);
}

static void put_text_chunk(chat_answer *a, const char *text, size_t size) {
    json_out *o = &a->out;
    begin_stream(a);
    open_chunk(a);
    if (asked(a)->audio) {
        json_out_object(o, "audio");
        json_out_word(o, "id", a->config.audio_id);
        json_out_text(o, "transcript", text, size);
        json_out_end(o);
    } else {
        json_out_text(o, "content", text, size);
    }
    close_chunk(a, NULL, a->words.size);
}

/* ---- Text, and what ends it ---- */

/* Text that is settled. */
static void say(chat_answer *a, const char *text, size_t size) {
    if (size == 0) return;
    json_out_raw(&a->words, NULL, text, size);
    if (asked(a)->stream) put_text_chunk(a, text, size);
}

/* Where the stop text begins that is complete first, of several the longest; size: there is none.
 * Which is complete first does not depend on how the text was cut. */
static size_t find_stop(const chat_request *r, const char *text, size_t size) {
    for (size_t end = 1; end <= size; end++) {
        size_t longest = 0;
        for (int i = 0; i < r->stop_count; i++) {
            const size_t length = r->stop_sizes[i];
            if (length > longest && length <= end &&
                memcmp(text + end - length, r->stops[i], length) == 0)
                longest = length;
        }
        if (longest > 0) return end - longest;
    }
    return size;
}

/* Bytes at the end of text that may become a stop text. */
static size_t pending_stop(const chat_request *r, const char *text, size_t size) {
    for (size_t at = 0; at < size; at++)
        for (int i = 0; i < r->stop_count; i++)
            if (r->stop_sizes[i] > size - at && memcmp(text + at, r->stops[i], size - at) == 0)
                return size - at;
    return 0;
}

bool chat_answer_tokens(chat_answer *a, const work_token *tokens, size_t count, int alternatives) {
    if (!chat_logprobs_take(&a->logprobs, tokens, count, alternatives)) a->failed = true;
    return is_well(a);
}

bool chat_answer_text(chat_answer *a, const char *text, size_t size, bool *stopped) {
    const chat_request *r = asked(a);
    *stopped = a->stopped;
    if (a->stopped) return true;
    if (r->stop_count == 0) {
        say(a, text, size);
        return is_well(a);
    }
    json_out *held = &a->held;
    json_out_raw(held, NULL, text, size);
    if (!is_well(a)) return false;
    const size_t end = find_stop(r, held->text, held->size);
    *stopped = a->stopped = end < held->size;
    const size_t kept = a->stopped ? 0 : pending_stop(r, held->text, held->size);
    say(a, held->text, end - kept);
    if (kept > 0) memmove(held->text, held->text + end - kept, kept);
    held->size = kept;
    return is_well(a);
}

/* ---- Sound ---- */

/* PCM in pieces that a client can play at once. */
static void put_sound_chunks(chat_answer *a, const float *samples, size_t count) {
    uint8_t bytes[2 * SOUND_PART];
    begin_stream(a);
    for (size_t at = 0; at < count; at += SOUND_PART) {
        const size_t part = count - at < SOUND_PART ? count - at : SOUND_PART;
        sound_to_s16le(samples + at, part, bytes);
        open_chunk(a);
        json_out_object(&a->out, "audio");
        json_out_base64(&a->out, "data", bytes, 2 * part);
        json_out_end(&a->out);
        close_chunk(a, NULL, 0);
    }
}

bool chat_answer_sound(chat_answer *a, const float *samples, size_t count) {
    rnl_error why = {0};
    if (!asked(a)->audio) return true;
    if (a->stream == NULL)
        put_sound_chunks(a, samples, count);
    else if (sound_stream_write(a->stream, samples, count, &why) != RNL_OK)
        a->failed = true;
    return is_well(a);
}

/* ---- Calls ---- */

static void put_call(chat_answer *a, int index) {
    json_out *o = &a->out;
    const call *c = &a->calls[index];
    json_out_object(o, NULL);
    if (asked(a)->stream) json_out_int(o, "index", index);
    json_out_word(o, "id", c->id);
    json_out_word(o, "type", "function");
    json_out_object(o, "function");
    json_out_word(o, "name", c->name);
    json_out_word(o, "arguments", c->arguments);
    json_out_end(o);
    json_out_end(o);
}

static bool read_call(const json *root, call *c) {
    const char *name = json_chars(json_get(root, "tool"), NULL);
    json_out o;
    size_t size;
    json_out_begin_growing(&o, ANSWER_SIZE_MAX);
    json_in_copy(json_get(root, "arguments"), &o, NULL);
    json_out_raw(&o, NULL, "", 1); /* terminated */
    c->name = name != NULL ? strdup(name) : NULL;
    c->arguments = json_out_take(&o, &size);
    json_out_free(&o);
    return c->name != NULL && c->arguments != NULL;
}

bool chat_answer_call(chat_answer *a, const char *text, size_t size) {
    json *root = NULL;
    if (a->call_count == CHAT_CALLS_MAX) return true; /* enough of them */
    call *c = &a->calls[a->call_count++];
    a->config.identify(a->config.context, c->id);
    if (json_parse(text, size, "call", &root, NULL) != RNL_OK || !read_call(root, c))
        a->failed = true;
    json_destroy(&root);
    if (!asked(a)->stream || a->failed) return is_well(a);
    begin_stream(a);
    open_chunk(a);
    json_out_array(&a->out, "tool_calls");
    put_call(a, a->call_count - 1);
    json_out_end(&a->out);
    close_chunk(a, NULL, 0);
    return is_well(a);
}

/* ---- The end ---- */

static const char *finish_of(const chat_answer *a, rnl_finish finish) {
    if (a->call_count > 0) return "tool_calls";
    return !a->stopped && (finish == RNL_FINISH_LIMIT || finish == RNL_FINISH_CONTEXT) ? "length"
                                                                                       : "stop";
}

static void put_usage(json_out *o, const work_usage *u) {
    const int input = work_usage_input(u), output = u->output_text + u->output_audio;
    json_out_object(o, "usage");
    json_out_int(o, "prompt_tokens", input);
    json_out_int(o, "completion_tokens", output);
    json_out_int(o, "total_tokens", input + output);
    json_out_object(o, "prompt_tokens_details");
    json_out_int(o, "audio_tokens", u->input_audio);
    json_out_int(o, "image_tokens", u->input_image);
    json_out_int(o, "cached_tokens", work_usage_cached(u));
    json_out_end(o);
    json_out_object(o, "completion_tokens_details");
    json_out_int(o, "audio_tokens", u->output_audio);
    json_out_int(o, "reasoning_tokens", 0);
    json_out_end(o);
    json_out_end(o);
}

/* Where the text ends whose tokens are told: nowhere, unless a text of `stop` ended it. */
static size_t all_told(const chat_answer *a) {
    return a->stopped ? a->words.size : SIZE_MAX;
}

static void end_stream(chat_answer *a, const char *finish, const work_usage *usage) {
    json_out *o = &a->out;
    begin_stream(a);
    if (asked(a)->audio) {
        open_chunk(a);
        json_out_object(o, "audio");
        json_out_int(o, "expires_at", a->config.expires);
        json_out_end(o);
        close_chunk(a, NULL, 0);
    }
    open_chunk(a);
    close_chunk(a, finish, all_told(a));
    if (asked(a)->include_usage) {
        json_out_event_open(o);
        put_head(a, "chat.completion.chunk");
        json_out_array(o, "choices");
        json_out_end(o);
        put_usage(o, usage);
        json_out_end(o);
        json_out_event_close(o);
    }
    json_out_raw(o, NULL, JSON_OUT_EVENTS_DONE, strlen(JSON_OUT_EVENTS_DONE));
}

/* The sound as a whole, in base64. */
static void put_audio(chat_answer *a) {
    rnl_error why = {0};
    json_out *o = &a->out;
    if (sound_stream_finish(a->stream, &why) != RNL_OK) a->failed = true;
    const size_t size = sound_stream_size(a->stream);
    char *bytes = malloc(size + 1);
    if (bytes == NULL || sound_stream_take(a->stream, bytes, size) != size) a->failed = true;
    json_out_object(o, "audio");
    json_out_word(o, "id", a->config.audio_id);
    json_out_base64(o, "data", bytes, a->failed ? 0 : size);
    json_out_int(o, "expires_at", a->config.expires);
    json_out_text(o, "transcript", a->words.text, a->words.size);
    json_out_end(o);
    free(bytes);
}

static void put_message(chat_answer *a) {
    json_out *o = &a->out;
    json_out_object(o, "message");
    json_out_word(o, "role", "assistant");
    if (asked(a)->audio || (a->words.size == 0 && a->call_count > 0))
        json_out_null(o, "content");
    else
        json_out_text(o, "content", a->words.text, a->words.size);
    json_out_null(o, "refusal");
    if (asked(a)->audio) put_audio(a);
    if (a->call_count > 0) {
        json_out_array(o, "tool_calls");
        for (int i = 0; i < a->call_count; i++) put_call(a, i);
        json_out_end(o);
    }
    json_out_end(o);
}

static void end_object(chat_answer *a, const char *finish, const work_usage *usage) {
    json_out *o = &a->out;
    put_head(a, "chat.completion");
    json_out_array(o, "choices");
    json_out_object(o, NULL);
    json_out_int(o, "index", 0);
    put_message(a);
    json_out_word(o, "finish_reason", finish);
    chat_logprobs_put(&a->logprobs, o, all_told(a));
    json_out_end(o);
    json_out_end(o);
    put_usage(o, usage);
    json_out_end(o);
}

bool chat_answer_end(chat_answer *a, rnl_finish finish, const work_usage *usage) {
    if (!a->stopped) say(a, a->held.text, a->held.size);
    if (!is_well(a)) return false;
    if (asked(a)->stream)
        end_stream(a, finish_of(a, finish), usage);
    else
        end_object(a, finish_of(a, finish), usage);
    return is_well(a);
}

void chat_answer_fail(chat_answer *a, const api_error *error) {
    char body[API_BODY_CAP];
    const size_t size = api_error_body(error, body, sizeof body);
    json_out_event_open(&a->out);
    json_out_raw(&a->out, NULL, body, size);
    json_out_event_close(&a->out);
}
