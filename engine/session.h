/* The inside of rnl_session: one conversation. All memory is one block, cut into regions; the
 * region KEPT holds everything a snapshot must copy, the others are append-only or dead between
 * calls.
 *
 *     session.c         create, plan, reset, snapshots
 *     session_history.c positions: appended, dropped, the end of a reply
 *     session_input.c   text and clips -> positions of the history
 *     session_picture.c pictures -> positions of the history
 *     session_chat.c    tools, results and messages, as chat templates lay them out
 *     session_step.c    encode, prefill, generate, by a pass (pass.h)
 *     session_guide.c   what a reply is held to, and the calls in it
 *     session_thinking.c what templates take out of earlier messages
 *     session_rewind.c  the reply cut back to what was heard
 *     session_renew.c   a conversation that begins as the one before
 *     session_output.c  text and samples of the reply, waiting to be pulled */
#ifndef ENGINE_SESSION_H
#define ENGINE_SESSION_H

#include "backbone/generate.h"
#include "core/resample.h"
#include "chat/calls.h"
#include "core/utf8.h"
#include "engine/constraint.h"
#include "engine/pass.h"
#include "engine/percept.h"

enum {
    SESSION_TEXT_CAP = 4096,  /* bytes of text waiting to be pulled, besides the longest token */
    SESSION_FRAME_CAP = 4,    /* frames of sound waiting to be pulled */
    SESSION_CLOSE_CAP = 8,    /* positions kept free for the end of a turn */
    SESSION_MARK_STRIDE = 12, /* decisions of a reply between two marks */
    SESSION_MARK_CAP = 17,    /* the reply's beginning, and the last 16 marks of it */
    SESSION_PLACE_CAP = 64    /* most places of a conversation that another can go on from */
};

/* What a position is besides its token: nothing more; something that no other is the same as; or,
 * of a row of a clip or a picture, a sum. */
#define SESSION_SUM_TOKEN UINT64_C(0)
#define SESSION_SUM_NONE UINT64_MAX

typedef enum session_region {
    REGION_KEPT,      /* live state: copied by snapshots */
    REGION_KV,        /* keys and values of the backbone: append-only */
    REGION_HISTORY,   /* embeddings of every position, emitted tokens: append-only */
    REGION_TOKENIZER, /* clip and mel: not while a snapshot is taken */
    REGION_VISION,    /* the views of a picture, likewise */
    REGION_COUNT
} session_region;

/* What a reply is held to, and what of it is held back. */
typedef struct session_guide {
    enum {
        GUIDE_FREE,   /* any text; with tools a call may begin */
        GUIDE_CALL,   /* between the call tokens */
        GUIDE_ANSWER, /* an answer of a given form */
        GUIDE_ENDED   /* nothing but the end may come */
    } phase;
    enum {
        HELD_NOTHING,
        HELD_TEXT, /* was to be calls, and is none: text from held_at on */
        HELD_CALLS /* held_at: the next one to be taken */
    } held;
    mask_text text; /* with GUIDE_CALL and GUIDE_ANSWER */
    bool called;    /* the reply has a call */
    int held_size, held_at, call_count;
} session_guide;

typedef struct session_live {
    stack_state backbone;
    codec_state codec;
    random_state random;
    utf8_decoder decoder;

    int position_count; /* positions of the history; those beyond backbone.position wait */
    bool begun;         /* <|startoftext|> is there */
    int open_role;      /* role of the open turn, or -1 */
    int exchange_count;
    int answered_at; /* end of the last complete reply; 0: none */
    int answer_at;   /* where the header of the last answer in text begins; -1: none */

    bool generating;
    bool flushed; /* the reply's last samples and text are in the queues */
    generate loop;
    rnl_turn_config turn;
    rnl_finish finish;
    uint64_t reply_sum;              /* of its positions; 0: of each its own */
    int step_count;                  /* decisions of this reply */
    int replay_end;                  /* positions before it went through the backbone once already:
                                      * `decided` says how */
    int reply_begin;                 /* position of the reply's first decision */
    int reply_end;                   /* position_count when the reply was closed; -1 before */
    random_state random_begin;       /* at the reply's first decision */
    bool end_fed;                    /* the reply's end token is in the history (sequential loop) */
    int64_t said_size, said_samples; /* text and sound of the complete replies so far */
    int reply_emitted; /* index in the emitted arrays where this reply begins, by kind */
    int reply_text;
    int reply_frame;
    int emitted_count;
    int text_count;
    int frame_count;

    session_guide guide;
    char *text; /* [text_cap] bytes waiting */
    size_t text_size, text_cap;
    float *samples; /* [sample_cap] samples waiting */
    size_t sample_count, sample_cap;
} session_live;

typedef struct session_slot {
    bool valid;
    int position_count;  /* restoring an earlier state makes later slots invalid */
    unsigned char *data; /* [kept_size] */
    bool clip_open;      /* taken inside a clip, at 16 kHz: the next clip makes it invalid */
    size_t clip_count;
    mel_mark clip;
} session_slot;

/* The fixed bytes of the backbone at a position of the history: they cannot be rewound, what is
 * appended can. Valid as long as the history before the position stays. */
typedef struct session_mark {
    int position;         /* -1: none */
    unsigned char *fixed; /* [fixed_size] */
} session_mark;

/* What a full context does. It is full when the next content would not fit, or when more than
 * position_max positions (0: no limit) would stand behind the system prompt. */
typedef struct session_dropping {
    bool drops;       /* the oldest exchanges go; else what does not fit is refused */
    double retention; /* of the room behind the system prompt so much stays, [0, 1], as nearly as
                       * exchanges allow; 1: all that can */
    int position_max;
} session_dropping;

/* What a clip or a picture was made of, in so few bits that no two are likely to be alike. Zero at
 * its beginning. */
typedef struct session_sum {
    uint64_t halves[2];
} session_sum;

/* The picture that is being encoded. */
typedef struct session_picture {
    views views;
    int view;        /* the one at work, or next */
    uint8_t *pixels; /* the views' bytes one after the other; NULL: no room for pictures */
} session_picture;

struct rnl_session {
    rnl_model *model;
    rnl_session_config config;
    session_dropping dropping; /* at first as config.drop_oldest_turns says */
    unsigned char *memory;
    bool elsewhere;      /* a device was shown it: it stays while that hangs */
    size_t planned_size; /* bytes of it and of a pass of its own */
    size_t kept_size;
    session_live *live;  /* = start of the kept region */
    session_slot *slots; /* [snapshot_cap] */
    linear_span span;    /* what is added to its rows */
    pass *pass;          /* with whose threads and scratch it computes: its own, or a batch's */
    bool owns_pass;
    bool stepping;       /* a step in parts is under way (session_step_part), */
    rnl_batch_item item; /* with this */
    bool failed;         /* a step failed: only reset or destroy */

    /* In a batch (batch_step.c). */
    rnl_session *next; /* of its pass */
    rnl_live *loop;    /* that it belongs to, or NULL */
    rnl_want want;
    int64_t due_us; /* INT64_MIN: not said, and nothing waits */
    bool due_said;
    bool placed;       /* its reply is one of those that speak */
    bool overdue;      /* or has waited too long for that */
    rnl_error failure; /* status RNL_OK: none */

    /* Clip of the user. */
    resampler *resampler; /* NULL without encoder */
    mel_state mel;
    bool clip_open;
    int clip_rate;
    size_t clip_count;      /* samples pushed, at clip_rate */
    int encode_frame_count; /* mel frames of the clip that is being encoded */

    const rnl_session
        *lender;   /* whose rows are taken for a clip that is added now; NULL: nobody's */
    bool encoding; /* positions [encode_at, + encode_count) of the history wait for */
    const percept_kind *percept; /* what this makes of a clip or a picture */
    int encode_at, encode_count;
    session_picture picture;

    /* History. */
    float *embeddings; /* [context_cap, width] input of every position */
    char *held;   /* [CALLS_SIZE_CAP and a token] text between call tokens, where there are such */
    int32_t *ids; /* [context_cap] token of every position; -1: sound */
    uint64_t *sums;     /* [context_cap] what it is besides its token (SESSION_SUM_TOKEN, _NONE) */
    char *decided;      /* [context_cap] 1: went through as a decision */
    int32_t *exchanges; /* [context_cap] first position of each question with its answers */
    char *modality;     /* [context_cap + 2] of every emitted position */
    int32_t *text_ids;  /* [context_cap + 2] emitted */
    float *text_confidences; /* [context_cap + 2] their log-probabilities */
    int32_t *alternatives;   /* [context_cap + 2, alternatives_max] likelier ids than others, */
    float *alternative_confidences; /* likewise */
    int32_t *frames;                /* [context_cap + 2, codebook_count] emitted */
    /* [0]: where the reply begins; a ring of the reply; [kept_places] of the conversation. */
    session_mark marks[SESSION_MARK_CAP + SESSION_PLACE_CAP];

    /* Of what was there before the last renew: positions that are the same now, or may become so;
     * those whose embeddings are good, and of these those that had gone through the backbone. */
    int remembered_count, familiar_count;
    int reused_count, reused_audio; /* positions that did not go through again since then */
    int old_at; /* rows of the history from here to context_cap are those of before that did not
                 * stand where they now would: context_cap: there are none */

    size_t fixed_size; /* of live->backbone */
};

/* session.c */
/* What reset does to all but the marks. */
void session_begin_anew(rnl_session *s);
/* As rnl_session_create, with a pass of its own that can look at clips. */
RNL_MUST_USE rnl_status session_create_looking(rnl_model *model, const turn_network *turn,
                                               const rnl_session_config *config,
                                               rnl_session **session, rnl_error *error);
/* As rnl_session_create and _plan, with a pass that others share. */
RNL_MUST_USE rnl_status session_create_in(rnl_model *model, pass *p,
                                          const rnl_session_config *config, rnl_session **session,
                                          rnl_error *error);
RNL_MUST_USE rnl_status session_plan_in(const rnl_model *model, const pass *p,
                                        const rnl_session_config *config, rnl_memory_plan *plan,
                                        rnl_error *error);

/* The pass's compute for rows of this session alone. */
compute session_compute(const rnl_session *s);

/* session_step.c */
/* As rnl_session_step, a part at each call: a layer or so. Until *whole, RNL_OK; then what the step
 * came to. In between nothing else may be asked of the session. Where others share the pass, the
 * step is one part. */
RNL_MUST_USE rnl_status session_step_part(rnl_session *s, bool *whole, rnl_error *error);
/* Where the loop of the reply under way stands. */
const generate *session_loop(const rnl_session *s);
/* Positions that can go through the backbone now. The last one of an answer that the caller writes
 * waits until the next call: when that is begin, the reply goes on from its hidden state. */
int session_waiting(const rnl_session *s);
/* The end of the reply: what is held back into the queues, the closing of its turn. */
void session_finish_reply(rnl_session *s);
/* Its clip or picture, if one is being encoded, is not waited for any more. */
void session_drop_encoding(rnl_session *s);

/* session_history.c */
/* What stands around a message, by its rnl_role; layout. */
extern const char *const session_role_headers[4];
extern const char session_message_end[];
/* Tokens of pieces, gathered in the ids of its pass before any of them is accepted. */
typedef struct session_draft {
    rnl_session *s;
    size_t count;
    int role;             /* that has the turn behind it, or -1 */
    bool apart;           /* a turn of the same role is a message of its own */
    bool begun;           /* <|startoftext|> is there, or in it */
    int header_at;        /* index of its last header; -1: none */
    size_t closing_count; /* ids at its beginning that close the message before */
    rnl_status status;    /* sticky, */
    rnl_error *error;     /* with its sentence */
} session_draft;

session_draft session_draft_begin(rnl_session *s, rnl_error *error); /* empty */
/* The header of a turn, and the end of the one before, where a new turn starts. */
void session_draft_turn(session_draft *d, rnl_role role);
/* Text of the template, in which special tokens are meant. */
void session_draft_layout(session_draft *d, const char *text, size_t size);
/* Text in which special tokens stay plain text. */
void session_draft_text(session_draft *d, const char *text, size_t size);
/* From now on a full context does this; a reset leaves it so. */
void session_set_dropping(rnl_session *s, const session_dropping *dropping);
/* Room for the draft, more positions behind it and the closing of a reply. Where it drops, the
 * oldest exchanges go: a question with its answers. RNL_ERR_CONTEXT_FULL: nothing went. */
RNL_MUST_USE rnl_status session_ensure_room(session_draft *d, size_t more, rnl_error *error);
/* The draft, for which there is room, becomes the newest positions. */
void session_accept(const session_draft *d);
/* One more position at the end of the history, of this token (-1: none); asserts room. Its
 * embedding is to be written. */
float *session_append(rnl_session *s, int32_t id);
/* The same for a row of a clip or picture, with its sum. */
float *session_append_row(rnl_session *s, int32_t id, uint64_t sum);
/* Forgets all exchanges but the last `count`; no reply is running, no clip open. What stays is read
 * again by the steps that follow. */
void session_keep_exchanges(rnl_session *s, int count);
/* Appends the closing of the reply's turn; there is always room (SESSION_CLOSE_CAP). */
void session_close_reply(rnl_session *s);

/* session_picture.c */
void session_layout_picture(rnl_session *s, arena *a);
/* Of the positions before `end` those of sound (rows of clips, frames) and those of pictures. */
void session_count_kinds(const rnl_session *s, int end, int *audio, int *image);

/* session_input.c */
/* RNL_OK where content can be added: not while a reply is being generated, or after a failure. */
RNL_MUST_USE rnl_status session_check_content(const rnl_session *s, rnl_error *error);
/* Gives the session's mel frames to the encoder of its pass, or has the model's device encode them:
 * encoder_step then says RNL_DONE at once. */
void session_encode_begin(rnl_session *s, int frame_count);
/* As rnl_session_add_audio, but a clip that the lender has had is not encoded again: *lent. Both
 * have kept_places and are of one model and adapter; the caller's thread has both. No bit depends
 * on it. */
RNL_MUST_USE rnl_status session_add_audio_of(rnl_session *s, const rnl_session *lender,
                                             const float *samples, size_t count, int rate,
                                             bool *lent, rnl_error *error);
/* Positions that a clip of so many samples at RNL_RATE_IN takes. */
int session_clip_positions(int64_t sample_count);

/* session_chat.c */
RNL_MUST_USE rnl_status session_add_result(rnl_session *s, const char *text, size_t size,
                                           rnl_error *error);

/* session_thinking.c */
/* A question begins: takes the thinking of earlier answers out of the history, as the template
 * does. What stays behind it goes through the backbone again. */
void session_forget_thinking(rnl_session *s);

/* session_guide.c */
/* Whether the session's reply can be held to what the turn says. */
RNL_MUST_USE rnl_status session_guide_check(const rnl_session *s, const rnl_turn_config *t,
                                            rnl_error *error);
/* Positions that the shortest reply of the turn takes. */
size_t session_guide_room(const rnl_turn_config *t);
void session_guide_begin(rnl_session *s);
void session_guide_reset(session_live *live); /* nothing is held back */
bool session_guide_masks(const rnl_session *s);
/* Takes what may not come next out of the logits [count]. */
void session_guide_mask(rnl_session *s, float *logits, int count);
/* A token of the reply. True: it is no text, or is held back. */
bool session_guide_take(rnl_session *s, int32_t id);
/* The reply is over: a call that is not complete is text. */
void session_guide_end(rnl_session *s);
/* Whether something of it must be pulled before the reply goes on. */
bool session_guide_waits(const rnl_session *s);
/* Takes up to cap bytes of text that was held back; 0: none. */
size_t session_guide_text(rnl_session *s, size_t cap, const char **bytes);

/* session_rewind.c */
void session_layout_marks(rnl_session *s, arena *a);
/* Keeps the fixed bytes when the decision that comes next is one to return to. */
void session_mark_decision(rnl_session *s);
/* The last mark at or before the position, or NULL. */
const session_mark *session_mark_before(const rnl_session *s, int position);
/* Brings the backbone to a mark. */
void session_stand_at(rnl_session *s, const session_mark *mark);
/* Brings the backbone back to a mark at or before the position. */
void session_return_to(rnl_session *s, int position);
/* The history changes behind this position: later marks are of no use. */
void session_forget_marks(rnl_session *s, int position_count);
/* A reply came to its own end: how long its sound is, for the estimate of what was heard. */
void session_learn_pace(rnl_session *s);

/* session_renew.c */
/* A position is about to be written: compares it with what stands there from before. */
void session_compare(rnl_session *s, int position, int32_t id, uint64_t sum);
/* The history changes from this position on without being compared. */
void session_part(rnl_session *s, int position);
void session_sum_add(session_sum *sum, const void *bytes, size_t size);
uint64_t session_sum_at(const session_sum *sum, int row);
/* Positions of before that have this sum become the newest ones, as they were: `count`, or with 0
 * as many as there are. Returns their number; 0: they are not there any more. */
int session_bring_back(rnl_session *s, const session_sum *sum, int count);
/* Rows of the clip of this sum that the session's lender has encoded become the newest positions.
 * False: it has none, or nobody lends. */
bool session_borrow(rnl_session *s, const session_sum *sum, int count);
/* The positions of the reply that was just begun get this name. */
void session_name_reply(rnl_session *s, int64_t name);
/* Adds the reply of that name, of before the last renew, as it stood there: text and frames.
 * *audio_count: of its positions those that are frames. *found false: nothing is left of it. Errors
 * as rnl_session_add_text; RNL_AGAIN likewise. */
RNL_MUST_USE rnl_status session_add_again(rnl_session *s, int64_t name, bool *found,
                                          int *audio_count, rnl_error *error);
/* Content was added: the backbone goes on from the last place that it can. */
void session_go_on(rnl_session *s);
/* Of `count` rows of a prefill those until a place that is worth a pass of its own. */
int session_rows_to_place(const rnl_session *s, int count);
/* Rows went through: keeps the place where they end. */
void session_keep_place(rnl_session *s);

/* session_output.c */
void session_output_reset(session_live *live);
bool session_output_has_room(const rnl_session *s);
void session_put_token(rnl_session *s, int32_t id);
/* Whether the codec is to have the frame. */
bool session_has_sound(const rnl_session *s, const int32_t *codes);
void session_flush_output(rnl_session *s);

#endif
