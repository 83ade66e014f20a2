/* multipart/form-data as it comes over the wire, in pieces of any size: a scanner that keeps no
 * more than one part's header and hands the bytes of the parts on at once.
 *
 *     multipart_boundary(content_type, size, boundary)      from the request's Content-Type
 *     multipart_begin(&m, boundary, &sink)
 *     multipart_push(&m, bytes, size) ...                   calls begin, data ..., end of the sink
 *     multipart_finish(&m)                                  the final boundary was there
 *
 * Any cut of the bytes gives the same calls, but for where data is cut. After a fault nothing more
 * is scanned and every call returns that fault. Allocates nothing. */
#ifndef SERVE_MULTIPART_H
#define SERVE_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "serve/limits.h"

enum {
    MULTIPART_BOUNDARY_CAP = LIMIT_BOUNDARY_SIZE, /* RFC 2046's limit, too */
    MULTIPART_PART_CAP = LIMIT_PARTS,
    MULTIPART_HEADER_CAP = LIMIT_PART_HEAD_SIZE, /* of one part's header lines together */
    MULTIPART_FIELD_CAP = LIMIT_PART_TEXT_SIZE,  /* of a part without a file name */
    MULTIPART_NAME_CAP = 1024 /* bytes of a field's name, of a file's and of a content type */
};

/* Everything that can be wrong: name, sentence for the client. */
#define MULTIPART_FAULT_LIST(X)                                                                    \
    X(NONE, "")                                                                                    \
    X(BOUNDARY, "The multipart body does not begin with its boundary; send the boundary that "     \
                "Content-Type names")                                                              \
    X(DELIMITER, "A boundary of the multipart body is followed by other bytes; choose one that "   \
                 "does not occur in the data")                                                     \
    X(PARTS, "The multipart body has more than 64 parts; send fewer")                              \
    X(HEADER, "The header of a part is longer than 4096 bytes; shorten it")                        \
    X(LINE, "The header of a part has a damaged line; send 'Name: value' and CR LF")               \
    X(DISPOSITION, "A part has no 'Content-Disposition: form-data' with a name; name each field")  \
    X(NAME, "A name in the header of a part is damaged or longer than 1023 bytes; shorten it")     \
    X(FIELD, "A text field is longer than 65536 bytes; shorten it")                                \
    X(UNFINISHED, "The multipart body ends before its final boundary; send it whole")              \
    X(STOPPED, "The multipart body was refused")

typedef enum multipart_fault {
#define MULTIPART_FAULT_ENUM(name, sentence) MULTIPART_##name,
    MULTIPART_FAULT_LIST(MULTIPART_FAULT_ENUM)
#undef MULTIPART_FAULT_ENUM
} multipart_fault;

const char *multipart_fault_text(multipart_fault fault); /* without a full stop; "" for NONE */

typedef struct multipart_part {
    char name[MULTIPART_NAME_CAP]; /* of the field: 1 byte or more, no control characters */
    char file[MULTIPART_NAME_CAP]; /* file name as the client gave it, for logs only; "" */
    char type[MULTIPART_NAME_CAP]; /* content type, "" */
    bool is_file;                  /* a file name was given, perhaps an empty one */
} multipart_part;

/* What is called for each part, in the order of the body. false ends the scan:
 * MULTIPART_STOPPED. */
typedef struct multipart_sink {
    bool (*begin)(void *context, const multipart_part *part);    /* valid until end */
    bool (*data)(void *context, const char *bytes, size_t size); /* size >= 1, any cuts */
    bool (*end)(void *context);
    void *context;
} multipart_sink;

typedef enum multipart_state {
    MULTIPART_PREAMBLE, /* before the first boundary: passed over */
    MULTIPART_DATA,
    MULTIPART_BEHIND,  /* behind a boundary: "--", or spaces and the end of the line */
    MULTIPART_HEAD,    /* lines of a part's header */
    MULTIPART_EPILOGUE /* behind the final boundary: passed over */
} multipart_state;

typedef struct multipart {
    multipart_sink sink;
    multipart_state state;
    multipart_fault fault;
    char delimiter[4 + MULTIPART_BOUNDARY_CAP]; /* CR LF "--" boundary */
    size_t delimiter_size;
    size_t matched; /* bytes of the delimiter that the last bytes of the body are */
    char behind;    /* the last byte of BEHIND: 0, '-', ' ' or CR */
    int part_count;
    size_t part_size; /* bytes of the part under way */
    multipart_part part;
    char line[MULTIPART_HEADER_CAP]; /* of the header, as far as it has come */
    size_t line_size, head_size;
} multipart;

/* The boundary of a Content-Type header, terminated, for begin. False: it is not
 * multipart/form-data, or has no boundary of 1 to 70 allowed bytes. */
bool multipart_boundary(const char *content_type, size_t size,
                        char boundary[MULTIPART_BOUNDARY_CAP + 1]);

void multipart_begin(multipart *m, const char *boundary, const multipart_sink *sink);
multipart_fault multipart_push(multipart *m, const char *bytes, size_t size);
/* The end of the body. */
multipart_fault multipart_finish(multipart *m);

#endif
