#include "serve/http_head.h"

#include <inttypes.h>
#include <stdio.h>

static const char *reason_of(int status) {
    static const struct {
        int status;
        const char *reason;
    } rows[] = {{200, "OK"},
                {204, "No Content"},
                {304, "Not Modified"},
                {400, "Bad Request"},
                {401, "Unauthorized"},
                {403, "Forbidden"},
                {404, "Not Found"},
                {405, "Method Not Allowed"},
                {408, "Request Timeout"},
                {411, "Length Required"},
                {413, "Content Too Large"},
                {415, "Unsupported Media Type"},
                {429, "Too Many Requests"},
                {500, "Internal Server Error"},
                {503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].status == status) return rows[i].reason;
    return "Answer";
}

size_t http_head_write(const http_head *h, char *text, size_t cap) {
    char type[160] = "", length[64] = "";
    if (h->content_type != NULL)
        (void)snprintf(type, sizeof type, "content-type: %s\r\n", h->content_type);
    if (h->chunked)
        (void)snprintf(length, sizeof length, "transfer-encoding: chunked\r\n");
    else if (h->content_size >= 0 && h->status != 204 && h->status != 304)
        (void)snprintf(length, sizeof length, "content-length: %" PRId64 "\r\n", h->content_size);
    const int size =
        snprintf(text, cap, "HTTP/1.1 %d %s\r\n%s%s%s%s\r\n", h->status, reason_of(h->status), type,
                 length, h->close ? "connection: close\r\n" : "", h->extra);
    return size > 0 && (size_t)size < cap ? (size_t)size : 0;
}

bool http_value_is_clean(const char *value) {
    for (; *value != '\0'; value++)
        if ((unsigned char)*value < 0x20 || *value == 0x7f) return false;
    return true;
}
