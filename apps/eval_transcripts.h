/* runnel eval --task transcripts: how likely a model finds what was said. docs/MODEL.md, part
 * learn.md 1.6. */
#ifndef APPS_EVAL_TRANSCRIPTS_H
#define APPS_EVAL_TRANSCRIPTS_H

#include "apps/options.h"

/* options.data: references (refs.h). The exit code. */
int eval_transcripts(const options *o);

#endif
