/* See faults.h and file.h. */
#include "audio/faults.h"

#include <stdio.h>
#include <string.h>

void faults_add(sound_faults *f, double from, double to, bool cut_off) {
    const double near = 0.1; /* s: places that no listener would tell apart */
    sound_place *last = f->place_count > 0 ? &f->places[f->place_count - 1] : NULL;
    const bool is_near = last != NULL && from <= last->to + near && from >= last->from;
    if (last != NULL && !cut_off && (is_near || f->place_count == SOUND_PLACE_CAP)) {
        if (from < last->from) last->from = from;
        if (to > last->to) last->to = to;
        return;
    }
    if (f->place_count == SOUND_PLACE_CAP) f->place_count--; /* the end is worth more */
    f->places[f->place_count++] = (sound_place){.from = from, .to = to, .cut_off = cut_off};
}

void faults_set_reason(sound_faults *f, const char *name, const char *text) {
    const size_t size = strlen(name);
    if (strncmp(text, name, size) == 0 && strncmp(text + size, ": ", 2) == 0) text += size + 2;
    (void)snprintf(f->reason, sizeof f->reason, "%s", text);
}

bool sound_faults_text(const sound_faults *f, const char *name, int index, char *text, size_t cap) {
    if (index == f->place_count && f->out_of_phase) {
        (void)snprintf(text, cap,
                       "%s: its channels take each other out from %.2f s on; the louder one was "
                       "heard alone there",
                       name, f->out_of_phase_at);
        return true;
    }
    if (index < 0 || index >= f->place_count) return false;
    const sound_place *p = &f->places[index];
    const bool spans = p->to - p->from >= 0.005;
    const char *open = f->reason[0] != '\0' ? " (" : "", *close = f->reason[0] != '\0' ? ")" : "";
    if (p->cut_off && spans)
        (void)snprintf(text, cap, "%s: the recording is cut off: it ends at %.2f s of %.2f s", name,
                       p->from, p->to);
    else if (p->cut_off)
        (void)snprintf(text, cap, "%s: the recording is cut off: it ends at %.2f s", name, p->from);
    else if (spans)
        (void)snprintf(text, cap,
                       "%s: the sound is damaged from %.2f s to %.2f s%s%s%s; what stands around "
                       "it was heard",
                       name, p->from, p->to, open, f->reason, close);
    else
        (void)snprintf(text, cap,
                       "%s: the sound is damaged at %.2f s%s%s%s; what stands around it was heard",
                       name, p->from, open, f->reason, close);
    return true;
}
