/* What no library here knows, decoded by the program ffmpeg: file -> ffmpeg -> WAV in a pipe ->
 * pcm.c. No shell takes part; the name goes as "file:NAME", so that it is never an option, another
 * protocol or standard input. The times of the file are kept: a sound that starts late begins with
 * silence, and so do parts behind a pause. */
#define _GNU_SOURCE /* pipe2: another thread's child must not inherit this one's pipe */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audio/codec.h"
#include "core/process.h"
#include "core/status.h"

enum { REASON_CAP = 200, MAP_CAP = 16, ARGUMENT_CAP = 32, LINE_CAP = 512, PLACE_CAP = 64 };

/* Times of frames, before silence fills what is between them (aresample; less than 0.1 s is jitter
 * and is left alone). A time that goes back by more than 0.5 s is a file that was joined on, one
 * that goes on by more than 10 h is no pause: both follow what stands before. Register 0 is what is
 * added to times, 1 where the next frame is expected, 2 where this one stands. */
#define TIMES                                                                                      \
    "asetpts='st(0,if(lt(PTS+ld(0)-ld(1),-SR/2)+gt(PTS+ld(0)-ld(1),36000*SR),ld(1)-PTS,ld(0)));"   \
    "st(2,PTS+ld(0));st(1,ld(2)+NB_SAMPLES);ld(2)'"
static const char fill_holes[] = TIMES ",aresample=async=1:first_pts=0";
static const char show_frames[] = TIMES ",ashowinfo";

typedef struct ffmpeg_place {
    int64_t from, to; /* frames */
} ffmpeg_place;

typedef struct ffmpeg_state {
    sound_source *source;
    int track;
    pid_t child;   /* 0: not running, or waited for */
    FILE *reports; /* what ffmpeg writes to its standard error; NULL: nowhere */
    sound_source pipe;
    sound_decoder pcm;
    int64_t count;   /* frames that came */
    int lost_at_end; /* packets behind which nothing was decoded */
    /* Damaged places, found when the end has come; told one by one then. */
    ffmpeg_place places[PLACE_CAP];
    int place_at, place_count;
} ffmpeg_state;

/* ---- The child ---- */

/* Makes a pipe and a child that writes into it: its sound with what it reports going to `reports`,
 * or with reports < 0 its reports and no sound. *fd: the end to read. 0 or an errno. */
static int connect_child(const ffmpeg_state *s, pid_t *child, int *fd, int reports) {
    const char *path = s->source->path;
    const char *const name = path != NULL ? path : "/dev/stdin"; /* opened anew: a regular file */
    const size_t cap = strlen(name) + sizeof "file:";
    const bool sounds = reports >= 0;
    char map[MAP_CAP], *input = malloc(cap);
    if (input == NULL) return ENOMEM;
    (void)snprintf(input, cap, "file:%s", name);
    (void)snprintf(map, sizeof map, "0:a:%d", s->track - 1);
    /* A playlist must not reach the network: files only. */
    const char *const arguments[] = {"ffmpeg",
                                     "-nostdin",
                                     "-nostats",
                                     "-hide_banner",
                                     "-v",
                                     sounds ? "error" : "level+info",
                                     "-protocol_whitelist",
                                     "file",
                                     "-copyts",
                                     "-start_at_zero",
                                     "-i",
                                     input,
                                     "-map",
                                     map,
                                     "-af",
                                     sounds ? fill_holes : show_frames,
                                     "-c:a",
                                     "pcm_f32le",
                                     "-f",
                                     sounds ? "wav" : "null",
                                     sounds ? "pipe:1" : "-",
                                     NULL};
    int ends[2], fault = pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
    if (fault == 0) {
        *fd = ends[0];
        fault = process_start(child, arguments, path != NULL ? -1 : s->source->fd,
                              sounds ? ends[1] : -1, sounds ? reports : ends[1]);
        (void)close(ends[1]);
    }
    free(input);
    return fault;
}

/* Waits for the child; true when it ended well. */
static bool ended_well(pid_t *child) {
    int how = 0;
    while (waitpid(*child, &how, 0) < 0)
        if (errno != EINTR) break;
    *child = 0;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static void stop(pid_t *child) {
    if (*child == 0) return;
    (void)kill(*child, SIGKILL); /* it writes no file */
    (void)ended_well(child);
}

/* ---- What it reports ---- */

/* Of a packet that was lost. What decoders themselves say counts not: some of it comes from looking
 * at the beginning of the file, some of it is mended. */
static bool tells_of_damage(const char *line) {
    return strstr(line, "Error while decoding stream") != NULL ||
           strstr(line, "Error submitting packet") != NULL ||
           strstr(line, "corrupt decoded frame") != NULL ||
           strstr(line, "corrupt input packet") != NULL;
}

static bool tells_of_cut(const char *line) {
    return strstr(line, "partial file") != NULL || strstr(line, "ended prematurely") != NULL ||
           strstr(line, "Truncat") != NULL || strstr(line, "truncat") != NULL;
}

typedef struct report {
    char reason[REASON_CAP]; /* the last line, or "" */
    bool damaged, cut_off, no_track;
} report;

static void read_reports(ffmpeg_state *s, report *r) {
    char line[REASON_CAP];
    *r = (report){0};
    if (s->reports == NULL || fseek(s->reports, 0, SEEK_SET) != 0) return;
    while (fgets(line, sizeof line, s->reports) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0') strcpy(r->reason, line);
        r->damaged = r->damaged || tells_of_damage(line);
        r->cut_off = r->cut_off || tells_of_cut(line);
        r->no_track = r->no_track || strstr(line, "matches no streams") != NULL;
    }
}

static rnl_status decode_fault(ffmpeg_state *s, rnl_error *error) {
    report r;
    read_reports(s, &r);
    const char *name = s->source->name;
    if (r.no_track && s->track > 1)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no sound track %d in it", name,
                           s->track);
    if (r.no_track)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no sound track in it", name);
    return status_fail(error, RNL_ERR_DATA, "%s: ffmpeg cannot decode it: %s", name,
                       r.reason[0] != '\0' ? r.reason : "it gives no reason");
}

/* ---- Where the damage is: a second run tells the times of frames between its errors ---- */

typedef struct search {
    int lost;    /* packets, since the last frame */
    int64_t end; /* of the last frame */
} search;

/* The number behind a word of a line; false: it is not there. */
static bool number_of(const char *line, const char *word, int64_t *out) {
    const char *at = strstr(line, word);
    if (at == NULL) return false;
    at += strlen(word);
    while (*at == ' ') at++;
    char *end;
    *out = strtoll(at, &end, 10);
    return end != at;
}

static void add_place(ffmpeg_state *s, int64_t from, int64_t to) {
    if (s->place_count < PLACE_CAP)
        s->places[s->place_count++] = (ffmpeg_place){.from = from, .to = to};
    else
        s->places[PLACE_CAP - 1].to = to;
}

static void take_line(ffmpeg_state *s, search *x, const char *line) {
    int64_t begin, count;
    if (tells_of_damage(line)) x->lost++;
    if (!number_of(line, " pts:", &begin) || !number_of(line, " nb_samples:", &count)) return;
    if (begin < 0) begin = 0;
    if (x->lost > 0) add_place(s, x->end, begin > x->end ? begin : x->end);
    x->lost = 0;
    x->end = begin + count;
}

/* Without success the place is the sound so far: something of it is missing. */
static void locate(ffmpeg_state *s, int64_t end) {
    pid_t child = 0;
    int fd = -1;
    search x = {0};
    if (connect_child(s, &child, &fd, -1) != 0) {
        add_place(s, 0, end);
        return;
    }
    FILE *lines = fdopen(fd, "r");
    char line[LINE_CAP];
    while (lines != NULL && fgets(line, sizeof line, lines) != NULL) take_line(s, &x, line);
    s->lost_at_end = x.lost;
    if (s->place_count == 0 && x.lost == 0) add_place(s, 0, end);
    if (lines != NULL)
        (void)fclose(lines);
    else
        (void)close(fd);
    stop(&child);
}

/* ---- Reading ---- */

static rnl_status read_frames(void *state, sound_part *p, rnl_error *error) {
    ffmpeg_state *s = state;
    const rnl_status status = s->pcm.read(s->pcm.state, p, error);
    s->count += (int64_t)p->count;
    if (status != RNL_DONE || s->child == 0) return status;
    if (s->pipe.b.fault != 0) return source_fault(&s->pipe, error);
    if (!ended_well(&s->child)) return decode_fault(s, error);
    report r;
    read_reports(s, &r);
    if (r.damaged) locate(s, s->count);
    /* A last packet that is not whole is a cut end, whatever the container says of it. */
    if (s->lost_at_end > 1) p->flaw = FLAW_DAMAGED;
    if (s->lost_at_end == 1 || r.cut_off) p->flaw = FLAW_CUT_OFF;
    return RNL_DONE;
}

static bool late_place(void *state, int64_t *from, int64_t *to) {
    ffmpeg_state *s = state;
    if (s->place_at == s->place_count) return false;
    *from = s->places[s->place_at].from;
    *to = s->places[s->place_at++].to;
    return true;
}

static void close_ffmpeg(void *state) {
    ffmpeg_state *s = state;
    if (s->pcm.close != NULL) s->pcm.close(s->pcm.state);
    if (s->pipe.fd >= 0) (void)close(s->pipe.fd);
    stop(&s->child);
    if (s->reports != NULL) (void)fclose(s->reports);
    free(s);
}

rnl_status ffmpeg_open(sound_source *source, int track, sound_decoder *d, sound_info *info,
                       rnl_error *error) {
    const char *name = source->name;
    ffmpeg_state *s = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    s->source = source;
    s->track = track;
    s->pipe = (sound_source){.name = source->name, .fd = -1, .size = -1};
    s->reports = tmpfile(); /* a pipe could fill up while we wait at the other one */
    if (s->reports != NULL) (void)fcntl(fileno(s->reports), F_SETFD, FD_CLOEXEC);
    const int fault =
        s->reports == NULL ? errno : connect_child(s, &s->child, &s->pipe.fd, fileno(s->reports));
    rnl_status status = RNL_OK;
    if (fault == ENOENT)
        status = status_fail(error, RNL_ERR_UNSUPPORTED,
                             "%s: only ffmpeg can read such a file, and it is not installed: "
                             "install ffmpeg, or convert the file to WAV, FLAC or Opus",
                             name);
    else if (fault != 0)
        status = status_fail(error, RNL_ERR_IO, "%s: ffmpeg cannot be started: %s", name,
                             strerror(fault));
    if (status == RNL_OK) {
        bytes_begin(&s->pipe.b, s->pipe.fd);
        status = pcm_open_riff(&s->pipe, &s->pcm, info, error);
        /* Without a header there was no sound, and ffmpeg knows why. */
        if (status == RNL_ERR_DATA && !ended_well(&s->child)) status = decode_fault(s, error);
    }
    if (status != RNL_OK) {
        close_ffmpeg(s);
        return status;
    }
    info->format_name = "sound decoded by ffmpeg";
    *d = (sound_decoder){
        .read = read_frames, .late_place = late_place, .close = close_ffmpeg, .state = s};
    return RNL_OK;
}
