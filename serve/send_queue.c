#include "serve/send_queue.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void send_queue_init(send_queue *q, size_t cap, size_t reserve) {
    *q = (send_queue){.cap = cap, .reserve = reserve};
}

size_t send_queue_room(const send_queue *q) {
    return q->size < q->cap ? q->cap - q->size : 0;
}

bool send_queue_add(send_queue *q, const void *first, size_t first_size, const void *second,
                    size_t second_size) {
    if (second_size > SIZE_MAX / 4 || first_size > SIZE_MAX / 4) return false;
    const size_t size = first_size + second_size;
    if (size > send_queue_room(q) && q->first != NULL) return false;
    send_block *b = malloc(sizeof *b + q->reserve + size);
    if (b == NULL) return false;
    *b = (send_block){.head = q->reserve, .size = size, .bytes = (unsigned char *)(b + 1)};
    if (first_size > 0) memcpy(b->bytes + b->head, first, first_size);
    if (second_size > 0) memcpy(b->bytes + b->head + first_size, second, second_size);
    if (q->last != NULL)
        q->last->next = b;
    else
        q->first = b;
    q->last = b;
    q->size += size;
    return true;
}

send_block *send_queue_take(send_queue *q) {
    send_block *b = q->first;
    if (b == NULL) return NULL;
    q->first = b->next;
    if (q->first == NULL) q->last = NULL;
    q->size -= b->size;
    b->next = NULL;
    return b;
}

void send_queue_clear(send_queue *q) {
    send_block *b;
    while ((b = send_queue_take(q)) != NULL) free(b);
}
