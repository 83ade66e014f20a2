/* Runnel: speech-to-speech with LFM2-Audio models, on the user's own machine.
 *
 * A model is loaded once and never changes; any number of sessions share it. A session is one
 * conversation: it takes text and sound, then generates text and sound. The library opens no
 * device, prints nothing, reads no environment variable and never ends the process.
 *
 *     rnl_session_add_audio(s, samples, count, 16000, &error);
 *     rnl_session_begin(s, RNL_MODE_INTERLEAVED, &error);
 *     while ((st = rnl_session_step(s, &error)) == RNL_OK) { pull text, pull samples }
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

#ifdef __cplusplus
}
#endif
#endif
