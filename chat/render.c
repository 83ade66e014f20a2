/* A conversation laid out as the template of a kind would: backbone.md 4.7, family.md 3.2. */
#include <string.h>

#include "chat/template.h"
#include "core/json.h"
#include "core/status.h"

typedef struct renderer {
    const chat_template *t;
    chat_sink sink;
    void *context;
    const char *name; /* of the conversation, for sentences */
    rnl_status status;
    rnl_error *error;
    int last_assistant, last_user; /* indices of messages; -1: none */
} renderer;

static void fail(renderer *r, int index, const char *fault) {
    if (r->status == RNL_OK)
        r->status =
            status_fail(r->error, RNL_ERR_DATA, "%s: messages[%d] %s", r->name, index, fault);
}

static void give(renderer *r, chat_piece_kind kind, const char *text, size_t size,
                 const json *part) {
    const chat_piece piece = {.kind = kind, .text = text, .size = size, .part = part};
    if (r->status != RNL_OK || size == 0) return;
    if (!r->sink(r->context, &piece)) r->status = RNL_ERR_STATE;
}

static void layout(renderer *r, const char *text) {
    give(r, CHAT_LAYOUT, text, strlen(text), NULL);
}

/* What was spelled into a buffer, which is freed. */
static void give_text(renderer *r, chat_text *text) {
    if (text->failed && r->status == RNL_OK)
        r->status = status_fail(r->error, RNL_ERR_MEMORY, "%s: memory is exhausted", r->name);
    if (r->status == RNL_OK) give(r, CHAT_TEXT, text->data, text->size, NULL);
    chat_text_free(text);
}

static bool is_text(const json *v, const char *text) {
    size_t size;
    const char *chars = json_chars(v, &size);
    return chars != NULL && size == strlen(text) && memcmp(chars, text, size) == 0;
}

/* ---- Tools ---- */

static bool has_date(chat_kind kind) {
    return kind == CHAT_C1 || kind == CHAT_C2;
}

static void render_tools(renderer *r, bool joined, const char *system, size_t system_size,
                         const json *tools) {
    const chat_kind kind = r->t->kind;
    chat_text text = {0};
    chat_put(&text, system, system_size);
    if (joined) chat_puts(&text, has_date(kind) ? "\n\n" : "\n");
    if (has_date(kind) && r->t->date != NULL) {
        chat_puts(&text, "Today's date: ");
        chat_puts(&text, r->t->date);
        chat_puts(&text, "\n\n");
    }
    chat_puts(&text, "List of tools: ");
    if (kind == CHAT_A) {
        give_text(r, &text);
        layout(r, "<|tool_list_start|>");
    }
    chat_puts(&text, "[");
    for (size_t i = 0; i < json_count(tools); i++) {
        const json *tool = json_at(tools, i);
        size_t size;
        const char *chars = json_chars(tool, &size);
        if (i > 0) chat_puts(&text, ", ");
        if (chars != NULL && !has_date(kind))
            chat_put(&text, chars, size);
        else
            chat_put_json(&text, tool);
    }
    chat_puts(&text, "]");
    give_text(r, &text);
    if (kind == CHAT_A) layout(r, "<|tool_list_end|>");
}

rnl_status chat_render_tools(const chat_template *t, const char *system, size_t system_size,
                             const json *tools, chat_sink sink, void *context) {
    renderer r = {.t = t, .sink = sink, .context = context, .name = "tools"};
    if (system == NULL) system_size = 0;
    render_tools(&r, system_size > 0, system, system_size, tools);
    return r.status;
}

/* ---- Calls of an assistant's message ---- */

typedef struct argument_job {
    chat_kind kind;
    chat_text *text;
    bool more;
} argument_job;

static void put_quoted(chat_kind kind, chat_text *text, const char *chars, size_t size) {
    const char *quote = kind == CHAT_C1 ? "\"" : "'";
    chat_puts(text, quote);
    for (size_t i = 0; i < size; i++) {
        const char *escape = NULL;
        if (kind == CHAT_D) {
            if (chars[i] == '\\') escape = "\\\\";
            if (chars[i] == '\'') escape = "\\'";
            if (chars[i] == '\n') escape = "\\n";
            if (chars[i] == '\r') escape = "\\r";
        }
        chat_put(text, escape != NULL ? escape : chars + i, escape != NULL ? 2 : 1);
    }
    chat_puts(text, quote);
}

static bool put_argument(void *context, const char *key, size_t size, const json *value) {
    argument_job *job = context;
    size_t length;
    const char *chars = json_chars(value, &length);
    if (job->more) chat_puts(job->text, ", ");
    job->more = true;
    chat_put(job->text, key, size);
    chat_puts(job->text, "=");
    if (chars != NULL)
        put_quoted(job->kind, job->text, chars, length);
    else if (json_is_object(value) || (json_is_array(value) && job->kind == CHAT_D))
        chat_put_json(job->text, value);
    else
        chat_put_repr(job->text, value);
    return true;
}

static void render_calls(renderer *r, int index, const json *calls) {
    const size_t count = json_count(calls);
    if (!json_is_array(calls) || count == 0) return;
    chat_text text = {0};
    chat_puts(&text, "[");
    for (size_t i = 0; i < count; i++) {
        const json *call = json_at(calls, i);
        const json *function = json_get(call, "function");
        if (function == NULL) function = call;
        size_t size;
        const char *name = json_chars(json_get(function, "name"), &size);
        const json *arguments = json_get(function, "arguments");
        json *parsed = NULL; /* OpenAI's form: JSON in a string */
        size_t argument_size;
        const char *written = json_chars(arguments, &argument_size);
        if (written != NULL && json_parse(written, argument_size, "arguments", &parsed, NULL) < 0)
            parsed = NULL;
        if (written != NULL) arguments = parsed;
        if (name == NULL || (arguments != NULL && !json_is_object(arguments)) ||
            (written != NULL && parsed == NULL))
            fail(r, index, "has a tool call without name, or with arguments that are no object");
        else {
            argument_job job = {.kind = r->t->kind, .text = &text};
            if (i > 0) chat_puts(&text, ", ");
            chat_put(&text, name, size);
            chat_puts(&text, "(");
            if (arguments != NULL) (void)json_each(arguments, put_argument, &job);
            chat_puts(&text, ")");
        }
        json_destroy(&parsed);
    }
    chat_puts(&text, "]");
    layout(r, "<|tool_call_start|>");
    give_text(r, &text);
    layout(r, "<|tool_call_end|>");
}

/* ---- Messages ---- */

static void render_part(renderer *r, const json *part) {
    size_t size;
    const char *chars = json_chars(json_get(part, "text"), &size);
    const json *type = json_get(part, "type");
    if (is_text(type, "image") || is_text(type, "image_url")) {
        give(r, CHAT_IMAGE, "<image>", 7, part);
    } else if (is_text(type, "text") && chars != NULL) {
        give(r, CHAT_TEXT, chars, size, NULL);
    } else {
        chat_text text = {0};
        chat_put_json(&text, part);
        give_text(r, &text);
    }
}

static void render_content(renderer *r, const json *content, bool stripped) {
    size_t size;
    const char *chars = json_chars(content, &size);
    if (chars != NULL) {
        if (stripped) chat_after_thinking(chars, size, &chars, &size);
        give(r, CHAT_TEXT, chars, size, NULL);
    } else if (json_is_array(content) && r->t->parts) {
        for (size_t i = 0; i < json_count(content); i++) render_part(r, json_at(content, i));
    } else if (!json_is_null(content)) {
        chat_text text = {0};
        chat_put_json(&text, content);
        give_text(r, &text);
    }
}

static bool keeps_thinking(const renderer *r, int index) {
    if (r->t->keep_thinking) return true;
    switch (chat_thinking_of(r->t->kind)) {
    case CHAT_THINKING_OF_LAST:
        return index == r->last_assistant;
    case CHAT_THINKING_OF_TURN:
        return index > r->last_user;
    case CHAT_THINKING_KEPT:
        break;
    }
    return true;
}

static void render_thinking(renderer *r, const json *message) {
    static const char *const keys[] = {"thinking", "reasoning", "reasoning_content"};
    const int count = r->t->kind == CHAT_D ? 3 : 1;
    if (r->t->kind < CHAT_C1 || r->t->kind > CHAT_D) return;
    for (int i = 0; i < count; i++) {
        size_t size;
        const char *chars = json_chars(json_get(message, keys[i]), &size);
        if (chars == NULL) continue;
        give(r, CHAT_TEXT, "<think>", 7, NULL);
        give(r, CHAT_TEXT, chars, size, NULL);
        give(r, CHAT_TEXT, "</think>", 8, NULL);
        return;
    }
}

static void render_assistant(renderer *r, int index, const json *message, bool kept) {
    const json *content = json_get(message, "content"), *calls = json_get(message, "tool_calls");
    const chat_kind kind = r->t->kind;
    if (kept) render_thinking(r, message);
    if (kind == CHAT_C1) render_calls(r, index, calls);
    render_content(r, content, !kept);
    if (kind == CHAT_C2 || kind == CHAT_C3 || kind == CHAT_D) render_calls(r, index, calls);
}

static void render_body(renderer *r, int index, const json *message, bool kept) {
    const json *role = json_get(message, "role");
    const bool wraps = r->t->kind == CHAT_A && is_text(role, "tool");
    if (wraps) layout(r, "<|tool_response_start|>");
    if (is_text(role, "assistant"))
        render_assistant(r, index, message, kept);
    else
        render_content(r, json_get(message, "content"), false);
    if (wraps) layout(r, "<|tool_response_end|>");
}

rnl_status chat_render_content(const chat_template *t, const json *message, bool kept,
                               const char *name, chat_sink sink, void *context, rnl_error *error) {
    const bool strips = chat_thinking_of(t->kind) != CHAT_THINKING_KEPT;
    renderer r = {.t = t, .sink = sink, .context = context, .name = name, .error = error};
    render_body(&r, 0, message, kept || !strips);
    return r.status;
}

static void render_message(renderer *r, int index, const json *message) {
    const json *content = json_get(message, "content"), *role = json_get(message, "role");
    size_t size;
    const char *name = json_chars(role, &size);
    if (name == NULL) {
        fail(r, index, "has no role; give it \"role\": \"user\" or another");
        return;
    }
    chat_text header = {0};
    chat_put(&header, name, size);
    layout(r, "<|im_start|>");
    give_text(r, &header);
    layout(r, "\n");
    render_body(r, index, message, keeps_thinking(r, index));
    /* C1 leaves a message that has no content field open. */
    if (r->t->kind != CHAT_C1 || content != NULL) layout(r, "<|im_end|>\n");
}

/* The first message when it is the system's, and the tools. Returns how many messages that took. */
static int render_system(renderer *r, const json *messages, const json *tools) {
    const json *first = json_at(messages, 0);
    const bool has_system = is_text(json_get(first, "role"), "system");
    const json *content = has_system ? json_get(first, "content") : NULL;
    const bool with_tools = json_count(tools) > 0 && r->t->kind != CHAT_PLAIN;
    size_t size = 0;
    const char *chars = json_chars(content, &size);
    const bool some = size > 0 || (json_is_array(content) && json_count(content) > 0);
    if (!some && !with_tools) return has_system;
    layout(r, "<|im_start|>system\n");
    if (chars == NULL) render_content(r, content, false);
    if (with_tools)
        render_tools(r, some, chars, size, tools);
    else
        give(r, CHAT_TEXT, chars, size, NULL);
    layout(r, "<|im_end|>\n");
    return has_system;
}

rnl_status chat_render(const chat_template *t, const json *conversation, const char *name,
                       chat_sink sink, void *context, rnl_error *error) {
    renderer r = {.t = t,
                  .sink = sink,
                  .context = context,
                  .name = name,
                  .error = error,
                  .last_assistant = -1,
                  .last_user = -1};
    const json *messages = json_get(conversation, "messages");
    const int count = (int)json_count(messages);
    if (!json_is_array(messages) || count == 0)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: there is no list \"messages\" with a message in it", name);
    for (int i = 0; i < count; i++) {
        const json *role = json_get(json_at(messages, (size_t)i), "role");
        if (is_text(role, "assistant")) r.last_assistant = i;
        if (is_text(role, "user")) r.last_user = i;
    }
    layout(&r, "<|startoftext|>");
    for (int i = render_system(&r, messages, json_get(conversation, "tools")); i < count; i++)
        render_message(&r, i, json_at(messages, (size_t)i));
    bool prompt = true;
    (void)json_bool(json_get(conversation, "add_generation_prompt"), &prompt);
    if (!prompt) return r.status;
    layout(&r, "<|im_start|>assistant\n");
    if (t->kind == CHAT_D) give(&r, CHAT_TEXT, "<think>", 7, NULL);
    return r.status;
}
