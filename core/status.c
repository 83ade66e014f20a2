#include "core/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

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
    return status;
}
