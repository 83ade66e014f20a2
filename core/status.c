#include "core/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

const char *rnl_status_name(rnl_status status) {
    switch (status) {
#define NAME_CASE(name, value, sentence)                                                           \
    case name:                                                                                     \
        return #name;
        RNL_STATUS_LIST(NAME_CASE)
#undef NAME_CASE
    }
    return "RNL_?";
}

const char *rnl_status_text(rnl_status status) {
    switch (status) {
#define TEXT_CASE(name, value, sentence)                                                           \
    case name:                                                                                     \
        return sentence;
        RNL_STATUS_LIST(TEXT_CASE)
#undef TEXT_CASE
    }
    return "unknown status";
}

rnl_status status_fail(rnl_error *error, rnl_status status, const char *format, ...) {
    assert(status < 0);
    if (error == NULL) return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    status_clean(error->text);
    return status;
}

void status_clean(char *text) {
    const size_t size = strlen(text);
    size_t used = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t c;
        length = utf8_next(text + at, size - at, &c);
        const unsigned char first = (unsigned char)text[at];
        const bool stray = c == UTF8_REPLACEMENT && first >= 0x80 && first < 0xA0;
        if (c < 0x20 || (c >= 0x7F && c < 0xA0) || stray) {
            text[used++] = '?';
            continue;
        }
        memmove(text + used, text + at, length);
        used += length;
    }
    text[used] = '\0';
}
