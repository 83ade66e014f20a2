/* The model, the session and the answer that the options ask for. */
#ifndef APPS_OPEN_H
#define APPS_OPEN_H

#include "apps/options.h"

/* Opens the model and notes its files as read (sources.h): that of -m, RUNNEL_MODEL, the install
 * prefix or the source tree; the first two may name a model of the hub that lies in the cache
 * (hub_cache.h). NULL after a complaint, with *code. */
rnl_model *open_model(const options *o, int *code);
/* The same without the complaint: its sentence is in *error. */
rnl_model *try_open_model(const options *o, int *code, rnl_error *error);
/* Puts threads, context, longest clip, memory, seed and KV cache of the options over what stands in
 * config. False after a complaint about usage. */
bool session_options(const options *o, rnl_session_config *config);
/* A session with the options' threads, context, memory. NULL after a complaint, with *code. */
rnl_session *open_session(const options *o, rnl_model *model, int *code);
/* The model's defaults for a mode with the options' sampling and limits in place. */
rnl_turn_config answer_config(const options *o, const rnl_model *model, rnl_mode mode);

#endif
