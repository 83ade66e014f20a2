/* One easy handle a transfer, on one multi handle. Redirects are followed here and not by libcurl,
 * so that each address passes our rule, and is the one that was parsed for it. */
#include "apps/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_SECONDS = 30, STALL_SECONDS = 60, BUFFER_SIZE = 256 << 10 };

typedef struct transfer {
    CURL *easy;
    CURLU *at, *first; /* where the request goes now; where it began */
    struct curl_slist *headers;
    http_request request;
    http_answer answer;
    bool begun, away; /* a body was announced; a redirect left the origin */
    int redirects;
    int64_t range_start; /* of Content-Range; -1: none */
    char location[HTTP_URL_CAP];
    char trouble[CURL_ERROR_SIZE];
    struct transfer *next;
} transfer;

struct http {
    CURLM *multi;
    transfer *all;
};

/* ---- Addresses ---- */

static char *part_of(CURLU *u, CURLUPart part, unsigned flags) {
    char *text = NULL;
    return curl_url_get(u, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static bool is_text(char *part, const char *text) {
    const bool same = part != NULL && strcasecmp(part, text) == 0;
    curl_free(part);
    return same;
}

/* This machine, by its name or by its number: what is sent there crosses no network. */
static bool is_loopback(CURLU *u) {
    char *host = part_of(u, CURLUPART_HOST, 0);
    if (host == NULL) return false;
    const bool number =
        strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host);
    const bool loopback =
        number || strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
    curl_free(host);
    return loopback;
}

/* Why not to go to `to`; from NULL: a person named it. */
static const char *fault_of(CURLU *to, CURLU *from) {
    char *user = part_of(to, CURLUPART_USER, 0), *password = part_of(to, CURLUPART_PASSWORD, 0);
    const bool named = user != NULL || password != NULL;
    curl_free(user);
    curl_free(password);
    if (named) return "holds a user's name or a password";
    if (is_text(part_of(to, CURLUPART_SCHEME, 0), "https")) return NULL;
    if (!is_text(part_of(to, CURLUPART_SCHEME, 0), "http")) return "is not https";
    if (!is_loopback(to)) return "is not https";
    /* From outside nobody leads us to a service of this machine. */
    if (from != NULL &&
        (!is_loopback(from) || is_text(part_of(from, CURLUPART_SCHEME, 0), "https")))
        return "leads from the hub to this machine";
    return NULL;
}

static CURLU *parse(const char *url) {
    CURLU *u = curl_url();
    if (u == NULL || curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
        return u;
    curl_url_cleanup(u);
    return NULL;
}

const char *http_url_fault(const char *url, const char *from) {
    if (strlen(url) >= HTTP_URL_CAP) return "is too long";
    CURLU *u = parse(url), *f = from != NULL ? parse(from) : NULL;
    const char *fault =
        u == NULL || (from != NULL && f == NULL) ? "cannot be read" : fault_of(u, f);
    curl_url_cleanup(u);
    curl_url_cleanup(f);
    return fault;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part) {
    char *text = part_of(b, part, CURLU_DEFAULT_PORT);
    const bool same = text != NULL && is_text(part_of(a, part, CURLU_DEFAULT_PORT), text);
    curl_free(text);
    return same;
}

static bool same_origin(CURLU *a, CURLU *b) {
    return same_part(a, b, CURLUPART_SCHEME) && same_part(a, b, CURLUPART_HOST) &&
           same_part(a, b, CURLUPART_PORT);
}

bool http_same_origin(const char *a, const char *b) {
    CURLU *ua = parse(a), *ub = parse(b);
    const bool same = ua != NULL && ub != NULL && same_origin(ua, ub);
    curl_url_cleanup(ua);
    curl_url_cleanup(ub);
    return same;
}

/* ---- What comes ---- */

/* The value of a header line with this name, without spaces around it; NULL: another header. */
static const char *value_of(const char *line, const char *name) {
    const size_t size = strlen(name);
    if (strncasecmp(line, name, size) != 0 || line[size] != ':') return NULL;
    return line + size + 1 + strspn(line + size + 1, " \t");
}

/* <https://...>; rel="next" */
static void read_link(const char *value, char next[HTTP_URL_CAP]) {
    const char *begin = strchr(value, '<'), *end = strchr(value, '>');
    next[0] = '\0';
    if (begin == NULL || end == NULL || end < begin || end - begin > HTTP_URL_CAP ||
        strstr(end, "rel=\"next\"") == NULL)
        return;
    memcpy(next, begin + 1, (size_t)(end - begin - 1));
    next[end - begin - 1] = '\0';
}

static size_t on_header(char *bytes, size_t one, size_t size, void *context) {
    transfer *t = context;
    char line[HTTP_URL_CAP];
    (void)one;
    if (size >= sizeof line) return size; /* none of ours is so long */
    memcpy(line, bytes, size);
    line[size] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    const char *value;
    if (strncmp(line, "HTTP/", 5) == 0) { /* what came before belongs to another response */
        t->location[0] = t->answer.next[0] = '\0';
        t->range_start = -1;
    } else if ((value = value_of(line, "location")) != NULL) {
        strcpy(t->location, value);
    } else if ((value = value_of(line, "link")) != NULL) {
        read_link(value, t->answer.next);
    } else if ((value = value_of(line, "content-range")) != NULL) {
        if (strncasecmp(value, "bytes ", 6) == 0 && strspn(value + 6, "0123456789") > 0)
            t->range_start = strtoll(value + 6, NULL, 10);
    }
    return size;
}

static int status_of(const transfer *t) {
    long status = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* Tells the owner of a body. False with a fault. */
static bool begin_body(transfer *t) {
    if (t->begun) return true;
    t->begun = true;
    curl_off_t length = -1;
    (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    const bool part = status_of(t) == 206;
    if (part && t->range_start != t->request.offset) {
        t->answer.fault = HTTP_RANGE;
        return false;
    }
    if (t->request.begin(t->request.context, part ? t->request.offset : 0, length)) return true;
    t->answer.fault = HTTP_ENDED;
    return false;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context) {
    transfer *t = context;
    (void)one;
    const int status = status_of(t);
    if (status != 200 && status != 206) return size; /* of an error: nobody reads it */
    if (!begin_body(t)) return 0;
    if (size == 0 || t->request.take(t->request.context, bytes, size)) return size;
    t->answer.fault = HTTP_ENDED;
    return 0;
}

/* ---- Transfers ---- */

static void free_transfer(transfer *t) {
    if (t == NULL) return;
    curl_easy_cleanup(t->easy);
    curl_url_cleanup(t->at);
    curl_url_cleanup(t->first);
    curl_slist_free_all(t->headers);
    free(t);
}

static bool set_all(transfer *t) {
    CURL *e = t->easy;
    const char *authority = getenv("SSL_CERT_FILE"); /* as OpenSSL's own programs take it */
    bool good = curl_easy_setopt(e, CURLOPT_CURLU, t->at) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_USERAGENT, "runnel/" RNL_VERSION) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->trouble) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_HEADERDATA, t) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
                curl_easy_setopt(e, CURLOPT_PRIVATE, t) == CURLE_OK;
    /* What is meant for this machine does not go through a proxy, least of all in the clear. */
    if (good && is_loopback(t->at)) good = curl_easy_setopt(e, CURLOPT_NOPROXY, "*") == CURLE_OK;
    if (good && authority != NULL && *authority != '\0')
        good = curl_easy_setopt(e, CURLOPT_CAINFO, authority) == CURLE_OK;
    return good;
}

static bool set_headers(transfer *t) {
    char line[1024];
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    const bool tokened = t->request.token != NULL && !t->away;
    if (tokened) {
        if ((size_t)snprintf(line, sizeof line, "Authorization: Bearer %s", t->request.token) >=
            sizeof line)
            return false;
        t->headers = curl_slist_append(NULL, line);
        memset(line, 0, sizeof line);
        if (t->headers == NULL) return false;
    }
    if (curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) != CURLE_OK) return false;
    if (t->request.offset == 0) return true;
    (void)snprintf(line, sizeof line, "%lld-", (long long)t->request.offset);
    return curl_easy_setopt(t->easy, CURLOPT_RANGE, line) == CURLE_OK;
}

/* Makes the easy handle of the next request and starts it. False: no memory. */
static bool start(http *h, transfer *t) {
    if (t->easy != NULL) {
        (void)curl_multi_remove_handle(h->multi, t->easy);
        curl_easy_reset(t->easy); /* keeps connections, forgets the token of the last one */
    } else {
        t->easy = curl_easy_init();
    }
    t->trouble[0] = '\0';
    return t->easy != NULL && set_all(t) && set_headers(t) &&
           curl_multi_add_handle(h->multi, t->easy) == CURLM_OK;
}

http *http_open(void) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return NULL;
    http *h = calloc(1, sizeof *h);
    if (h != NULL) h->multi = curl_multi_init();
    if (h == NULL || h->multi == NULL) {
        free(h);
        curl_global_cleanup();
        return NULL;
    }
    return h;
}

void http_close(http **out) {
    http *h = *out;
    if (h == NULL) return;
    while (h->all != NULL) {
        transfer *t = h->all;
        h->all = t->next;
        (void)curl_multi_remove_handle(h->multi, t->easy);
        free_transfer(t);
    }
    (void)curl_multi_cleanup(h->multi);
    curl_global_cleanup();
    free(h);
    *out = NULL;
}

bool http_add(http *h, const http_request *r) {
    transfer *t = calloc(1, sizeof *t);
    if (t == NULL) return false;
    t->request = *r;
    t->request.url = NULL;
    t->range_start = -1;
    t->at = parse(r->url);
    t->first = t->at != NULL ? curl_url_dup(t->at) : NULL;
    if (t->first == NULL || !start(h, t)) {
        free_transfer(t);
        return false;
    }
    t->next = h->all;
    h->all = t;
    return true;
}

bool http_move(http *h, int wait_ms) {
    int running = 0;
    if (curl_multi_perform(h->multi, &running) != CURLM_OK) return false;
    if (running == 0) return true;
    /* A signal ends the wait early, which is no fault. */
    const CURLMcode code = curl_multi_poll(h->multi, NULL, 0, wait_ms, NULL);
    return code == CURLM_OK || (code == CURLM_UNRECOVERABLE_POLL && errno == EINTR);
}

/* ---- How it ends ---- */

/* Says why; of an address no more than where it leads, since the rest may hold a secret. */
static void say_redirect(transfer *t, CURLU *to, const char *why) {
    char *scheme = to != NULL ? part_of(to, CURLUPART_SCHEME, 0) : NULL;
    char *host = to != NULL ? part_of(to, CURLUPART_HOST, 0) : NULL;
    t->answer.fault = HTTP_REDIRECT;
    (void)snprintf(t->answer.reason, sizeof t->answer.reason, "%.20s%s%.100s: that %s",
                   scheme != NULL ? scheme : "an address", scheme != NULL ? "://" : "",
                   host != NULL ? host : "", why);
    curl_free(scheme);
    curl_free(host);
}

/* Goes where the response points. False: the request is over. */
static bool redirect(http *h, transfer *t) {
    CURLU *to = curl_url_dup(t->at);
    if (to == NULL) {
        t->answer.fault = HTTP_MEMORY;
        return false;
    }
    const char *why = NULL;
    if (curl_url_set(to, CURLUPART_URL, t->location, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        why = "cannot be read";
    else if (++t->redirects > HTTP_REDIRECT_MAX)
        why = "is one redirect too many";
    else
        why = fault_of(to, t->at);
    if (why != NULL) {
        say_redirect(t, to, why);
        curl_url_cleanup(to);
        return false;
    }
    t->away = t->away || !same_origin(t->first, to);
    curl_url_cleanup(t->at);
    t->at = to;
    if (start(h, t)) return true;
    t->answer.fault = HTTP_MEMORY;
    return false;
}

static http_fault fault_of_code(CURLcode code) {
    switch (code) {
    case CURLE_OK:
        return HTTP_FINE;
    case CURLE_OUT_OF_MEMORY:
        return HTTP_MEMORY;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
        return HTTP_CUT;
    default:
        return HTTP_NETWORK;
    }
}

/* Judges a request whose last response is there. False: it went on to another address. */
static bool judge(http *h, transfer *t, CURLcode code) {
    http_answer *a = &t->answer;
    a->status = status_of(t);
    curl_off_t wait = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait);
    a->retry_after = wait;
    if (a->fault != HTTP_FINE) return true; /* known already */
    if (code != CURLE_OK) {
        a->fault = fault_of_code(code);
        if (code == CURLE_OPERATION_TIMEDOUT && t->begun) a->fault = HTTP_CUT;
        (void)snprintf(a->reason, sizeof a->reason, "%s",
                       t->trouble[0] != '\0' ? t->trouble : curl_easy_strerror(code));
        for (char *c = a->reason; *c != '\0'; c++)
            if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e) *c = '?';
        return true;
    }
    if (a->status >= 301 && a->status <= 308 && a->status != 304 && t->location[0] != '\0')
        return !redirect(h, t);
    if (a->status != 200 && a->status != 206)
        a->fault = HTTP_STATUS;
    else
        (void)begin_body(t); /* of no bytes */
    return true;
}

void *http_ended(http *h, http_answer *out) {
    int left;
    const CURLMsg *message;
    while ((message = curl_multi_info_read(h->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode code = message->data.result;
        char *private = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        transfer *t = (transfer *)(void *)private;
        if (!judge(h, t, code)) continue;
        transfer **link = &h->all;
        while (*link != t) link = &(*link)->next;
        *link = t->next;
        void *context = t->request.context;
        *out = t->answer;
        (void)curl_multi_remove_handle(h->multi, t->easy);
        free_transfer(t);
        return context;
    }
    return NULL;
}
