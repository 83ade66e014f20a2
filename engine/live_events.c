/* What a live conversation tells: events in their order, and marks of time. Below everything that
 * has something to tell. */
#include <assert.h>
#include <string.h>

#include "engine/live.h"

rnl_live_event *live_tell(rnl_live *l, rnl_live_kind kind) {
    assert(l->event_count < LIVE_EVENT_CAP);
    rnl_live_event *e = &l->events[(l->event_begin + l->event_count++) % LIVE_EVENT_CAP];
    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->mic_sample = l->turns.position - l->input_delay < 0 ? 0 : l->turns.position - l->input_delay;
    e->speech_us = l->speech_us;
    return e;
}

rnl_status rnl_live_next_event(rnl_live *l, rnl_live_event *event) {
    if (l->event_count == 0) return RNL_AGAIN;
    *event = l->events[l->event_begin];
    l->event_begin = (l->event_begin + 1) % LIVE_EVENT_CAP;
    l->event_count--;
    return RNL_OK;
}

void live_mark(rnl_live *l, int mark) {
    if (l->turn.mark_us[mark] < 0) l->unstamped |= 1u << mark;
}

const char *rnl_live_end_rule_name(rnl_live_end_rule rule) {
    switch (rule) {
#define NAME(name, text)                                                                           \
    case RNL_LIVE_END_##name:                                                                      \
        return text;
        RNL_LIVE_END_RULE_LIST(NAME)
#undef NAME
    }
    return "?";
}

const char *rnl_live_kind_name(rnl_live_kind kind) {
    switch (kind) {
#define NAME(name, text)                                                                           \
    case RNL_LIVE_##name:                                                                          \
        return text;
        RNL_LIVE_KIND_LIST(NAME)
#undef NAME
    }
    return "?";
}
