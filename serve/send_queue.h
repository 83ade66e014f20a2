/* What waits to be written to one connection, in blocks: a block is what one write gets. The room
 * is bounded; a block larger than all of it is taken when nothing else waits, so that a long
 * message gets through. */
#ifndef SERVE_SEND_QUEUE_H
#define SERVE_SEND_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct send_block {
    struct send_block *next;
    size_t head, size; /* bytes[head, head + size) */
    unsigned char *bytes;
} send_block;

typedef struct send_queue {
    send_block *first, *last;
    size_t size;    /* bytes that wait, */
    size_t cap;     /* and at most */
    size_t reserve; /* bytes before each block that the writer wants for itself */
} send_queue;

void send_queue_init(send_queue *q, size_t cap, size_t reserve);
/* Copies one block, made of two pieces. False: not enough room, or no memory; nothing was taken. */
bool send_queue_add(send_queue *q, const void *first, size_t first_size, const void *second,
                    size_t second_size);
size_t send_queue_room(const send_queue *q);
/* Takes the first block off the queue, to be freed with free(); NULL: none. */
send_block *send_queue_take(send_queue *q);
void send_queue_clear(send_queue *q);

#endif
