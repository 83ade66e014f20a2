/* The session object of /v1/realtime (server.md A.3): defaults, updates that take all or nothing,
 * and how it is shown, in both dialects. A response has a copy of its own, changed by
 * response.create. Pure: no conversation, no model. */
#ifndef SERVE_REALTIME_SETTINGS_H
#define SERVE_REALTIME_SETTINGS_H

#include "core/json.h"
#include "serve/api_error.h"
#include "serve/json_out.h"
#include "serve/realtime.h"

/* Of a full context half stays: so it is not read anew at every turn. */
#define REALTIME_RETENTION 0.5

enum {
    REALTIME_EXTRA_MAX = 65536, /* bytes of a field that is only kept and shown */
    REALTIME_POSITIONS_MAX = 4096,
    REALTIME_NAME_CAP = 65
};

/* As api_fail, but the first fault stays. */
bool realtime_refuse(api_error *f, api_code code, const char *param, const char *form, ...)
    __attribute__((format(printf, 4, 5)));

/* A value of a client as text again, terminated, allocated; NULL: memory is exhausted, or there is
 * none. */
char *realtime_source(const json *v);

typedef enum realtime_coding { REALTIME_PCM, REALTIME_ULAW, REALTIME_ALAW } realtime_coding;

typedef struct realtime_format {
    realtime_coding coding;
    int rate; /* 8000 for both laws */
} realtime_format;

typedef enum realtime_detector {
    REALTIME_MANUAL,
    REALTIME_SERVER_VAD,
    REALTIME_SEMANTIC_VAD
} realtime_detector;

typedef enum realtime_eagerness {
    REALTIME_EAGER_AUTO,
    REALTIME_EAGER_LOW,
    REALTIME_EAGER_MEDIUM,
    REALTIME_EAGER_HIGH
} realtime_eagerness;

typedef struct realtime_detection {
    realtime_detector detector;
    double threshold;
    int prefix_ms, silence_ms;
    int idle_ms; /* 0: none */
    bool create_response, interrupt_response;
    realtime_eagerness eagerness;
} realtime_detection;

typedef enum realtime_noise {
    REALTIME_NOISE_NONE,
    REALTIME_NOISE_NEAR,
    REALTIME_NOISE_FAR
} realtime_noise;

/* Texts that are only kept and shown, as JSON; NULL: null. */
typedef enum realtime_extra {
    REALTIME_TRACING,
    REALTIME_PROMPT,
    REALTIME_REASONING,
    REALTIME_TRUNCATION,
    REALTIME_METADATA,    /* of a response */
    REALTIME_TOOLS,       /* a JSON array; NULL: [] */
    REALTIME_CHOICE_TEXT, /* of a named function: as it came */
    REALTIME_EXTRA_COUNT
} realtime_extra;

/* Texts; NULL: none. */
typedef enum realtime_word {
    REALTIME_INSTRUCTIONS,
    REALTIME_HEAR_MODEL, /* of the transcription */
    REALTIME_HEAR_LANGUAGE,
    REALTIME_HEAR_PROMPT,
    REALTIME_WORD_COUNT
} realtime_word;

typedef struct realtime_settings {
    bool text_only;
    char *words[REALTIME_WORD_COUNT];
    char *extras[REALTIME_EXTRA_COUNT];
    int tool_count;
    realtime_choice choice;
    char function[REALTIME_NAME_CAP];
    int parallel;                 /* parallel_tool_calls: -1 not told */
    int position_max;             /* max_output_tokens; 0: "inf" */
    double temperature;           /* below 0: not told */
    realtime_retention retention; /* truncation */
    bool logprobs;                /* include */
    bool transcribes;             /* transcription is not null */
    realtime_noise noise;         /* noise_reduction: without effect, */
    double noise_strength;        /* below 0: not told */
    realtime_format in, out;
    realtime_detection detection;
    char voice[REALTIME_NAME_CAP];
    double speed;
} realtime_settings;

void realtime_settings_default(realtime_settings *s);
/* Everything allocated twice; false: memory is exhausted, *to is empty. */
bool realtime_settings_copy(const realtime_settings *from, realtime_settings *to);
void realtime_settings_free(realtime_settings *s); /* zeroed afterwards; zeroed is fine */

/* What an update may depend on. */
typedef struct realtime_update {
    const realtime_config *config;
    bool beta;        /* the flat fields of the older dialect */
    bool in_turn;     /* the input's format cannot change */
    bool has_spoken;  /* the voice cannot */
    bool response;    /* fields of response.create */
    const char *path; /* of the object: "session", "response" */
} realtime_update;

/* Reads an object of a client over what is there. False: refused, *s may be half changed and is to
 * be thrown away. */
bool realtime_settings_update(realtime_settings *s, const json *object, const realtime_update *u,
                              api_error *f);

/* Facts of a session that are no settings. */
typedef struct realtime_facts {
    const char *id;
    int64_t expires_unix;
    const char *secret; /* shown in the older dialect; NULL: none */
} realtime_facts;

/* The session object as the value of key. */
void realtime_settings_write(const realtime_settings *s, const realtime_config *config, bool beta,
                             const realtime_facts *facts, const char *key, json_out *o);
/* The members that a response object takes of it: modalities, format, voice, the limit. */
void realtime_settings_write_response(const realtime_settings *s, bool beta, json_out *o);
void realtime_format_write(realtime_format format, bool beta, const char *key, json_out *o);

/* What the model is told. */
realtime_prompt realtime_settings_prompt(const realtime_settings *s, const realtime_config *config);
realtime_wish realtime_settings_wish(const realtime_settings *s);

#endif
