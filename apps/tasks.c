#include "apps/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "apps/messages.h"
#include "apps/tasks_csv.h"
#include "apps/wer.h"
#include "chat/text.h"
#include "core/json.h"
#include "core/status.h"
#include "core/utf8.h"

/* A line at work: the first fault stays. */
typedef struct reading {
    const json *line;
    task_item *item;
    const char *fault; /* what is wrong with the line, or NULL */
    bool no_memory;
} reading;

struct task_kind {
    const char *name;
    void (*read)(reading *r);
    bool generates;
};

const char task_names[] = "mmlu, global_mmlu, arc_easy, arc_challenge, hellaswag, "
                          "choice, gsm8k, gsm8k_cot, generate";

static void fail(reading *r, const char *fault) {
    if (r->fault == NULL) r->fault = fault;
}

/* ---- Fields ---- */

/* The text of a string that has no NUL; NULL otherwise. */
static const char *chars_of(const json *v) {
    size_t size = 0;
    const char *text = json_chars(v, &size);
    return text != NULL && strlen(text) == size ? text : NULL;
}

static const char *field(reading *r, const char *key, const char *fault) {
    const char *text = chars_of(json_get(r->line, key));
    if (text == NULL) fail(r, fault);
    return text != NULL ? text : "";
}

/* Takes what was gathered. */
static char *take(reading *r, chat_text *t) {
    chat_puts(t, "");
    if (t->failed || t->data == NULL) {
        chat_text_free(t);
        r->no_memory = true;
        return NULL;
    }
    return t->data;
}

static void set_text(reading *r, char **out, const char *text) {
    *out = strdup(text);
    if (*out == NULL) r->no_memory = true;
}

static size_t count_characters(const char *text) {
    size_t count = 0;
    for (; *text != '\0'; text++) count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

/* Room for choices; false: a fault. */
static bool choices_begin(reading *r, size_t count) {
    if (count < 2 || count > TASK_CHOICE_CAP) {
        fail(r, "choices are not 2 to 64");
        return false;
    }
    r->item->choices = calloc(count, sizeof *r->item->choices);
    if (r->item->choices == NULL) {
        r->no_memory = true;
        return false;
    }
    r->item->choice_count = (int)count;
    return true;
}

static void set_choice(reading *r, int index, const char *text) {
    task_choice *c = &r->item->choices[index];
    if (text == NULL || *text == '\0') {
        fail(r, "a choice is empty or no string");
        return;
    }
    set_text(r, &c->said.text, text);
    c->characters = (double)count_characters(text);
    c->bytes = (double)strlen(text);
}

/* Choices of a list of strings. */
static void text_choices(reading *r, const json *list) {
    if (!json_is_array(list)) {
        fail(r, "choices are missing or no list");
        return;
    }
    if (!choices_begin(r, json_count(list))) return;
    for (int i = 0; i < r->item->choice_count; i++)
        set_choice(r, i, chars_of(json_at(list, (size_t)i)));
}

/* A number, or a string of digits. */
static void set_gold(reading *r, const json *v) {
    int64_t gold = -1;
    const char *text = chars_of(v);
    if (text != NULL && strspn(text, "0123456789") == strlen(text) && *text != '\0' &&
        strlen(text) < 4)
        gold = strtol(text, NULL, 10);
    else if (!json_int(v, 0, TASK_CHOICE_CAP, &gold))
        gold = -1;
    if (gold < 0 || gold >= r->item->choice_count)
        fail(r, "the right answer is missing or is none of the choices");
    r->item->gold = (int)gold;
}

/* ---- MMLU: the choices stand in the question, the answers are their letters ---- */

static void set_letters(reading *r, const char *question, const char *const choices[4]) {
    static const char *const letters[] = {"A", "B", "C", "D"};
    chat_text t = {0};
    size_t size = strlen(question);
    const size_t begin = strspn(question, " \t\r\n\v\f");
    while (size > begin && strchr(" \t\r\n\v\f", question[size - 1]) != NULL) size--;
    chat_put(&t, question + begin, size - begin);
    for (int i = 0; i < 4; i++) {
        chat_puts(&t, "\n");
        chat_puts(&t, letters[i]);
        chat_puts(&t, ". ");
        chat_puts(&t, choices[i]);
    }
    chat_puts(&t, "\nAnswer:");
    r->item->question.text = take(r, &t);
    if (!choices_begin(r, 4)) return;
    for (int i = 0; i < 4; i++) set_choice(r, i, letters[i]);
    const json *answer = json_get(r->line, "answer");
    const char *letter = chars_of(answer);
    if (letter != NULL && letter[0] >= 'A' && letter[0] <= 'D' && letter[1] == '\0')
        r->item->gold = letter[0] - 'A';
    else
        set_gold(r, answer);
}

static void read_subject(reading *r) {
    const char *subject = chars_of(json_get(r->line, "subject"));
    if (subject != NULL) set_text(r, &r->item->subject, subject);
}

static void read_mmlu(reading *r) {
    const char *question = field(r, "question", "question is missing or no string");
    const json *list = json_get(r->line, "choices");
    const char *choices[4];
    for (size_t i = 0; i < 4; i++) {
        choices[i] = chars_of(json_at(list, i));
        if (choices[i] == NULL || json_count(list) != 4) {
            fail(r, "choices are not four strings");
            return;
        }
    }
    set_letters(r, question, choices);
    read_subject(r);
    if (r->item->subject == NULL) return;
    chat_text t = {0};
    chat_puts(&t, "The following are multiple choice questions (with answers) about ");
    for (const char *c = r->item->subject; *c != '\0'; c++) chat_put(&t, *c == '_' ? " " : c, 1);
    chat_puts(&t, ".\n\n");
    r->item->description = take(r, &t);
}

static void read_global_mmlu(reading *r) {
    const char *choices[4];
    static const char *const keys[] = {"option_a", "option_b", "option_c", "option_d"};
    const char *question = field(r, "question", "question is missing or no string");
    for (int i = 0; i < 4; i++)
        choices[i] = field(r, keys[i], "option_a to option_d are not four strings");
    if (r->fault == NULL) set_letters(r, question, choices);
    read_subject(r);
}

/* ---- ARC ---- */

static void read_arc(reading *r) {
    const char *question = field(r, "question", "question is missing or no string");
    const json *choices = json_get(r->line, "choices"), *labels = json_get(choices, "label");
    const char *key = field(r, "answerKey", "answerKey is missing or no string");
    chat_text t = {0};
    chat_puts(&t, "Question: ");
    chat_puts(&t, question);
    chat_puts(&t, "\nAnswer:");
    r->item->question.text = take(r, &t);
    text_choices(r, json_get(choices, "text"));
    r->item->gold = -1;
    for (int i = 0; i < r->item->choice_count; i++) {
        const char *label = chars_of(json_at(labels, (size_t)i));
        if (label != NULL && strcmp(label, key) == 0) r->item->gold = i;
    }
    if (r->item->gold < 0) fail(r, "answerKey is none of the labels");
}

/* ---- HellaSwag ---- */

/* "[...]" within a line goes, and two spaces become one, once. In place. */
static void strip(char *text) {
    size_t used = 0;
    for (const char *c = text; *c != '\0'; c++) {
        const size_t inside = *c == '[' ? strcspn(c, "]\n") : 0;
        if (inside > 0 && c[inside] == ']')
            c += inside;
        else
            text[used++] = *c;
    }
    text[used] = '\0';
    used = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (c[0] == ' ' && c[1] == ' ') c++;
        text[used++] = *c;
    }
    text[used] = '\0';
}

/* In this order: ends trimmed, " [title]" -> ". ", what strip does. */
static char *clean(reading *r, const char *text) {
    static const char title[] = " [title]";
    chat_text t = {0};
    size_t end = strlen(text), at = strspn(text, " \t\r\n\v\f");
    while (end > at && strchr(" \t\r\n\v\f", text[end - 1]) != NULL) end--;
    while (at < end) {
        const bool is_title =
            end - at >= sizeof title - 1 && memcmp(text + at, title, sizeof title - 1) == 0;
        chat_put(&t, is_title ? ". " : text + at, is_title ? 2 : 1);
        at += is_title ? sizeof title - 1 : 1;
    }
    char *out = take(r, &t);
    if (out != NULL) strip(out);
    return out;
}

/* As Python's str.capitalize: the first letter large (of ASCII), the others small. */
static void put_capitalised(chat_text *t, const char *text) {
    const size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        uint32_t c;
        char out[4];
        const bool first = at == 0;
        at += utf8_next(text + at, size - at, &c);
        if (!first) c = wer_lower(c);
        if (first && c >= 'a' && c <= 'z') c -= 'a' - 'A';
        chat_put(t, out, utf8_put(c, out));
    }
}

static void read_hellaswag(reading *r) {
    if (json_get(r->line, "query") != NULL) {
        set_text(r, &r->item->question.text, field(r, "query", "query is no string"));
        text_choices(r, json_get(r->line, "choices"));
        set_gold(r, json_get(r->line, "gold"));
        return;
    }
    chat_text t = {0};
    chat_puts(&t, field(r, "activity_label", "activity_label is missing or no string"));
    chat_puts(&t, ": ");
    chat_puts(&t, field(r, "ctx_a", "ctx_a is missing or no string"));
    chat_puts(&t, " ");
    put_capitalised(&t, field(r, "ctx_b", "ctx_b is missing or no string"));
    char *raw = take(r, &t);
    if (raw != NULL) r->item->question.text = clean(r, raw);
    free(raw);
    const json *endings = json_get(r->line, "endings");
    if (!json_is_array(endings)) fail(r, "endings are missing or no list");
    if (r->fault != NULL || !choices_begin(r, json_count(endings))) return;
    for (int i = 0; i < r->item->choice_count; i++) {
        const char *ending = chars_of(json_at(endings, (size_t)i));
        char *cleaned = ending != NULL ? clean(r, ending) : NULL;
        set_choice(r, i, cleaned);
        free(cleaned);
    }
    set_gold(r, json_get(r->line, "label"));
}

/* ---- Our own ---- */

/* Ids in a list. */
static void set_ids(reading *r, task_text *out, const json *list) {
    const size_t count = json_count(list);
    if (count == 0) {
        fail(r, "a list of ids is empty");
        return;
    }
    out->ids = malloc(count * sizeof *out->ids);
    if (out->ids == NULL) {
        r->no_memory = true;
        return;
    }
    out->id_count = count;
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        if (!json_int(json_at(list, i), 0, INT32_MAX, &id)) {
            fail(r, "a list of ids has something else in it");
            return;
        }
        out->ids[i] = (int32_t)id;
    }
}

static void read_lengths(reading *r, const json *list, size_t offset) {
    if (json_is_null(list)) return;
    for (int i = 0; i < r->item->choice_count; i++) {
        double length;
        if (!json_number(json_at(list, (size_t)i), &length) || length <= 0) {
            fail(r, "lengths are not one above 0 for each choice");
            return;
        }
        memcpy((char *)&r->item->choices[i] + offset, &length, sizeof length);
    }
}

static void read_choice(reading *r) {
    const json *context = json_get(r->line, "context"), *choices = json_get(r->line, "choices");
    const json *lengths = json_get(r->line, "lengths");
    if (json_is_array(context)) {
        set_ids(r, &r->item->question, context);
        if (!choices_begin(r, json_count(choices))) return;
        for (int i = 0; i < r->item->choice_count; i++) {
            task_choice *c = &r->item->choices[i];
            set_ids(r, &c->said, json_at(choices, (size_t)i));
            c->characters = c->bytes = (double)c->said.id_count;
        }
    } else {
        set_text(r, &r->item->question.text,
                 field(r, "context", "context is missing, and no string or list of ids"));
        text_choices(r, choices);
    }
    set_gold(r, json_get(r->line, "gold"));
    read_lengths(r, json_get(lengths, "characters"), offsetof(task_choice, characters));
    read_lengths(r, json_get(lengths, "bytes"), offsetof(task_choice, bytes));
}

/* ---- Answers that are generated ---- */

/* A string, or a list of strings. */
static void set_texts(reading *r, task_texts *out, const json *v, const char *fault) {
    const size_t count = json_is_array(v) ? json_count(v) : 1;
    if (count == 0 || count > TASK_CHOICE_CAP) {
        fail(r, fault);
        return;
    }
    out->at = calloc(count, sizeof *out->at);
    if (out->at == NULL) {
        r->no_memory = true;
        return;
    }
    out->count = (int)count;
    for (size_t i = 0; i < count; i++) {
        const char *text = chars_of(json_is_array(v) ? json_at(v, i) : v);
        if (text == NULL) fail(r, fault);
        set_text(r, &out->at[i], text != NULL ? text : "");
    }
}

static void read_gsm8k(reading *r) {
    static const char *const stops[] = {"Question:", "</s>", "<|im_end|>"};
    chat_text t = {0};
    chat_puts(&t, "Question: ");
    chat_puts(&t, field(r, "question", "question is missing or no string"));
    chat_puts(&t, "\nAnswer:");
    r->item->question.text = take(r, &t);
    set_texts(r, &r->item->answers, json_get(r->line, "answer"), "answer is missing or no string");
    r->item->both = true;
    r->item->stops.at = calloc(3, sizeof *r->item->stops.at);
    if (r->item->stops.at == NULL) {
        r->no_memory = true;
        return;
    }
    r->item->stops.count = 3;
    for (int i = 0; i < 3; i++) set_text(r, &r->item->stops.at[i], stops[i]);
}

/* The same, answered by a chain of thought. */
static void read_gsm8k_cot(reading *r) {
    read_gsm8k(r);
    r->item->extract = EXTRACT_CHAIN;
}

/* Typed or spoken. */
static void read_question(reading *r) {
    if (json_get(r->line, "audio") == NULL) {
        set_text(r, &r->item->question.text, field(r, "prompt", "prompt is missing or no string"));
        return;
    }
    const char *path = field(r, "audio", "audio is no string");
    if (json_get(r->line, "prompt") != NULL) fail(r, "there are a prompt and an audio");
    if (*path == '\0') fail(r, "audio is empty");
    set_text(r, &r->item->sound, path);
}

static void read_generate(reading *r) {
    const json *extract = json_get(r->line, "extract"), *stop = json_get(r->line, "stop");
    const json *marker = json_get(r->line, "marker");
    const char *name = extract != NULL ? chars_of(extract) : "whole";
    read_question(r);
    set_texts(r, &r->item->answers, json_get(r->line, "answer"),
              "answer is missing, and no string or list of strings");
    if (stop != NULL) set_texts(r, &r->item->stops, stop, "stop is no string or list of strings");
    if (name == NULL || !extract_find(name, &r->item->extract))
        fail(r, "extract is not strict, flexible, chain, whole or after_last");
    if (marker != NULL && chars_of(marker) == NULL) fail(r, "marker is no string");
    if (r->item->extract == EXTRACT_AFTER_LAST && marker == NULL)
        fail(r, "after_last wants a marker");
    if (chars_of(marker) != NULL) set_text(r, &r->item->marker, chars_of(marker));
}

static const task_kind kinds[] = {
    {"mmlu", read_mmlu, false},           {"global_mmlu", read_global_mmlu, false},
    {"arc_easy", read_arc, false},        {"arc_challenge", read_arc, false},
    {"hellaswag", read_hellaswag, false}, {"choice", read_choice, false},
    {"gsm8k", read_gsm8k, true},          {"gsm8k_cot", read_gsm8k_cot, true},
    {"generate", read_generate, true}};

bool task_generates(const task_kind *kind) {
    return kind->generates;
}

const task_kind *task_find(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

/* ---- Files ---- */

static void free_texts(task_texts *t) {
    for (int i = 0; i < t->count; i++) free(t->at[i]);
    free(t->at);
}

static void free_item(task_item *item) {
    free_texts(&item->answers);
    free_texts(&item->stops);
    free(item->marker);
    free(item->subject);
    free(item->description);
    free(item->question.text);
    free(item->question.ids);
    free(item->sound);
    for (int i = 0; i < item->choice_count; i++) {
        free(item->choices[i].said.text);
        free(item->choices[i].said.ids);
    }
    free(item->choices);
}

void tasks_free(task_list *l) {
    for (size_t i = 0; i < l->count; i++) free_item(&l->items[i]);
    free(l->items);
    *l = (task_list){0};
}

static bool grow(task_list *l) {
    if (l->count < l->cap) return true;
    const size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
    task_item *grown = realloc(l->items, cap * sizeof *grown);
    if (grown == NULL) return false;
    l->items = grown;
    l->cap = cap;
    return true;
}

static rnl_status parse_line(task_list *l, const task_kind *kind, const char *name, size_t line,
                             const char *text, size_t size, rnl_error *error) {
    json *root = NULL;
    rnl_error inner = {0};
    if (size > TASK_LINE_CAP || l->count == TASK_COUNT_CAP)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: line %zu is longer than 16 MiB, or the line after 2^20 others; "
                           "split the file",
                           name, line);
    if (!grow(l)) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    if (json_parse(text, size, "the line", &root, &inner) != RNL_OK)
        return status_fail(error, inner.status == RNL_ERR_MEMORY ? RNL_ERR_MEMORY : RNL_ERR_FORMAT,
                           "%s: line %zu is no JSON object: %.200s", name, line, inner.text);
    task_item *item = &l->items[l->count++];
    *item = (task_item){0};
    reading r = {.line = root, .item = item};
    kind->read(&r);
    json_destroy(&root);
    if (r.no_memory) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    if (r.fault == NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT, "%s: line %zu: %s (--task %s)", name, line, r.fault,
                       kind->name);
}

rnl_status tasks_parse(const task_kind *kind, const char *name, const char *text, size_t size,
                       task_list *out, rnl_error *error) {
    *out = (task_list){0};
    size_t line = 1;
    for (size_t at = 0; at < size; line++) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t stop = end != NULL ? (size_t)(end - text) : size;
        size_t begin = at + utf8_mark_size(text + at, stop - at);
        while (begin < stop && strchr(" \t\r", text[begin]) != NULL && text[begin] != '\0') begin++;
        const rnl_status status =
            begin == stop ? RNL_OK
                          : parse_line(out, kind, name, line, text + begin, stop - begin, error);
        if (status != RNL_OK) {
            tasks_free(out);
            return status;
        }
        at = stop + 1;
    }
    if (out->count > 0) return RNL_OK;
    tasks_free(out);
    return status_fail(error, RNL_ERR_FORMAT, "%s: there is no document in it", name);
}

/* Paths in documents are relative to the folder of their file. False: no memory. */
static bool find_sounds(task_list *l, const char *path) {
    const char *slash = strrchr(path, '/');
    const size_t folder = slash != NULL ? (size_t)(slash + 1 - path) : 0;
    for (size_t i = 0; i < l->count; i++) {
        char *name = l->items[i].sound;
        if (name == NULL || *name == '/' || folder == 0) continue;
        const size_t size = strlen(name) + 1;
        char *whole = malloc(folder + size);
        if (whole == NULL) return false;
        memcpy(whole, path, folder);
        memcpy(whole + folder, name, size);
        free(name);
        l->items[i].sound = whole;
    }
    return true;
}

rnl_status tasks_read(const task_kind *kind, const char *path, task_list *out, rnl_error *error) {
    *out = (task_list){0};
    char *text;
    size_t size;
    rnl_status status = text_of_file(path, &text, &size, error);
    if (status == RNL_OK && kind->read == read_mmlu && tasks_is_csv(path)) {
        char *rows = text;
        status = tasks_from_csv(path, rows, size, &text, &size, error);
        free(rows);
    }
    if (status == RNL_OK) status = tasks_parse(kind, path, text, size, out, error);
    free(text);
    if (status != RNL_OK || find_sounds(out, path)) return status;
    tasks_free(out);
    return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
}

const char *task_answer(const task_item *item) {
    return item->choice_count > 0 ? item->choices[item->gold].said.text : item->answers.at[0];
}

char *task_context(const task_item *item, const task_item *const *shots, int shot_count) {
    chat_text t = {0};
    if (item->description != NULL) chat_puts(&t, item->description);
    for (int i = 0; i < shot_count; i++) {
        chat_puts(&t, shots[i]->question.text);
        chat_puts(&t, " ");
        chat_puts(&t, task_answer(shots[i]));
        chat_puts(&t, "\n\n");
    }
    chat_puts(&t, item->question.text);
    if (!t.failed && t.data != NULL) return t.data;
    chat_text_free(&t);
    return NULL;
}
