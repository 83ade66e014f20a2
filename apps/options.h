/* The options of the commands: what was given, and the rows that say what may be given. A command
 * names lists of rows: one or more that several commands share, and one of its own in its file. A
 * new option is one new row, in its list. */
#ifndef APPS_OPTIONS_H
#define APPS_OPTIONS_H

#include <stddef.h>

#include <runnel/runnel.h>

/* The values of an option that may be given several times, in their order. */
typedef struct option_texts {
    const char *at[64];
    int count;
} option_texts;

/* Of `runnel serve`. */
typedef struct serve_options {
    const char *host, *alias, *key_file, *tls_cert, *tls_key;
    option_texts names, origins, proxies, wyoming_allow, audiosocket_allow;
    option_texts adapters;                                            /* NAME=FILE[:SCALE] */
    int port, sessions, sessions_of_key, drain_seconds, slow_seconds; /* -1: not given */
    int session_seconds, resume_seconds, truncate_wait_ms;            /* -1: not given */
    double oversubscribe;                                             /* -1: not given */
    size_t message_max, upload_max;                                   /* 0: not given */
    const char *log_format, *sandbox, *wyoming, *audiosocket;
    bool plain, strict_model, ffmpeg, help_limits, no_page, metrics_open, log_content;
    bool beta, half_duplex, no_speculation; /* realtime */
} serve_options;

/* Of `runnel measure`. */
typedef struct measure_options {
    const char *reference, *device, *push, *program, *folder;
    int rounds, again, timeout; /* -1: not given */
    bool table, no_times;
} measure_options;

/* Of `runnel search`. */
typedef struct search_options {
    const char *space, *device, *objectives, *report, *corpus, *reference;
    option_texts keys;
    int evaluations, generations, population, tournament; /* -1: not given */
    double mutation, decode_ms_max, recall_min;           /* -1: not given */
    double minutes;                                       /* 0: not given */
    size_t memory_max;                                    /* 0: not given */
    uint64_t seed;                                        /* UINT64_MAX: not given */
    bool random;
} search_options;

typedef struct options {
    serve_options serve;
    measure_options measure;
    search_options search;
    const char *model, *mmproj, *vocoder, *tokenizer;
    const char *cpu;                        /* kernel level */
    const char *device;                     /* who computes; NULL: the CPU */
    option_texts device_sets;               /* KEY=VALUE */
    const char *kv;                         /* type of the KV cache */
    const char *output;                     /* -o */
    const char *system;                     /* system prompt */
    const char *voice;                      /* say */
    const char *mode, *json_schema, *think; /* chat */
    const char *tools;                      /* chat, talk */
    const char *type;                       /* convert */
    const char *format;                     /* convert: bundle or set */
    const char *encoder_type;               /* convert */
    const char *pack;                       /* convert: kernel level */
    const char *onnx;                       /* convert: a folder */
    const char *sets[64];                   /* convert: KEY=VALUE */
    const char *input, *record, *trace;     /* talk */
    int set_count;
    const char *work, *tokens, *depth, *rows;             /* bench */
    const char *ids;                                      /* dump: a file of numbers */
    int count;                                            /* dump; -1: not given */
    int threads, context, max_tokens, top_k, audio_top_k; /* -1: not given */
    int repeat;                                           /* -1: not given */
    int interleave[2]; /* text tokens, audio frames; -1: not given */
    int end_ms[3];     /* talk: silence that ends a turn: sure, middle, long; -1: not given */
    double temperature, audio_temperature, seconds_max; /* -1: not given */
    double top_p, min_p, repeat_penalty;                /* -1: not given */
    const char *list;                                   /* files to work on, one name a line */
    const char *text_file;                              /* say, perplexity: -f */
    const char *raw_format;                   /* standard input without a header; NULL: not given */
    int channel, track;                       /* -1: not given */
    int raw_rate, raw_channels, sentence_max; /* -1: not given */
    double pause_sentence, pause_paragraph, pause_heading; /* seconds; -1: not given */
    const char *output_formats;                            /* --output-format */
    const char *output_folder;                             /* --output-dir */
    const char *shard;                                     /* "i/n" */
    const char *refs;                                      /* eval */
    int jobs;                                              /* -1: not given */
    double turn_seconds_max, sim_cost_ms;                  /* talk; -1: not given */
    int history_turns;                                     /* talk; -1: not given */
    int backchannel_ms;                                    /* talk; -1: not given */
    size_t memory_max;
    uint64_t seed;
    const char *remove; /* models */
    option_texts lora;  /* FILE[:SCALE] */
    option_texts images, videos;
    int image_tokens_min, image_tokens_max, frames_max, pixels_max; /* -1: not given */
    double fps;                                                     /* -1: not given */
    option_texts texts;                                             /* perplexity */
    const char *kl_base, *save_logits;
    int stride, chunks;                      /* -1: not given */
    option_texts data;                       /* eval, train */
    const char *task, *shots_file, *against; /* eval */
    int shots;                               /* -1: not given */
    uint64_t shots_seed;                     /* 0: not given */
    bool rolling, hf_weights, harness_bos, as_chat, shots_as_turns;
    option_texts taught; /* train, as all below: R[:ALPHA], once */
    const char *targets, *audio_targets, *learn, *validation, *from_scratch, *cache;
    int length, batch, epochs, steps, warmup, keep; /* -1: not given */
    double rate, hold, dropout;                     /* -1: not given */
    bool full, bf16, rslora, no_newline_loss, best, recompute, force;
    bool no_split;
    bool calibrate; /* bench */
    bool compute;   /* devices */
    bool exact, json, quiet, drop_oldest, sound_off, per_channel, resume, plain, colour, whole, yes;
    bool resume_damaged;
    bool free_calls;                                                          /* chat, talk */
    bool list_devices, push_to_talk, no_barge_in, no_speculation, transcribe; /* talk */
    bool sound;                                                               /* doctor */
    bool no_turn_network, no_lead_in_trim, verbose;                           /* talk */
    char **arguments;
    int argument_count;
} options;

/* How a value is written, and the type of its field. */
typedef enum option_kind {
    OPTION_FLAG,  /* takes no value; bool */
    OPTION_TEXT,  /* const char * */
    OPTION_INT,   /* int, within min and max */
    OPTION_REAL,  /* double, within min and max */
    OPTION_SIZE,  /* 500M; size_t */
    OPTION_SEED,  /* uint64_t */
    OPTION_PAIR,  /* 6:12; int[2], from 1 to min, from 1 to max */
    OPTION_TEXTS, /* as OPTION_TEXT, repeatable; option_texts */
    OPTION_WAITS, /* 350:500:900; int[3], rising, from min to max */
    OPTION_SETS   /* KEY=VALUE, repeatable; the next of options.sets */
} option_kind;

typedef struct option_row {
    const char *name;  /* without its "--" */
    char letter;       /* of its short form; 0: none */
    const char *value; /* what stands for it in the help; NULL: a flag */
    const char *help;
    option_kind kind;
    size_t offset; /* of the field in options */
    double min, max;
    /* What a command writes depends on it, for the same inputs and the same model: the contents of
     * its files or of what it prints, not where they go, how fast, or which of the inputs. */
    bool changes_result;
} option_row;

typedef struct option_list {
    const option_row *rows;
    int count;
} option_list;

#define OPTION_AT(field) offsetof(options, field)
#define OPTION_LIST(array)                                                                         \
    { (array), (int)(sizeof(array) / sizeof *(array)) }

/* What several commands take: option_lists.c. */
extern const option_list options_common; /* the model, how to compute, --quiet; of all commands */
extern const option_list options_lora;   /* adapters; of all commands that open a model */
extern const option_list options_device; /* of all commands that compute with a model */
extern const option_list options_output;
extern const option_list options_input; /* a microphone */
extern const option_list options_json;
extern const option_list options_system;
extern const option_list options_sampling; /* of text */
extern const option_list options_answer; /* the rest of sampling; length, turns of text and sound */
extern const option_list options_turns;  /* limits of a conversation and of a sound in it */
extern const option_list options_cache;
extern const option_list options_channel;
extern const option_list options_raw;    /* samples without a header */
extern const option_list options_images; /* what is shown, and how it is looked at */
extern const option_list options_resume;
extern const option_list options_tools;
extern const option_list options_recordings; /* how to work on many */

enum { OPTION_LIST_CAP = 16, OPTION_CAP = 64 }; /* of a command: lists, rows */

typedef struct command {
    const char *name;
    const char *summary;                         /* one line for `runnel --help` */
    const char *synopsis;                        /* after the name */
    const char *about;                           /* what it does, for --help; may be NULL */
    const option_list *options[OPTION_LIST_CAP]; /* in the order of the help, after the common
                                                  * ones; NULL ends them */
    int (*run)(const options *o);
    bool endless;      /* Ctrl-C is its usual end: exit code 0 */
    const char *words; /* all that its arguments may be, for completions; NULL: names of files */
} command;

/* The options of a command in the order of its help, the common ones first: row `index`, counted
 * from 0; NULL behind the last. --help and --version, which all commands take, are not among
 * them. */
const option_row *command_option(const command *c, int index);

/* Parses what follows the command's name. Returns false when the program should end with *code:
 * help was shown, or a sentence about the mistake. */
bool options_parse(options *o, const command *c, int argc, char **argv, int *code);
/* Writes the command's help. */
void command_help(const command *c);

#endif
