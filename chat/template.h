/* Which chat template a model has, and what it makes of a conversation. There is no template
 * engine: the templates of the family are recognised by words in them and written in C (backbone.md
 * 4.7, family.md 3.2).
 *
 *     {messages, tools} -> pieces: layout (its special tokens count), text (plain), pictures
 *
 * A message is a list of parts; what is neither text nor layout reaches the sink as a part. */
#ifndef CHAT_TEMPLATE_H
#define CHAT_TEMPLATE_H

#include "chat/text.h"

typedef enum chat_kind {
    CHAT_A,    /* LFM2 (2025): tools between tokens of their own */
    CHAT_B,    /* LFM2.5-1.2B, LFM2-24B-A2B */
    CHAT_C1,   /* newer LFM2.5, with the date */
    CHAT_C2,   /* LFM2.5-8B-A1B, with the date */
    CHAT_C3,   /* LFM2.5-8B-A1B, newer */
    CHAT_D,    /* LFM2.5-2.6B: answers begin with thinking */
    CHAT_PLAIN /* roles and parts, neither tools nor thinking */
} chat_kind;
enum { CHAT_KIND_COUNT = 7 };

const char *chat_kind_name(chat_kind kind); /* "A", "C1", ..., "plain" */

/* The kind of a template by its text. *known false: it is none of them; the nearest was taken. */
chat_kind chat_recognise(const char *text, size_t size, bool *known);

typedef struct chat_template {
    chat_kind kind;
    bool parts; /* parts of a content are laid out; false: as JSON (A, B without pictures) */
    bool keep_thinking; /* of earlier turns too (the templates' flag of that name) */
    const char *date;   /* "2026-11-30", for the kinds that print it; NULL: today is not told */
} chat_template;

chat_template chat_template_of(chat_kind kind);

/* How a kind treats thinking of earlier turns, for those who keep a history. */
typedef enum chat_thinking {
    CHAT_THINKING_KEPT,    /* always */
    CHAT_THINKING_OF_LAST, /* that of the last assistant message */
    CHAT_THINKING_OF_TURN  /* that of messages behind the last question */
} chat_thinking;
chat_thinking chat_thinking_of(chat_kind kind);

typedef enum chat_piece_kind {
    CHAT_LAYOUT, /* written by the template: special tokens in it are meant */
    CHAT_TEXT,   /* of the conversation: special tokens in it are plain text */
    CHAT_IMAGE   /* a picture; text is what stands for it, part the part of the message */
} chat_piece_kind;

typedef struct chat_piece {
    chat_piece_kind kind;
    const char *text; /* [size] until the sink returns */
    size_t size;
    const json *part; /* with CHAT_IMAGE */
} chat_piece;

/* False stops the rendering. */
typedef bool (*chat_sink)(void *context, const chat_piece *piece);

/* The system message's text with a list of tools behind it: system (may be NULL), joiner, list; the
 * special tokens of the list as layout. tools: array of objects or strings. */
RNL_MUST_USE rnl_status chat_render_tools(const chat_template *t, const char *system,
                                          size_t system_size, const json *tools, chat_sink sink,
                                          void *context);

/* A whole conversation: {"messages": [{"role", "content", "tool_calls", "thinking"}, ...], "tools":
 * [...], "add_generation_prompt": true}. RNL_ERR_DATA names the field that is missing or of another
 * kind; RNL_ERR_MEMORY; RNL_ERR_STATE: the sink stopped it. */
RNL_MUST_USE rnl_status chat_render(const chat_template *t, const json *conversation,
                                    const char *name, chat_sink sink, void *context,
                                    rnl_error *error);

/* The content of one message, without its header and end: what chat_render lays out between them.
 * kept: with the thinking of an assistant. */
RNL_MUST_USE rnl_status chat_render_content(const chat_template *t, const json *message, bool kept,
                                            const char *name, chat_sink sink, void *context,
                                            rnl_error *error);

/* What follows the last </think>, white space around it taken off; without one the whole text. */
void chat_after_thinking(const char *text, size_t size, const char **out, size_t *out_size);

#endif
