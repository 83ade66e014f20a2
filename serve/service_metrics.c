/* GET /metrics: the book's page, in Prometheus' text format. */
#include <stdlib.h>

#include "serve/book.h"
#include "serve/server_inner.h"

static void answer_metrics(call *c) {
    const server *s = c->server;
    work_facts facts;
    net_counts counts;
    size_t size;
    work_get_facts(s->work, &facts);
    net_get_counts(s->net, &counts);
    if (s->wyoming != NULL)
        metrics_set(book_metrics(s->book), METRIC_CONNECTIONS, METRIC_WYOMING,
                    wyoming_service_count(s->wyoming));
    int states[METRIC_STATE_COUNT];
    realtime_count_states(s, states);
    metrics_set(book_metrics(s->book), METRIC_CONNECTIONS, METRIC_AUDIOSOCKET, s->phone_count);
    char *page = book_page(s->book, &facts, &counts, states, &size);
    if (page != NULL) {
        net_answer(c->exchange, 200, METRICS_CONTENT_TYPE, page, size);
    } else {
        api_error e;
        (void)api_fail(&e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
        net_answer_error(c->exchange, &e);
    }
    free(page);
}

const service service_metrics = {.complete = answer_metrics};
