/* Documents of benchmarks: lines of JSON in the spellings that each task is published in, as a
 * context and the answers to choose from, or what is to be answered. learn.md 2. */
#ifndef APPS_TASKS_H
#define APPS_TASKS_H

#include <runnel/runnel.h>

#include "apps/extract.h"

enum { TASK_CHOICE_CAP = 64, TASK_COUNT_CAP = 1 << 20, TASK_LINE_CAP = 1 << 24 };

/* What is said, as text or as ids (then text is NULL). */
typedef struct task_text {
    char *text;
    int32_t *ids; /* [id_count] */
    size_t id_count;
} task_text;

typedef struct task_choice {
    task_text said;           /* without the space before it */
    double characters, bytes; /* what acc_norm and acc_bytes divide by; > 0 */
} task_choice;

typedef struct task_texts {
    char **at; /* [count] */
    int count;
} task_texts;

typedef struct task_item {
    char *subject;     /* or NULL */
    char *description; /* what stands before shots and question, or NULL */
    task_text question;
    char *sound; /* the file of a question that is spoken, or NULL; question.text is NULL then */
    task_choice *choices; /* [choice_count] */
    int choice_count;     /* at least 2; 0: an answer is to be generated */
    int gold;             /* the right one */

    /* Of an answer that is to be generated. */
    task_texts answers; /* any of them is right */
    task_texts stops;   /* where it ends besides the end of a turn */
    extract_kind extract;
    bool both;    /* two ways are told: EXTRACT_STRICT, or EXTRACT_CHAIN where extract is that, and
                   * EXTRACT_FLEXIBLE */
    char *marker; /* or NULL */
} task_item;

typedef struct task_list {
    task_item *items; /* [count] */
    size_t count, cap;
} task_list;

/* The reader of a task by its name; NULL: there is none. */
typedef struct task_kind task_kind;
const task_kind *task_find(const char *name);
/* Its answers are generated, not chosen. */
bool task_generates(const task_kind *kind);
/* All names, for a sentence. */
extern const char task_names[];

/* Documents of text, one a line; name is put into sentences, which name line and field.
 * RNL_ERR_FORMAT, RNL_ERR_MEMORY; *out is then empty. */
RNL_MUST_USE rnl_status tasks_parse(const task_kind *kind, const char *name, const char *text,
                                    size_t size, task_list *out, rnl_error *error);
/* The same of a file; RNL_ERR_IO besides. */
RNL_MUST_USE rnl_status tasks_read(const task_kind *kind, const char *path, task_list *out,
                                   rnl_error *error);
void tasks_free(task_list *l); /* an empty one is fine */

/* Its right answer; of several the first. */
const char *task_answer(const task_item *item);
/* The context of an item: its description, `shots` with their right answers, its question.
 * Allocated, terminated; NULL: no memory. Items as text only. */
char *task_context(const task_item *item, const task_item *const *shots, int shot_count);

#endif
