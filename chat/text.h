/* A text that grows, and the spellings that templates give to values: JSON and Python as Python
 * itself writes them (family.md 3.2). */
#ifndef CHAT_TEXT_H
#define CHAT_TEXT_H

#include <runnel/runnel.h>

typedef struct json json; /* core/json.h */

typedef struct chat_text {
    char *data; /* [size], terminated once anything was put; free with chat_text_free */
    size_t size, cap;
    bool failed; /* memory was exhausted: what came later is missing */
} chat_text;

void chat_text_free(chat_text *t); /* leaves an empty one */
void chat_put(chat_text *t, const char *bytes, size_t size);
void chat_puts(chat_text *t, const char *text);

/* Shortest digits that read back as the same number, as Python prints them: 21.5, 1e-05, 1.0. */
void chat_put_real(chat_text *t, double value);
/* json.dumps(value, ensure_ascii=False): ", " and ": ", the order of the file. */
void chat_put_json(chat_text *t, const json *value);
void chat_put_json_string(chat_text *t, const char *bytes, size_t size);
/* repr(value): True, None, 'text', [1, 'a'], {'k': 1}. */
void chat_put_repr(chat_text *t, const json *value);
/* The same, but with strings as put_string spells them, quotes included. */
typedef void (*chat_string_fn)(chat_text *t, const char *bytes, size_t size);
void chat_put_python(chat_text *t, const json *value, chat_string_fn put_string);

#endif
