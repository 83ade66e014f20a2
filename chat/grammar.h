/* What a text may be, byte by byte: compiled from a JSON schema (schema.c), walked by step.c.
 *
 *     schema -> nodes; a state is a few stacks of frames, each one way to read the text so far
 *
 * Two spellings: JSON, and the calls of backbone.md 4.7, `[f(a=1, b='x'), g()]`, whose arguments
 * are Python literals. Properties come in the order of the schema, others behind them, no key
 * twice. A grammar never changes; states hold no pointers and are copied as they are. */
#ifndef CHAT_GRAMMAR_H
#define CHAT_GRAMMAR_H

#include <runnel/runnel.h>

typedef struct json json; /* core/json.h */

enum {
    GRAMMAR_NEST_CAP = 16,                    /* objects and arrays within each other */
    GRAMMAR_FRAME_CAP = GRAMMAR_NEST_CAP + 4, /* with calls, arguments and the value itself */
    GRAMMAR_THREAD_CAP = 8,                   /* ways to read a text that are followed */
    GRAMMAR_USED_CAP = 128,                   /* keys beyond the schema's, in a whole text */
    GRAMMAR_NEED_CAP = 1 << 20,               /* bytes; stands for "cannot end" */
    GRAMMAR_NEED_MAX = 16384,                 /* bytes of the shortest text of a grammar */
    GRAMMAR_SPACE_CAP = 32                    /* of white space in a row, in JSON */
};

typedef enum node_kind {
    NODE_LITERALS, /* one of some byte strings: enum, const, true, null */
    NODE_STRING,
    NODE_INTEGER,
    NODE_NUMBER,
    NODE_ARRAY,
    NODE_OBJECT,    /* also the arguments of a call */
    NODE_ANY_OF,    /* one of some nodes */
    NODE_CALLS,     /* [f(...), ...] */
    NODE_IMPOSSIBLE /* no value fits */
} node_kind;

typedef struct grammar_literal {
    uint32_t at, size; /* in bytes */
    int32_t node;      /* NODE_CALLS: what follows the name; else unused */
} grammar_literal;

typedef struct grammar_property {
    uint32_t at, size; /* the key in bytes, as it is written between its quotes, or before '=' */
    uint32_t hash;     /* of these bytes */
    int32_t node;
    bool required;
    uint32_t need_rest; /* bytes of the required ones from this one on, with a comma each */
} grammar_property;

typedef struct grammar_node {
    node_kind kind;
    bool arguments;     /* NODE_OBJECT: f(key=value), without brackets around */
    int32_t begin, end; /* into literals, properties or alternatives */
    int32_t item;       /* NODE_ARRAY: of its items; NODE_OBJECT: of other keys; -1: none allowed */
    uint32_t min, max;  /* items */
    uint32_t need;      /* bytes of the shortest value */
    uint32_t nest;      /* objects and arrays within each other in it */
    unsigned char first; /* its first byte */
} grammar_node;

typedef struct grammar {
    bool python;
    int32_t root;
    grammar_node *nodes;
    grammar_literal *literals;
    grammar_property *properties;
    int32_t *alternatives;
    char *bytes;
    size_t node_count, literal_count, property_count, alternative_count, byte_count;
    size_t node_cap, literal_cap, property_cap, alternative_cap, byte_cap;
    bool has_free_keys; /* some object takes keys that its schema does not name */
} grammar;

/* Says which keywords narrow and are not held; may be NULL. */
typedef void (*grammar_warn_fn)(void *context, const char *text);

/* One value as the schema has it, in JSON. RNL_ERR_DATA names what is wrong with the schema, or
 * that no value fits; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status grammar_of_schema(const json *schema, const char *name,
                                          grammar_warn_fn warn, void *context, grammar *out,
                                          rnl_error *error);
/* A list of calls of the tools: an array of {"name", "parameters"}, as such or in "function", or
 * of strings that hold the same. Tools that are mere text cannot be called. */
RNL_MUST_USE rnl_status grammar_of_tools(const json *tools, const char *name, grammar_warn_fn warn,
                                         void *context, grammar *out, rnl_error *error);
void grammar_free(grammar *g); /* {0} is fine */
/* Whether a tool of this name can be called (grammar_of_tools). */
bool grammar_has_call(const grammar *g, const char *name, size_t size);

/* Whether a value fits a schema, as far as grammar_of_schema holds it. root: where $ref points
 * into. validate.c */
bool schema_accepts(const json *root, const json *schema, const json *value);
/* What "#/a/b" points to, or NULL. */
const json *schema_find(const json *root, const char *reference, size_t size);
bool json_same(const json *a, const json *b);

/* ---- Walking: step.c ---- */

typedef struct grammar_frame {
    int32_t node;
    uint8_t phase;  /* of its kind */
    uint8_t quote;  /* of the string or key under way */
    uint8_t utf8;   /* of the character under way; see step.c */
    uint8_t spaces; /* white space in a row */
    uint16_t index; /* of a literal or property; digits of a number */
    uint16_t base;  /* NODE_OBJECT: its keys among the used ones begin here */
    uint32_t count; /* items; bytes of a literal or key */
    uint32_t hash;  /* of the key under way */
    uint32_t need;  /* bytes to end all frames below */
} grammar_frame;

typedef struct grammar_thread {
    int32_t depth; /* frames; 0: the text is complete */
    grammar_frame frames[GRAMMAR_FRAME_CAP];
} grammar_thread;

typedef struct grammar_state {
    int32_t thread_count; /* 0: no text of this kind begins so */
    int32_t used_count;   /* of the keys that the caller keeps */
    grammar_thread threads[GRAMMAR_THREAD_CAP];
} grammar_state;

void grammar_begin(const grammar *g, grammar_state *s);
void grammar_copy(grammar_state *to, const grammar_state *from); /* what is in use */
/* One byte on, from `from` to `to`, which must be another. used [GRAMMAR_USED_CAP]: hashes of keys;
 * entries from from->used_count on are overwritten. False: no text goes on so. */
bool grammar_step(const grammar *g, const grammar_state *from, uint32_t *used, unsigned char byte,
                  grammar_state *to);
/* Whether the text may end here. */
bool grammar_may_end(const grammar *g, const grammar_state *s);
/* Bytes of the shortest end; GRAMMAR_NEED_CAP: there is none. */
uint32_t grammar_need(const grammar *g, const grammar_state *s, const uint32_t *used);
/* The first byte of a shortest end: the same whichever way led here. grammar_need > 0. */
unsigned char grammar_next(const grammar *g, const grammar_state *s, const uint32_t *used);

/* Whether any string goes on here with the same bytes, from whole character to whole character: the
 * quote that ends it, or 0. *key: it is a key, where no escapes are allowed. */
unsigned char grammar_in_string(const grammar *g, const grammar_state *s, bool *key);

/* The automaton of strings alone: UTF-8, no control characters, escapes of the spelling. */
enum { STRING_PLAIN = 0, STRING_DEAD = 255 };
/* The state after a byte within a string that `quote` ends; STRING_DEAD also for that quote when it
 * is not escaped. */
uint8_t grammar_string_step(bool python, bool escapes, unsigned char quote, uint8_t state,
                            unsigned char byte);

#endif
