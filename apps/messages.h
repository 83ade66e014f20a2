/* What every command speaks with: exit codes, complaints, standard output, the terminal. */
#ifndef APPS_MESSAGES_H
#define APPS_MESSAGES_H

#include <stdio.h>

#include <runnel/runnel.h>

#include "core/json.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_MODEL = 3,   /* the model is refused */
    EXIT_DEVICE = 4,  /* sound device missing, busy or lost */
    EXIT_INPUT = 5,   /* an input is unreadable */
    EXIT_BUDGET = 6,  /* over the memory budget */
    EXIT_ADDRESS = 7, /* the address cannot be bound */
    EXIT_STOPPED = 130
};

/* "runnel: sentence" on stderr, clean (core/status.h); returns code. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A file's name as it may be shown: without what steers a terminal. */
void put_name(FILE *stream, const char *name);
/* Text that a model made (UTF-8, whole characters): to a terminal without what steers it (tabs and
 * line ends stay), elsewhere byte by byte. */
void put_spoken(FILE *stream, const char *text, size_t size);
/* The exit code of a failed call; as is for things that go wrong while working. */
int exit_code(const rnl_error *error);

/* Nothing but white space. */
bool is_blank(const char *text);
/* Writes out what printf has gathered. EXIT_OK, or EXIT_FAILED after a complaint (a full disk, a
 * reader that went away). */
int flush_output(void);
/* Reads until the end or a fault of the stream (ferror). Allocated, free() it; NULL: no memory, or
 * more than size_max bytes. */
char *read_to_end(FILE *stream, size_t size_max, size_t *size);
/* Reads a whole file; *text is allocated, free() it. RNL_ERR_IO, RNL_ERR_MEMORY with a sentence;
 * *text is then NULL. */
RNL_MUST_USE rnl_status text_of_file(const char *path, char **text, size_t *size, rnl_error *error);
/* A count of bytes for people: "12 B", "810.9 kB", "5.6 MB", "1.10 GB". */
enum { SIZE_TEXT_CAP = 16 };
void size_text(int64_t size, char text[SIZE_TEXT_CAP]);
/* Prints a JSON object as a line of standard output, flushes it, and frees the object. EXIT_OK, or
 * the code of a complaint about memory or the output. */
int print_json(json_draft *object);

/* Whether colours may be written to fd: a terminal, and NO_COLOR is not set or empty
 * (no-color.org). */
bool colour_allowed(int fd);
/* Columns of the terminal of stderr; 80 where it does not tell. */
int terminal_columns(void);

#endif
