/* The calls that a model writes between its call tokens (backbone.md 4.7): `[f(a="x", n=3), g()]`,
 * a Python list of calls with keyword arguments, read by a small parser and given as JSON. Reads
 * only: no memory but the caller's. */
#ifndef CHAT_CALLS_H
#define CHAT_CALLS_H

#include <runnel/runnel.h>

enum { CALLS_SIZE_CAP = 16384, CALLS_DEPTH_CAP = 20, CALLS_COUNT_CAP = 32 };

typedef bool (*calls_known_fn)(const void *context, const char *name, size_t size);

/* How many calls there are; -1: the text is no list of calls, calls something that is not known, or
 * gives an argument twice. */
int calls_count(const char *text, size_t size, calls_known_fn known, const void *context);

/* Writes call `index` of a text that calls_count counts, {"tool":"f","arguments":{"a":"x"}}, not
 * terminated; returns its size, which may be more than cap: then out is not to be used. */
size_t calls_write(const char *text, size_t size, int index, char *out, size_t cap);

#endif
