/* Where the passes of a stack are computed: on the CPU, or on a device, a row of functions. What a
 * conversation keeps stays where it is, in its own memory and as the CPU lays it out, so that a
 * device may take some passes of a conversation and the CPU the others.
 *
 *     config ─► open ─► load(weights) ─► forward(pieces, x) ─► take ─► x, keys, tails, position
 *               device's own thread ───────────────┘           └── the caller's
 *
 * A pass goes through or has done nothing: a device reads the caller's memory and writes none of it
 * until `take`, which cannot fail. So whatever becomes of a device, the CPU repeats that pass and
 * the conversation goes on. A device that lets a deadline go by is given up: its thread and what it
 * may still read stay until the process ends, and it is never asked again.
 *
 * devices/ has the rows; the CPU is the first of them (device_cpu.c). */
#ifndef STACK_DEVICE_H
#define STACK_DEVICE_H

#include <runnel/runnel.h>

#include "stack/kind.h"

/* ---- A row: who adds a device fills it ---- */

typedef struct stack_device_facts {
    char name[128];   /* as its driver has it, UTF-8: "Adreno (TM) 740" */
    char driver[128]; /* likewise, of whoever makes the device compute: "OpenCL 3.0 PoCL 3.1" */
    size_t memory;    /* bytes that it can have; 0: it does not say */
    bool shared;      /* it computes in the host's memory: weights need not be there twice */
} stack_device_facts;

/* One that was found, or one sentence why none was. */
typedef struct stack_device_entry {
    stack_device_facts facts; /* name "": no device, but the way to them (no library, ...) */
    rnl_error refusal;        /* status RNL_OK: it can be used */
} stack_device_entry;

/* What a device has to make room for when it takes weights. */
typedef struct stack_device_room {
    int row_cap;         /* most rows of a pass, all pieces together; one that computes fewer at
                          * a time takes several turns within its forward */
    int position_cap;    /* usual positions of a state; attach says whether it may have more */
    kernels_cache cache; /* how states keep keys and values, all that it is shown */
    bool exact;          /* inputs of products stay float32 (compute.exact) */
} stack_device_room;

typedef struct stack_device_ops {
    const char *kind; /* "cpu", "gpu", "npu": what --device calls it */

    /* Finds the devices, usable or not; returns their number, or what there is of them above cap.
     * Any thread. */
    int (*list)(const rnl_device_config *config, stack_device_entry *entries, int cap);

    /* All calls of one device, from here down to close, come from one thread, which is the device's
     * own and no one's who waits for sound; only `take` and what says so does not.
     *
     * open     the first usable device whose name or driver contains `name`, whatever the case of
     *          its letters (NULL: the first). Any negative status with a sentence: none is. What
     *          config points to stays until close. */
    rnl_status (*open)(const rnl_device_config *config, const char *name, void **device,
                       stack_device_facts *facts, rnl_error *error);
    void (*close)(void *device);

    /* How far a product with w may lie from the CPU's: rms of the difference / rms of the CPU's
     * outputs; 0: not a bit. Negative: it does not multiply by such a matrix (type, shape). */
    float (*bound)(const void *device, const matrix *w);
    /* y [count, row_count] = x [count, col_count] times w, count in [1, 8]: the self-check. By the
     * code that passes are computed by. */
    rnl_status (*product)(void *device, const matrix *w, bool exact, const float *x, int count,
                          float *y, rnl_error *error);

    /* Takes weights, which stay where they are until unload; *stack is theirs on this device.
     * RNL_ERR_UNSUPPORTED: a kind of layer, type or size that it does not compute; RNL_ERR_MEMORY:
     * it has not so much. Nothing is allocated later, but for what attach says. */
    rnl_status (*load)(void *device, const stack_weights *w, const stack_device_room *room,
                       void **stack, rnl_error *error);
    void (*unload)(void *stack);
    size_t (*memory)(const void *stack); /* bytes beyond the host's own. Any thread */

    /* A state that passes will come with: s->appended_base [appended_size] is its memory until
     * detach, aligned to ARENA_ALIGN, a conversation's to STACK_DEVICE_ALIGN, of which its size
     * then is a multiple. *mirror is handed back as s->mirror; NULL is fine. RNL_ERR_UNSUPPORTED,
     * RNL_ERR_MEMORY: passes with it are the CPU's. NULL: nothing to do, any state will do. */
    rnl_status (*attach)(void *stack, const stack_state *s, void **mirror, rnl_error *error);
    void (*detach)(void *stack, void *mirror);

    /* The whole pass: all layers and the final norm. Reads x [row_count, width], the states'
     * fixed and appended bytes, p->work->rows and its rotary tables, in which cosines and sines of
     * these rows stand; of p->c neither the pool nor the scratch (the CPU may be using them).
     * Writes memory of the device's own only. What it reads may be overwritten by others once
     * it has been given up, and then what it computes does not matter.
     *
     * Of a state's appended bytes those from position s->unseen on were written by the host since
     * this device saw them: one that keeps a copy brings it up to date from there (the seam then
     * moves s->unseen behind the pass).
     *
     * RNL_DONE: it went through, and take comes next. RNL_OK: layers remain, call again (a row
     * without `take` only). Negative with a sentence: nothing was done; the device is given up. */
    rnl_status (*forward)(void *stack, const stack_pass *p, float *x, rnl_error *error);
    /* Puts what the last forward made into place: x, and of each piece's state its new appended
     * rows and its fixed bytes; not the position, which the caller moves. Cannot fail and does not
     * wait. By the thread that called for the pass. NULL: forward writes in place itself, never
     * fails, and runs on the caller's thread (the CPU). */
    void (*take)(void *stack, const stack_pass *p, float *x);
} stack_device_ops;

enum { STACK_DEVICE_ALIGN = 4096 };

extern const stack_device_ops stack_device_cpu;

/* ---- For whoever runs stacks ---- */

typedef struct stack_device stack_device; /* an open one */

/* What is told once when a device is given up: it names it and says why. By the thread that called
 * for the pass. */
typedef void (*stack_device_lost_fn)(void *context, const rnl_error *why);

/* Opens a device by its row, with copies of the config. config->deadline_ms is that of a pass;
 * opening, checking and loading may take STACK_DEVICE_PATIENCE times as long. Any negative status:
 * refused, with a sentence. */
enum { STACK_DEVICE_PATIENCE = 6 };
RNL_MUST_USE rnl_status stack_device_open(const stack_device_ops *ops,
                                          const rnl_device_config *config, const char *name,
                                          stack_device_lost_fn lost, void *context,
                                          stack_device **out, rnl_error *error);
/* What was loaded on it must be gone. A device that was given up while it worked stays in memory.
 * NULL is fine; sets NULL. */
void stack_device_close(stack_device **d);
const stack_device_ops *stack_device_row(const stack_device *d);
const stack_device_facts *stack_device_facts_of(const stack_device *d);
/* Not given up. Any thread. */
bool stack_device_usable(const stack_device *d);

/* Whether it was given up while it worked: memory that it may be reading, of attached states, of
 * works that passes went to it with, and of weights, is not to be freed. d NULL: no. */
bool stack_device_hangs(const stack_device *d);

/* The self-check (device_check.c): known inputs times three matrices of the stack, of its
 * beginning, middle and end, on the device and by c, compared as the row's bound says.
 * RNL_ERR_DATA names the matrix, the row and how far off it is; RNL_ERR_UNSUPPORTED: it multiplies
 * by none of them; RNL_ERR_MEMORY. Allocates for the length of the call. */
RNL_MUST_USE rnl_status stack_device_check(stack_device *d, const compute *c,
                                           const stack_weights *w, rnl_error *error);

/* For what is no stack (devices/encoder_device.h). Who has the turn is alone with the device until
 * it is over; waiting for it counts against no deadline. */
void stack_device_turn(stack_device *d);
void stack_device_turn_over(stack_device *d);
/* In one's turn: runs fn(device, context) on the device's thread, against the deadline times
 * patience, 1 or STACK_DEVICE_PATIENCE. What fn says, or RNL_ERR_IO when the device was or is given
 * up: then fn may be using context for good, so that it is not on the caller's stack, and is not
 * written where the device hangs. */
typedef rnl_status (*stack_device_fn)(void *device, void *context, rnl_error *error);
RNL_MUST_USE rnl_status stack_device_call(stack_device *d, stack_device_fn fn, void *context,
                                          int patience, rnl_error *error);
/* A turn to give back what a device has, also of one that was given up, unless it hangs. */
void stack_device_last_call(stack_device *d, stack_device_fn fn, void *context);
/* The device computed nothing useful, and is not asked again: `lost` is told why. */
void stack_device_give_up(stack_device *d, const rnl_error *why);

/* The weights of a stack on a device, shared by all passes over them. */
RNL_MUST_USE rnl_status stack_device_load(stack_device *d, const stack_weights *w,
                                          const stack_device_room *room, stack_placed **out,
                                          rnl_error *error);
void stack_device_unload(stack_placed **p); /* NULL is fine; sets NULL */
size_t stack_placed_size(const stack_placed *p);
/* Passes that it computed, since load. Any thread. */
int64_t stack_placed_count(const stack_placed *p);

/* From here on passes with this state may go to the device (s->on); detach before its memory goes,
 * and not at all where the device hangs. An error leaves the state to the CPU. p or s->on NULL:
 * nothing to do. */
RNL_MUST_USE rnl_status stack_placed_attach(stack_placed *p, stack_state *s, rnl_error *error);
void stack_placed_detach(stack_state *s);
/* A config whose strings lie in *strings, for a thread that may hang with it: free() that. False:
 * memory is exhausted, and *strings is NULL. */
bool stack_device_config_copy(rnl_device_config *out, char **strings,
                              const rnl_device_config *config);

/* RNL_ERR_MEMORY, with the sentence of all that a device had no memory for here. */
rnl_status stack_device_no_memory(rnl_error *error);

/* Whether a driver's name for a device, or for itself, contains `name`; NULL: any does. */
bool stack_device_named(const stack_device_facts *facts, const char *name);

/* One pass, or the next layer of it: stack_forward_step (stack.h). k->on says where. */
rnl_status stack_device_step(const stack_pass *p, float *x);

#endif
