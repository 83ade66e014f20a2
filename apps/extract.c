#include "apps/extract.h"

#include <stdlib.h>
#include <string.h>

#include "apps/wer.h"
#include "core/utf8.h"

static const char mark[] = "#### ", invalid[] = "[invalid]";
enum { MARK_SIZE = sizeof mark - 1 };

bool extract_find(const char *name, extract_kind *out) {
    static const char *const names[] = {"strict", "flexible", "whole", "after_last", "chain"};
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (extract_kind)i;
            return true;
        }
    return false;
}

/* #### (\-?[0-9\.\,]+), the first. */
static const char *strict(const char *text, size_t *size) {
    for (const char *at = text; (at = strstr(at, mark)) != NULL; at++) {
        const char *begin = at + MARK_SIZE;
        const size_t sign = *begin == '-';
        const size_t run = strspn(begin + sign, "0123456789.,");
        if (run == 0) continue;
        *size = sign + run;
        return begin;
    }
    return NULL;
}

/* The answer is (\-?[0-9\.\,]+). , the first; the last point of the expression is any character of
 * the line, if need be the last one of the number's. */
static const char *chain(const char *text, size_t *size) {
    static const char words[] = "The answer is ";
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++) {
        const char *begin = at + sizeof words - 1;
        const size_t sign = *begin == '-';
        size_t run = strspn(begin + sign, "0123456789.,");
        const char behind = begin[sign + run];
        if (run > 0 && (behind == '\0' || behind == '\n')) run--;
        if (run == 0) continue;
        *size = sign + run;
        return begin;
    }
    return NULL;
}

/* (-?[$0-9.,]{2,})|(-?[0-9]+), the last. */
static const char *flexible(const char *text, size_t *size) {
    const char *last = NULL;
    for (const char *at = text; *at != '\0';) {
        const size_t sign = *at == '-';
        size_t run = strspn(at + sign, "$0123456789.,");
        if (run < 2) run = strspn(at + sign, "0123456789");
        if (run > 0) {
            last = at;
            *size = sign + run;
        }
        at += run > 0 ? sign + run : 1;
    }
    return last;
}

static const char *behind_last(const char *text, const char *marker) {
    const size_t size = strlen(marker);
    const char *last = text;
    for (const char *at = text; size > 0 && (at = strstr(at, marker)) != NULL; at++)
        last = at + size;
    return last;
}

const char *extract_answer(extract_kind kind, const char *marker, const char *text, size_t *size) {
    const char *found = text;
    if (kind == EXTRACT_STRICT)
        found = strict(text, size);
    else if (kind == EXTRACT_FLEXIBLE)
        found = flexible(text, size);
    else if (kind == EXTRACT_CHAIN)
        found = chain(text, size);
    else if (kind == EXTRACT_AFTER_LAST && marker != NULL)
        found = behind_last(text, marker);
    if (found == NULL) found = invalid;
    if (found == invalid || kind == EXTRACT_WHOLE || kind == EXTRACT_AFTER_LAST)
        *size = strlen(found);
    return found;
}

static bool is_white(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

char *extract_normal(extract_kind kind, const char *answer, size_t size) {
    const bool number = kind == EXTRACT_STRICT || kind == EXTRACT_FLEXIBLE || kind == EXTRACT_CHAIN;
    char *kept = malloc(size + 1), *out = malloc(2 * size + 4); /* as in wer_normalise */
    size_t used = 0, count = 0;
    if (kept != NULL && out != NULL) {
        while (size > 0 && is_white(*answer)) answer++, size--;
        while (size > 0 && is_white(answer[size - 1])) size--;
        for (size_t i = 0; i < size; i++)
            if (!number || (answer[i] != ',' && answer[i] != '$')) kept[count++] = answer[i];
        kept[count] = '\0';
        const char *begin = number ? behind_last(kept, mark) : kept;
        count -= (size_t)(begin - kept);
        if (count > 0 && begin[count - 1] == '.') count--;
        for (size_t at = 0; at < count;) {
            uint32_t c;
            at += utf8_next(begin + at, count - at, &c);
            used += utf8_put(wer_lower(c), out + used);
        }
        out[used] = '\0';
    } else {
        free(out);
        out = NULL;
    }
    free(kept);
    return out;
}
