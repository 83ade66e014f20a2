#include "serve/tool_list.h"

#include <string.h>

#include "serve/json_in.h"
#include "serve/limits.h"

static bool is_called(const json *tool, const char *name, size_t size) {
    size_t length;
    const json *function = json_get(tool, "function");
    const char *chars = json_chars(json_get(function != NULL ? function : tool, "name"), &length);
    return chars != NULL && length == size && memcmp(chars, name, size) == 0;
}

char *tool_list_only(const char *tools, size_t size, const char *name, size_t name_size,
                     size_t *made) {
    json *root = NULL;
    json_out o;
    int count = 0;
    *made = 0;
    if (json_parse(tools, size, "tools", &root, NULL) != RNL_OK) return NULL;
    json_out_begin_growing(&o, LIMIT_TOOLS * (LIMIT_TOOL_SIZE + 1) + 2);
    json_out_array(&o, NULL);
    for (size_t i = 0; i < json_count(root); i++) {
        const json *tool = json_at(root, i);
        if (!is_called(tool, name, name_size)) continue;
        json_in_copy(tool, &o, NULL);
        count++;
    }
    json_out_end(&o);
    json_out_raw(&o, NULL, "", 1); /* terminated */
    char *list = count > 0 ? json_out_take(&o, made) : NULL;
    json_out_free(&o);
    json_destroy(&root);
    if (list != NULL) (*made)--;
    return list;
}
