/* The page's files (page.h). Whatever else is asked for outside of the table of routes ends here,
 * too, and is not there. */
#include "serve/page.h"
#include "serve/server_inner.h"

static void answer_page(call *c) {
    net_exchange *x = c->exchange;
    const page_file *f = c->server->config.no_page ? NULL : page_find(net_exchange_path(x));
    if (f == NULL) {
        api_error e;
        (void)api_fail(&e, API_UNKNOWN_URL, NULL,
                       "there is no %.100s here; see docs/SERVING.md for what there is",
                       net_exchange_path(x));
        net_answer_error(x, &e);
        return;
    }
    for (size_t i = 0; i < page_header_count; i++)
        net_exchange_add_header(x, page_headers[i].name, page_headers[i].value);
    net_exchange_add_header(x, "etag", f->etag);
    if (page_is_known(f, net_exchange_header(x, NET_IF_NONE_MATCH)))
        net_answer(x, 304, NULL, NULL, 0);
    else
        net_answer(x, 200, f->type, f->bytes, f->size);
}

const service service_page = {.complete = answer_page};
