/* Runnel: speech-to-speech with LFM2-Audio models, on the user's own machine.
 *
 * A model is loaded once and never changes; any number of sessions share it. A session is one
 * conversation: it takes text and sound, then generates text and sound. The library opens no
 * device, prints nothing, reads no environment variable and never ends the process.
 *
 *     rnl_session_add_audio(s, samples, count, 16000, &error);
 *     rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_INTERLEAVED);
 *     rnl_session_begin(s, &turn, &error);
 *     while ((st = rnl_session_step(s, &error)) >= 0 && st != RNL_DONE) { pull text, pull samples }
 *
 * Threads: a model may be used by many threads at once; a session by one thread at a time.
 * Errors: a negative status; the rnl_error, when given, then holds one sentence that names what is
 * wrong, where, and what to do. A call that fails has changed nothing, except where it says so. */
#ifndef RUNNEL_RUNNEL_H
#define RUNNEL_RUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RNL_MUST_USE __attribute__((warn_unused_result))
#define RNL_API __attribute__((visibility("default")))
#else
#define RNL_MUST_USE
#define RNL_API
#endif

/* Every status: name, value, sentence. "Not now" and "finished" are values, not errors (> 0). */
#define RNL_STATUS_LIST(X)                                                                         \
    X(RNL_OK, 0, "done, or more work waits")                                                       \
    X(RNL_AGAIN, 1, "not now: take or give something first")                                       \
    X(RNL_DONE, 2, "nothing is left to do")                                                        \
    X(RNL_ERR_ARGUMENT, -1, "an argument is out of its range")                                     \
    X(RNL_ERR_STATE, -2, "the call does not fit what the object is doing")                         \
    X(RNL_ERR_DATA, -3, "the data is damaged or out of range")                                     \
    X(RNL_ERR_FORMAT, -4, "the file is damaged or of another format")                              \
    X(RNL_ERR_UNSUPPORTED, -5, "the model is recognised, but not supported")                       \
    X(RNL_ERR_IO, -6, "the file cannot be read or written")                                        \
    X(RNL_ERR_MEMORY, -7, "memory is exhausted")                                                   \
    X(RNL_ERR_BUDGET, -8, "the plan needs more memory than allowed")                               \
    X(RNL_ERR_CONTEXT_FULL, -9, "the conversation no longer fits into its context")                \
    X(RNL_ERR_TOO_LONG, -10, "the clip is longer than the session was made for")

typedef enum rnl_status {
#define RNL_STATUS_ENUM(name, value, sentence) name = (value),
    RNL_STATUS_LIST(RNL_STATUS_ENUM)
#undef RNL_STATUS_ENUM
} rnl_status;

enum { RNL_ERROR_TEXT_CAP = 512 };

/* What went wrong, for people. Filled only when a call returns a negative status. */
typedef struct rnl_error {
    rnl_status status;
    char text[RNL_ERROR_TEXT_CAP]; /* one sentence, UTF-8, always terminated */
} rnl_error;

/* The name ("RNL_ERR_FORMAT") and the sentence of a status. Never NULL; any thread. */
RNL_API const char *rnl_status_name(rnl_status status);
RNL_API const char *rnl_status_text(rnl_status status);

enum {
    RNL_RATE_IN = 16000,       /* Hz: what the audio tokenizer works at */
    RNL_RATE_OUT = 24000,      /* Hz: what rnl_session_pull_samples gives */
    RNL_CODEBOOK_CAP = 32,     /* most codes of one frame */
    RNL_IMAGE_VIEWS_CAP = 101, /* views of a picture */
    RNL_ALTERNATIVES_CAP = 20, /* likeliest tokens beside each of a reply */
    RNL_ADAPTER_CAP = 64,      /* files of adapters of a model */
    RNL_THREAD_CAP = 64
};

/* Threads that models and sessions take when nobody says: the physical cores this process may use,
 * no more than its control group's quota; in [1, RNL_THREAD_CAP]. Looks it up each time. */
RNL_API int rnl_thread_count_default(void);

/* ---- Model: read-only, shared ---- */

typedef struct rnl_model rnl_model;

typedef enum rnl_log_level { RNL_LOG_INFO, RNL_LOG_WARNING } rnl_log_level;
typedef void (*rnl_log_fn)(void *context, rnl_log_level level, const char *text);

/* Where weights that come next are asked for while others are multiplied. */
typedef enum rnl_prefetch {
    RNL_PREFETCH_NONE, /* nothing is asked for: left to the machine */
    RNL_PREFETCH_L1,   /* into the first-level cache of the core */
    RNL_PREFETCH_L2    /* into its second-level cache only */
} rnl_prefetch;
enum { RNL_PREFETCH_COUNT = 3 };

/* Choices of which the best differs from machine to machine. No bit depends on them; `runnel bench
 * --calibrate` measures them. */
typedef struct rnl_tuning {
    /* Most of the speed of decoding where we measured it. Default: L1 where the processor reports a
     * first-level cache of 48 KiB or more and a second-level cache of at most 1 MiB; else, and
     * where it reports none, L2. (On 64-bit ARM only the system knows: there rnl_tuning_default
     * reads the short files of /sys/devices/system/cpu/cpu0/cache.) */
    rnl_prefetch prefetch;
    bool huge_pages; /* packed weights wish for pages of 2 MiB (default true) */
    int block_kib;   /* rounded inputs multiplied at a time: [64, 4096] KiB, default 256; half of
                      * a core's second-level cache is about right */
} rnl_tuning;

RNL_API rnl_tuning rnl_tuning_default(void);

/* An adapter (LoRA): what a model was taught besides, small beside it. Sessions choose one by its
 * name (rnl_session_config.adapter); the model itself stays as it is. */
typedef struct rnl_adapter_config {
    const char *name; /* [1, 63] bytes. Several of one name make one set, whose effects add */
    const char *path; /* a folder of PEFT's (adapter_config.json) or a GGUF adapter */
    float scale;      /* of its effect, [-1000, 1000]; 1: as it was taught */
} rnl_adapter_config;

/* Stages of a model that a device can take, one by one. */
enum {
    RNL_DEVICE_ENCODER = 1, /* clips */
    RNL_DEVICE_PREFILL = 2, /* what is read: many positions at once */
    RNL_DEVICE_DECODE = 4,  /* decisions, one by one */
    RNL_DEVICE_DEPTH = 8,   /* the codes of a frame */
    RNL_DEVICE_STAGES = 15  /* all of them */
};

/* Who computes a model's layers: the CPU, or a device beside it. Drivers' libraries are opened when
 * a device is wanted, and need not be there: a device that cannot be used, computes wrong products
 * of the model's own matrices, or is lost later, is refused with one line to the model's log, and
 * the CPU goes on where it was, in the middle of an answer, too. Outputs of a device may differ
 * from the CPU's in their last bits. */
typedef struct rnl_device_config {
    const char *device; /* "cpu" (default); "gpu" by OpenCL, "npu" by ONNX Runtime: all stages that
                         * it can; "gpu:NAME", "npu:NAME": the first whose name or driver contains
                         * NAME, whatever the case; "auto": the first of all, for `measured` */
    unsigned measured;  /* stages (RNL_DEVICE_*) in which it was measured to be faster than the CPU
                        * here; of these alone "auto" takes it. Default 0 */
    const char *opencl_path;      /* libOpenCL; NULL (default): where the system finds libraries */
    const char *onnx_path;        /* libonnxruntime; likewise */
    const char *provider_path;    /* execution provider that is a library of its own (QNN, OpenVINO,
                                * ...); NULL (default): those within ONNX Runtime */
    const char *provider_options; /* "key=value,key=value" for the provider; NULL (default): none */
    const char *cache_path; /* an existing folder that keeps what drivers compile for a device;
                             * NULL (default): nothing is kept */
    int context_cap; /* positions that an NPU is prepared for; longer conversations are the CPU's:
                      * [64, 1048576], default 4096 */
    int deadline_ms; /* a pass that takes longer is repeated by the CPU, and the device given up:
                      * what it may still touch stays in memory until the process ends. [10,
                      * 600000], default 10000 */
} rnl_device_config;

RNL_API rnl_device_config rnl_device_config_default(void);

typedef struct rnl_model_config {
    const char
        *mmproj_path; /* encoder or tower GGUF; NULL (default): found beside the first file */
    const char *vocoder_path;   /* depthformer GGUF; NULL: likewise */
    const char *tokenizer_path; /* detokenizer GGUF; NULL: likewise */
    bool exact;                 /* float32 inputs and KV cache in every product: what meets the
                                 * reference, slowly; default false: inputs of eight bits, KV F16 */
    const char *cpu;            /* kernel level: "scalar", "avx2", "avxvnni", "avx512", ...; NULL
                                 * (default): the best here, but neither "avx512_bf16" nor "amx",
                                 * whose prefills have other bits */
    const rnl_adapter_config *adapters; /* [adapter_count] opened with the model; copied. Default:
                                         * NULL and 0 */
    size_t adapter_count;               /* [0, RNL_ADAPTER_CAP] */
    const rnl_device_config *device;    /* copied; NULL (default): the CPU alone */
    const rnl_tuning *tuning;           /* copied; NULL: defaults */
    int thread_count;                   /* that open it, [1, RNL_THREAD_CAP]; default:
                                 * rnl_thread_count_default(). They are gone when it is open */
    rnl_log_fn log; /* NULL (default): nothing is logged. Called while opening, and by the
                     * thread of a session when a device is lost */
    void *log_context;
    /* While weights are packed, behind each of their tensors, with bytes done and of all: seconds
     * of work for large models. Called while opening only, by the thread that opens. NULL
     * (default): not called */
    void (*progress)(void *context, size_t done, size_t total);
    void *progress_context;
} rnl_model_config;

RNL_API rnl_model_config rnl_model_config_default(void);

/* Opens a model: a GGUF bundle, the first file of an official GGUF set, or a Hugging Face
 * directory. Weights are mapped, not read, adapters, too; the files must not shrink while the model
 * lives (touching what is gone raises SIGBUS). config may be NULL (defaults).
 * RNL_ERR_IO, RNL_ERR_FORMAT, RNL_ERR_UNSUPPORTED, RNL_ERR_MEMORY,
 * RNL_ERR_ARGUMENT: this machine has no such level; a tuning, thread_count or the name or scale of
 * an adapter out of its range. An adapter of another model is RNL_ERR_FORMAT. */
RNL_API RNL_MUST_USE rnl_status rnl_model_open(const char *path, const rnl_model_config *config,
                                               rnl_model **model, rnl_error *error);
/* Closes it; all its sessions must be gone. NULL is fine; sets NULL. */
RNL_API void rnl_model_close(rnl_model **model);

/* What computes the model's layers: "cpu", or the kind and name of a device, "gpu Adreno (TM) 740",
 * as long as it is usable; lives as long as the model. *stages, or NULL: those of RNL_DEVICE_* that
 * it has, 0 with "cpu". Any thread. */
RNL_API const char *rnl_model_device(const rnl_model *model, unsigned *stages);

/* What a session can be asked for. Audio is generated by SPEAK and INTERLEAVED only. */
typedef enum rnl_mode {
    RNL_MODE_INTERLEAVED, /* text and speech in turns: a spoken conversation */
    RNL_MODE_TRANSCRIBE,  /* speech in, its text out */
    RNL_MODE_SPEAK,       /* text in, speech out */
    RNL_MODE_TEXT         /* text out */
} rnl_mode;
enum { RNL_MODE_COUNT = 4 };

typedef struct rnl_model_info {
    const char *name;    /* from the file, or "" */
    const char *codec;   /* "lfm", "mimi" or "none" */
    bool takes_audio;    /* has an audio encoder */
    bool gives_audio;    /* has a depthformer and a codec */
    bool takes_images;   /* has a vision tower */
    int layer_count;     /* backbone */
    int width;           /* backbone */
    int vocab_count;     /* rows of the text embedding */
    int codebook_count;  /* codes per frame; 0 without audio */
    int context_trained; /* positions, a claim of the file */
    size_t weight_size;  /* bytes of all tensors in use */
} rnl_model_info;

/* The sets of adapters that the model was opened with, in the order of their first files. */
RNL_API int rnl_model_adapter_count(const rnl_model *model);
/* NULL behind the last. Lives as long as the model. */
RNL_API const char *rnl_model_adapter_name(const rnl_model *model, int index);

/* Strings live as long as the model. */
RNL_API void rnl_model_get_info(const rnl_model *model, rnl_model_info *info);
RNL_API bool rnl_model_can(const rnl_model *model, rnl_mode mode);
/* The system prompt that a conversation of this mode starts with when none was given; NULL for
 * none. */
RNL_API const char *rnl_model_system_prompt(const rnl_model *model, rnl_mode mode);

/* Less speech than this is none: a breath, a click, a key. */
enum { RNL_SPEECH_MS_MIN = 150 };
/* How much speech there is in a clip, in ms (of whole blocks of 32 ms), as the voice activity
 * network hears it. For callers that must not answer silence or noise: a model asked for an answer
 * makes one up. samples [count] mono, rate [4000, 768000] Hz. About 1 ms of work a second of sound;
 * allocates for the length of the call; any thread. RNL_ERR_ARGUMENT, RNL_ERR_DATA (a sample that
 * is not a number), RNL_ERR_MEMORY; *ms is 0 then. */
RNL_API RNL_MUST_USE rnl_status rnl_model_speech_ms(const rnl_model *model, const float *samples,
                                                    size_t count, int rate, double *ms,
                                                    rnl_error *error);

/* ---- Session: one conversation ---- */

typedef struct rnl_session rnl_session;

/* How the keys and values of attention are kept. */
typedef enum rnl_kv_cache {
    RNL_KV_DEFAULT, /* F16; F32 in an exact model */
    RNL_KV_F32,
    RNL_KV_F16,
    RNL_KV_Q8_0 /* eight bits, half the memory of F16 and less to read in a long conversation */
} rnl_kv_cache;

typedef struct rnl_session_config {
    int context_cap;         /* positions the conversation may hold: [64, 1048576], default 4096 */
    int thread_count;        /* [1, RNL_THREAD_CAP], default: rnl_thread_count_default() */
    double clip_seconds_max; /* longest clip of a turn: [0.1, 600], default 60 */
    int snapshot_cap;        /* slots for rnl_session_snapshot: [0, 64], default 1 */
    int step_positions;      /* of a prefill in one step at most: [1, 512], default 128. More are
                              * faster as a whole, fewer keep a step short; no bit depends on it */
    int kept_places;         /* places of a conversation from which the next one can go on
                              * (rnl_session_renew): [0, 64], default 0: none. Each takes the memory
                              * of the layers' fixed state, and now and then a prefill is cut for
                              * one */
    int alternatives_max;    /* of a turn: [0, RNL_ALTERNATIVES_CAP], default 0 */
    int image_views_max;    /* views of a picture at most, for which room is made: [0, 101], default
                              * 0: no pictures. rnl_image_views_max says how many the model's
                              * pictures can have. Nothing to a model that takes none */
    size_t memory_size_max; /* bytes of session memory allowed, default SIZE_MAX (no limit) */
    uint64_t seed;          /* of the sampler, any value, default 0 */
    rnl_kv_cache kv_cache;  /* default RNL_KV_DEFAULT; Q8_0 needs heads of 32, 64, ... values */
    bool drop_oldest_turns; /* a full context drops the oldest turns, a question with its answers
                              * (never the system prompt), instead of refusing; default false */
    const char *adapter;    /* the model's set of that name speaks; copied. NULL (default): none,
                              * the model as it is */
    float adapter_scale;    /* of its effect, [-1000, 1000], default 1; 0: as without it */
} rnl_session_config;

RNL_API rnl_session_config rnl_session_config_default(void);
/* The same for this model, which is what sessions get without a config: a mixture of experts takes
 * step_positions 512, because each of its steps reads all experts that some position has chosen. */
RNL_API rnl_session_config rnl_session_config_for(const rnl_model *model);

/* Where the memory of a session goes, in bytes. Nothing else is ever allocated. */
typedef struct rnl_memory_plan {
    size_t kv_cache;    /* attention keys and values */
    size_t history;     /* embeddings of the conversation, emitted tokens */
    size_t tokenizer;   /* clip, mel, encoder */
    size_t vision;      /* a picture's views, tower */
    size_t backbone;    /* backbone and depthformer working memory */
    size_t detokenizer; /* codec state and working memory */
    size_t snapshots;   /* all slots */
    size_t scratch;     /* panels of dequantised weights, queues */
    size_t total;
} rnl_memory_plan;

/* The plan without creating anything. RNL_ERR_ARGUMENT names the field out of range, or the adapter
 * that the model has not;
 * RNL_ERR_UNSUPPORTED: the model's heads cannot be kept as kv_cache says. */
RNL_API RNL_MUST_USE rnl_status rnl_session_plan(const rnl_model *model,
                                                 const rnl_session_config *config,
                                                 rnl_memory_plan *plan, rnl_error *error);

/* Creates a session on a model, which must outlive it. config may be NULL (defaults).
 * RNL_ERR_ARGUMENT, RNL_ERR_UNSUPPORTED, RNL_ERR_MEMORY, RNL_ERR_BUDGET (the plan exceeds
 * memory_size_max). */
RNL_API RNL_MUST_USE rnl_status rnl_session_create(rnl_model *model,
                                                   const rnl_session_config *config,
                                                   rnl_session **session, rnl_error *error);
RNL_API void rnl_session_destroy(rnl_session **session); /* NULL is fine; sets NULL */

/* Back to the state after create: no history, sampler at its seed. Snapshots become invalid. */
RNL_API void rnl_session_reset(rnl_session *session);

/* The same with another seed, but what went through the model is remembered: as far as the content
 * that is added now is that of the conversation before, from its first position on, it does not go
 * through again, and clips and pictures are not encoded again. One of config.kept_places, or of the
 * last reply, has to lie before the end of what is the same; without kept_places this is a reset.
 * Texts are the same by their tokens, clips and pictures by sums of 128 bits. No bit of what comes
 * depends on it. */
RNL_API void rnl_session_renew(rnl_session *session, uint64_t seed);
/* Positions that did not go through again since renew; *audio_count, or NULL: of these, of clips.
 */
RNL_API int rnl_session_reused_count(const rnl_session *session, int *audio_count);

/* -- Content. Calls of one role in a row make one turn. All of it is RNL_ERR_STATE while a reply
 * is being generated (between begin and RNL_DONE), and RNL_ERR_CONTEXT_FULL when it does not fit.
 * With drop_oldest_turns that is said only of what would not fit either if the conversation had
 * just begun: the system prompt and the question under way stay, of the others the oldest go, each
 * with its answers.
 * Clips and pictures are encoded one at a time, by rnl_session_step. While one is
 * (RNL_STAGE_ENCODE), what would end or add another gives RNL_AGAIN and does nothing: step, then
 * call again. Only push goes on. */

typedef enum rnl_role {
    RNL_ROLE_SYSTEM,
    RNL_ROLE_USER,
    RNL_ROLE_ASSISTANT,
    RNL_ROLE_TOOL /* the result of a call; each text is a message of its own */
} rnl_role;

/* Adds UTF-8 text (copied as tokens; what looks like a special token stays plain text). A system
 * text must come first in a conversation. A clip that is open is ended first, and stays ended if
 * the text is refused. size 0 adds nothing. RNL_ERR_DATA: not UTF-8. RNL_AGAIN: see above. */
RNL_API RNL_MUST_USE rnl_status rnl_session_add_text(rnl_session *session, rnl_role role,
                                                     const char *text, size_t size,
                                                     rnl_error *error);

/* Adds one clip of the user: mono samples in [-1, 1] at rate Hz, [4000, 768000]. Copied.
 * RNL_ERR_DATA: NaN or infinite sample, shorter than 20 ms; RNL_ERR_TOO_LONG: over
 * clip_seconds_max; RNL_ERR_UNSUPPORTED: the model has no encoder. RNL_AGAIN: see above. */
RNL_API RNL_MUST_USE rnl_status rnl_session_add_audio(rnl_session *session, const float *samples,
                                                      size_t count, int rate, rnl_error *error);

/* Makes room for position_count more positions now, where add and begin would make it when they
 * are called: with drop_oldest_turns the oldest turns go. RNL_ERR_CONTEXT_FULL when that is not
 * enough, or not allowed; nothing is dropped then. */
RNL_API RNL_MUST_USE rnl_status rnl_session_reserve(rnl_session *session, int position_count,
                                                    rnl_error *error);

/* The same clip in pieces, as they come from a microphone: any number of pushes of one rate, then
 * end. Any cut gives the same bits. push computes what its samples need and no more. An error of
 * push keeps the clip as it was; an error of end (too short, no room) drops the clip; RNL_AGAIN of
 * end (see above) keeps it open. cancel drops an open clip. */
RNL_API RNL_MUST_USE rnl_status rnl_session_push_audio(rnl_session *session, const float *samples,
                                                       size_t count, int rate, rnl_error *error);
RNL_API RNL_MUST_USE rnl_status rnl_session_end_audio(rnl_session *session, rnl_error *error);
RNL_API void rnl_session_cancel_audio(rnl_session *session);

/* How a picture is looked at. A picture becomes one view, or, when it is large, tiles and a view of
 * the whole; a view takes a position of the conversation for each 32 x 32 pixels of it. */
typedef struct rnl_image_config {
    int token_min, token_max; /* positions of a view of the whole: [1, token_max], [1, 4 times the
                               * model's]; defaults: the model's, 64 and 256 as released */
    bool splits;              /* large pictures into tiles; default: as the model does */
} rnl_image_config;
/* Of a model that takes_images. */
RNL_API rnl_image_config rnl_image_config_default(const rnl_model *model);

/* What a picture takes. */
typedef struct rnl_image_plan {
    int view_count;
    int position_count; /* with the marks around and between the views */
} rnl_image_plan;
/* config NULL: the default. RNL_ERR_UNSUPPORTED: the model takes no pictures; RNL_ERR_ARGUMENT:
 * config out of its ranges; RNL_ERR_DATA: a side outside 1 to 65535 pixels; RNL_ERR_TOO_LONG: so
 * long a stripe that one view would be beyond 4 times the model's token_max. */
RNL_API RNL_MUST_USE rnl_status rnl_model_image_plan(const rnl_model *model, int width, int height,
                                                     const rnl_image_config *config,
                                                     rnl_image_plan *plan, rnl_error *error);
/* The views of any picture of this model at most; 0 for one that takes none. */
RNL_API int rnl_image_views_max(const rnl_model *model);

/* Adds a picture to the user's turn, where it stands among texts and clips. pixels [height rows of
 * stride bytes, width, 3]: R, G, B, row 0 on top; looked at during the call only, which resizes
 * them (some 10 ms a megapixel). The errors of rnl_model_image_plan, and RNL_ERR_ARGUMENT: pixels
 * NULL, stride below 3 * width; RNL_ERR_STATE: image_views_max is 0; RNL_ERR_TOO_LONG: more views
 * than that. A clip that is open is ended first. RNL_AGAIN: see above. */
RNL_API RNL_MUST_USE rnl_status rnl_session_add_image(rnl_session *session, const uint8_t *pixels,
                                                      int width, int height, size_t stride,
                                                      const rnl_image_config *config,
                                                      rnl_error *error);

/* -- Generation. */

/* Applied in this order: penalty, temperature, top_k, top_p, min_p; then one is drawn. */
typedef struct rnl_sampling {
    float temperature; /* 0 = greedy, else (0, 2] */
    int top_k;         /* 1 = greedy, k keeps the k best (and ties); INT32_MAX keeps all */
    float top_p;       /* keeps the best that have this probability together, (0, 1]; 1 keeps all */
    float min_p; /* keeps what has this share of the best one's probability, [0, 1]; 0 = all */
    float repeat_penalty; /* [0.1, 10]: logits of ids that the conversation has already, each once,
                           * are divided by it, negative ones multiplied; 1 = none. Of text only */
} rnl_sampling;

/* A temperature and a top_k alone: all of what these keep, no penalty. */
RNL_API rnl_sampling rnl_sampling_plain(float temperature, int top_k);

/* What a reply is held to: runnel_chat.h. */
typedef struct rnl_constraint rnl_constraint;

typedef struct rnl_turn_config {
    rnl_mode mode;
    rnl_sampling text; /* defaults: the model's own for this mode (audio.md 7.2, 7.3) */
    rnl_sampling audio;
    int step_max;  /* backbone steps of the reply, [1, 1048576]; 512, interleaved 1024 */
    int text_run;  /* interleaved: text tokens before frames, [1, 64]; from the model */
    int audio_run; /* interleaved: frames before text, [1, 256]; from the model */
    /* Tools that the reply may call, and the form of an answer in RNL_MODE_TEXT (runnel_chat.h).
     * They outlive the reply. Default NULL: no calls, any text. */
    rnl_constraint *tools, *answer;
    int alternatives;   /* ids whose log-probabilities are kept with each of the reply's text:
                         * [0, alternatives_max of the session], default 0 */
    bool call_required; /* the reply is a call (default false) */
    bool calls_free;    /* calls are not held to the parameters of the tools (default false) */
} rnl_turn_config;

RNL_API rnl_turn_config rnl_turn_config_default(const rnl_model *model, rnl_mode mode);

/* Closes the user's turn and opens the reply. A conversation without any content gets the system
 * prompt of the mode first. A clip that is open is ended first, and stays ended if there is no room
 * for the reply. turn is copied. RNL_ERR_UNSUPPORTED: the model cannot do this mode. RNL_AGAIN: a
 * clip is open and the one before it is being encoded. RNL_ERR_ARGUMENT: a setting is out of its
 * range, or step_max below the shortest answer of the form. */
RNL_API RNL_MUST_USE rnl_status rnl_session_begin(rnl_session *session, const rnl_turn_config *turn,
                                                  rnl_error *error);

/* A bounded piece of work: a block of the encoder or a layer of the tower, up to step_positions of
 * a prefill, or one position with its frame. Also valid before begin: it then encodes and prefills
 * what was added. RNL_OK: more waits. RNL_AGAIN: text or samples must be pulled first. RNL_DONE:
 * nothing to do; the reply, if one was begun, is complete. Negative: the reply is lost, only reset
 * or destroy (RNL_ERR_FORMAT: the weights give values that are not numbers). */
RNL_API RNL_MUST_USE rnl_status rnl_session_step(rnl_session *session, rnl_error *error);

/* What the next step works at. */
typedef enum rnl_stage {
    RNL_STAGE_IDLE,
    RNL_STAGE_ENCODE,
    RNL_STAGE_PREFILL,
    RNL_STAGE_GENERATE
} rnl_stage;
RNL_API rnl_stage rnl_session_stage(const rnl_session *session);

/* Takes text of the reply: whole UTF-8 characters, special tokens left out, at most cap bytes
 * (cap >= 4). RNL_OK: *size > 0. RNL_AGAIN: none yet. RNL_DONE: the reply is over and all taken. */
RNL_API RNL_MUST_USE rnl_status rnl_session_pull_text(rnl_session *session, char *text, size_t cap,
                                                      size_t *size);
/* Takes mono samples at RNL_RATE_OUT; not clipped to [-1, 1]. Returns as pull_text. */
RNL_API RNL_MUST_USE rnl_status rnl_session_pull_samples(rnl_session *session, float *samples,
                                                         size_t cap, size_t *count);

/* Ends the reply after what was emitted, as if the step limit had been reached. */
RNL_API void rnl_session_stop(rnl_session *session);

/* Cuts the last reply back to what a listener heard of it before interrupting; sample_count:
 * samples of it, as pulled, that were played. The history becomes the reply as emitted up to the
 * last frame whose first sample was played, and the end of the turn, as if rnl_session_stop had
 * been called right after that frame: text before it stays, also where the sound had not caught
 * up, the sampler stands as it stood there, and what was not pulled is dropped. With 0 samples an
 * empty reply stays; a complete reply that was played to its end stays as it is. While the reply
 * is being generated, or after it as long as nothing was added (else RNL_ERR_STATE). Costs no
 * model work now; the next steps prefill at most what was said since the reply began. */
RNL_API RNL_MUST_USE rnl_status rnl_session_rewind(rnl_session *session, size_t sample_count,
                                                   rnl_error *error);

/* Estimates which words of the reply are spoken in its first sample_count samples: text in
 * proportion to sound, the pace being that of the reply when its last frame is known, else that of
 * the session's earlier replies. Whole words, at most cap bytes, not terminated. Call before
 * rewind. RNL_OK: *size > 0; RNL_AGAIN: not one word. How far it is off: docs/LATENCY.md. */
RNL_API RNL_MUST_USE rnl_status rnl_session_heard_text(const rnl_session *session,
                                                       size_t sample_count, char *text, size_t cap,
                                                       size_t *size);

typedef enum rnl_finish {
    RNL_FINISH_NONE,    /* no reply yet, or still going */
    RNL_FINISH_END,     /* the model ended its turn */
    RNL_FINISH_LIMIT,   /* step_max reached */
    RNL_FINISH_CONTEXT, /* the context is full */
    RNL_FINISH_STOPPED  /* rnl_session_stop, rnl_session_rewind */
} rnl_finish;
RNL_API const char *rnl_finish_name(rnl_finish finish); /* "end", "limit", ... */

/* The reply as emitted by the loops of audio.md 7.5 and 7.6. Pointers stay valid until the next
 * begin, restore, reset or destroy. */
typedef struct rnl_reply {
    rnl_mode mode;
    rnl_finish finish;
    size_t position_count; /* emitted positions: text_count + frame_count */
    const char *modality;  /* [position_count] 't' or 'a', not terminated */
    size_t text_count;     /* token ids, special ones included */
    const int32_t *text_ids;
    const float *text_confidences; /* [text_count] log-probability of each at temperature 1, <= 0 */
    /* What the model held most probable beside each, best first, likewise: the first
     * alternative_count (those of the turn) of each row of [text_count, alternatives_max of the
     * session]. */
    int alternative_count;
    const int32_t *alternatives;
    const float *alternative_confidences;
    size_t frame_count;    /* frames, end frames included */
    const int32_t *frames; /* [frame_count, codebook_count] */
    int codebook_count;
} rnl_reply;
RNL_API void rnl_session_get_reply(const rnl_session *session, rnl_reply *reply);

/* Positions of the conversation so far (prompt and replies), of context_cap. */
RNL_API int rnl_session_position_count(const rnl_session *session);

/* Keeps or brings back the whole state of the conversation; slot in [0, snapshot_cap). A clip that
 * is open at RNL_RATE_IN belongs to it: a guessed end of speech can be taken back, and the clip
 * goes on. Not inside a clip of another rate or while anything is being encoded (RNL_ERR_STATE),
 * nor after reset, dropped turns or, for an open clip, the beginning of another clip have made the
 * slot invalid (RNL_ERR_STATE). Restoring makes slots with later states invalid. Cheap: copies the
 * small states, not the KV cache. */
RNL_API RNL_MUST_USE rnl_status rnl_session_snapshot(rnl_session *session, int slot,
                                                     rnl_error *error);
RNL_API RNL_MUST_USE rnl_status rnl_session_restore(rnl_session *session, int slot,
                                                    rnl_error *error);

/* The version of the library, "0.1.0". */
RNL_API const char *rnl_version(void);

#ifdef __cplusplus
}
#endif
#endif
