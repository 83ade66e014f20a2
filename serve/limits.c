#include "serve/limits.h"

#include <stddef.h>

static const limit_row rows[] = {
#define LIMIT_ROW(name, value, unit, text) {(value), unit, text},
    LIMIT_LIST(LIMIT_ROW)
#undef LIMIT_ROW
};

const limit_row *limit_at(int index) {
    return index >= 0 && (size_t)index < sizeof rows / sizeof *rows ? &rows[index] : NULL;
}
