/* Thinking that a template leaves out of earlier answers: what stands before the last </think> of a
 * message goes out of the history, and white space around the rest. Tokens are taken as they are;
 * only one that also holds what stays is made anew. */
#include <string.h>

#include "engine/session.h"

static const char think_end[] = "</think>";

/* The content of an assistant's message in the history. */
typedef struct message {
    int begin, end;
    int cut;          /* behind the last token with a part of the last mark in it; -1: no mark */
    size_t cut_bytes; /* of that token that belong to the mark */
} message;

static bool bytes_of(const rnl_session *s, int position, const char **bytes, size_t *size) {
    bool special;
    return s->ids[position] >= 0 &&
           bpe_token_bytes(s->model->source.text, s->ids[position], bytes, size, &special) &&
           !special;
}

/* Where the last mark ends: its bytes are followed through the tokens. No prefix of the mark
 * stands within it again, so a byte that does not fit can only begin another. */
static void find_mark(const rnl_session *s, message *m) {
    size_t matched = 0;
    m->cut = -1;
    for (int at = m->begin; at < m->end; at++) {
        const char *bytes;
        size_t size;
        if (!bytes_of(s, at, &bytes, &size)) {
            matched = 0;
            continue;
        }
        for (size_t i = 0; i < size; i++) {
            matched = bytes[i] == think_end[matched] ? matched + 1 : bytes[i] == think_end[0];
            if (matched < sizeof think_end - 1) continue;
            m->cut = at + 1;
            m->cut_bytes = i + 1;
            matched = 0;
        }
    }
}

/* The next message of an assistant from the position on; false: there is none. header [count]: the
 * tokens that begin one. */
static bool next_message(const rnl_session *s, int from, const int32_t *header, int count,
                         message *m) {
    const int end = s->live->position_count;
    for (int at = from; at + count <= end; at++) {
        if (memcmp(s->ids + at, header, (size_t)count * sizeof *header) != 0) continue;
        m->begin = m->end = at + count;
        while (m->end < end && s->ids[m->end] != s->model->ids.message_end) m->end++;
        find_mark(s, m);
        return true;
    }
    return false;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Takes positions [begin, end) out of the middle of the history. */
static void take_out(rnl_session *s, int begin, int end) {
    session_live *live = s->live;
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    const size_t behind = (size_t)(live->position_count - end);
    memmove(s->embeddings + (size_t)begin * width, s->embeddings + (size_t)end * width,
            behind * width * sizeof *s->embeddings);
    memmove(s->ids + begin, s->ids + end, behind * sizeof *s->ids);
    memmove(s->sums + begin, s->sums + end, behind * sizeof *s->sums);
    session_part(s, begin);
    for (int i = 0; i < live->exchange_count; i++)
        if (s->exchanges[i] >= end) s->exchanges[i] -= end - begin;
    if (live->answered_at >= end) live->answered_at -= end - begin;
    if (s->encoding && s->encode_at >= end) s->encode_at -= end - begin;
    live->position_count -= end - begin;
}

/* What is changed from `begin` on goes through again. */
static void go_back(rnl_session *s, int begin) {
    session_live *live = s->live;
    live->replay_end = 0;
    live->reply_end = -1;
    session_forget_marks(s, begin);
    session_return_to(s, begin);
    for (int i = 0; i < s->config.snapshot_cap; i++)
        if (s->slots[i].position_count > begin) s->slots[i].valid = false;
}

/* Puts the tokens of a text that is shorter than one token before the position, over others. */
static int put_before(rnl_session *s, int position, int room, const char *text, size_t size) {
    int32_t *ids = s->pass->ids;
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    size_t count = 0;
    if (size == 0 || bpe_encode(s->model->source.text, &s->pass->bpe, text, size, false, ids,
                                (size_t)room, &count, NULL) != RNL_OK)
        return position;
    const int begin = position - (int)count;
    session_part(s, begin);
    for (size_t i = 0; i < count; i++) {
        s->ids[begin + (int)i] = ids[i];
        s->sums[begin + (int)i] = SESSION_SUM_TOKEN;
        backbone_embed_text(&s->model->backbone, &s->pass->compute, ids[i],
                            s->embeddings + ((size_t)begin + i) * width);
    }
    return begin;
}

/* Takes out the white space that a message ends with. */
static void trim_end(rnl_session *s, message *m) {
    int end = m->end;
    const char *bytes;
    size_t size;
    while (end > m->cut && bytes_of(s, end - 1, &bytes, &size)) {
        size_t spaces = 0;
        while (spaces < size && is_space(bytes[spaces])) spaces++;
        if (spaces < size) break;
        end--;
    }
    take_out(s, end, m->end);
    m->end = end;
}

/* Takes the thinking of one message out; returns where the message ends now. */
static int forget(rnl_session *s, message *m) {
    trim_end(s, m);
    int at = m->cut - 1;
    size_t skipped = m->cut_bytes, size = 0;
    const char *bytes = NULL;
    /* Past the mark and the white space behind it, to the first byte that stays. */
    for (; at < m->end; at++, skipped = 0) {
        if (!bytes_of(s, at, &bytes, &size)) break;
        while (skipped < size && is_space(bytes[skipped])) skipped++;
        if (skipped < size) break;
    }
    int keep = at;
    if (at < m->end && skipped > 0) /* the rest of a token that is cut */
        keep = put_before(s, at + 1, at + 1 - m->begin, bytes + skipped, size - skipped);
    const int gone = keep - m->begin;
    take_out(s, m->begin, keep);
    go_back(s, m->begin);
    return m->end - gone;
}

void session_forget_thinking(rnl_session *s) {
    const session_live *live = s->live;
    const chat_thinking rule = chat_thinking_of(s->model->chat.kind);
    int32_t header[16];
    size_t count = 0;
    if (rule == CHAT_THINKING_KEPT || live->open_role == RNL_ROLE_USER || s->encoding) return;
    const char *text = "<|im_start|>assistant\n";
    if (bpe_encode(s->model->source.text, &s->pass->bpe, text, strlen(text), true, header, 16,
                   &count, NULL) != RNL_OK)
        return;
    message m = {0}, next;
    bool found = next_message(s, 0, header, (int)count, &m);
    while (found) {
        /* The last answer keeps its thinking until another follows, where that is the rule. */
        found = next_message(s, m.end, header, (int)count, &next);
        if (!found && rule == CHAT_THINKING_OF_LAST) return;
        if (m.cut >= 0) {
            const int end = forget(s, &m);
            found = next_message(s, end, header, (int)count, &next);
        }
        m = next;
    }
}
