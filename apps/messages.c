#include "apps/messages.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/status.h"
#include "core/utf8.h"

enum { LINE_CAP = 8192 }; /* a path of 4,096 bytes, and what is said of it */

int complain(int code, const char *format, ...) {
    char line[LINE_CAP];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    status_clean(line);
    (void)fflush(stdout);
    (void)fprintf(stderr, "runnel: %s\n", line);
    return code;
}

void put_name(FILE *stream, const char *name) {
    char shown[LINE_CAP];
    (void)snprintf(shown, sizeof shown, "%s", name);
    status_clean(shown);
    (void)fputs(shown, stream);
}

void put_spoken(FILE *stream, const char *text, size_t size) {
    if (isatty(fileno(stream)) == 0) {
        (void)fwrite(text, 1, size, stream);
        return;
    }
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t c;
        length = utf8_next(text + at, size - at, &c);
        const bool steers = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0);
        (void)(steers ? fputc('?', stream) : (int)fwrite(text + at, 1, length, stream));
    }
}

int exit_code(const rnl_error *error) {
    switch (error->status) {
    case RNL_ERR_BUDGET:
        return EXIT_BUDGET;
    case RNL_ERR_TOO_LONG:
    case RNL_ERR_DATA:
        return EXIT_INPUT;
    case RNL_ERR_UNSUPPORTED:
    case RNL_ERR_FORMAT: /* of a model: it may show only when it computes */
        return EXIT_MODEL;
    case RNL_ERR_ARGUMENT:
        return EXIT_USAGE;
    default:
        return EXIT_FAILED;
    }
}

bool is_blank(const char *text) {
    return text[strspn(text, " \t\r\n")] == '\0';
}

int flush_output(void) {
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return EXIT_OK;
    const char *reason = errno != 0 ? strerror(errno) : "an earlier write failed";
    return complain(EXIT_FAILED, "standard output cannot be written: %s", reason);
}

char *read_to_end(FILE *stream, size_t size_max, size_t *size) {
    size_t cap = size_max < 65536 ? size_max : 65536;
    char *text = malloc(cap + 1); /* a byte more tells whether there is more */
    *size = 0;
    while (text != NULL) {
        *size += fread(text + *size, 1, cap + 1 - *size, stream);
        if (*size <= cap) return text;
        char *grown = NULL;
        if (cap < size_max) {
            cap = cap < size_max / 2 ? 2 * cap : size_max;
            grown = realloc(text, cap + 1);
        }
        if (grown == NULL) free(text);
        text = grown;
    }
    return NULL;
}

rnl_status text_of_file(const char *path, char **text, size_t *size, rnl_error *error) {
    *text = NULL;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    *text = read_to_end(f, SIZE_MAX / 2, size);
    const bool damaged = ferror(f) != 0;
    (void)fclose(f);
    if (*text != NULL && !damaged) return RNL_OK;
    free(*text);
    *text = NULL;
    return damaged ? status_fail(error, RNL_ERR_IO, "%s: cannot be read", path)
                   : status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
}

void size_text(int64_t size, char text[SIZE_TEXT_CAP]) {
    const double bytes = (double)size;
    if (bytes < 1e3)
        (void)snprintf(text, SIZE_TEXT_CAP, "%.0f B", bytes);
    else if (bytes < 1e6)
        (void)snprintf(text, SIZE_TEXT_CAP, "%.1f kB", bytes / 1e3);
    else if (bytes < 1e9)
        (void)snprintf(text, SIZE_TEXT_CAP, "%.1f MB", bytes / 1e6);
    else
        (void)snprintf(text, SIZE_TEXT_CAP, "%.2f GB", bytes / 1e9);
}

int print_json(json_draft *object) {
    char *line = json_text(object);
    json_drop(&object);
    if (line == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    (void)puts(line);
    free(line);
    return flush_output();
}

bool colour_allowed(int fd) {
    const char *plain = getenv("NO_COLOR");
    return isatty(fd) != 0 && (plain == NULL || *plain == '\0');
}

int terminal_columns(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col;
}
