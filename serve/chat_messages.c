/* Messages of a chat to commands. Texts, sounds and pictures of a user follow each other in one
 * turn; what an assistant said goes as a message, because its calls are laid out by the template of
 * the model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/chat_inner.h"
#include "serve/sound_in.h"

enum { PARAM_CAP = 96 };

/* Where in the request a fault is: "messages[1].content[0]". */
typedef struct place {
    int message, part; /* part -1: of the message as a whole */
    char text[PARAM_CAP];
} place;

static const char *name_of(place *p, const char *field) {
    if (p->part < 0)
        (void)snprintf(p->text, sizeof p->text, "messages[%d]%s", p->message, field);
    else
        (void)snprintf(p->text, sizeof p->text, "messages[%d].content[%d]%s", p->message, p->part,
                       field);
    return p->text;
}

static bool refuse(const chat_builder *b, place *p, const char *field, const char *what) {
    const char *param = name_of(p, field);
    return api_fail(b->error, API_INVALID_VALUE, param, "'%s' %s", param, what);
}

static bool add_text(chat_builder *b, rnl_role role, const char *text, size_t size) {
    char *copy = chat_copy(b, text, size);
    return copy != NULL &&
           chat_add_command(
               b, &(command){.kind = COMMAND_TEXT, .role = role, .text = copy, .text_size = size});
}

/* ---- Parts ---- */

/* The text of a part that is one; NULL: it is something else. */
static const char *text_of(const json *part, size_t *size) {
    const json *type = json_get(part, "type");
    if (json_in_is(type, "refusal")) return json_chars(json_get(part, "refusal"), size);
    return json_in_is(type, "text") ? json_chars(json_get(part, "text"), size) : NULL;
}

static bool add_sound(chat_builder *b, const json *part, place *p) {
    const json *sound = json_get(part, "input_audio");
    size_t size;
    clip c;
    const char *data = json_chars(json_get(sound, "data"), &size);
    if (data == NULL) return refuse(b, p, ".input_audio.data", "is missing; give base64");
    if (!rnl_model_can(b->config->model, RNL_MODE_TRANSCRIBE)) /* it has no ears */
        return api_fail(b->error, API_UNSUPPORTED_PARAMETER, name_of(p, ""),
                        "This model does not hear; send text");
    if (!clip_decode(data, size, name_of(p, ".input_audio.data"), b->config->clip_seconds_max,
                     b->samples_left, &c, b->error))
        return false;
    b->samples_left -= c.count;
    return chat_add_command(b, &(command){.kind = COMMAND_CLIP,
                                          .role = RNL_ROLE_USER,
                                          .samples = c.samples,
                                          .count = c.count,
                                          .rate = c.rate});
}

static bool add_picture(chat_builder *b, const json *part, place *p) {
    const json *image = json_get(part, "image_url");
    rnl_model_info info;
    size_t size;
    bitmap m;
    const char *url = json_chars(json_is_object(image) ? json_get(image, "url") : image, &size);
    rnl_model_get_info(b->config->model, &info);
    if (!info.takes_images)
        return api_fail(b->error, API_UNSUPPORTED_PARAMETER, name_of(p, ""),
                        "This model does not see; leave the picture out");
    if (url == NULL)
        return refuse(b, p, ".image_url.url", "is missing; give data:image/png;base64,...");
    if (!bitmap_decode(url, size, name_of(p, ".image_url.url"), b->pixels_left, &m, b->error))
        return false;
    b->pixels_left -= (int64_t)m.width * m.height;
    return chat_add_command(b, &(command){.kind = COMMAND_IMAGE,
                                          .role = RNL_ROLE_USER,
                                          .one_view = json_in_is(json_get(image, "detail"), "low"),
                                          .bytes = m.pixels,
                                          .size = (size_t)m.width * (size_t)m.height * 3,
                                          .width = m.width,
                                          .height = m.height});
}

static bool add_part(chat_builder *b, const json *part, place *p) {
    size_t size;
    const json *type = json_get(part, "type");
    const char *text = text_of(part, &size);
    if (text != NULL) return add_text(b, RNL_ROLE_USER, text, size);
    if (json_in_is(type, "input_audio")) return add_sound(b, part, p);
    if (json_in_is(type, "image_url")) return add_picture(b, part, p);
    return refuse(b, p, "",
                  "is no part that is taken here: {\"type\": \"text\"}, \"input_audio\" or "
                  "\"image_url\"");
}

/* A content of texts alone, as one, which begins at the end of o. */
static bool join_texts(const chat_builder *b, const json *content, place *p, json_out *o) {
    size_t size;
    const char *chars = json_chars(content, &size);
    if (chars != NULL) {
        json_out_raw(o, NULL, chars, size);
        return true;
    }
    if (json_is_null(content)) return true;
    if (!json_is_array(content))
        return refuse(b, p, ".content", "is neither a text nor a list of parts");
    for (size_t i = 0; i < json_count(content); i++) {
        chars = text_of(json_at(content, i), &size);
        p->part = (int)i;
        if (chars == NULL) return refuse(b, p, "", "is no text, and this role has nothing else");
        json_out_raw(o, NULL, chars, size);
    }
    p->part = -1;
    return true;
}

/* ---- Roles ---- */

static bool read_system(chat_builder *b, const json *message, place *p, bool begun) {
    if (begun) return refuse(b, p, ".role", "comes behind others; texts of the system come first");
    if (b->system.size > 0) json_out_raw(&b->system, NULL, "\n\n", 2);
    b->has_system = true;
    return join_texts(b, json_get(message, "content"), p, &b->system);
}

/* The content of a message of its own kind, laid out by the model's template. */
static bool add_message(chat_builder *b, json_out *o, bool past) {
    command c = {.kind = COMMAND_MESSAGE, .past = past};
    c.text = json_out_take(o, &c.text_size);
    json_out_free(o);
    if (c.text != NULL) return chat_add_command(b, &c);
    return api_fail(b->error, API_SERVER_OVERLOADED, NULL,
                    "There is no memory for the request now; try again later");
}

/* A text that begins a turn of its own, though the turn before it is the user's as well. */
static bool add_apart(chat_builder *b, const char *text, size_t size) {
    json_out o;
    json_out_begin_growing(&o, LIMIT_CHAT_SIZE);
    json_out_object(&o, NULL);
    json_out_word(&o, "role", "user");
    json_out_text(&o, "content", text, size);
    json_out_end(&o);
    return add_message(b, &o, true);
}

static bool read_user(chat_builder *b, const json *message, place *p) {
    const json *content = json_get(message, "content");
    const json *before = p->message > 0 ? json_at(b->messages, (size_t)p->message - 1) : NULL;
    size_t size;
    const char *chars = json_chars(content, &size);
    if (chars != NULL && json_in_is(json_get(before, "role"), "user"))
        return add_apart(b, chars, size);
    if (chars != NULL) return add_text(b, RNL_ROLE_USER, chars, size);
    if (!json_is_array(content) || json_count(content) == 0)
        return refuse(b, p, ".content", "is neither a text nor a list of parts");
    for (size_t i = 0; i < json_count(content); i++) {
        p->part = (int)i;
        if (!add_part(b, json_at(content, i), p)) return false;
    }
    return true;
}

/* What an assistant said: its words, or those of an answer of ours that its id names. */
static bool read_words(const chat_builder *b, const json *message, place *p, json_out *o) {
    const json *audio = json_get(message, "audio");
    const char *text;
    size_t size;
    if (json_is_null(audio)) return join_texts(b, json_get(message, "content"), p, o);
    const char *id = json_chars(json_get(audio, "id"), NULL);
    if (id != NULL && b->config->recall != NULL &&
        b->config->recall(b->config->context, id, &text, &size)) {
        json_out_raw(o, NULL, text, size);
        return true;
    }
    return api_fail(b->error, API_AUDIO_NOT_FOUND, name_of(p, ".audio.id"),
                    "'%s' names no answer that is still kept; send its text as content",
                    name_of(p, ".audio.id"));
}

static bool check_calls(const chat_builder *b, const json *calls, place *p) {
    if (!json_is_null(calls) && !json_is_array(calls))
        return refuse(b, p, ".tool_calls", "is no list");
    for (size_t i = 0; i < json_count(calls); i++) {
        const json *function = json_get(json_at(calls, i), "function");
        if (!json_is_string(json_get(function, "name")) ||
            !json_is_string(json_get(function, "arguments")))
            return refuse(b, p, ".tool_calls",
                          "has a call without function.name, or whose function.arguments are no "
                          "JSON text");
    }
    return true;
}

static bool read_assistant(chat_builder *b, const json *message, place *p) {
    const json *calls = json_get(message, "tool_calls");
    const bool past = p->message < b->last_user;
    json_out words, o;
    if (!check_calls(b, calls, p)) return false;
    json_out_begin_growing(&words, LIMIT_CHAT_SIZE);
    json_out_begin_growing(&o, LIMIT_CHAT_SIZE);
    bool done = read_words(b, message, p, &words);
    if (done) {
        json_out_object(&o, NULL);
        json_out_word(&o, "role", "assistant");
        json_out_text(&o, "content", words.text, words.size);
        if (json_count(calls) > 0) json_in_copy(calls, &o, "tool_calls");
        json_out_end(&o);
        done = add_message(b, &o, past);
    }
    json_out_free(&words);
    json_out_free(&o);
    return done;
}

static bool read_result(chat_builder *b, const json *message, place *p) {
    json_out words;
    json_out_begin_growing(&words, LIMIT_CHAT_SIZE);
    const bool done = join_texts(b, json_get(message, "content"), p, &words) &&
                      add_text(b, RNL_ROLE_TOOL, words.size > 0 ? words.text : "", words.size);
    json_out_free(&words);
    return done;
}

static bool is_system(const json *message) {
    const json *role = json_get(message, "role");
    return json_in_is(role, "system") || json_in_is(role, "developer");
}

static bool read_message(chat_builder *b, const json *message, place *p) {
    const json *role = json_get(message, "role");
    if (json_in_is(role, "user")) return read_user(b, message, p);
    if (json_in_is(role, "assistant")) return read_assistant(b, message, p);
    if (json_in_is(role, "tool")) return read_result(b, message, p);
    return refuse(b, p, ".role", "is none of system, developer, user, assistant, tool");
}

/* What the conversation begins with. */
static bool add_head(chat_builder *b) {
    const char *own = rnl_model_system_prompt(b->config->model, b->mode);
    const char *text = b->has_system ? b->system.text : own;
    const size_t size = b->has_system ? b->system.size : own != NULL ? strlen(own) : 0;
    if (b->tools == NULL) return size == 0 || add_text(b, RNL_ROLE_SYSTEM, text, size);
    command c = {.kind = COMMAND_TOOLS, .json = b->tools, .json_size = b->tools_size};
    b->tools = NULL;
    if (size > 0 && (c.text = chat_copy(b, text, size)) == NULL) {
        free(c.json);
        return false;
    }
    c.text_size = size;
    return chat_add_command(b, &c);
}

bool chat_read_messages(chat_builder *b, const json *body) {
    const json *messages = json_get(body, "messages");
    const int count = (int)json_count(messages);
    b->messages = messages;
    if (json_is_null(messages))
        return api_fail(b->error, API_MISSING_PARAMETER, "messages",
                        "'messages' is missing; give a list with a message of a user");
    if (!json_is_array(messages) || count == 0 || count > LIMIT_ITEMS)
        return api_fail(b->error, API_INVALID_VALUE, "messages",
                        "'messages' is no list of 1 to %d messages", LIMIT_ITEMS);
    int first = 0; /* that is not the system's */
    for (int i = 0; i < count; i++)
        if (json_in_is(json_get(json_at(messages, (size_t)i), "role"), "user")) b->last_user = i;
    for (int i = 0; i < count; i++) {
        const json *message = json_at(messages, (size_t)i);
        place p = {.message = i, .part = -1};
        if (is_system(message)) {
            if (!read_system(b, message, &p, i > first)) return false;
            first = i + 1;
        }
    }
    if (b->system.full)
        return api_fail(b->error, API_SERVER_OVERLOADED, NULL,
                        "There is no memory for the request now; try again later");
    if (!add_head(b)) return false;
    for (int i = first; i < count; i++) {
        place p = {.message = i, .part = -1};
        if (!read_message(b, json_at(messages, (size_t)i), &p)) return false;
    }
    return true;
}
