#include "serve/page.h"

#include <string.h>

/* Scripts, styles and connections of this server and nothing else. Browsers ask each time the page
 * is opened, so that a new server's files are taken at once. */
const page_header page_headers[] = {
    {"content-security-policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"x-content-type-options", "nosniff"},
    {"referrer-policy", "no-referrer"},
    {"permissions-policy", "microphone=(self)"},
    {"cross-origin-opener-policy", "same-origin"},
    {"cache-control", "no-cache"},
};
const size_t page_header_count = sizeof page_headers / sizeof *page_headers;

const page_file *page_find(const char *path) {
    for (size_t i = 0; i < page_file_count; i++)
        if (strcmp(page_files[i].path, path) == 0) return &page_files[i];
    return NULL;
}

bool page_is_known(const page_file *f, const char *if_none_match) {
    /* A list of tags, weak ones (W/"...") among them: ours is found in it by its quotes. */
    return if_none_match != NULL &&
           (strcmp(if_none_match, "*") == 0 || strstr(if_none_match, f->etag) != NULL);
}
