/* What `runnel doctor` finds: a list of findings, each good, with advice, or in the way of a
 * conversation, and each that is not good with what to do. The judges are pure; cmd_doctor.c
 * measures. */
#ifndef APPS_DOCTOR_H
#define APPS_DOCTOR_H

#include "apps/loopback.h"
#include "apps/machine.h"
#include "core/json.h"

enum { FINDING_TEXT_CAP = 640, FINDING_CAP = 48 };

typedef enum finding_grade {
    FINDING_GOOD,
    FINDING_ADVICE, /* a conversation can be held, but it could go better */
    FINDING_BAD     /* it cannot */
} finding_grade;

typedef struct finding {
    const char *check; /* what was looked at; static */
    finding_grade grade;
    char text[FINDING_TEXT_CAP];
    const char *remedy; /* what to do; static; NULL: nothing */
} finding;

typedef struct findings {
    finding list[FINDING_CAP];
    int count; /* further ones are left out */
} findings;

void finding_add(findings *f, const char *check, finding_grade grade, const char *remedy,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The worst of all. */
finding_grade findings_grade(const findings *f);
/* An array of objects: check, grade ("good", "advice", "bad"), text, remedy. */
json_draft *findings_json(const findings *f);
/* A line for each, its remedy below, and the sum of it. */
void findings_print(const findings *f);

/* What the system allows: load, clock, real-time priority, swapping. processor_count: that this
 * process may use. */
void doctor_machine(findings *f, const machine *m, int processor_count);
/* Whether so many bytes of weights and of a session have room. */
void doctor_memory(findings *f, const machine *m, size_t weight_size, size_t session_size);

/* The burst law (docs/LATENCY.md): between runs of 12 frames of 80 ms come 6 text tokens without
 * sound, which the frames must have made time for. Milliseconds that a token and a frame take. */
void doctor_speed(findings *f, double text_ms, double frame_ms);

void doctor_loopback(findings *f, const loopback *l);

#endif
