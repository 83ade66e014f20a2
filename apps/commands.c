/* The list of the commands, in the order of the help. */
#include "apps/commands.h"

#include <stddef.h>

static const command *const commands[] = {
    &command_reply,       &command_transcribe, &command_say,    &command_chat,
    &command_info,        &command_convert,    &command_bench,  &command_dump,
    &command_tokenize,    &command_devices,    &command_talk,   &command_trace,
    &command_eval,        &command_perplexity, &command_train,  &command_search,
    &command_pull,        &command_models,     &command_doctor, &command_measure,
    &command_completions, &command_man,
#ifdef RUNNEL_SERVE
    &command_serve,
#endif
};

const command *command_at(int index) {
    return index < (int)(sizeof commands / sizeof *commands) ? commands[index] : NULL;
}
