/* Wyoming on the server: TCP connections, and what the engine does for them.
 *
 *     net_peer ──► wyoming (what the events mean) ──► a recording, a speaker, a kept talk
 *         ◄────────────────── events ◄─────────────────────────┘
 */
#ifndef SERVE_SERVICE_WYOMING_H
#define SERVE_SERVICE_WYOMING_H

#include "serve/book.h"
#include "serve/cidr.h"
#include "serve/net.h"
#include "serve/work.h"

typedef struct wyoming_service wyoming_service;

typedef struct wyoming_service_config {
    work *work;
    book *book;          /* each connection gets a line when it ends */
    const char *name;    /* of the model, as clients see it */
    const cidr *allowed; /* [allowed_count] whose addresses may come, besides this machine's own */
    int allowed_count;
} wyoming_service_config;

/* config's texts and ranges are borrowed. RNL_ERR_MEMORY; *out is then NULL. */
RNL_MUST_USE rnl_status wyoming_service_create(const wyoming_service_config *config,
                                               wyoming_service **out);
/* Every connection must be gone; closes the talks that are kept. NULL is fine; sets NULL. */
void wyoming_service_destroy(wyoming_service **s);

/* As adopt of net_handlers. */
bool wyoming_service_adopt(wyoming_service *s, const char *address, net_peer *p,
                           const net_peer_handlers **handlers, void **state);
void wyoming_service_tick(wyoming_service *s, int64_t now_us); /* now and then */
int wyoming_service_count(const wyoming_service *s);           /* connections */
int wyoming_service_busy(const wyoming_service *s);            /* answers under way */

#endif
