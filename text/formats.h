/* A transcript as a file: txt srt vtt json jsonl csv tsv. Pieces are written as they come, so that
 * memory does not grow with the recording. */
#ifndef TEXT_FORMATS_H
#define TEXT_FORMATS_H

#include <runnel/runnel_transcript.h>
#include <stdio.h>

#include "audio/file.h"

typedef enum format_kind {
    FORMAT_TXT,   /* a line for each segment */
    FORMAT_SRT,   /* SubRip; lines and durations as in subtitles.h, as VTT */
    FORMAT_VTT,   /* WebVTT */
    FORMAT_JSON,  /* one object: input, model, settings, segments with words and tokens */
    FORMAT_JSONL, /* an object for each segment */
    FORMAT_CSV,   /* start,end,text in milliseconds, RFC 4180 */
    FORMAT_TSV    /* the same, tabs; tabs in the text become spaces */
} format_kind;
enum { FORMAT_COUNT = 7 };

const char *format_name(format_kind kind); /* also the suffix, without its dot */
/* "srt,vtt" or "all" -> a bit for each kind; false: an unknown or empty name. */
bool formats_parse(const char *list, unsigned *mask);
/* The kind that a path's suffix names; false: none. */
bool format_of_path(const char *path, format_kind *kind);

/* What stands in the head of JSON. Strings are borrowed. */
typedef struct format_head {
    const char *input, *model, *system;
    int channel; /* of a recording transcribed channel by channel, from 1; 0: not */
    double piece_min, piece_max, temperature;
    int top_k;
} format_head;

typedef struct format_writer format_writer;

/* out is borrowed until format_end. NULL: no memory. */
format_writer *format_begin(format_kind kind, FILE *out, const format_head *head);
/* False: no memory; what goes wrong with the file is found by ferror when it is closed. */
bool format_piece(format_writer *w, const rnl_piece *piece);
/* Writes the end and frees w; seconds of sound in all, and what is missing in it. NULL is fine.
 * False: no memory. */
bool format_end(format_writer **w, double seconds, const sound_faults *faults);
/* Frees w and writes nothing more. */
void format_drop(format_writer **w);

/* One line of JSON for a piece (`--json`), allocated; NULL: no memory. */
char *format_piece_json(const format_head *head, const rnl_piece *piece);
/* Likewise, of what is missing in a sound: its name, its channel, "damaged": [[from, to], ...]. */
char *format_faults_json(const format_head *head, const sound_faults *faults);

#endif
