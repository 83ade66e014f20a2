#include "chat/template.h"

#include <string.h>

#include "core/utf8.h"

static const char *const kind_names[CHAT_KIND_COUNT] = {"A", "B", "C1", "C2", "C3", "D", "plain"};

const char *chat_kind_name(chat_kind kind) {
    return kind_names[kind];
}

static bool has(const char *text, size_t size, const char *word) {
    const size_t length = strlen(word);
    for (size_t i = 0; i + length <= size; i++)
        if (text[i] == word[0] && memcmp(text + i, word, length) == 0) return true;
    return false;
}

/* Whether the generation prompt of the template has <think> behind it: it is what the template ends
 * with. */
static bool begins_with_thinking(const char *text, size_t size) {
    static const char word[] = "add_generation_prompt";
    for (size_t i = size; i >= sizeof word - 1; i--)
        if (memcmp(text + i - (sizeof word - 1), word, sizeof word - 1) == 0)
            return has(text + i, size - i, "<think>");
    return false;
}

chat_kind chat_recognise(const char *text, size_t size, bool *known) {
    *known = true;
    const bool dated = has(text, size, "Today's date") || has(text, size, "Today\\'s date");
    if (has(text, size, "tool_list_start")) return CHAT_A;
    if (has(text, size, "keep_past_thinking")) return dated ? CHAT_C1 : CHAT_B;
    if (has(text, size, "preserve_thinking")) {
        if (dated) return CHAT_C2;
        return begins_with_thinking(text, size) ? CHAT_D : CHAT_C3;
    }
    const bool marked = has(text, size, "<|im_start|>") && has(text, size, "<|im_end|>");
    if (marked && !has(text, size, "tools") && !has(text, size, "think")) return CHAT_PLAIN;
    *known = false;
    return begins_with_thinking(text, size) ? CHAT_D : CHAT_B;
}

chat_template chat_template_of(chat_kind kind) {
    return (chat_template){.kind = kind, .parts = kind != CHAT_A && kind != CHAT_B};
}

chat_thinking chat_thinking_of(chat_kind kind) {
    switch (kind) {
    case CHAT_B:
    case CHAT_C1:
        return CHAT_THINKING_OF_LAST;
    case CHAT_C2:
    case CHAT_C3:
    case CHAT_D:
        return CHAT_THINKING_OF_TURN;
    case CHAT_A:
    case CHAT_PLAIN:
        break;
    }
    return CHAT_THINKING_KEPT;
}

/* Python's str.isspace. */
static bool is_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static void strip(const char **text, size_t *size) {
    uint32_t c;
    size_t end = 0;
    while (*size > 0) {
        const size_t length = utf8_next(*text, *size, &c);
        if (!is_space(c)) break;
        *text += length;
        *size -= length;
    }
    for (size_t at = 0; at < *size;) {
        at += utf8_next(*text + at, *size - at, &c);
        if (!is_space(c)) end = at;
    }
    *size = end;
}

void chat_after_thinking(const char *text, size_t size, const char **out, size_t *out_size) {
    static const char end[] = "</think>";
    const size_t length = sizeof end - 1;
    *out = text;
    *out_size = size;
    for (size_t i = size; i >= length; i--) {
        if (memcmp(text + i - length, end, length) != 0) continue;
        *out = text + i;
        *out_size = size - i;
        strip(out, out_size);
        return;
    }
}
