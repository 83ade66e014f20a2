#include "learn/sample.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/template.h"
#include "core/hash_table.h"
#include "core/json.h"
#include "core/status.h"
#include "core/utf8.h"
#include "engine/session.h"
#include "learn/short_form.h"
#include "learn/spoken.h"

enum { CONTEXT_MIN = 64, IDS_CAP = 1 << 24 };

struct learn_reader {
    const rnl_model *model;
    learn_reading how;
    rnl_session *session; /* lends the scratch of the tokenizer and of the encoder */
    learn_spoken *spoken; /* NULL until it is first needed */
};

void learn_sample_free(learn_sample *s) {
    free(s->ids);
    free(s->learnt);
    free(s->heard);
    free(s->frames);
    *s = (learn_sample){0};
}

rnl_status learn_reader_create(const rnl_model *m, const learn_reading *how, learn_reader **out,
                               rnl_error *error) {
    *out = NULL;
    if (m->source.text == NULL)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the model has no vocabulary (tokenizer.json), so nothing can be "
                           "learnt from text",
                           m->path);
    learn_reader *r = calloc(1, sizeof *r);
    if (r == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    r->model = m;
    r->how = *how;
    rnl_session_config config = rnl_session_config_for(m);
    config.thread_count = how->thread_count;
    config.context_cap = CONTEXT_MIN;
    config.snapshot_cap = 0;
    config.image_views_max = 0;
    config.clip_seconds_max = m->source.config.has_encoder ? how->seconds_max : 0.1;
    if (m->source.config.has_encoder) /* a clip is a part of the conversation, here too */
        config.context_cap += session_clip_positions((int64_t)(how->seconds_max * RNL_RATE_IN));
    /* A session does not change its model. */
    const rnl_status status = rnl_session_create((rnl_model *)m, &config, &r->session, error);
    if (status == RNL_OK) {
        *out = r;
        return RNL_OK;
    }
    learn_reader_destroy(&r);
    return status;
}

void learn_reader_destroy(learn_reader **r) {
    if (*r == NULL) return;
    learn_spoken_destroy(&(*r)->spoken);
    rnl_session_destroy(&(*r)->session);
    free(*r);
    *r = NULL;
}

/* ---- A sample under way ---- */

typedef struct draft {
    learn_reader *r;
    const char *place, *folder;
    learn_sample s;
    int cap;
    bool learns; /* what is put now */
    rnl_status status;
    rnl_error *error;
} draft;

static void fail(draft *d, rnl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(draft *d, rnl_status status, const char *format, ...) {
    char text[RNL_ERROR_TEXT_CAP];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    d->status = status_fail(d->error, status, "%s: %s", d->place, text);
}

static void no_memory(draft *d) {
    fail(d, RNL_ERR_MEMORY, "memory is exhausted");
}

/* Room for count more positions. */
static bool make_room(draft *d, size_t count) {
    if (d->status != RNL_OK) return false;
    const size_t wanted = (size_t)d->s.count + count;
    if (wanted <= (size_t)d->cap) return true;
    const size_t cap = 2 * wanted + 256;
    int32_t *ids = cap <= IDS_CAP ? realloc(d->s.ids, cap * sizeof *ids) : NULL;
    if (ids != NULL) d->s.ids = ids;
    unsigned char *learnt = ids != NULL ? realloc(d->s.learnt, cap) : NULL;
    if (learnt == NULL) {
        no_memory(d);
        return false;
    }
    d->s.learnt = learnt;
    d->cap = (int)cap;
    return true;
}

static void put(draft *d, int32_t id) {
    if (!make_room(d, 1)) return;
    d->s.ids[d->s.count] = id;
    d->s.learnt[d->s.count] = d->learns && d->s.count > 0;
    d->s.count++;
}

/* One piece, tokenised on its own. special: tokens written in it are meant. */
static void put_piece(draft *d, const char *text, size_t size, bool special) {
    if (!make_room(d, size + 1)) return; /* a token is a byte at least */
    size_t count = 0;
    const int first = d->s.count;
    const rnl_status status = bpe_encode(d->r->model->source.text, &d->r->session->pass->bpe, text,
                                         size, special, d->s.ids + first, size + 1, &count, NULL);
    if (status != RNL_OK) {
        fail(d, status, "the text cannot be tokenised");
        return;
    }
    for (size_t i = 0; i < count; i++) d->s.learnt[(size_t)first + i] = d->learns && first > 0;
    d->s.count += (int)count;
}

static void put_layout(draft *d, const char *text) {
    put_piece(d, text, strlen(text), true);
}

static void put_special(draft *d, int32_t id, const char *name) {
    if (id < 0)
        fail(d, RNL_ERR_UNSUPPORTED, "the model's vocabulary has no %s", name);
    else
        put(d, id);
}

/* ---- Sound ---- */

static const char *text_of(draft *d, const json *part, const char *key, size_t *size) {
    const char *text = json_chars(json_get(part, key), size);
    if (text == NULL && d->status == RNL_OK)
        fail(d, RNL_ERR_DATA, "a part of a content has no \"%s\", or it is no text", key);
    return text;
}

/* The path of a file that a part names, allocated; NULL with d->status set. */
static char *path_of(draft *d, const json *part, const char *key) {
    size_t size;
    const char *name = text_of(d, part, key, &size);
    if (name == NULL) return NULL;
    const bool whole = name[0] == '/' || d->folder[0] == '\0';
    const size_t room = strlen(d->folder) + size + 2;
    char *path = strlen(name) == size ? malloc(room) : NULL;
    if (path == NULL) {
        fail(d, RNL_ERR_DATA, "\"%s\" is no name of a file", key);
        return NULL;
    }
    (void)snprintf(path, room, "%s%s%s", whole ? "" : d->folder, whole ? "" : "/", name);
    return path;
}

/* Rows of the encoder for samples: free() them. NULL with d->status set. */
static float *encode_clip(draft *d, const char *path, const float *samples, size_t count, int rate,
                          int *row_count) {
    rnl_session *s = d->r->session;
    rnl_error why = {0};
    rnl_session_reset(s);
    rnl_status status = rnl_session_add_audio(s, samples, count, rate, &why);
    while (status == RNL_OK && rnl_session_stage(s) == RNL_STAGE_ENCODE)
        if (rnl_session_step(s, &why) < 0) status = why.status;
    if (status != RNL_OK) {
        fail(d, status, "%s: %s", path, why.text);
        return NULL;
    }
    const encoder_state *e = &s->pass->encoder;
    const size_t cells = (size_t)e->position_count * (size_t)encoder_width(e->w);
    float *rows = malloc(cells * sizeof *rows);
    if (rows == NULL) {
        no_memory(d);
        return NULL;
    }
    memcpy(rows, encoder_output(e), cells * sizeof *rows);
    *row_count = e->position_count;
    return rows;
}

/* The same, from the cache where there is one. */
static float *find_clip(draft *d, const char *path, const float *samples, size_t count, int rate,
                        int *row_count) {
    learn_heard_cache *cache = d->r->how.cache;
    if (cache == NULL) return encode_clip(d, path, samples, count, rate, row_count);
    const uint64_t hash = learn_heard_hash(cache, samples, count, rate);
    float *rows = learn_heard_find(cache, hash, row_count);
    if (rows != NULL) return rows;
    rows = encode_clip(d, path, samples, count, rate, row_count);
    if (rows != NULL && !learn_heard_keep(cache, hash, rows, *row_count))
        fail(d, RNL_ERR_IO, "%s: what was heard cannot be kept there", learn_heard_folder(cache));
    return rows;
}

/* A clip's rows, behind those that are there. */
static void put_clip(draft *d, const char *path, const float *samples, size_t count, int rate) {
    int row_count = 0;
    float *rows = find_clip(d, path, samples, count, rate, &row_count);
    const size_t width = (size_t)encoder_width(&d->r->model->encoder);
    const size_t before = (size_t)d->s.heard_count * width, more = (size_t)row_count * width;
    float *heard =
        d->status == RNL_OK ? realloc(d->s.heard, (before + more) * sizeof *heard) : NULL;
    if (heard == NULL) {
        if (d->status == RNL_OK) no_memory(d);
        free(rows);
        return;
    }
    memcpy(heard + before, rows, more * sizeof *heard);
    free(rows);
    d->s.heard = heard;
    d->s.heard_count += row_count;
    for (int i = 0; i < row_count; i++) put(d, LEARN_ROW_HEARD);
}

static void put_heard(draft *d, const json *part) {
    const learn_media *media = &d->r->how.media;
    if (!d->r->model->source.config.has_encoder || media->sound == NULL) {
        fail(d, RNL_ERR_UNSUPPORTED, "there is sound to be heard, and the model hears none");
        return;
    }
    char *path = path_of(d, part, "audio");
    float *samples = NULL;
    size_t count = 0;
    int rate = 0;
    rnl_error why = {0};
    if (path == NULL) return;
    const rnl_status status = media->sound(media->context, path, &samples, &count, &rate, &why);
    if (status != RNL_OK)
        fail(d, status, "%s", why.text);
    else if ((double)count > d->r->how.seconds_max * rate)
        fail(d, RNL_ERR_TOO_LONG,
             "%s is %.1f s long, and a sound of a conversation at most %g s; cut it", path,
             (double)count / rate, d->r->how.seconds_max);
    else
        put_clip(d, path, samples, count, rate);
    free(samples);
    free(path);
}

/* What is to be spoken comes as codes of a file, [codebook, frame], or as sound for the model's own
 * codec to encode, [frame, codebook]. */
typedef struct codes {
    int32_t *at; /* NULL: d->status says why */
    int books, count;
    bool by_frame;
} codes;

static codes read_codes(draft *d, const json *part) {
    const learn_media *media = &d->r->how.media;
    codes c = {0};
    rnl_error why = {0};
    char *path = path_of(d, part, "codes");
    if (path == NULL) return c;
    const rnl_status status = media->codes(media->context, path, &c.at, &c.books, &c.count, &why);
    if (status != RNL_OK) fail(d, status, "%s", why.text);
    free(path);
    return c;
}

static codes encode_speech(draft *d, const json *part) {
    const learn_media *media = &d->r->how.media;
    learn_reader *r = d->r;
    codes c = {.books = r->model->backbone.codebook_count, .by_frame = true};
    float *samples = NULL;
    size_t count = 0;
    int rate = 0;
    rnl_error why = {0};
    char *path = path_of(d, part, "audio");
    if (path == NULL) return c;
    rnl_status status = media->sound(media->context, path, &samples, &count, &rate, &why);
    if (status != RNL_OK) fail(d, status, "%s", why.text);
    if (status == RNL_OK && r->spoken == NULL)
        status = learn_spoken_create(r->model, &r->session->pass->compute, &r->spoken);
    if (status == RNL_OK)
        status = learn_spoken_codes(r->spoken, samples, count, rate, &c.at, &c.count);
    if (status != RNL_OK && d->status == RNL_OK) no_memory(d);
    free(samples);
    free(path);
    return c;
}

static codes find_codes(draft *d, const json *part) {
    const learn_media *media = &d->r->how.media;
    const int books = d->r->model->backbone.codebook_count;
    if (books == 0 || media->codes == NULL || media->sound == NULL)
        fail(d, RNL_ERR_UNSUPPORTED, "there is speech to be learnt, and the model does not speak");
    else if (!json_is_null(json_get(part, "codes")))
        return read_codes(d, part);
    else if (learn_spoken_can(d->r->model))
        return encode_speech(d, part);
    else
        fail(d, RNL_ERR_UNSUPPORTED,
             "what is to be spoken comes as \"codes\", a .npy file of %d rows of codes: the codec "
             "of this model has no encoder that would make them from sound",
             books);
    return (codes){0};
}

/* The frames of a part behind those of the sample, with the end frame; returns their number. */
static int take_frames(draft *d, const json *part) {
    const backbone_weights *w = &d->r->model->backbone;
    const int books = w->codebook_count, end_code = w->code_count - 1;
    codes c = find_codes(d, part);
    const size_t cells = (size_t)(d->s.frame_count + c.count + 1) * (size_t)books;
    int32_t *frames = NULL;
    if (c.at != NULL && c.books != books)
        fail(d, RNL_ERR_DATA, "there are %d rows of codes, and the model has %d codebooks", c.books,
             books);
    else if (c.at != NULL && (frames = realloc(d->s.frames, cells * sizeof *frames)) == NULL)
        no_memory(d);
    for (int f = 0; frames != NULL && f <= c.count; f++)
        for (int k = 0; k < books; k++) {
            const size_t at = c.by_frame ? (size_t)f * (size_t)books + (size_t)k
                                         : (size_t)k * (size_t)c.count + (size_t)f;
            const int32_t code = f < c.count ? c.at[at] : end_code;
            frames[(size_t)(d->s.frame_count + f) * (size_t)books + (size_t)k] = code;
            if (d->status == RNL_OK && (code < 0 || code > end_code))
                fail(d, RNL_ERR_DATA, "code %d of frame %d is not from 0 to %d", (int)code, f,
                     end_code);
        }
    if (frames != NULL) {
        d->s.frames = frames;
        d->s.frame_count += c.count + 1;
    }
    free(c.at);
    return d->status == RNL_OK ? c.count + 1 : 0;
}

static void put_frames(draft *d, int count) {
    for (int i = 0; i < count; i++) put(d, LEARN_ROW_FRAME);
}

static void put_spoken(draft *d, const json *part) {
    put_special(d, d->r->model->ids.audio_start, "<|audio_start|>");
    put_frames(d, take_frames(d, part));
}

/* Text and frames in the model's turns; when one kind is used up the other goes on alone. */
static void put_interleaved(draft *d, const json *part) {
    const model_config *c = &d->r->model->source.config;
    size_t size;
    const char *text = text_of(d, part, "text", &size);
    const int frames = text != NULL ? take_frames(d, part) : 0;
    if (d->status != RNL_OK) return;
    /* The text is tokenised where it will not stay: its ids are put one by one. */
    const int at = d->s.count;
    put_piece(d, text, size, false);
    put_special(d, d->r->model->ids.text_end, "<|text_end|>");
    if (d->status != RNL_OK) return;
    const int words = d->s.count - at;
    int32_t *ids = malloc((size_t)words * sizeof *ids);
    if (ids == NULL) {
        no_memory(d);
        return;
    }
    memcpy(ids, d->s.ids + at, (size_t)words * sizeof *ids);
    d->s.count = at;
    for (int word = 0, frame = 0; word < words || frame < frames;) {
        for (int i = 0; i < c->text_run && word < words; i++) put(d, ids[word++]);
        const int left = frames - frame;
        const int some = word < words && left > c->audio_run ? c->audio_run : left;
        put_frames(d, some);
        frame += some;
    }
    free(ids);
}

/* ---- Messages ---- */

static bool to_draft(void *context, const chat_piece *piece) {
    draft *d = context;
    if (piece->kind == CHAT_IMAGE)
        fail(d, RNL_ERR_UNSUPPORTED, "there is a picture, and pictures are not learnt from");
    else
        put_piece(d, piece->text, piece->size, piece->kind == CHAT_LAYOUT);
    return d->status == RNL_OK;
}

static void put_part(draft *d, const json *part, rnl_role role) {
    size_t size;
    const char *type = text_of(d, part, "type", NULL);
    if (type == NULL) return;
    const bool answers = role == RNL_ROLE_ASSISTANT;
    if (strcmp(type, "text") == 0) {
        const char *text = text_of(d, part, "text", &size);
        if (text != NULL) put_piece(d, text, size, false);
    } else if (strcmp(type, "audio") == 0 && !answers) {
        put_heard(d, part);
    } else if (strcmp(type, "audio") == 0) {
        put_spoken(d, part);
    } else if (strcmp(type, "interleaved") == 0 && answers) {
        put_interleaved(d, part);
    } else {
        fail(d, RNL_ERR_DATA,
             "a part of a content is of type \"%.40s\", which is none of text, audio, interleaved "
             "(the last of assistants only)",
             type);
    }
}

static rnl_role role_of(draft *d, const json *message) {
    static const char *const names[] = {"system", "user", "assistant", "tool", "developer"};
    static const rnl_role roles[] = {RNL_ROLE_SYSTEM, RNL_ROLE_USER, RNL_ROLE_ASSISTANT,
                                     RNL_ROLE_TOOL, RNL_ROLE_SYSTEM};
    const char *name = json_chars(json_get(message, "role"), NULL);
    for (int i = 0; name != NULL && i < 5; i++)
        if (strcmp(name, names[i]) == 0) return roles[i];
    if (d->status == RNL_OK)
        fail(d, RNL_ERR_DATA,
             "\"role\" of a message is none of system, developer, user, assistant, tool");
    return RNL_ROLE_USER;
}

/* is_last: no question follows, so thinking stays. */
static void put_content(draft *d, const json *message, rnl_role role, bool is_last) {
    const json *content = json_get(message, "content");
    const bool sounds = d->r->model->source.config.codebook_count > 0;
    rnl_error why = {0};
    if (json_is_null(content) && json_is_null(json_get(message, "tool_calls"))) {
        fail(d, RNL_ERR_DATA, "a message has no \"content\"");
        return;
    }
    if (sounds && json_is_array(content)) {
        for (size_t i = 0; i < json_count(content) && d->status == RNL_OK; i++)
            put_part(d, json_at(content, i), role);
        return;
    }
    if (role == RNL_ROLE_TOOL && d->r->model->chat.kind == CHAT_A) {
        size_t size;
        const char *text = text_of(d, message, "content", &size);
        put_layout(d, "<|tool_response_start|>");
        if (text != NULL) put_piece(d, text, size, false);
        put_layout(d, "<|tool_response_end|>");
        return;
    }
    const rnl_status status =
        chat_render_content(&d->r->model->chat, message, is_last, "message", to_draft, d, &why);
    if (d->status == RNL_OK && status != RNL_OK) fail(d, status, "%s", why.text);
}

static void put_message(draft *d, const json *message, bool is_last, bool learns) {
    const rnl_role role = role_of(d, message);
    const char *end = session_message_end; /* "<|im_end|>" and a newline */
    const bool answers = role == RNL_ROLE_ASSISTANT && learns;
    d->learns = false;
    put_layout(d, session_role_headers[role]);
    d->learns = answers;
    if (d->status == RNL_OK) put_content(d, message, role, is_last);
    const int before = d->s.count;
    put_layout(d, end);
    if (answers && d->r->how.skips_newline && d->status == RNL_OK)
        memset(d->s.learnt + before + 1, 0, (size_t)(d->s.count - before - 1));
    d->learns = false;
}

static void put_tools(draft *d, const json *tools, const json *first, bool *took_system) {
    const char *system = NULL;
    size_t size = 0;
    *took_system = role_of(d, first) == RNL_ROLE_SYSTEM;
    if (*took_system) system = text_of(d, first, "content", &size);
    if (d->status != RNL_OK) return;
    put_layout(d, session_role_headers[RNL_ROLE_SYSTEM]);
    chat_template t = d->r->model->chat;
    if (t.kind == CHAT_PLAIN) t.kind = CHAT_B;
    const rnl_status status = chat_render_tools(&t, system, size, tools, to_draft, d);
    if (d->status == RNL_OK && status != RNL_OK) fail(d, status, "the tools cannot be laid out");
    put_layout(d, session_message_end);
}

static void put_messages(draft *d, const json *root) {
    const json *messages = json_get(root, "messages"), *tools = json_get(root, "tools");
    const size_t count = json_count(messages);
    size_t last = count, begin = 0;
    if (!json_is_array(messages) || count == 0) {
        fail(d, RNL_ERR_DATA, "\"messages\" is no list of messages, or an empty one");
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (role_of(d, json_at(messages, i)) == RNL_ROLE_ASSISTANT) last = i;
    put_layout(d, "<|startoftext|>");
    if (json_count(tools) > 0) {
        bool took_system;
        put_tools(d, tools, json_at(messages, 0), &took_system);
        begin = took_system;
    }
    for (size_t i = begin; i < count && d->status == RNL_OK; i++)
        put_message(d, json_at(messages, i), i == count - 1, !d->r->how.last_only || i == last);
}

/* Plain text: what is foreseen ends with the end of a message, or of a text. */
static void put_plain(draft *d, const json *root, const char *given, const char *wanted,
                      int32_t end) {
    size_t size;
    put_layout(d, "<|startoftext|>");
    const char *text = given != NULL ? text_of(d, root, given, &size) : NULL;
    if (text != NULL) put_piece(d, text, size, false);
    if (d->status != RNL_OK) return;
    d->learns = true;
    text = text_of(d, root, wanted, &size);
    if (text != NULL) put_piece(d, text, size, false);
    if (end >= 0) put(d, end);
}

/* ---- A line ---- */

/* What does not fit goes, with the heard rows and frames that belong to it. */
static void cut(draft *d, int length, bool *is_cut) {
    *is_cut = d->s.count > length;
    if (*is_cut) d->s.count = length;
    int heard = 0, frames = 0;
    for (int t = 0; t < d->s.count; t++) {
        heard += d->s.ids[t] == LEARN_ROW_HEARD;
        frames += d->s.ids[t] == LEARN_ROW_FRAME;
        if (!d->s.learnt[t]) continue;
        d->s.text_count += d->s.ids[t] >= 0;
        d->s.label_frame_count += d->s.ids[t] == LEARN_ROW_FRAME;
    }
    d->s.heard_count = heard;
    d->s.frame_count = frames;
}

static void put_line(draft *d, const json *root) {
    const chat_ids *ids = &d->r->model->ids;
    if (!json_is_null(json_get(root, "messages")))
        put_messages(d, root);
    else if (!json_is_null(json_get(root, "prompt")))
        put_plain(d, root, "prompt", "completion", ids->message_end);
    else if (!json_is_null(json_get(root, "text")))
        put_plain(d, root, NULL, "text", ids->text_stop);
    else
        fail(d, RNL_ERR_DATA,
             "the line has none of \"messages\", \"prompt\" with \"completion\", \"text\"");
}

/* The conversation that a short form stands for. */
static void put_short_form(draft *d, const json *line) {
    const char *fault = NULL;
    json *root = NULL;
    char *text = learn_short_form(line, &d->r->how, d->r->model, &fault);
    if (fault != NULL) fail(d, RNL_ERR_DATA, "%s", fault);
    if (fault == NULL && text == NULL) no_memory(d);
    if (text != NULL) d->status = json_parse(text, strlen(text), d->place, &root, d->error);
    if (text != NULL) d->s.hash = hash_bytes(HASH_START, text, strlen(text)); /* of the task, too */
    if (d->status == RNL_OK) put_line(d, root);
    json_destroy(&root);
    free(text);
}

rnl_status learn_reader_line(learn_reader *r, const char *place, const char *folder,
                             const char *text, size_t size, learn_sample *out, bool *is_cut,
                             rnl_error *error) {
    draft d = {.r = r, .place = place, .folder = folder, .error = error};
    json *root = NULL;
    *out = (learn_sample){0};
    rnl_status status = json_parse(text, size, place, &root, error);
    if (status != RNL_OK) return status;
    d.s.hash = hash_bytes(HASH_START, text, size);
    if (learn_is_short_form(root))
        put_short_form(&d, root);
    else
        put_line(&d, root);
    json_destroy(&root);
    if (d.status != RNL_OK) {
        learn_sample_free(&d.s);
        return d.status;
    }
    cut(&d, r->how.length_max, is_cut);
    *out = d.s;
    return RNL_OK;
}
