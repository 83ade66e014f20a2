#include "apps/answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/ending.h"
#include "apps/inputs.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/progress.h"
#include "apps/replace.h"
#include "apps/reply_json.h"
#include "apps/sources.h"
#include "apps/thinking.h"
#include "chat/text.h"
#include "core/clock.h"
#include "picture/picture.h"

typedef struct running {
    const answer *a;
    sound_writer *writer;
    progress progress;
    chat_text text;  /* all of it, for --json */
    chat_text calls; /* a call a line */
    reply_times times;
    bool wrote_text;
    thinking think;
} running;

static int failed(const rnl_error *error) {
    return complain(exit_code(error), "%s", error->text);
}

/* Nobody wants an answer to silence or noise, and a model makes one up. */
static int check_speech(const answer *a, const char *path, const sound *s) {
    rnl_error error = {0};
    double ms;
    if (strcmp(path, "-") == 0) path = "standard input";
    if (a->any_sound || !rnl_model_can(a->model, RNL_MODE_TRANSCRIBE)) return EXIT_OK;
    if (s->count < (size_t)s->rate / 50) return EXIT_OK; /* 20 ms: the session refuses it */
    if (rnl_model_speech_ms(a->model, s->samples, s->count, s->rate, &ms, &error) != RNL_OK)
        return complain(exit_code(&error), "%s: %s", path, error.text);
    if (ms >= RNL_SPEECH_MS_MIN) return EXIT_OK;
    return complain(EXIT_INPUT, "%s: there is no speech in it", path);
}

static int read_file(const answer *a, const char *path, sound *s) {
    rnl_error error = {0};
    sound_config config;
    *s = (sound){0};
    const int code = inputs_sound_config(a->options, &config);
    if (code != EXIT_OK) return code;
    const double limit = a->options->seconds_max > 0 ? a->options->seconds_max : 60.0;
    source_note(path);
    if (sound_read(path, limit, &config, s, &error) != RNL_OK)
        return complain(EXIT_INPUT, "%s", error.text);
    const int heard = check_speech(a, path, s);
    if (heard != EXIT_OK) sound_free(s);
    return heard;
}

picture_target answer_pictures(const answer *a) {
    return (picture_target){
        .options = a->options, .model = a->model, .session = a->session, .log = a->pictures};
}

int answer_check_file(const answer *a, const char *path) {
    sound s;
    const picture_target target = answer_pictures(a);
    if (picture_is(path)) return pictures_check(&target, path);
    const int code = read_file(a, path, &s);
    sound_free(&s);
    return code;
}

int answer_add_file(const answer *a, const char *path) {
    sound s;
    rnl_error error = {0};
    const picture_target target = answer_pictures(a);
    if (picture_is(path)) return pictures_add(&target, path);
    const int code = read_file(a, path, &s);
    if (code != EXIT_OK) return code;
    (void)inputs_tell_faults(path, &s.faults); /* the rest is a question still */
    rnl_status status;
    while ((status = rnl_session_add_audio(a->session, s.samples, s.count, s.rate, &error)) ==
           RNL_AGAIN) /* the clip before is being encoded */
        if ((status = rnl_session_step(a->session, &error)) < 0) break;
    sound_free(&s);
    if (status == RNL_OK) return EXIT_OK;
    return complain(exit_code(&error), "%s: %s", path, error.text);
}

int answer_check_sound_path(const char *path) {
    rnl_error error = {0};
    const bool good = sound_writer_check(path, &error) == RNL_OK && target_is_free(path, &error);
    return good ? EXIT_OK : failed(&error);
}

int answer_add_text(const answer *a, rnl_role role, const char *text) {
    rnl_error error = {0};
    const rnl_status status = rnl_session_add_text(a->session, role, text, strlen(text), &error);
    return status == RNL_OK ? EXIT_OK : failed(&error);
}

int answer_add_system(const answer *a) {
    const char *system = a->options->system;
    if (system == NULL) system = rnl_model_system_prompt(a->model, a->mode);
    if (a->held != NULL && a->held->tools != NULL) {
        rnl_error error = {0};
        const rnl_status status = rnl_session_add_tools(
            a->session, system, system != NULL ? strlen(system) : 0, a->held->tools, &error);
        return status == RNL_OK ? EXIT_OK : failed(&error);
    }
    return system != NULL ? answer_add_text(a, RNL_ROLE_SYSTEM, system) : EXIT_OK;
}

static int show_text(void *context, const char *text, size_t size) {
    running *r = context;
    if (r->times.first_text == 0) r->times.first_text = clock_seconds();
    if (r->a->options->json) return EXIT_OK;
    progress_clear(&r->progress);
    if (!r->wrote_text && r->a->label != NULL) {
        put_name(stdout, r->a->label);
        (void)fputs(": ", stdout);
    }
    r->wrote_text = true;
    put_spoken(stdout, text, size);
    return flush_output();
}

/* Takes a call, which is a line of its own behind the text. */
static int pull_call(running *r, char *line, size_t cap, bool *more) {
    size_t size;
    *more = rnl_session_pull_call(r->a->session, line, cap - 1, &size) == RNL_OK;
    if (!*more) return EXIT_OK;
    line[size] = '\n';
    chat_put(&r->calls, line, size + 1);
    if (r->a->made != NULL) calls_note(r->a->made, line, size);
    return r->calls.failed ? complain(EXIT_FAILED, "memory is exhausted") : EXIT_OK;
}

static int pull_calls(running *r) {
    const held *h = r->a->held;
    if (h == NULL || h->tools == NULL) return EXIT_OK;
    char *line = malloc(RNL_CALL_SIZE_MAX);
    if (line == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    int code = EXIT_OK;
    for (bool more = true; more && code == EXIT_OK;)
        code = pull_call(r, line, RNL_CALL_SIZE_MAX, &more);
    free(line);
    return code;
}

/* Takes all text and sound there is. */
static int pull(running *r) {
    char text[1024];
    float samples[4096];
    size_t got;
    rnl_error error = {0};
    while (rnl_session_pull_text(r->a->session, text, sizeof text, &got) == RNL_OK) {
        chat_put(&r->text, text, got);
        const int code = thinking_push(&r->think, text, got, show_text, r);
        if (code != EXIT_OK) return code;
        if (r->text.failed) return complain(EXIT_FAILED, "memory is exhausted");
    }
    const int code = pull_calls(r);
    if (code != EXIT_OK) return code;
    while (rnl_session_pull_samples(r->a->session, samples, 4096, &got) == RNL_OK) {
        if (r->times.first_sound == 0) r->times.first_sound = clock_seconds();
        r->times.sample_count += got;
        if (r->writer != NULL && sound_write(r->writer, samples, got, &error) != RNL_OK)
            return complain(EXIT_FAILED, "%s", error.text);
    }
    return EXIT_OK;
}

/* Notes when a stage is left behind, and says on a terminal which one runs. Not once there is text:
 * the word would be drawn over the answer, and removing it would remove the answer. */
static void watch(running *r) {
    const rnl_stage stage = rnl_session_stage(r->a->session);
    reply_times_watch(&r->times, stage);
    if (r->wrote_text) return;
    if (stage == RNL_STAGE_ENCODE) progress_word(&r->progress, "listening");
    if (stage == RNL_STAGE_PREFILL) progress_word(&r->progress, "reading");
}

static int generate(running *r) {
    rnl_error error = {0};
    for (;;) {
        if (interrupted()) return EXIT_STOPPED;
        const rnl_status status = rnl_session_step(r->a->session, &error);
        if (status < 0) return failed(&error);
        watch(r);
        const int code = pull(r);
        if (code != EXIT_OK) return code;
        if (status == RNL_DONE) return EXIT_OK;
    }
}

/* One line on stderr: what a person wants to know about this answer. */
static void tell_times(const running *r, const rnl_reply *reply) {
    if (r->a->options->quiet) return;
    const double total = r->times.end - r->times.begin;
    const double seconds = (double)r->times.sample_count / RNL_RATE_OUT;
    if (r->times.sample_count > 0)
        (void)fprintf(
            stderr, "first sound %.0f ms, %.2f s of speech in %.2f s (real-time factor %.3f)\n",
            reply_times_ms(&r->times, r->times.first_sound), seconds, total, total / seconds);
    else
        (void)fprintf(stderr, "first text %.0f ms, %zu tokens in %.2f s (%.0f tokens/s)\n",
                      reply_times_ms(&r->times, r->times.first_text), reply->position_count, total,
                      (double)reply->position_count / total);
    if (reply->finish != RNL_FINISH_END)
        (void)fprintf(stderr, "the answer was cut off: %s reached\n",
                      rnl_finish_name(reply->finish));
}

static json_draft *calls_of(const running *r) {
    json_draft *calls = json_new_array();
    const char *line = r->calls.data;
    for (const char *end; line != NULL && (end = strchr(line, '\n')) != NULL; line = end + 1)
        json_append(calls, json_new_parsed(line, (size_t)(end - line)));
    return calls;
}

static int print_reply(const running *r, const rnl_reply *reply) {
    json_draft *o = json_new_object();
    if (r->a->input != NULL)
        json_set(o, "input", json_new_string(r->a->input, strlen(r->a->input)));
    json_set(o, "text", json_new_string(r->text.data != NULL ? r->text.data : "", r->text.size));
    if (r->a->held != NULL && r->a->held->tools != NULL) json_set(o, "calls", calls_of(r));
    pictures_json(o, r->a->pictures);
    reply_json(o, reply, &r->times);
    if (r->writer != NULL || r->a->sound_path != NULL)
        json_set(o, "audio", json_new_string(r->a->sound_path, strlen(r->a->sound_path)));
    return print_json(o);
}

static int finish(running *r) {
    rnl_error error = {0};
    rnl_reply reply;
    rnl_session_get_reply(r->a->session, &reply);
    r->times.end = clock_seconds();
    progress_clear(&r->progress);
    int code = thinking_end(&r->think, show_text, r);
    if (code != EXIT_OK) return code;
    if (r->wrote_text) (void)putchar('\n');
    if (r->calls.size > 0 && !r->a->options->json) put_spoken(stdout, r->calls.data, r->calls.size);
    code = flush_output();
    if (code != EXIT_OK) return code;
    if (r->writer != NULL && sound_writer_finish(&r->writer, &error) != RNL_OK)
        return complain(EXIT_FAILED, "%s", error.text);
    if (r->a->options->json) code = print_reply(r, &reply);
    tell_times(r, &reply);
    return code;
}

static void hold_turn(const answer *a, rnl_turn_config *config) {
    config->tools = a->held->tools;
    config->calls_free = a->options->free_calls;
    config->answer = a->mode == RNL_MODE_TEXT ? a->held->schema : NULL;
}

int answer_run(const answer *a) {
    running r = {.a = a};
    rnl_error error = {0};
    progress_begin(&r.progress, a->options);
    rnl_turn_config config = answer_config(a->options, a->model, a->mode);
    if (a->held != NULL) hold_turn(a, &config);
    if (a->made != NULL) a->made->count = 0;
    int code = thinking_begin(&r.think, a->options->think,
                              a->mode == RNL_MODE_TEXT && config.answer == NULL &&
                                  rnl_model_begins_thinking(a->model));
    if (code != EXIT_OK) return code;
    r.times.begin = clock_seconds();
    if (rnl_session_begin(a->session, &config, &error) != RNL_OK) code = failed(&error);
    if (code == EXIT_OK && a->sound_path != NULL &&
        (!target_is_free(a->sound_path, &error) ||
         sound_writer_create(a->sound_path, RNL_RATE_OUT, &r.writer, &error) != RNL_OK))
        code = failed(&error);
    if (r.writer != NULL) doomed_add(sound_writer_temporary(r.writer));
    if (code == EXIT_OK) code = generate(&r);
    progress_clear(&r.progress);
    if (code == EXIT_OK) code = finish(&r);
    if (a->pictures != NULL) a->pictures->count = 0;
    sound_writer_abort(&r.writer);
    doomed_clear();
    chat_text_free(&r.text);
    chat_text_free(&r.calls);
    return code;
}

char *answer_path(const char *folder, const char *input, int number) {
    size_t length;
    const char *name = input_stem(input, &length);
    const size_t cap = strlen(input) + (folder != NULL ? strlen(folder) : 0) + 32;
    char *path = malloc(cap);
    if (path == NULL) return NULL;
    char again[16] = "";
    if (number > 1) (void)snprintf(again, sizeof again, ".%d", number);
    (void)snprintf(path, cap, "%s%s%.*s%s.answer.wav", folder != NULL ? folder : "",
                   folder != NULL ? "/" : "", (int)length, name, again);
    return path;
}

int make_folder(const char *path) {
    if (mkdir(path, 0777) == 0) return EXIT_OK;
    struct stat info;
    if (errno == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return EXIT_OK;
    return complain(EXIT_FAILED, "%s: the folder cannot be created: %s", path, strerror(errno));
}
