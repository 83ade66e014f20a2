#include "serve/chat_logprobs.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 256 << 20 };

void chat_logprobs_begin(chat_logprobs *l) {
    *l = (chat_logprobs){0};
    json_out_begin_growing(&l->entries, ENTRIES_MAX);
}

void chat_logprobs_free(chat_logprobs *l) {
    json_out_free(&l->entries);
    free(l->waiting);
    *l = (chat_logprobs){0};
}

static void put_token(json_out *o, const work_token *t) {
    json_out_logprob(o, t->bytes, t->size, !t->special, (double)t->logprob);
}

static void put_entry(json_out *o, const work_token *tokens, int alternatives) {
    json_out_object(o, NULL);
    put_token(o, tokens);
    json_out_array(o, "top_logprobs");
    for (int i = 1; i <= alternatives; i++) {
        if (tokens[i].size == 0) continue; /* the vocabulary has no more */
        json_out_object(o, NULL);
        put_token(o, &tokens[i]);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
}

static bool make_room(chat_logprobs *l) {
    if (l->count < l->cap) return true;
    const size_t cap = 2 * l->cap + 64;
    void *grown = realloc(l->waiting, cap * sizeof *l->waiting);
    if (grown == NULL) return false;
    l->waiting = grown;
    l->cap = cap;
    return true;
}

bool chat_logprobs_take(chat_logprobs *l, const work_token *tokens, size_t count,
                        int alternatives) {
    for (size_t i = 0; i < count; i++) {
        if (!make_room(l)) return false;
        put_entry(&l->entries, tokens, alternatives);
        l->waiting[l->count].begin = l->text_size;
        l->waiting[l->count++].end = l->entries.size;
        l->text_size += tokens->size;
        tokens += 1 + alternatives;
    }
    return !l->entries.full;
}

void chat_logprobs_put(chat_logprobs *l, json_out *o, size_t end) {
    size_t at = 0, count = 0;
    while (count < l->count && l->waiting[count].begin < end) count++;
    if (count == 0) {
        json_out_null(o, "logprobs");
        return;
    }
    json_out_object(o, "logprobs");
    json_out_array(o, "content");
    for (size_t i = 0; i < count; i++) {
        json_out_raw(o, NULL, l->entries.text + at, l->waiting[i].end - at);
        at = l->waiting[i].end;
    }
    json_out_end(o);
    json_out_null(o, "refusal");
    json_out_end(o);
    l->count -= count;
    memmove(l->waiting, l->waiting + count, l->count * sizeof *l->waiting);
    for (size_t i = 0; i < l->count; i++) l->waiting[i].end -= at;
    l->entries.size -= at;
    memmove(l->entries.text, l->entries.text + at, l->entries.size);
}
