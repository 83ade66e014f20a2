/* The answer to a question of a benchmark: the best token each time, until the end of a turn, a
 * text that ends it, or as many tokens as may be. learn.md 2.3. */
#ifndef APPS_GENERATION_H
#define APPS_GENERATION_H

#include "apps/scoring.h"
#include "apps/tasks.h"
#include "chat/text.h"

enum { GENERATION_TOKENS_DEFAULT = 256 };

/* What goes on behind the context, which is text as it stands. row_cap bounds both: of a longer
 * context the end is read. out: an empty text, the caller's to free in any case; what `stops` begin
 * is cut off. EXIT_OK, EXIT_STOPPED, or the code of a complaint. */
int generation_go_on(scorer *s, const char *name, const char *context, const task_texts *stops,
                     int token_max, chat_text *out);
/* The answer to an item in a conversation of its own (asking.h): written, or to a question that is
 * spoken the text of a reply in text and speech. */
int generation_answer(const options *o, rnl_session *session, const task_item *item,
                      const task_item *const *shots, int shot_count, int token_max, chat_text *out);

#endif
