#include "serve/api_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/digest.h"
#include "core/status.h"
#include "serve/limits.h"
#include "serve/net.h"

enum { ADDRESS_CAP = 1024, FILE_SIZE_MAX = 1 << 20 };
static const int64_t minute_us = 60000000, hour_us = INT64_C(3600000000);

/* An address that gave a key. */
typedef struct guesser {
    char address[NET_ADDRESS_CAP];
    int wrong_count; /* since */
    int64_t since_us;
    int64_t right_us; /* when a right one came; INT64_MIN: never */
    int64_t seen_us;
} guesser;

struct api_keys {
    char (*sums)[KEY_SUM_SIZE];
    int numbers[KEY_CAP]; /* [count] */
    int count;
    int number_last; /* ever given, also before */
    guesser guessers[ADDRESS_CAP];
    int guesser_count;
};

bool api_keys_equal(const char a[KEY_SUM_SIZE], const char b[KEY_SUM_SIZE]) {
    volatile unsigned char differs = 0;
    for (int i = 0; i < KEY_SUM_SIZE; i++) differs |= (unsigned char)(a[i] ^ b[i]);
    return differs == 0;
}

static bool sum_of(const char *key, size_t size, char sum[KEY_SUM_SIZE]) {
    char hex[DIGEST_HEX_CAP];
    digest *d = digest_open(DIGEST_SHA256, (int64_t)size);
    if (d == NULL) return false;
    digest_add(d, key, size);
    if (!digest_end(&d, hex)) return false;
    memcpy(sum, hex, KEY_SUM_SIZE);
    return true;
}

/* ---- Reading ---- */

static rnl_status add(api_keys *k, const char *key, size_t size, const char *where, int line,
                      rnl_error *error) {
    bool good = size >= KEY_SIZE_MIN && size <= KEY_SIZE_MAX;
    for (size_t i = 0; good && i < size; i++) good = key[i] > ' ' && key[i] < 0x7f;
    if (!good)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: the key of line %d is not %d to %d printable characters", where,
                           line, KEY_SIZE_MIN, KEY_SIZE_MAX);
    if (k->count == KEY_CAP)
        return status_fail(error, RNL_ERR_DATA, "%s: there are more than %d keys", where, KEY_CAP);
    if (!sum_of(key, size, k->sums[k->count]))
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", where);
    k->numbers[k->count++] = ++k->number_last;
    return RNL_OK;
}

/* `KEY` or `NAME KEY`. */
static rnl_status add_line(api_keys *k, const char *text, size_t size, const char *path, int line,
                           rnl_error *error) {
    while (size > 0 && strchr(" \t\r", text[size - 1]) != NULL) size--;
    while (size > 0 && strchr(" \t", *text) != NULL) text++, size--;
    if (size == 0 || *text == '#') return RNL_OK;
    size_t begin = size;
    while (begin > 0 && strchr(" \t", text[begin - 1]) == NULL) begin--;
    return add(k, text + begin, size - begin, path, line, error);
}

static rnl_status read_file(const char *path, char **text, size_t *size, rnl_error *error) {
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        const char *why = fd < 0 ? strerror(errno) : "this is no regular file";
        if (fd >= 0) (void)close(fd);
        return status_fail(error, RNL_ERR_DATA, "%s: the keys cannot be read: %s", path, why);
    }
    rnl_status status = RNL_OK;
    if ((st.st_mode & S_IROTH) != 0)
        status = status_fail(error, RNL_ERR_DATA,
                             "%s: everybody on this machine may read the keys; chmod 600 it", path);
    else if (st.st_size > FILE_SIZE_MAX)
        status = status_fail(error, RNL_ERR_DATA, "%s: more than 1 MiB are no file of keys", path);
    *text = status == RNL_OK ? malloc((size_t)st.st_size + 1) : NULL;
    ssize_t got = *text != NULL ? read(fd, *text, (size_t)st.st_size) : 0;
    (void)close(fd);
    if (status != RNL_OK) return status;
    if (*text == NULL || got < 0)
        return status_fail(error, RNL_ERR_DATA, "%s: the keys cannot be read", path);
    *size = (size_t)got;
    return RNL_OK;
}

static rnl_status load_file(api_keys *k, const char *path, rnl_error *error) {
    char *text = NULL;
    size_t size = 0;
    rnl_status status = read_file(path, &text, &size, error);
    int line = 1;
    for (size_t at = 0; status == RNL_OK && at < size; line++) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t length = end != NULL ? (size_t)(end - text) - at : size - at;
        status = add_line(k, text + at, length, path, line, error);
        at += length + 1;
    }
    free(text);
    if (status == RNL_OK && k->count == 0)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no key in it", path);
    return status;
}

rnl_status api_keys_load(const char *path, const char *one, api_keys **out, rnl_error *error) {
    api_keys *k = *out = calloc(1, sizeof *k);
    if (k != NULL) k->sums = calloc(KEY_CAP, sizeof *k->sums);
    rnl_status status = RNL_OK;
    if (k == NULL || k->sums == NULL)
        status = status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    if (status == RNL_OK && path != NULL) status = load_file(k, path, error);
    if (status == RNL_OK && one != NULL)
        status = add(k, one, strlen(one), "RUNNEL_API_KEY", 1, error);
    if (status != RNL_OK) api_keys_free(out);
    return status;
}

void api_keys_free(api_keys **k) {
    if (k == NULL || *k == NULL) return;
    free((*k)->sums);
    free(*k);
    *k = NULL;
}

void api_keys_follow(api_keys *k, const api_keys *before) {
    k->number_last = before->number_last;
    for (int i = 0; i < k->count; i++) {
        int at = 0;
        while (at < before->count && !api_keys_equal(k->sums[i], before->sums[at])) at++;
        k->numbers[i] = at < before->count ? before->numbers[at] : ++k->number_last;
    }
}

int api_keys_count(const api_keys *k) {
    return k->count;
}

/* ---- Checking ---- */

/* Of this address, or the one that was not seen for longest, made new. */
static guesser *guesser_of(api_keys *k, const char *address, int64_t now_us) {
    guesser *oldest = &k->guessers[0];
    for (int i = 0; i < k->guesser_count; i++) {
        guesser *g = &k->guessers[i];
        if (strcmp(g->address, address) == 0) return g;
        if (g->seen_us < oldest->seen_us) oldest = g;
    }
    guesser *g = k->guesser_count < ADDRESS_CAP ? &k->guessers[k->guesser_count++] : oldest;
    *g = (guesser){.since_us = now_us, .right_us = INT64_MIN};
    strncpy(g->address, address, sizeof g->address - 1);
    return g;
}

static bool is_limited(guesser *g, int64_t now_us) {
    if (now_us - g->since_us > minute_us) {
        g->since_us = now_us;
        g->wrong_count = 0;
    }
    if (g->right_us != INT64_MIN && now_us - g->right_us < hour_us) return false;
    return g->wrong_count >= LIMIT_WRONG_KEYS;
}

key_verdict api_keys_check(api_keys *k, const char *presented, const char *address, int64_t now_us,
                           int *owner) {
    *owner = 0;
    if (k->count == 0) return KEY_RIGHT;
    /* Who shows no key guesses none: a browser that asks for it next. */
    if (presented == NULL) return KEY_WRONG;
    guesser *g = guesser_of(k, address, now_us);
    g->seen_us = now_us;
    if (is_limited(g, now_us)) return KEY_LIMITED;
    char sum[KEY_SUM_SIZE];
    bool summed = sum_of(presented, strlen(presented), sum);
    for (int i = k->count - 1; i >= 0 && summed; i--) /* all of them, whichever it is */
        if (api_keys_equal(sum, k->sums[i])) *owner = k->numbers[i];
    if (*owner > 0) {
        g->right_us = now_us;
        return KEY_RIGHT;
    }
    g->wrong_count++;
    return KEY_WRONG;
}
