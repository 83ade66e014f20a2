#include "apps/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "apps/messages.h"
#include "core/status.h"

static const char *const grades[] = {"good", "advice", "bad"};

void finding_add(findings *f, const char *check, finding_grade grade, const char *remedy,
                 const char *format, ...) {
    if (f->count == FINDING_CAP) return;
    finding *one = &f->list[f->count++];
    *one = (finding){.check = check, .grade = grade, .remedy = remedy};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(one->text, sizeof one->text, format, arguments);
    va_end(arguments);
    status_clean(one->text);
}

finding_grade findings_grade(const findings *f) {
    finding_grade worst = FINDING_GOOD;
    for (int i = 0; i < f->count; i++)
        if (f->list[i].grade > worst) worst = f->list[i].grade;
    return worst;
}

static void set_text(json_draft *o, const char *key, const char *text) {
    json_set(o, key, json_new_string(text, strlen(text)));
}

json_draft *findings_json(const findings *f) {
    json_draft *all = json_new_array();
    for (int i = 0; i < f->count; i++) {
        const finding *one = &f->list[i];
        json_draft *o = json_new_object();
        set_text(o, "check", one->check);
        set_text(o, "grade", grades[one->grade]);
        set_text(o, "text", one->text);
        if (one->remedy != NULL) set_text(o, "remedy", one->remedy);
        json_append(all, o);
    }
    return all;
}

void findings_print(const findings *f) {
    static const char *const sums[] = {
        "This machine can hold a conversation with this model.",
        "This machine can hold a conversation with this model; what would help is named above.",
        "This machine cannot hold a conversation with this model as it is: see what is BAD above."};
    static const char *const marks[] = {"ok", "advice", "BAD"};
    for (int i = 0; i < f->count; i++) {
        const finding *one = &f->list[i];
        printf("%-7s %-11s %s\n", marks[one->grade], one->check, one->text);
        if (one->remedy != NULL) printf("%20s-> %s\n", "", one->remedy);
    }
    printf("\n%s\n", sums[findings_grade(f)]);
}

/* ---- The system ---- */

static void judge_load(findings *f, const machine *m, int processor_count) {
    if (m->load < 0) return;
    if (m->load > 0.5 * processor_count)
        finding_add(f, "load", FINDING_ADVICE,
                    "end what else computes on this machine; `top` names it",
                    "other programs kept %.1f of %d processors busy in the last minute", m->load,
                    processor_count);
    else
        finding_add(f, "load", FINDING_GOOD, NULL,
                    "%.1f of %d processors were busy in the last minute", m->load, processor_count);
}

static void judge_priority(findings *f, const machine *m) {
    if (m->priority_max > 0)
        finding_add(f, "real time", FINDING_GOOD, NULL,
                    "the sound threads may ask for real-time priority (up to %d)", m->priority_max);
    else
        finding_add(f, "real time", FINDING_ADVICE,
                    "add yourself to the group audio and the line `@audio - rtprio 95` to "
                    "/etc/security/limits.d/audio.conf, then log in anew; in a unit of systemd: "
                    "LimitRTPRIO=95",
                    "the sound threads may not ask for real-time priority: sound may stutter when "
                    "the machine is busy");
}

/* A conversation that was left alone for an hour must not wait for the disk. */
static void judge_locking(findings *f, const machine *m) {
    char size[SIZE_TEXT_CAP];
    if (m->locked_max < 0) return;
    size_text(m->locked_max, size);
    if (m->swap_size <= 0)
        finding_add(f, "memory lock", FINDING_GOOD, NULL,
                    "there is no swap: what a session holds stays in memory");
    else if (m->locked_max == INT64_MAX)
        finding_add(f, "memory lock", FINDING_GOOD, NULL, "memory may be locked against swapping");
    else
        finding_add(f, "memory lock", FINDING_ADVICE,
                    "`sysctl vm.swappiness=10` (as root), or LimitMEMLOCK=infinity and "
                    "MemorySwapMax=0 in the unit of systemd",
                    "at most %s may be locked and there is swap: after a long pause an answer may "
                    "wait for the disk",
                    size);
}

void doctor_machine(findings *f, const machine *m, int processor_count) {
    judge_load(f, m, processor_count);
    if (strcmp(m->governor, "powersave") == 0 || strcmp(m->governor, "conservative") == 0)
        finding_add(f, "clock", FINDING_ADVICE, "`cpupower frequency-set -g performance` (as root)",
                    "the processor's clock is governed by \"%s\": the first step after a pause "
                    "takes longer",
                    m->governor);
    else if (m->governor[0] != '\0')
        finding_add(f, "clock", FINDING_GOOD, NULL, "the processor's clock is governed by \"%s\"",
                    m->governor);
    judge_priority(f, m);
    judge_locking(f, m);
}

void doctor_memory(findings *f, const machine *m, size_t weight_size, size_t session_size) {
    char weights[SIZE_TEXT_CAP], session[SIZE_TEXT_CAP], free_text[SIZE_TEXT_CAP];
    int64_t room = m->memory_free;
    const bool limited = m->memory_limit >= 0 && (room < 0 || m->memory_limit < room);
    if (limited) room = m->memory_limit;
    if (room < 0) return;
    const double needed = (double)weight_size + (double)session_size;
    size_text((int64_t)weight_size, weights);
    size_text((int64_t)session_size, session);
    size_text(room, free_text);
    const char *of = limited ? "that the control group allows" : "free";
    if (needed > (double)room)
        finding_add(f, "memory", FINDING_BAD,
                    "a smaller quantisation (Q4_0), a shorter --context, --kv q8_0; or end what "
                    "else needs memory",
                    "%s of weights and %s of a conversation do not fit into %s %s", weights,
                    session, free_text, of);
    else
        finding_add(f, "memory", needed > 0.8 * (double)room ? FINDING_ADVICE : FINDING_GOOD,
                    needed > 0.8 * (double)room
                        ? "it is tight: a smaller quantisation (Q4_0), a shorter --context"
                        : NULL,
                    "%s of weights and %s of a conversation, of %s %s", weights, session, free_text,
                    of);
}

/* ---- Speed and sound ---- */

void doctor_speed(findings *f, double text_ms, double frame_ms) {
    const double gain = 12 * (80 - frame_ms), burst = 6 * text_ms;
    if (gain <= burst)
        finding_add(f, "speed", FINDING_BAD,
                    "a smaller quantisation (Q4_0) or model, more threads (-t), `runnel bench "
                    "--calibrate`, nothing else running",
                    "a frame of 80 ms takes %.1f ms, a text token %.1f ms: 12 frames gain %.0f ms "
                    "and 6 tokens need %.0f ms, so speech would stop and wait",
                    frame_ms, text_ms, gain, burst);
    else /* the live loop wants a quarter to spare before it speaks at once */
        finding_add(f, "speed", gain > 1.25 * burst ? FINDING_GOOD : FINDING_ADVICE,
                    gain > 1.25 * burst
                        ? NULL
                        : "just enough: answers begin later; a smaller quantisation, nothing else "
                          "running",
                    "a frame of 80 ms takes %.1f ms, a text token %.1f ms: 12 frames gain %.0f ms "
                    "for the %.0f ms of 6 tokens",
                    frame_ms, text_ms, gain, burst);
}

void doctor_loopback(findings *f, const loopback *l) {
    static const char check[] = "loopback";
    const double loss_db_min = 6, delay_ms_max = 300;
    if (l->silent) {
        finding_add(f, check, FINDING_BAD,
                    "unmute it in the mixer, allow it, or choose another with --input",
                    "the microphone gives nothing but zeros");
        return;
    }
    if (!l->heard) {
        finding_add(f, check, FINDING_ADVICE,
                    "as it should be with a headset; with a loudspeaker turn it up, or choose "
                    "others with --input and --output",
                    "nothing of what was played reaches the microphone (its noise: %.0f dB)",
                    l->noise_db);
        return;
    }
    const char *remedy = NULL;
    if (l->delay_ms > delay_ms_max) remedy = "that is long, as with Bluetooth: a cable is quicker";
    if (l->return_loss_db < loss_db_min)
        remedy = "turn the loudspeaker down, or put it further from the microphone: else "
                 "interruptions are not told from the answer's own sound";
    if (l->clipped)
        remedy = "turn the microphone's gain down: it is driven to its end, and no echo can be "
                 "cancelled then";
    finding_add(f, check, remedy != NULL ? FINDING_ADVICE : FINDING_GOOD, remedy,
                "what is played comes back after %.0f ms, echo return loss %.0f dB, noise of the "
                "microphone %.0f dB%s",
                l->delay_ms, l->return_loss_db, l->noise_db,
                l->clipped ? ", which is clipped" : "");
}
