/* See realtime_commands.h. */
#include "serve/realtime_commands.h"

#include <stdlib.h>
#include <string.h>

#include "serve/json_out.h"
#include "serve/limits.h"
#include "serve/tool_list.h"

void realtime_put(realtime_sink *s, const command *what) {
    command c = *what;
    c.spare = s->spare;
    if (!s->refused && s->take(s->context, &c)) return;
    command_free(&c);
    s->refused = true;
}

static void put_text(realtime_sink *s, rnl_role role, const char *text, size_t size) {
    command c = {.kind = COMMAND_TEXT, .role = role, .text_size = size};
    c.text = command_text(text, size);
    if (c.text == NULL)
        s->refused = true;
    else
        realtime_put(s, &c);
}

void realtime_put_prompt(realtime_sink *s, const realtime_prompt *prompt) {
    const char *text = prompt->instructions;
    const realtime_retention *r = &prompt->retention;
    const command retain = {.kind = COMMAND_RETAIN,
                            .retention = {r->keeps_all, r->ratio, r->position_max}};
    realtime_put(s, &retain);
    if (text == NULL) text = rnl_model_system_prompt(s->model, prompt->mode);
    if (prompt->tools == NULL) {
        if (text != NULL) put_text(s, RNL_ROLE_SYSTEM, text, strlen(text));
        return;
    }
    command c = {.kind = COMMAND_TOOLS};
    c.json_size = strlen(prompt->tools);
    c.json = command_text(prompt->tools, c.json_size);
    c.text_size = text != NULL ? strlen(text) : 0;
    c.text = command_text(text, c.text_size);
    realtime_put(s, &c);
    s->begun = true;
}

/* A call that the assistant made, as programs write it. */
static void put_call(realtime_sink *s, const realtime_entry *e) {
    json_out o;
    json_out_begin_growing(&o, 4 * LIMIT_ITEM_TEXT_SIZE);
    json_out_object(&o, NULL);
    json_out_word(&o, "role", "assistant");
    json_out_word(&o, "content", "");
    json_out_array(&o, "tool_calls");
    json_out_object(&o, NULL);
    json_out_word(&o, "type", "function");
    json_out_object(&o, "function");
    json_out_word(&o, "name", e->name);
    json_out_text(&o, "arguments", e->pieces[0].text, e->pieces[0].size);
    json_out_end(&o);
    json_out_end(&o);
    json_out_end(&o);
    json_out_end(&o);
    command c = {.kind = COMMAND_MESSAGE, .past = true};
    c.text = json_out_take(&o, &c.text_size);
    json_out_free(&o);
    if (c.text == NULL)
        s->refused = true;
    else
        realtime_put(s, &c);
}

static void put_picture(realtime_sink *s, const realtime_piece *p) {
    const command picture = {.kind = COMMAND_IMAGE,
                             .role = RNL_ROLE_USER,
                             .bytes = p->pixels,
                             .size = (size_t)p->width * (size_t)p->height * 3,
                             .width = p->width,
                             .height = p->height,
                             .one_view = p->one_view};
    realtime_put(s, &picture);
}

void realtime_put_entry(realtime_sink *s, const realtime_entry *e) {
    static const rnl_role roles[] = {[REALTIME_SYSTEM] = RNL_ROLE_SYSTEM,
                                     [REALTIME_USER] = RNL_ROLE_USER,
                                     [REALTIME_ASSISTANT] = RNL_ROLE_ASSISTANT,
                                     [REALTIME_RESULT] = RNL_ROLE_TOOL};
    if (e->role == REALTIME_CALL) {
        put_call(s, e);
        s->begun = true;
        return;
    }
    rnl_role role = roles[e->role];
    /* The system speaks first or not at all: later words of it are told as the user's. */
    if (role == RNL_ROLE_SYSTEM && s->begun) role = RNL_ROLE_USER;
    s->begun = s->begun || role != RNL_ROLE_SYSTEM;
    for (int i = 0; i < e->piece_count; i++) {
        const realtime_piece *p = &e->pieces[i];
        const command sound = {
            .kind = COMMAND_CLIP, .samples = p->samples, .count = p->count, .rate = RNL_RATE_IN};
        if (p->samples != NULL)
            realtime_put(s, &sound);
        else if (p->pixels != NULL)
            put_picture(s, p);
        else if (p->size > 0 || role == RNL_ROLE_TOOL)
            put_text(s, role, p->text, p->size);
    }
}

bool realtime_begin_command(const rnl_model *model, uint32_t tag, const realtime_wish *wish,
                            const char *tools, command *out) {
    const bool calls = tools != NULL && wish->choice != REALTIME_CHOICE_NONE;
    *out = (command){.kind = COMMAND_BEGIN,
                     .tag = tag,
                     .spoken = wish->mode == RNL_MODE_INTERLEAVED,
                     .use_tools = calls,
                     .turn = rnl_turn_config_default(model, wish->mode)};
    if (wish->position_max > 0) out->turn.step_max = wish->position_max;
    if (wish->temperature >= 0) out->turn.text.temperature = (float)wish->temperature;
    out->turn.call_required = calls && wish->choice >= REALTIME_CHOICE_REQUIRED;
    if (!calls || wish->function == NULL) return true;
    out->text = tool_list_only(tools, strlen(tools), wish->function, strlen(wish->function),
                               &out->text_size);
    return out->text != NULL;
}
