/* What every sub-command shares: its options, its exit code, the model and the session it opens. */
#ifndef APPS_CLI_H
#define APPS_CLI_H

#include <stdio.h>

#include <runnel/runnel.h>

#include "core/json.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_MODEL = 3,  /* the model is refused */
    EXIT_DEVICE = 4, /* sound device missing, busy or lost */
    EXIT_INPUT = 5,  /* an input is unreadable */
    EXIT_BUDGET = 6, /* over the memory budget */
    EXIT_STOPPED = 130
};

typedef struct options {
    const char *model, *mmproj, *vocoder, *tokenizer;
    const char *cpu;                    /* kernel level */
    const char *kv;                     /* type of the KV cache */
    const char *output;                 /* -o */
    const char *system;                 /* system prompt */
    const char *voice;                  /* say */
    const char *mode;                   /* chat */
    const char *type;                   /* convert */
    const char *format;                 /* convert: bundle or set */
    const char *encoder_type;           /* convert */
    const char *pack;                   /* convert: kernel level */
    const char *sets[64];               /* convert: KEY=VALUE */
    const char *input, *record, *trace; /* talk */
    int set_count;
    const char *work, *tokens, *depth;                    /* bench */
    int threads, context, max_tokens, top_k, audio_top_k; /* -1: not given */
    int text_run, audio_run, repeat;                      /* -1: not given */
    double temperature, audio_temperature, seconds_max;   /* -1: not given */
    const char *list;                                     /* files to work on, one name a line */
    const char *text_file;                                /* say: -f */
    const char *raw_format; /* standard input without a header; NULL: not given */
    int channel, raw_rate, raw_channels, sentence_max;     /* -1: not given */
    double pause_sentence, pause_paragraph, pause_heading; /* seconds; -1: not given */
    const char *output_formats;                            /* --output-format */
    const char *output_folder;                             /* --output-dir */
    const char *shard;                                     /* "i/n" */
    const char *refs;                                      /* eval */
    int jobs;                                              /* -1: not given */
    double turn_seconds_max, sim_cost_ms;                  /* talk; -1: not given */
    size_t memory_max;
    uint64_t seed;
    bool calibrate; /* bench */
    bool exact, json, quiet, drop_oldest, sound_off, per_channel, resume, plain, colour, whole;
    bool list_devices, push_to_talk, no_barge_in, no_speculation, transcribe; /* talk */
    char **arguments;
    int argument_count;
} options;

typedef struct command {
    const char *name;
    const char *summary;  /* one line for `runnel --help` */
    const char *synopsis; /* after the name */
    const char *about;    /* what it does, for --help; may be NULL */
    const char *own;      /* letters of the options it takes besides the common ones */
    int (*run)(const options *o);
    bool endless; /* Ctrl-C is its usual end: exit code 0 */
} command;

/* One per file. */
extern const command command_reply, command_transcribe, command_say, command_chat, command_info,
    command_convert, command_bench, command_dump, command_tokenize, command_devices, command_talk,
    command_trace, command_eval;

/* Parses what follows the command's name. Returns false when the program should end with *code:
 * help was shown, or a sentence about the mistake. */
bool options_parse(options *o, const command *c, int argc, char **argv, int *code);
/* Writes the command's help. */
void command_help(const command *c);

/* "runnel: sentence" on stderr; returns code. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The exit code of a failed call; as is for things that go wrong while working. */
int exit_code(const rnl_error *error);

/* Nothing but white space. */
bool is_blank(const char *text);
/* Writes out what printf has gathered. EXIT_OK, or EXIT_FAILED after a complaint (a full disk, a
 * reader that went away). */
int flush_output(void);
/* Reads until the end or a fault of the stream (ferror). Allocated, free() it; NULL: no memory, or
 * more than size_max bytes. */
char *read_to_end(FILE *stream, size_t size_max, size_t *size);
/* Prints a JSON object as a line of standard output, flushes it, and frees the object. EXIT_OK, or
 * the code of a complaint about memory or the output. */
int print_json(json *object);
/* EXIT_OK when a file may be put under this name: it is free or a regular file; else the code of a
 * complaint. */
int check_target(const char *path);

/* The first Ctrl-C asks the work to end; the second ends the program at once. */
void interrupt_install(void);
bool interrupted(void);
/* Waits until standard input, a terminal, has a line or its end; false on Ctrl-C, however close to
 * the call it comes. */
bool wait_for_input(void);
/* As wait_for_input for one byte of standard input that may already be there: whether one is. Never
 * waits. */
bool key_waits(void);
/* A terminal that gives single keys, until restored; also a second Ctrl-C restores it. False: this
 * is no terminal. */
bool keys_begin(void);
void keys_end(void);
/* Half-written files to remove when the program ends at once: a second Ctrl-C, SIGTERM or SIGHUP, a
 * model file that shrinks. One more (copied; beyond 512 at a time they are not removed); no longer
 * that one; none any more. Any thread. */
void doomed_add(const char *path);
void doomed_remove(const char *path);
void doomed_clear(void);
/* Writes a file beside its place by `write`, which says whether it could, and renames it when it is
 * complete. False, with errno: nothing is left, an older file is as it was. */
bool replace_file(const char *path, bool (*write)(FILE *f, const void *context),
                  const void *context);

/* The model of -m, RUNNEL_MODEL, the install prefix or the source tree. NULL after a complaint,
 * with *code. */
rnl_model *open_model(const options *o, int *code);
/* Puts threads, context, longest clip, memory, seed and KV cache of the options over what stands in
 * config. False after a complaint about usage. */
bool session_options(const options *o, rnl_session_config *config);
/* A session with the options' threads, context, memory. NULL after a complaint, with *code. */
rnl_session *open_session(const options *o, rnl_model *model, int *code);
/* The model's defaults for a mode with the options' sampling and limits in place. */
rnl_turn_config turn_config(const options *o, const rnl_model *model, rnl_mode mode);

/* Seconds since some fixed moment, monotonic. */
double now_seconds(void);
/* Whether colours may be written to fd: a terminal, and NO_COLOR is not set or empty
 * (no-color.org). */
bool colour_allowed(int fd);
/* Columns of the terminal of stderr; 80 where it does not tell. */
int terminal_columns(void);

#endif
