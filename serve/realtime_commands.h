/* Prompts, entries and wishes of a realtime conversation as commands of the engine thread. */
#ifndef SERVE_REALTIME_COMMANDS_H
#define SERVE_REALTIME_COMMANDS_H

#include "serve/realtime.h"
#include "serve/work.h"

/* Where they go. */
typedef struct realtime_sink {
    const rnl_model *model;
    /* Takes a command over; false: it was not taken, and is freed here. */
    bool (*take)(void *context, const command *what);
    void *context;
    bool begun;   /* something stands behind the system's text */
    bool spare;   /* what is given is (command.spare) */
    bool refused; /* a command was not taken, or memory is exhausted: nothing more is given */
} realtime_sink;

void realtime_put(realtime_sink *s, const command *what);
void realtime_put_prompt(realtime_sink *s, const realtime_prompt *prompt);
/* Gives the sound of its pieces away. */
void realtime_put_entry(realtime_sink *s, const realtime_entry *entry);
/* BEGIN, to be spoken where the mode is. tools: those of the prompt, NULL: none. False: memory is
 * exhausted. */
bool realtime_begin_command(const rnl_model *model, uint32_t tag, const realtime_wish *wish,
                            const char *tools, command *out);

#endif
