/* Schemas at random, of the keywords that grammars hold: for tests that make texts of them. */
#ifndef TESTS_SUPPORT_SCHEMAS_H
#define TESTS_SUPPORT_SCHEMAS_H

#include "chat/text.h"
#include "core/random.h"

/* A schema as JSON; with definitions that it refers to, also to itself. */
void schema_random(random_state *r, chat_text *out);
/* A list of one to four tools with such parameters. */
void tools_random(random_state *r, chat_text *out);
/* Whether text is one value that the schema accepts. */
bool schema_accepts_text(const json *schema, const char *text, size_t size);
/* Whether the parameters of a tool, by its name, accept arguments. */
bool tools_accept(const json *tools, const json *call);

#endif
