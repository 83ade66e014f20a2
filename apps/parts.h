/* Speech that grows over hours and survives a crash: what is spoken lies in a folder beside the
 * output, "OUT.parts", until all of it is there (shorter where that name is too long for the
 * system).
 *   speech.pcm  samples, 32-bit floats of this machine, mono: the output is what one go gives
 *   done.jsonl  one line of settings, then one line for each finished piece, written after its
 *               samples are on the disk
 * A run that goes on reads its text again; pieces that are in done.jsonl are passed over. */
#ifndef APPS_PARTS_H
#define APPS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct part {
    const char *text;   /* what was spoken; borrowed */
    const char *finish; /* rnl_finish_name; borrowed */
    int64_t begin, end; /* samples of its speech, [begin, end) of the whole; the pause is before */
} part;

typedef struct parts parts;

/* Begins or goes on. settings: one line; a run that goes on must have the same. rate: Hz.
 * Refused, with a complaint: without resume when there is a finished piece; with resume when the
 * settings are others; when another run is at work in it. EXIT_OK, EXIT_FAILED. */
int parts_open(const char *output, const char *settings, int rate, bool resume, parts **out);
/* Whether there is something to resume for this output. */
bool parts_wait(const char *output);

/* Asks for the next piece. True: it was spoken by an earlier run, *done tells how (valid until the
 * next call). False with EXIT_OK: speak it; with another code: a complaint, because its text is
 * not that of the earlier run. */
bool parts_passed(parts *p, const char *text, part *done, int *code);

/* The piece that is spoken now: a pause, samples in any cuts, then the end, which makes it last.
 * Each EXIT_OK or the code of a complaint (disk full). */
int parts_pause(parts *p, double seconds);
int parts_write(parts *p, const float *samples, size_t count);
int parts_end(parts *p, const char *text, const char *finish, part *done);

int64_t parts_sample_count(const parts *p); /* spoken so far, pauses included */
int parts_piece_count(const parts *p);

/* Puts all of it into the output (audio/file.h), calling tick, if not NULL, now and then with how
 * much is done [0, 1]; then removes the folder. EXIT_STOPPED on Ctrl-C: everything stays.
 * EXIT_FAILED after a complaint, and no output, when no piece has a sample: the folder goes,
 * too. */
int parts_finish(parts *p, void (*tick)(void *context, double fraction), void *context);
/* Before parts_finish: what the output is made of, in at most PARTS_NOTE_CAP - 1 characters. It is
 * kept with the output where the file system keeps such notes (an extended attribute). */
enum { PARTS_NOTE_CAP = 64 };
void parts_set_note(parts *p, const char *note);
/* The note of an output. False: it has none. */
bool parts_get_note(const char *output, char note[PARTS_NOTE_CAP]);
/* The folder stays when there is a finished piece. NULL is fine. */
void parts_close(parts **p);

#endif
