/* A grammar under construction: schema.c says what fits, build.c writes nodes and spellings. */
#ifndef CHAT_BUILD_H
#define CHAT_BUILD_H

#include "chat/grammar.h"
#include "chat/text.h"

typedef struct builder {
    grammar *g;
    const json *root; /* where $ref points into */
    const char *name; /* of the file, for sentences */
    grammar_warn_fn warn;
    void *context;
    uint64_t warned; /* keywords that were told */
    struct schema_memo *memo;
    size_t memo_count, memo_cap;
    int depth;
    rnl_status status; /* sticky */
    rnl_error *error;
} builder;

/* The node of a schema; -1 with a status. arguments: of a call. */
int32_t build_schema(builder *b, const json *schema, bool arguments);
/* Frees what only building needs, and the grammar after a failure. */
void builder_end(builder *b);

int32_t build_node(builder *b); /* NODE_IMPOSSIBLE for now */
void build_any_of(builder *b, int32_t node, const int32_t *nodes, int count);
void build_property(builder *b, const char *key, int32_t node, bool required, bool arguments);
/* Literals of a node: between begin and end nothing else is built. */
void build_literals_begin(builder *b, int32_t node);
void build_value(builder *b, const json *value);
void build_word(builder *b, const char *in_json, const char *in_python);
void build_call(builder *b, const char *name, size_t size, int32_t arguments);
void build_literals_end(builder *b, int32_t node); /* sorted, each once */

/* Shortest values of all nodes, when all are there. */
void build_needs(grammar *g);

#endif
