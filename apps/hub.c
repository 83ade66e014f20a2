#include "apps/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/ending.h"
#include "apps/hub_cache.h"
#include "apps/messages.h"

enum { ANSWER_MAX = 16 << 20, PAGE_MAX = 1000 };

/* ---- Which hub, and who asks ---- */

static int read_endpoint(hub *h) {
    const char *named = getenv("HF_ENDPOINT");
    if (named == NULL || *named == '\0') named = "https://huggingface.co";
    size_t size = strlen(named);
    while (size > 0 && named[size - 1] == '/') size--;
    const char *fault = size < sizeof h->endpoint ? http_url_fault(named, NULL) : "is too long";
    if (fault == NULL && strpbrk(named, "?#") != NULL) fault = "holds a question";
    if (fault != NULL)
        return complain(EXIT_USAGE,
                        "HF_ENDPOINT: the address %s; it is to be https://HOST, or "
                        "http:// for a hub on this machine",
                        fault);
    memcpy(h->endpoint, named, size);
    h->endpoint[size] = '\0';
    return EXIT_OK;
}

/* Takes the white space around it away. False: it holds what no token has. */
static bool take_token(hub *h, const char *text, size_t size) {
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) size--;
    while (size > 0 && strchr(" \t\r\n", *text) != NULL) text++, size--;
    if (size >= sizeof h->token) return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~') return false;
    memcpy(h->token, text, size);
    h->token[size] = '\0';
    return true;
}

static int read_token(hub *h) {
    char path[HUB_CACHE_PATH_CAP + 16], text[HUB_TOKEN_CAP + 16];
    const char *token = getenv("HF_TOKEN"), *file = getenv("HF_TOKEN_PATH");
    if (token != NULL && *token != '\0')
        return take_token(h, token, strlen(token))
                   ? EXIT_OK
                   : complain(EXIT_USAGE, "HF_TOKEN: this is no token; copy it again");
    if (file == NULL || *file == '\0') {
        if (!hub_cache_home(path)) return EXIT_OK;
        strcat(path, "/token");
        file = path;
    }
    FILE *f = fopen(file, "r");
    if (f == NULL) return EXIT_OK;
    const size_t size = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    if (take_token(h, text, size)) return EXIT_OK;
    return complain(EXIT_USAGE, "%s: this is no token; remove the file or log in again", file);
}

int hub_open(hub *h) {
    *h = (hub){0};
    int code = read_endpoint(h);
    if (code == EXIT_OK) code = read_token(h);
    if (code != EXIT_OK) return code;
    h->http = http_open();
    return h->http != NULL ? EXIT_OK : complain(EXIT_FAILED, "memory is exhausted");
}

void hub_close(hub *h) {
    http_close(&h->http);
    memset(h->token, 0, sizeof h->token);
}

/* ---- Addresses ---- */

/* Appends text, with every byte but letters, digits, "-_.~" and those of `kept` as %XX. */
static bool append_encoded(char url[HTTP_URL_CAP], const char *text, const char *kept) {
    const char *const plain = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.~";
    size_t size = strlen(url);
    for (; *text != '\0'; text++) {
        if (size + 4 > HTTP_URL_CAP) return false;
        if (strchr(plain, *text) != NULL || strchr(kept, *text) != NULL)
            size += (size_t)snprintf(url + size, 2, "%c", *text);
        else
            size += (size_t)snprintf(url + size, 4, "%%%02X", (unsigned)(unsigned char)*text);
    }
    return true;
}

bool hub_file_url(const hub *h, const char *repo, const char *commit, const char *path,
                  char url[HTTP_URL_CAP]) {
    (void)snprintf(url, HTTP_URL_CAP, "%s/%s/resolve/%s/", h->endpoint, repo, commit);
    return append_encoded(url, path, "/");
}

bool hub_address_parse(const hub *h, const char *url, hub_name *n,
                       char path[HUB_FILE_PATH_MAX + 1]) {
    const size_t size = strlen(h->endpoint);
    char name[HUB_REPO_CAP + HUB_REVISION_CAP];
    if (strncmp(url, h->endpoint, size) != 0 || url[size] != '/') return false;
    const char *repo = url + size + 1, *way = strstr(repo, "/resolve/");
    size_t skipped = strlen("/resolve/");
    if (way == NULL) {
        way = strstr(repo, "/blob/");
        skipped = strlen("/blob/");
    }
    if (way == NULL || strpbrk(repo, "%#") != NULL) return false;
    const char *revision = way + skipped, *file = strchr(revision, '/');
    if (file == NULL) return false;
    const size_t file_size = strcspn(++file, "?");
    if (!hub_path_is_safe(file, file_size)) return false;
    if ((size_t)snprintf(name, sizeof name, "%.*s@%.*s", (int)(way - repo), repo,
                         (int)(file - 1 - revision), revision) >= sizeof name)
        return false;
    memcpy(path, file, file_size);
    path[file_size] = '\0';
    return hub_name_parse(name, n) && n->quant[0] == '\0';
}

/* ---- Sentences ---- */

static int complain_status(const hub *h, const char *what, const char *repo, const http_answer *a) {
    const bool with_token = h->token[0] != '\0';
    switch (a->status) {
    case 401:
    case 403:
        if (repo == NULL)
            return complain(EXIT_FAILED, "%s: the server refuses access (%d)", what, a->status);
        return complain(EXIT_FAILED,
                        "%s: the hub refuses access (%d): there is no such model, or it is not "
                        "open to %s; check the name, accept its terms at %s/%s and set HF_TOKEN "
                        "to a token that may read it (%s/settings/tokens)",
                        what, a->status, with_token ? "your token" : "everybody", h->endpoint, repo,
                        h->endpoint);
    case 404:
    case 410:
        return complain(EXIT_FAILED,
                        "%s: there is no such model, revision or file (%d); check the "
                        "name",
                        what, a->status);
    case 429:
        if (a->retry_after > 0)
            return complain(EXIT_FAILED,
                            "%s: too many requests (429); run the same command again in %lld s",
                            what, (long long)a->retry_after);
        return complain(EXIT_FAILED,
                        "%s: too many requests (429); run the same command again in some minutes",
                        what);
    default:
        return complain(EXIT_FAILED,
                        "%s: the answer was status %d; run the same command again later", what,
                        a->status);
    }
}

int hub_complain(const hub *h, const char *what, const char *repo, const http_answer *a) {
    switch (a->fault) {
    case HTTP_STATUS:
        return complain_status(h, what, repo, a);
    case HTTP_CUT:
        return complain(EXIT_FAILED,
                        "%s: the connection broke off; what has come is kept, run the same "
                        "command again to go on",
                        what);
    case HTTP_NETWORK:
        return complain(EXIT_FAILED, "%s: cannot be reached: %s; run the same command again", what,
                        a->reason);
    case HTTP_REDIRECT:
        return complain(EXIT_FAILED, "%s: the server leads to %s; nothing was fetched from there",
                        what, a->reason);
    case HTTP_RANGE:
        return complain(EXIT_FAILED,
                        "%s: the server sent another part of the file than was asked for; run the "
                        "same command again",
                        what);
    default:
        return complain(EXIT_FAILED, "%s: memory is exhausted", what);
    }
}

/* ---- Asking ---- */

typedef struct page {
    char *text;
    size_t size, size_max;
    bool is_long;
    char next[HTTP_URL_CAP];
} page;

static bool page_begin(void *context, int64_t start, int64_t length) {
    page *p = context;
    (void)start;
    p->is_long = length > (int64_t)p->size_max;
    return !p->is_long;
}

static bool page_take(void *context, const void *bytes, size_t size) {
    page *p = context;
    p->is_long = size > p->size_max - p->size;
    char *grown = p->is_long ? NULL : realloc(p->text, p->size + size + 1);
    if (grown == NULL) return false;
    p->text = grown;
    memcpy(p->text + p->size, bytes, size);
    p->size += size;
    return true;
}

/* Fetches a page of at most p->size_max bytes; free its text. EXIT_OK, or a code after a
 * complaint. */
static int get(hub *h, const hub_name *n, const char *url, page *p) {
    const http_request r = {.url = url,
                            .token = h->token[0] != '\0' ? h->token : NULL,
                            .begin = page_begin,
                            .take = page_take,
                            .context = p};
    http_answer a = {.fault = HTTP_MEMORY};
    bool going = http_add(h->http, &r), ended = false;
    while (going && !ended) {
        if (interrupted()) return EXIT_STOPPED;
        going = http_move(h->http, 100);
        ended = http_ended(h->http, &a) != NULL;
    }
    memcpy(p->next, a.next, sizeof p->next);
    if (a.fault == HTTP_FINE) return EXIT_OK;
    if (p->is_long)
        return complain(EXIT_FAILED,
                        "%s: the hub's answer is longer than 16 MiB; is HF_ENDPOINT a model hub?",
                        n->repo);
    if (a.fault == HTTP_ENDED) a.fault = HTTP_MEMORY;
    return hub_complain(h, n->repo, n->repo, &a);
}

static int ask_info(hub *h, const hub_name *n, hub_info *info) {
    char url[HTTP_URL_CAP];
    rnl_error error = {0};
    page p = {.size_max = ANSWER_MAX};
    (void)snprintf(url, sizeof url, "%s/api/models/%s/revision/", h->endpoint, n->repo);
    (void)append_encoded(url, n->revision, ""); /* short enough */
    int code = get(h, n, url, &p);
    if (code == EXIT_OK && !hub_info_parse(info, p.text, p.size, n->repo, &error))
        code = complain(EXIT_FAILED, "%s", error.text);
    free(p.text);
    return code;
}

static int ask_list(hub *h, const hub_name *n, const char *commit, hub_list *list) {
    char url[HTTP_URL_CAP];
    rnl_error error = {0};
    size_t left = ANSWER_MAX;
    (void)snprintf(url, sizeof url, "%s/api/models/%s/tree/%s?recursive=true", h->endpoint, n->repo,
                   commit);
    for (int i = 0; i < PAGE_MAX; i++) {
        page p = {.size_max = left};
        int code = get(h, n, url, &p);
        left -= p.size;
        if (code == EXIT_OK && !hub_list_add(list, p.text, p.size, n->repo, &error))
            code = complain(EXIT_FAILED, "%s", error.text);
        free(p.text);
        if (code != EXIT_OK || p.next[0] == '\0') return code;
        if (http_url_fault(p.next, url) != NULL || !http_same_origin(p.next, h->endpoint))
            return complain(EXIT_FAILED, "%s: the hub's listing goes on at another host", n->repo);
        strcpy(url, p.next);
    }
    return complain(EXIT_FAILED, "%s: the hub's listing does not end", n->repo);
}

int hub_ask(hub *h, const hub_name *n, hub_info *info, hub_list *list) {
    *list = (hub_list){0};
    const int code = ask_info(h, n, info);
    return code == EXIT_OK ? ask_list(h, n, info->commit, list) : code;
}
