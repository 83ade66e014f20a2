/* runnel eval --task frames: how likely a model finds frames of codes for a text. docs/MODEL.md,
 * part learn.md 1.6. */
#ifndef APPS_EVAL_FRAMES_H
#define APPS_EVAL_FRAMES_H

#include "apps/options.h"

/* options.data: lines with text, and codes, the path of an array [codebooks, frames] (.npy). The
 * exit code. */
int eval_frames(const options *o);

#endif
