/* The settings of a chat: everything of the body but its messages. */
#include "serve/chat_request.h"

#include <stdlib.h>
#include <string.h>

#include <runnel/runnel_chat.h>

#include "serve/chat_inner.h"
#include "serve/speech.h"
#include "serve/tool_list.h"
#include "text/voices.h"

enum { NAME_CAP = 129 };

/* ---- Commands ---- */

static bool no_memory(const chat_builder *b) {
    return api_fail(b->error, API_SERVER_OVERLOADED, NULL,
                    "There is no memory for the request now; try again later");
}

bool chat_add_command(chat_builder *b, const command *what) {
    chat_request *r = b->request;
    command taken = *what;
    if (r->command_count == r->command_cap) {
        const int cap = 2 * r->command_cap + 8;
        command *grown = realloc(r->commands, (size_t)cap * sizeof *grown);
        if (grown == NULL) {
            command_free(&taken);
            return no_memory(b);
        }
        r->commands = grown;
        r->command_cap = cap;
    }
    r->commands[r->command_count++] = taken;
    return true;
}

char *chat_copy(chat_builder *b, const char *text, size_t size) {
    char *copy = command_text(text, size);
    if (copy == NULL) (void)no_memory(b);
    return copy;
}

void chat_request_free(chat_request *r) {
    for (int i = r->asked; i < r->command_count; i++) command_free(&r->commands[i]);
    for (int i = 0; i < r->stop_count; i++) free(r->stops[i]);
    free(r->commands);
    memset(r, 0, sizeof *r);
}

/* ---- Settings ---- */

static bool read_model(const chat_builder *b, const json *body) {
    const char *name = NULL;
    size_t size;
    if (!json_in_text(body, "model", NULL, CHAT_MODEL_CAP - 1, &name, &size, b->error))
        return false;
    if (name == NULL || size == 0)
        return api_fail(b->error, API_MISSING_PARAMETER, "model",
                        "'model' is missing; GET /v1/models tells which there is");
    memcpy(b->request->model, name, size);
    return true;
}

static bool read_modalities(chat_builder *b, const json *body) {
    const json *list = json_get(body, "modalities");
    bool text = json_is_null(list);
    if (!json_is_null(list) && !json_is_array(list))
        return api_fail(b->error, API_INVALID_VALUE, "modalities", "'modalities' is no list");
    for (size_t i = 0; i < json_count(list); i++) {
        const json *v = json_at(list, i);
        text = text || json_in_is(v, "text");
        b->request->audio = b->request->audio || json_in_is(v, "audio");
        if (!json_in_is(v, "text") && !json_in_is(v, "audio"))
            return api_fail(b->error, API_INVALID_VALUE, "modalities",
                            "'modalities' has something besides \"text\" and \"audio\"");
    }
    if (!text)
        return api_fail(b->error, API_INVALID_VALUE, "modalities",
                        "'modalities' has no \"text\"; answers are [\"text\"] or [\"text\", "
                        "\"audio\"]");
    if (b->request->audio && b->request->logprobs)
        return api_fail(b->error, API_UNSUPPORTED_PARAMETER, "logprobs",
                        "'logprobs' are told of answers that are text; leave them out with "
                        "\"audio\"");
    b->mode = b->request->audio ? RNL_MODE_INTERLEAVED : RNL_MODE_TEXT;
    if (rnl_model_can(b->config->model, b->mode)) return true;
    return api_fail(b->error, API_UNSUPPORTED_PARAMETER, "modalities",
                    b->request->audio ? "This model does not speak; leave out \"audio\""
                                      : "This model only speaks; ask for \"audio\", too");
}

static bool read_voice(const chat_builder *b, const json *audio) {
    const json *voice = json_get(audio, "voice");
    const char *prompt;
    size_t size;
    if (json_is_object(voice)) voice = json_get(voice, "id");
    const char *name = json_chars(voice, &size);
    /* Of a conversation the model has one voice, so all that it knows are the same here. */
    if (json_is_null(voice) || (name != NULL && speech_voice(name, size, &prompt))) return true;
    return api_fail(b->error, API_INVALID_VALUE, "audio.voice",
                    "'audio.voice' is not known; 'default', " VOICE_NAMES " are there");
}

static bool read_audio(const chat_builder *b, const json *body) {
    const json *audio = json_get(body, "audio"), *format = json_get(audio, "format");
    chat_request *r = b->request;
    size_t size = 0;
    if (!r->audio) return true;
    if (!json_is_object(audio))
        return api_fail(b->error, API_MISSING_PARAMETER, "audio",
                        "'audio' is missing; give {\"voice\": \"default\", \"format\": \"wav\"}");
    const char *name = json_chars(format, &size);
    if (json_is_null(format))
        r->format = r->stream ? SOUND_FORMAT_PCM : SOUND_FORMAT_WAV;
    else if (json_in_is(format, "pcm16"))
        r->format = SOUND_FORMAT_PCM;
    else if (name == NULL || json_in_is(format, "pcm") ||
             !sound_format_named(name, size, &r->format) || !sound_format_is_there(r->format))
        return api_fail(b->error, API_UNSUPPORTED_FORMAT, "audio.format",
                        "'audio.format' cannot be made here; wav, flac, opus and pcm16 can");
    if (r->stream && r->format != SOUND_FORMAT_PCM)
        return api_fail(b->error, API_UNSUPPORTED_FORMAT, "audio.format",
                        "'audio.format' of an answer in a stream is pcm16 and nothing else");
    return read_voice(b, audio);
}

static bool read_stops(const chat_builder *b, const json *body) {
    const json *stop = json_get(body, "stop");
    chat_request *r = b->request;
    const bool one = json_is_string(stop);
    if (json_is_null(stop)) return true;
    if (!one && (!json_is_array(stop) || json_count(stop) > LIMIT_STOP_TEXTS))
        return api_fail(b->error, API_INVALID_VALUE, "stop",
                        "'stop' is neither a text nor a list of at most %d", LIMIT_STOP_TEXTS);
    if (r->audio)
        return api_fail(b->error, API_UNSUPPORTED_PARAMETER, "stop",
                        "'stop' ends answers that are text; leave it out with \"audio\"");
    const int count = one ? 1 : (int)json_count(stop);
    for (int i = 0; i < count; i++) {
        size_t size;
        const char *text = json_chars(one ? stop : json_at(stop, (size_t)i), &size);
        if (text == NULL || size == 0 || size > 256)
            return api_fail(b->error, API_INVALID_VALUE, "stop",
                            "'stop' has something that is no text of 1 to 256 bytes");
        r->stops[i] = malloc(size);
        if (r->stops[i] == NULL) return no_memory(b);
        memcpy(r->stops[i], text, size);
        r->stop_sizes[i] = size;
        r->stop_count = i + 1;
    }
    return true;
}

static bool read_flags(const chat_builder *b, const json *body) {
    chat_request *r = b->request;
    int64_t count = 1, top = 0, seed = 0;
    const json *options = json_get(body, "stream_options");
    if (!json_in_bool(body, "stream", NULL, &r->stream, b->error) ||
        !json_in_bool(options, "include_usage", "stream_options.include_usage", &r->include_usage,
                      b->error) ||
        !json_in_bool(body, "logprobs", NULL, &r->logprobs, b->error) ||
        !json_in_int(body, "top_logprobs", NULL, 0, RNL_ALTERNATIVES_CAP, &top, b->error) ||
        !json_in_int(body, "n", NULL, 1, 128, &count, b->error) ||
        !json_in_int(body, "seed", NULL, INT64_MIN, INT64_MAX, &seed, b->error))
        return false;
    r->seed = (uint64_t)seed;
    if (count != 1)
        return api_fail(b->error, API_UNSUPPORTED_PARAMETER, "n",
                        "'n' can only be 1; ask as often as answers are wanted");
    r->top_logprobs = (int)top;
    if (r->logprobs || top == 0) return true;
    return api_fail(b->error, API_INVALID_VALUE, "top_logprobs",
                    "'top_logprobs' stand beside 'logprobs'; set those to true");
}

/* ---- How words are chosen ---- */

/* OpenAI's penalties are subtracted, the engine's divides: only none is the same. */
static bool read_penalties(const chat_builder *b, const json *body) {
    static const char *const names[] = {"frequency_penalty", "presence_penalty"};
    for (int i = 0; i < 2; i++) {
        double value = 0;
        if (!json_in_number(body, names[i], NULL, -2, 2, &value, b->error)) return false;
        if (value < 0 || value > 0)
            return api_fail(b->error, API_UNSUPPORTED_PARAMETER, names[i],
                            "'%s' can only be 0; give 'repeat_penalty' of 1 and more instead",
                            names[i]);
    }
    return true;
}

static bool read_sampling(const chat_builder *b, const json *body, rnl_turn_config *turn) {
    rnl_sampling *s = &turn->text;
    double temperature = (double)s->temperature, top_p = (double)s->top_p, min_p = (double)s->min_p,
           repeat = (double)s->repeat_penalty;
    int64_t top_k = 0;
    if (!json_in_number(body, "temperature", NULL, 0, 2, &temperature, b->error) ||
        !json_in_int(body, "top_k", NULL, 0, INT32_MAX, &top_k, b->error) ||
        !json_in_number(body, "top_p", NULL, 0, 1, &top_p, b->error) ||
        !json_in_number(body, "min_p", NULL, 0, 1, &min_p, b->error) ||
        !json_in_number(body, "repeat_penalty", NULL, 0.1, 10, &repeat, b->error) ||
        !read_penalties(b, body))
        return false;
    /* A model whose own choice is greedy keeps one candidate; who asks for a temperature wants
     * more. */
    if (s->temperature <= 0 && temperature > 0) s->top_k = INT32_MAX;
    if (top_k > 0) s->top_k = (int)top_k;
    s->temperature = (float)temperature;
    s->top_p = top_p > 0 ? (float)top_p : 1e-6f; /* 0 keeps the best alone */
    s->min_p = (float)min_p;
    s->repeat_penalty = (float)repeat;
    return true;
}

static bool read_length(const chat_builder *b, const json *body, rnl_turn_config *turn) {
    int64_t most = turn->step_max;
    if (!json_in_int(body, "max_tokens", NULL, 1, 1 << 20, &most, b->error) ||
        !json_in_int(body, "max_completion_tokens", NULL, 1, 1 << 20, &most, b->error))
        return false;
    turn->step_max = (int)most;
    return true;
}

/* ---- What an answer is held to ---- */

static bool read_schema(chat_builder *b, const json *body, command *begin) {
    const json *format = json_get(body, "response_format"), *type = json_get(format, "type");
    const bool object = json_in_is(type, "json_object");
    if (json_is_null(format) || json_in_is(type, "text")) return true;
    if (!object && !json_in_is(type, "json_schema"))
        return api_fail(b->error, API_INVALID_VALUE, "response_format",
                        "'response_format.type' is none of 'text', 'json_schema', 'json_object'");
    if (b->request->audio)
        return api_fail(b->error, API_UNSUPPORTED_PARAMETER, "response_format",
                        "'response_format' holds answers that are text; leave out \"audio\"");
    const json *schema = json_get(json_get(format, "json_schema"), "schema");
    if (!object && !json_is_object(schema))
        return api_fail(b->error, API_MISSING_PARAMETER, "response_format",
                        "'response_format.json_schema.schema' is missing; give the schema");
    json_out o;
    json_out_begin_growing(&o, RNL_CONSTRAINT_SIZE_MAX);
    if (object)
        json_out_raw(&o, NULL, "{\"type\":\"object\"}", 17);
    else
        json_in_copy(schema, &o, NULL);
    begin->json = json_out_take(&o, &begin->json_size);
    return begin->json != NULL || no_memory(b);
}

/* The list for the model. */
static bool write_tools(chat_builder *b, const json *tools) {
    json_out o;
    json_out_begin_growing(&o, RNL_CONSTRAINT_SIZE_MAX);
    json_out_array(&o, NULL);
    for (size_t i = 0; i < json_count(tools); i++) {
        const size_t before = o.size;
        json_in_copy(json_at(tools, i), &o, NULL);
        if (o.size - before <= LIMIT_TOOL_SIZE) continue;
        json_out_free(&o);
        return api_fail(b->error, API_INVALID_VALUE, "tools",
                        "'tools[%zu]' has more than %d bytes; shorten it", i, LIMIT_TOOL_SIZE);
    }
    json_out_end(&o);
    b->tools = json_out_take(&o, &b->tools_size);
    json_out_free(&o);
    return b->tools != NULL || no_memory(b);
}

/* Only the one that must be called may be. */
static bool choose_tool(const chat_builder *b, const char *name, size_t size, command *begin) {
    begin->text = tool_list_only(b->tools, b->tools_size, name, size, &begin->text_size);
    if (begin->text != NULL) return true;
    return api_fail(b->error, API_INVALID_VALUE, "tool_choice",
                    "'tool_choice' names a function that is not among the tools");
}

static bool check_tools(const chat_builder *b, const json *tools) {
    if (!json_is_null(tools) && !json_is_array(tools))
        return api_fail(b->error, API_INVALID_VALUE, "tools", "'tools' is no list");
    if (json_count(tools) > LIMIT_TOOLS)
        return api_fail(b->error, API_INVALID_VALUE, "tools",
                        "'tools' has more than %d functions; send those that can be of use",
                        LIMIT_TOOLS);
    for (size_t i = 0; i < json_count(tools); i++) {
        const json *tool = json_at(tools, i);
        if (json_in_is(json_get(tool, "type"), "function") &&
            json_is_string(json_get(json_get(tool, "function"), "name")))
            continue;
        return api_fail(
            b->error, API_INVALID_VALUE, "tools",
            "'tools[%zu]' is no {\"type\": \"function\", \"function\": {\"name\": ...}}", i);
    }
    return true;
}

static bool read_tools(chat_builder *b, const json *body, command *begin) {
    const json *tools = json_get(body, "tools"), *choice = json_get(body, "tool_choice");
    const json *function = json_get(json_get(choice, "function"), "name");
    size_t size = 0;
    const char *only = json_chars(function, &size);
    const bool required = json_in_is(choice, "required") || only != NULL;
    const bool none = json_in_is(choice, "none");
    if (!check_tools(b, tools)) return false;
    if (!json_is_null(choice) && !required && !none && !json_in_is(choice, "auto"))
        return api_fail(b->error, API_INVALID_VALUE, "tool_choice",
                        "'tool_choice' is none of 'auto', 'none', 'required' and {\"type\": "
                        "\"function\", \"function\": {\"name\": ...}}");
    if (required && json_count(tools) == 0)
        return api_fail(b->error, API_INVALID_VALUE, "tool_choice",
                        "'tool_choice' asks for a call, and there are no 'tools'");
    if (none || json_count(tools) == 0) return true;
    if (!rnl_model_can_call(b->config->model)) {
        if (!required) return true; /* it has no words for calls, so it makes none */
        return api_fail(b->error, API_UNSUPPORTED_PARAMETER, "tool_choice",
                        "This model cannot call functions; leave out 'tool_choice'");
    }
    begin->use_tools = true;
    begin->turn.call_required = required;
    return write_tools(b, tools) && (only == NULL || choose_tool(b, only, size, begin));
}

/* ---- All of it ---- */

static bool read_body(chat_builder *b, const json *body) {
    if (!read_model(b, body) || !read_flags(b, body) || !read_modalities(b, body) ||
        !read_audio(b, body) || !read_stops(b, body))
        return false;
    command begin = {.kind = COMMAND_BEGIN,
                     .tag = CHAT_REPLY_TAG,
                     .tokens = b->request->logprobs,
                     .turn = rnl_turn_config_default(b->config->model, b->mode)};
    begin.turn.alternatives = b->request->top_logprobs;
    if (read_sampling(b, body, &begin.turn) && read_length(b, body, &begin.turn) &&
        read_tools(b, body, &begin) && read_schema(b, body, &begin) && chat_read_messages(b, body))
        return chat_add_command(b, &begin);
    command_free(&begin);
    return false;
}

bool chat_request_read(const char *text, size_t size, const chat_config *config,
                       chat_request *request, api_error *error) {
    json *body;
    memset(request, 0, sizeof *request);
    if (!json_in_parse(text, size, &body, error)) return false;
    chat_builder b = {.config = config,
                      .request = request,
                      .error = error,
                      .samples_left = CHAT_SOUND_SAMPLES_MAX,
                      .pixels_left = config->pixel_max,
                      .last_user = -1};
    json_out_begin_growing(&b.system, LIMIT_CHAT_SIZE);
    const bool done = read_body(&b, body);
    json_out_free(&b.system);
    free(b.tools);
    json_destroy(&body);
    if (!done) chat_request_free(request);
    return done;
}
