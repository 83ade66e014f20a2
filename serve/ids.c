#include "serve/ids.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void id_make(char id[ID_CAP], const char *prefix) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    enum { LETTERS = sizeof letters - 1, FAIR = 256 / LETTERS * LETTERS };
    size_t size = strlen(prefix);
    assert(size + ID_RANDOM < ID_CAP);
    memcpy(id, prefix, size);
    int left = ID_RANDOM;
    while (left > 0) {
        unsigned char bytes[64];
        if (getrandom(bytes, sizeof bytes, 0) < 0) {
            if (errno == EINTR) continue;
            abort(); /* no system that we run on; a guessable id would be worse */
        }
        for (size_t i = 0; i < sizeof bytes && left > 0; i++) {
            if (bytes[i] >= FAIR) continue; /* each letter is as likely as the others */
            id[size++] = letters[bytes[i] % LETTERS];
            left--;
        }
    }
    id[size] = '\0';
}
