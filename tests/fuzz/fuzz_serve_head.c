/* Any bytes as what the head of a request says: names, pages, paths, lengths, keys. What is let in
 * is what the rules name, and nothing of it breaks out of an answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/json.h"
#include "core/utf8.h"
#include "serve/api_keys.h"
#include "serve/cidr.h"
#include "serve/net_inner.h"
#include "serve/origin.h"
#include "serve/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 6, LINE_CAP = 600 };

/* Lines of the input, each terminated; what is not there is empty. */
static void split(const uint8_t *data, size_t size, char lines[LINES][LINE_CAP]) {
    int line = 0;
    size_t at = 0;
    for (size_t i = 0; i < size && line < LINES; i++) {
        if (data[i] == '\n') {
            line++;
            at = 0;
        } else if (data[i] != '\0' && at + 1 < LINE_CAP) {
            lines[line][at++] = (char)data[i];
        }
    }
}

static void names_are_those_of_the_rules(const char *host, const char *origin, bool https) {
    static const char *const names[] = {"voice.example"}, *const pages[] = {"https://page.example"};
    const origin_rules r = {
        .loopback = true, .names = names, .name_count = 1, .origins = pages, .origin_count = 1};
    static const char *const known[] = {"localhost", "127.0.0.1", "[::1]", "voice.example"};
    if (origin_host_allowed(&r, host)) {
        bool named = false;
        for (size_t i = 0; i < 4; i++) {
            const size_t size = strlen(known[i]);
            named = named || (strncasecmp(host, known[i], size) == 0 &&
                              (host[size] == '\0' || host[size] == ':'));
        }
        if (!named) abort();
    }
    const origin_verdict v = origin_check(&r, origin, host, https);
    if (v == ORIGIN_LISTED && strcasecmp(origin, pages[0]) != 0) abort();
    if (v == ORIGIN_NONE) {
        const size_t scheme = https ? 8 : 7;
        if (strlen(origin) != scheme + strlen(host) || strcasecmp(origin + scheme, host) != 0)
            abort();
    }
}

static void paths_are_those_of_the_table(net_method method, const char *path) {
    const char *allow = NULL;
    api_error e = {0};
    const route *r = route_find(method, path, &allow, &e);
    if (r == NULL) {
        if (e.code != API_UNKNOWN_URL && (e.code != API_METHOD_NOT_ALLOWED || allow == NULL))
            abort();
        char body[API_BODY_CAP];
        json *root = NULL;
        if (json_parse(body, api_error_body(&e, body, sizeof body), "body", &root, NULL) != RNL_OK)
            abort();
        json_destroy(&root);
    } else if (strlen(route_rest(r, path)) > strlen(path)) {
        abort();
    }
}

static void lengths_are_numbers(const char *text) {
    net_peer p = {0};
    net_exchange x = {.peer = &p, .method = NET_POST};
    api_error e;
    if (!net_exchange_set_length(&x, text, false, &e)) return;
    if (x.body_size < 0 || strspn(text, "0123456789") != strlen(text)) abort();
    if (net_exchange_set_length(&x, text, true, &e)) abort();
}

/* Whatever a client sends: the head of the answer has the lines that we wrote, and no others. */
static void answers_keep_their_lines(const char *value) {
    net_peer p = {0};
    net_exchange x = {.peer = &p, .id = "req_1"};
    api_error e;
    char text[NET_REFUSAL_CAP];
    (void)api_fail(&e, API_ORIGIN_NOT_ALLOWED, value, "no: %s", value);
    if (!utf8_is_valid(e.message, strlen(e.message))) abort();
    net_exchange_add_header(&x, "access-control-allow-origin", value);
    const size_t size = net_refusal(&x, &e, text);
    int lines = 0;
    for (size_t i = 0; i + 1 < size && memcmp(text + i, "\r\n\r\n", 4) != 0; i++)
        lines += text[i] == '\n';
    if (lines > 4) abort();
}

static void keys_are_whole(const char *key) {
    static api_keys *k;
    static const char right[] = "0123456789abcdef";
    int owner;
    if (k == NULL && api_keys_load(NULL, right, &k, NULL) != RNL_OK) abort();
    const key_verdict v = api_keys_check(k, key, key, 0, &owner);
    if ((v == KEY_RIGHT) != (strcmp(key, right) == 0) && v != KEY_LIMITED) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char lines[LINES][LINE_CAP] = {{0}};
    cidr range;
    if (size == 0) return 0;
    split(data + 1, size - 1, lines);
    names_are_those_of_the_rules(lines[0], lines[1], data[0] % 2 != 0);
    paths_are_those_of_the_table((net_method)(data[0] % (NET_OTHER + 1)), lines[2]);
    lengths_are_numbers(lines[3]);
    answers_keep_their_lines(lines[1]);
    keys_are_whole(lines[4]);
    if (cidr_parse(lines[5], &range)) (void)cidr_has(&range, lines[0]);
    return 0;
}
