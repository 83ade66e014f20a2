/* A device that is none: a row of stack/device.h that computes with the CPU's kernels on copies of
 * its own, so that its bits are the CPU's, and that fails in the ways that drivers do. It keeps a
 * copy of each state and trusts it up to `unseen`. One at a time. */
#ifndef TESTS_SUPPORT_FAKE_DEVICE_H
#define TESTS_SUPPORT_FAKE_DEVICE_H

#include "devices/devices.h"

/* What goes wrong; all zero: nothing. Set before it is opened. */
typedef struct fake_plan {
    const char *no_library; /* open: a sentence */
    const char *no_memory;  /* load, of stacks and encoders: a sentence */
    bool no_states;         /* attach refuses */
    bool lacks_depth;       /* load refuses the second stack */
    int wrong_row;          /* of the second matrix that is checked, counted from 1 */
    float noise;            /* of outputs / their rms, in products */
    float bound;            /* 0: bits */
    int lost_at;            /* pass that fails, counted from 1, as all behind it */
    int hangs_at;           /* pass that never comes back */
    bool hangs_opening;     /* open likewise */
    bool torn;              /* a pass that fails has done half its work */
} fake_plan;

extern const device_kind fake_row; /* kind "npu", named "Fake NPU" */

void fake_begin(const fake_plan *plan);
int fake_passes(void); /* begun since fake_begin */
int fake_clips(void);  /* likewise, by the encoder */
int fake_open(void);   /* things open: devices, stacks, encoders, states */
#endif
