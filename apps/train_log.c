#include "apps/train_log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/messages.h"
#include "core/json.h"

static int fault(train_log *l) {
    const int why = errno != 0 ? errno : EIO;
    train_log_drop(l);
    return complain(EXIT_FAILED, "%s: cannot be written: %s", l->path, strerror(why));
}

/* Where the lines of steps up to `step` end. */
static long end_of(FILE *f, int64_t step) {
    char *line = NULL;
    size_t cap = 0;
    long end = 0;
    for (ssize_t size; (size = getline(&line, &cap, f)) > 0;) {
        json *root = NULL;
        int64_t own;
        const bool is_ours = line[size - 1] == '\n' &&
                             json_parse(line, (size_t)size, "log", &root, NULL) == RNL_OK &&
                             json_int(json_get(root, "step"), 0, step, &own);
        json_destroy(&root);
        if (!is_ours) break;
        end = ftell(f);
    }
    free(line);
    return end;
}

int train_log_open(train_log *l, const char *folder, int64_t step) {
    *l = (train_log){0};
    if ((size_t)snprintf(l->path, sizeof l->path, "%s/log.jsonl", folder) >= sizeof l->path)
        return complain(EXIT_USAGE, "%.60s...: the name is too long", folder);
    l->file = fopen(l->path, step > 0 ? "r+" : "w");
    if (l->file == NULL && step > 0 && errno == ENOENT) l->file = fopen(l->path, "w");
    if (l->file == NULL) return fault(l);
    const long end = step > 0 ? end_of(l->file, step) : 0;
    if (end < 0 || fseek(l->file, end, SEEK_SET) != 0 || ftruncate(fileno(l->file), end) != 0)
        return fault(l);
    return EXIT_OK;
}

/* Writes and frees a line. */
static int put(train_log *l, json_draft *o) {
    char *text = json_text(o);
    json_drop(&o);
    if (text == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    errno = 0;
    const bool written = fputs(text, l->file) >= 0 && fputc('\n', l->file) != EOF;
    free(text);
    return written ? EXIT_OK : fault(l);
}

int train_log_step(train_log *l, const learn_trainer *t, const learn_report *r) {
    json_draft *o = json_new_object();
    json_set(o, "step", json_new_int(t->step));
    json_set(o, "loss", json_new_number(r->loss));
    if (!isnan(r->text_loss) && !isnan(r->frame_loss)) { /* else the loss says it all */
        json_set(o, "text_loss", json_new_number(r->text_loss));
        json_set(o, "frame_loss", json_new_number(r->frame_loss));
    }
    json_set(o, "norm", json_new_number(r->norm));
    json_set(o, "lr", json_new_number(r->rate));
    json_set(o, "labels", json_new_int(r->label_count));
    json_set(o, "positions", json_new_int(r->position_count));
    if (r->skipped) json_set(o, "skipped", json_new_bool(true));
    return put(l, o);
}

int train_log_held(train_log *l, const learn_trainer *t) {
    json_draft *o = json_new_object();
    json_set(o, "step", json_new_int(t->step));
    json_set(o, "held_out", json_new_number(t->held_last));
    return put(l, o);
}

int train_log_flush(train_log *l) {
    errno = 0;
    return fflush(l->file) == 0 ? EXIT_OK : fault(l);
}

int train_log_close(train_log *l) {
    errno = 0;
    FILE *f = l->file;
    l->file = NULL;
    return f == NULL || fclose(f) == 0 ? EXIT_OK : fault(l);
}

void train_log_drop(train_log *l) {
    if (l->file != NULL) (void)fclose(l->file);
    l->file = NULL;
}
