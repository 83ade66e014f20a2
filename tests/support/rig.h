/* What most tests start from: a model of tests/data with a session, sound from a WAV file, and a
 * whole turn run to its end. Every function fails the running test when something is wrong. */
#ifndef TESTS_SUPPORT_RIG_H
#define TESTS_SUPPORT_RIG_H

#include <runnel/runnel.h>

/* path relative to tests/data, or absolute. */
rnl_model *rig_model(const char *path);      /* exact: what meets the goldens */
rnl_model *rig_model_fast(const char *path); /* as people open it: packed, KV F16 */
/* By the plainest kernels, of whose memory TSan sees every access (kernels/CMakeLists.txt). */
rnl_model *rig_model_scalar(const char *path, bool exact);
/* At a level of kernels; NULL: this machine has it not. */
rnl_model *rig_model_at(const char *path, const char *level);
/* Small: context 512, clips of 12 s, threads as given. */
rnl_session *rig_session(rnl_model *model, int thread_count);

/* Samples [begin, end) of a 16-bit mono WAV file, divided by 32768. free() them. path as above. */
float *rig_wav(const char *path, size_t begin, size_t end);
size_t rig_wav_count(const char *path); /* samples of the file */

typedef struct rig_result {
    char *text;
    float *samples;
    size_t sample_count;
} rig_result;
/* Steps a begun reply to its end, pulling everything. */
rig_result rig_run(rnl_session *s);
void rig_free(rig_result *r);

/* Greedy turn with the interleave of the model. */
void rig_begin(rnl_session *s, rnl_mode mode, int step_max);
void rig_text(rnl_session *s, rnl_role role, const char *text);
/* Clip A of the reference data: question.wav 0..31999. */
void rig_clip_a(rnl_session *s);

/* 1 when RUNNEL_TEST_SHORT asks for shorter loops (sanitizers), else long_count. */
int rig_rounds(int long_count);

#endif
