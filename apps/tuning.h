/* What `runnel bench --calibrate` found for this machine, kept in the user's cache folder
 * ($XDG_CACHE_HOME or ~/.cache)/runnel/tuning.json:
 *
 *     {"cpu":"AMD EPYC 26 2","prefetch":"L1","huge_pages":true,"block_kib":512,
 *      "passes":[{"model":"0f3c...","level":"avx512","threads":2,
 *                 "rows":[1,2,4],"text_us":[9.1e3,...],"frame_us":[2.1e4,...]}],
 *      "devices":[{"model":"0f3c...","level":"avx512","threads":2,"device":"gpu:Adreno 740",
 *                  "stages":["encoder","prefill"]}]}
 *
 * where prefetch is "none", "L1" or "L2"; older files say true for L1 and false for none, and
 * have no passes and no devices. It changes the speed and no bit, but for `--device auto`. A file
 * of another processor is passed over. */
#ifndef APPS_TUNING_H
#define APPS_TUNING_H

#include <runnel/runnel_batch.h>

#include "apps/fingerprint.h"
#include "core/json.h"

enum {
    TUNING_PATH_CAP = 4096,
    TUNING_LEVEL_CAP = 16,
    TUNING_ROWS_CAP = 16,    /* numbers of rows that a model was measured with */
    TUNING_PASSES_CAP = 16,  /* models, each at a level and with so many threads */
    TUNING_DEVICES_CAP = 16, /* likewise, each on a device */
    TUNING_DEVICE_CAP = 160
};

/* What passes of a batch take of one model, its tensors' names, types and shapes. */
typedef struct tuning_passes {
    char model[FINGERPRINT_SIZE]; /* fingerprint_shapes */
    char level[TUNING_LEVEL_CAP]; /* of the kernels */
    int threads;
    int count;                        /* [1, TUNING_ROWS_CAP], of the next three */
    int rows[TUNING_ROWS_CAP];        /* [1, 256] decisions in the pass */
    double text_us[TUNING_ROWS_CAP];  /* all of them tokens, > 0 */
    double frame_us[TUNING_ROWS_CAP]; /* all of them frames; 0: the model makes none */
} tuning_passes;

/* In which stages a device computes one model faster than so many threads of the CPU at a level. */
typedef struct tuning_device {
    char model[FINGERPRINT_SIZE]; /* fingerprint_shapes */
    char level[TUNING_LEVEL_CAP];
    int threads;
    char device[TUNING_DEVICE_CAP]; /* as --device names it */
    unsigned stages;                /* RNL_DEVICE_*; 0: in none */
} tuning_device;

typedef struct tuning {
    rnl_tuning choices;
    tuning_passes passes[TUNING_PASSES_CAP]; /* the newest first */
    int passes_count;
    tuning_device devices[TUNING_DEVICES_CAP]; /* likewise */
    int device_count;
} tuning;

/* What the file calls them; rnl_prefetch in order. */
extern const char *const tuning_prefetch_names[RNL_PREFETCH_COUNT];

/* The kept tuning of this machine. False: there is none, and *out is empty. A file that is damaged
 * is complained of on stderr, unless quiet, and counts as none. */
bool tuning_read(tuning *out, bool quiet);
/* Where it is kept: makes the folder. EXIT_OK or the code of a complaint. */
int tuning_prepare(char path[TUNING_PATH_CAP]);
/* Keeps it there. EXIT_OK or the code of a complaint. */
int tuning_write(const char *path, const tuning *t);
/* As one object of JSON. */
json_draft *tuning_json(const tuning *t);

/* Puts what was measured before what is known, in the place of older times of the same model, level
 * and threads; the oldest go. */
void tuning_add_passes(tuning *t, const tuning_passes *passes);
/* Gives the batch the times that were kept of its model with so many threads, as far as it makes so
 * many decisions in a pass. Returns how many numbers of rows that were; 0: nothing is known. */
int tuning_give_times(const tuning *t, const rnl_model *model, int thread_count, rnl_batch *batch);

/* Puts what was measured before what is known, in the place of older of the same model, level,
 * threads and device; the oldest go. */
void tuning_add_device(tuning *t, const tuning_device *device);
/* The newest device that is faster in a stage of the model with so many threads; NULL: none. */
const tuning_device *tuning_find_device(const tuning *t, const rnl_model *model, int thread_count);

#endif
