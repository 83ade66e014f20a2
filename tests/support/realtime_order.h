/* Checks the events that a realtime server sends, one after the other, against the rules of
 * server.md A.5:
 *
 *   1. every event has an event_id of its own; the first is session.created
 *   2. response.created first, response.done last of all events of a response, exactly one of each;
 *      done has a final status and usage
 *   3. items are added before they are done; deltas lie between content_part.added and the done
 *      events of the part; part done, then item done, then response done
 *   4. one response at a time in the conversation
 *   5. previous_item_id is the real predecessor, never an item that is gone
 *   6. speech_stopped and committed have the item_id of their speech_started
 *   7. what is out of band has no conversation.item events and conversation_id null
 *   8. no sound of a response after the speech_started that interrupted it
 *   9. rate_limits.updated after each response.done
 *
 * In the words of GA. */
#ifndef TESTS_SUPPORT_REALTIME_ORDER_H
#define TESTS_SUPPORT_REALTIME_ORDER_H

#include <stdbool.h>
#include <stddef.h>

enum { ORDER_NAME_CAP = 72, ORDER_ITEM_MAX = 256 };

typedef struct order_name {
    char text[ORDER_NAME_CAP];
} order_name;

typedef struct order_names {
    order_name *list;
    int count, cap;
} order_names;

typedef struct order_part {
    order_name item, response;
    bool part_open, words_done; /* of the content part */
    bool closed;                /* output_item.done was there */
    bool alone;
} order_part;

typedef struct order_response {
    order_name id;
    bool alone;
    int sound_at; /* number of the last sound event */
} order_response;

typedef struct realtime_order {
    order_names event_ids, ever; /* items that ever were */
    order_names items;           /* of the conversation, in order */
    order_response responses[8]; /* under way */
    int response_count;
    order_part parts[64]; /* items of them */
    int part_count;
    order_name speaker; /* item_id of speech_started, "": nobody speaks */
    order_name stopped; /* of speech_stopped, not committed yet */
    int heard_at;       /* number of the last speech_started */
    int limits_owed;
    int count;       /* events seen */
    char wrong[512]; /* the first thing; "": all is well */
} realtime_order;

/* Zeroed is fresh. False: o->wrong says what is. */
bool realtime_order_event(realtime_order *o, const char *text, size_t size);
/* Nothing follows: what is still open is wrong. */
bool realtime_order_end(realtime_order *o);
void realtime_order_free(realtime_order *o);

#endif
