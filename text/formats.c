/* Writers of transcripts, one function for each kind. Text is valid UTF-8 already; what a format
 * cannot hold (tabs, line ends, '<') is replaced or escaped here. */
#include "text/formats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "text/subtitles.h"

static const char *const names[FORMAT_COUNT] = {"txt", "srt", "vtt", "json", "jsonl", "csv", "tsv"};

struct format_writer {
    format_kind kind;
    FILE *out;
    const char *input;
    int channel;
    int64_t count; /* segments or subtitles written */
    subtitles subtitles;
};

const char *format_name(format_kind kind) {
    return names[kind];
}

static bool find_name(const char *text, size_t size, format_kind *kind) {
    for (int i = 0; i < FORMAT_COUNT; i++) {
        if (strlen(names[i]) != size || strncmp(names[i], text, size) != 0) continue;
        *kind = (format_kind)i;
        return true;
    }
    return false;
}

bool formats_parse(const char *list, unsigned *mask) {
    *mask = 0;
    if (strcmp(list, "all") == 0) {
        *mask = (1u << FORMAT_COUNT) - 1;
        return true;
    }
    for (;;) {
        const size_t size = strcspn(list, ",");
        format_kind kind;
        if (!find_name(list, size, &kind)) return false;
        *mask |= 1u << kind;
        if (list[size] == '\0') return true;
        list += size + 1;
    }
}

bool format_of_path(const char *path, format_kind *kind) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    if (dot == NULL || (slash != NULL && dot < slash)) return false;
    return find_name(dot + 1, strlen(dot + 1), kind);
}

/* ---- JSON ---- */

static double rounded(double seconds) {
    return round(1e3 * seconds) / 1e3;
}

static json_draft *text_of(const rnl_piece *p, size_t at, size_t size) {
    return json_new_string(p->text + at, size);
}

static json_draft *confidence_of(float value) {
    return json_new_number(round(1e4 * (double)value) / 1e4);
}

static json_draft *words_of(const rnl_piece *p, size_t at, size_t count) {
    json_draft *words = json_new_array();
    for (size_t i = at; i < at + count; i++) {
        const rnl_word *w = &p->words[i];
        json_draft *word = json_new_object();
        json_set(word, "start", json_new_number(rounded(w->begin)));
        json_set(word, "end", json_new_number(rounded(w->end)));
        json_set(word, "word", text_of(p, w->text_at, w->text_size));
        json_set(word, "confidence", confidence_of(w->confidence));
        json_append(words, word);
    }
    return words;
}

static json_draft *tokens_of(const rnl_piece *p, size_t at, size_t count) {
    json_draft *tokens = json_new_array();
    for (size_t i = at; i < at + count; i++) json_append(tokens, json_new_int(p->tokens[i]));
    return tokens;
}

static json_draft *segment_of(const rnl_piece *p, const rnl_segment *s) {
    json_draft *o = json_new_object();
    json_set(o, "start", json_new_number(rounded(s->begin)));
    json_set(o, "end", json_new_number(rounded(s->end)));
    json_set(o, "text", text_of(p, s->text_at, s->text_size));
    json_set(o, "confidence", confidence_of(s->confidence));
    json_set(o, "tokens", tokens_of(p, s->token_at, s->token_count));
    json_set(o, "words", words_of(p, s->word_at, s->word_count));
    return o;
}

static json_draft *string(const char *text) {
    return json_new_string(text, strlen(text));
}

static void set_ms(json_draft *object, const char *key, double seconds) {
    if (seconds > 0) json_set(object, key, json_new_number(1e3 * seconds));
}

/* What --json tells of every answer (apps/answer.c); a transcript is text throughout. */
static bool set_turn(json_draft *o, const rnl_piece *p) {
    json_draft *ids = json_new_array(), *times = json_new_object();
    for (size_t i = 0; i < p->emitted_count; i++) json_append(ids, json_new_int(p->emitted[i]));
    json_set(o, "text_tokens", ids);
    char *modality = malloc(p->emitted_count + 1);
    if (modality != NULL) {
        memset(modality, 't', p->emitted_count);
        json_set(o, "modality", json_new_string(modality, p->emitted_count));
    }
    json_set(o, "frames", json_new_array());
    json_set(o, "finish", string(rnl_finish_name(p->finish)));
    set_ms(times, "encode_ms", p->encode_seconds);
    set_ms(times, "first_text_ms", p->first_text_seconds);
    set_ms(times, "total_ms", p->total_seconds);
    json_set(o, "times", times);
    const bool done = modality != NULL;
    free(modality);
    return done;
}

char *format_piece_json(const format_head *head, const rnl_piece *p) {
    json_draft *o = json_new_object(), *segments = json_new_array();
    json_set(o, "input", string(head->input));
    if (head->channel > 0) json_set(o, "channel", json_new_int(head->channel));
    json_set(o, "piece", json_new_int(p->index));
    json_set(o, "start", json_new_number(rounded(p->begin)));
    json_set(o, "end", json_new_number(rounded(p->end)));
    json_set(o, "text", text_of(p, 0, p->text_size));
    json_set(o, "confidence", confidence_of(p->confidence));
    const bool done = set_turn(o, p);
    json_set(o, "tokens", tokens_of(p, 0, p->token_count));
    for (size_t i = 0; i < p->segment_count; i++)
        json_append(segments, segment_of(p, &p->segments[i]));
    json_set(o, "segments", segments);
    char *line = done ? json_text(o) : NULL;
    json_drop(&o);
    return line;
}

static json_draft *places_of(const sound_faults *faults) {
    json_draft *places = json_new_array();
    for (int i = 0; i < faults->place_count; i++) {
        json_draft *place = json_new_array();
        json_append(place, json_new_number(rounded(faults->places[i].from)));
        json_append(place, json_new_number(rounded(faults->places[i].to)));
        json_append(places, place);
    }
    return places;
}

char *format_faults_json(const format_head *head, const sound_faults *faults) {
    json_draft *o = json_new_object();
    json_set(o, "input", string(head->input));
    if (head->channel > 0) json_set(o, "channel", json_new_int(head->channel));
    json_set(o, "damaged", places_of(faults));
    char *line = json_text(o);
    json_drop(&o);
    return line;
}

static bool write_json(FILE *out, const char *before, json_draft *o, const char *after) {
    char *line = json_text(o);
    json_drop(&o);
    if (line == NULL) return false;
    (void)fprintf(out, "%s%s%s", before, line, after);
    free(line);
    return true;
}

static bool json_head(format_writer *w, const format_head *head) {
    json_draft *settings = json_new_object();
    if (head->system != NULL) json_set(settings, "system", string(head->system));
    json_set(settings, "piece_min", json_new_number(head->piece_min));
    json_set(settings, "piece_max", json_new_number(head->piece_max));
    json_set(settings, "temperature", json_new_number(head->temperature));
    json_set(settings, "top_k", json_new_int(head->top_k));
    if (head->channel > 0) json_set(settings, "channel", json_new_int(head->channel));
    return write_json(w->out, "{\"input\": ", string(head->input), ",\n") &&
           write_json(w->out, "\"model\": ", string(head->model), ",\n") &&
           write_json(w->out, "\"settings\": ", settings, ",\n\"segments\": [");
}

/* ---- Subtitles ---- */

static void put_time(FILE *out, double seconds, char point) {
    const long long ms = llround(1e3 * (seconds > 0 ? seconds : 0));
    (void)fprintf(out, "%02lld:%02lld:%02lld%c%03lld", ms / 3600000, ms / 60000 % 60,
                  ms / 1000 % 60, point, ms % 1000);
}

static void put_escaped(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '&')
            (void)fputs("&amp;", out);
        else if (*text == '<')
            (void)fputs("&lt;", out);
        else if (*text == '>')
            (void)fputs("&gt;", out);
        else
            (void)fputc(*text, out);
    }
}

static bool put_subtitle(void *context, const subtitle *s) {
    format_writer *w = context;
    const bool is_vtt = w->kind == FORMAT_VTT;
    const char point = is_vtt ? '.' : ',';
    if (!is_vtt) (void)fprintf(w->out, "%lld\n", (long long)w->count + 1);
    put_time(w->out, s->begin, point);
    (void)fputs(" --> ", w->out);
    put_time(w->out, s->end, point);
    (void)fputc('\n', w->out);
    if (is_vtt)
        put_escaped(w->out, s->text);
    else
        (void)fputs(s->text, w->out);
    (void)fputs("\n\n", w->out);
    w->count++;
    return true;
}

/* ---- Tables and plain text ---- */

/* The text with line ends and tabs as spaces; quotes doubled for CSV. */
static void put_field(FILE *out, const char *text, size_t size, bool double_quotes) {
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (c == '"' && double_quotes) (void)fputc('"', out);
        (void)fputc(c == '\n' || c == '\r' || c == '\t' ? ' ' : c, out);
    }
}

static void put_row(const format_writer *w, const rnl_piece *p, const rnl_segment *s) {
    const char comma = w->kind == FORMAT_CSV ? ',' : '\t';
    (void)fprintf(w->out, "%lld%c%lld%c", llround(1e3 * s->begin), comma, llround(1e3 * s->end),
                  comma);
    if (w->kind == FORMAT_CSV) (void)fputc('"', w->out);
    put_field(w->out, p->text + s->text_at, s->text_size, w->kind == FORMAT_CSV);
    (void)fputs(w->kind == FORMAT_CSV ? "\"\n" : "\n", w->out);
}

static bool put_jsonl(const format_writer *w, const rnl_piece *p, const rnl_segment *s) {
    json_draft *o = segment_of(p, s);
    json_set(o, "input", string(w->input));
    if (w->channel > 0) json_set(o, "channel", json_new_int(w->channel));
    return write_json(w->out, "", o, "\n");
}

/* ---- All of them ---- */

format_writer *format_begin(format_kind kind, FILE *out, const format_head *head) {
    format_writer *w = calloc(1, sizeof *w);
    if (w == NULL) return NULL;
    *w = (format_writer){.kind = kind, .out = out, .input = head->input, .channel = head->channel};
    subtitles_begin(&w->subtitles, put_subtitle, w);
    bool done = true;
    if (kind == FORMAT_VTT) (void)fputs("WEBVTT\n\n", out);
    if (kind == FORMAT_CSV) (void)fputs("start,end,text\n", out);
    if (kind == FORMAT_TSV) (void)fputs("start\tend\ttext\n", out);
    if (kind == FORMAT_JSON) done = json_head(w, head);
    if (!done) format_drop(&w);
    return w;
}

static bool put_segment(format_writer *w, const rnl_piece *p, const rnl_segment *s) {
    switch (w->kind) {
    case FORMAT_TXT:
        put_field(w->out, p->text + s->text_at, s->text_size, false);
        (void)fputc('\n', w->out);
        return true;
    case FORMAT_SRT:
    case FORMAT_VTT:
        return subtitles_add(&w->subtitles, p->text, p->words + s->word_at, s->word_count);
    case FORMAT_JSON:
        return write_json(w->out, w->count++ > 0 ? ",\n" : "\n", segment_of(p, s), "");
    case FORMAT_JSONL:
        return put_jsonl(w, p, s);
    case FORMAT_CSV:
    case FORMAT_TSV:
        put_row(w, p, s);
        return true;
    }
    return false;
}

bool format_piece(format_writer *w, const rnl_piece *piece) {
    for (size_t i = 0; i < piece->segment_count; i++)
        if (!put_segment(w, piece, &piece->segments[i])) return false;
    return true;
}

static bool end_json(format_writer *w, double seconds, const sound_faults *faults) {
    (void)fprintf(w->out, "%s],\n", w->count > 0 ? "\n" : "");
    if (faults->place_count > 0 && !write_json(w->out, "\"damaged\": ", places_of(faults), ",\n"))
        return false;
    (void)fprintf(w->out, "\"duration\": %.3f}\n", seconds);
    return true;
}

static void put_notes(const format_writer *w, const sound_faults *faults) {
    for (int i = 0; i < faults->place_count; i++) {
        const sound_place *p = &faults->places[i];
        (void)fputs(p->cut_off ? "NOTE the recording is cut off at " : "NOTE damaged from ",
                    w->out);
        put_time(w->out, p->from, '.');
        if (!p->cut_off || p->to > p->from) {
            (void)fputs(p->cut_off ? " of " : " to ", w->out);
            put_time(w->out, p->to, '.');
        }
        (void)fputs("\n\n", w->out);
    }
}

static bool put_faults_line(const format_writer *w, const sound_faults *faults) {
    const format_head head = {.input = w->input, .channel = w->channel};
    char *line = format_faults_json(&head, faults);
    if (line == NULL) return false;
    (void)fprintf(w->out, "%s\n", line);
    free(line);
    return true;
}

bool format_end(format_writer **out, double seconds, const sound_faults *faults) {
    format_writer *w = *out;
    if (w == NULL) return true;
    bool done = true;
    if (w->kind == FORMAT_SRT || w->kind == FORMAT_VTT) done = subtitles_end(&w->subtitles);
    if (w->kind == FORMAT_VTT) put_notes(w, faults);
    if (w->kind == FORMAT_JSON) done = end_json(w, seconds, faults);
    if (w->kind == FORMAT_JSONL && faults->place_count > 0) done = put_faults_line(w, faults);
    format_drop(out);
    return done;
}

void format_drop(format_writer **w) {
    free(*w);
    *w = NULL;
}
