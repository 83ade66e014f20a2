/* The page that talks with the server from a browser: the files of serve/page, compiled in. Nothing
 * is opened at run time, so that no path of a request can reach a file. */
#ifndef SERVE_PAGE_H
#define SERVE_PAGE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct page_file {
    const char *path;           /* "/", "/app.js" */
    const char *type;           /* its content type */
    const char *etag;           /* SHA-256 of the bytes in hex, in quotes */
    const unsigned char *bytes; /* [size] */
    size_t size;
} page_file;

/* The file behind a path, NULL: none. */
const page_file *page_find(const char *path);
/* Whether a client that sends this If-None-Match (NULL: none) has the file already: 304. */
bool page_is_known(const page_file *f, const char *if_none_match);

/* Headers of every file besides content-type and etag: name and value. */
typedef struct page_header {
    const char *name, *value;
} page_header;
extern const page_header page_headers[];
extern const size_t page_header_count;

/* Written by cmake/embed.cmake. */
extern const page_file page_files[];
extern const size_t page_file_count;

#endif
