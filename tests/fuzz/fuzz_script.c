/* Any bytes as a book: pieces are valid text within their bounds, or it is refused. */
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "text/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static script_piece piece;
    if (size < 2) return 0;
    FILE *f = fmemopen((void *)(data + 1), size - 1, "rb");
    if (f == NULL) abort();
    script *s = script_create(f, "book", data[0] % 2 != 0, 1 + 4 * data[0] % SCRIPT_CHAR_CAP);
    rnl_error error;
    if (s == NULL) abort();
    while (script_next(s, &piece, &error) == RNL_OK) {
        if (piece.size == 0 || piece.size != strlen(piece.text)) abort();
        if (!utf8_is_valid(piece.text, piece.size)) abort();
        if (script_position(s) > size) abort();
    }
    script_destroy(&s);
    (void)fclose(f);
    return 0;
}
