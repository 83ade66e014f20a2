/* Short lines of sound -> the conversation that each stands for. learn.md 4.2.
 *
 *     {"audio", "text"}                          of LEARN_TASK_ASR: heard, and what was said
 *     {"text", "audio" | "codes", "voice"}       of LEARN_TASK_TTS: read, and how it sounds
 *     {"question_audio", "answer_text", "answer_audio" | "answer_codes"}
 *
 * Each begins with the system prompt that the model has for it; "voice" may be missing. */
#ifndef LEARN_SHORT_FORM_H
#define LEARN_SHORT_FORM_H

#include "core/json.h"
#include "engine/model.h"
#include "learn/sample.h"

bool learn_is_short_form(const json *line);
/* The line as {"messages": ...}, allocated: free() it. NULL with *fault, a part of a sentence, or
 * with NULL in it: memory is exhausted. */
char *learn_short_form(const json *line, const learn_reading *how, const rnl_model *m,
                       const char **fault);

#endif
