/* Lists of tools as clients send them, JSON arrays of {"type": "function", "name": ...} or
 * {"type": "function", "function": {"name": ...}}. */
#ifndef SERVE_TOOL_LIST_H
#define SERVE_TOOL_LIST_H

#include <stddef.h>

/* The list with the tools of that name alone, from malloc, [*made] terminated. NULL: there is none,
 * it is no list, or memory is exhausted. */
char *tool_list_only(const char *tools, size_t size, const char *name, size_t name_size,
                     size_t *made);

#endif
