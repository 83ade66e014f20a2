/* The commands of the program, one a file: cmd_NAME.c. */
#ifndef APPS_COMMANDS_H
#define APPS_COMMANDS_H

#include "apps/options.h"

extern const command command_reply, command_transcribe, command_say, command_chat, command_info,
    command_convert, command_bench, command_dump, command_tokenize, command_devices, command_talk,
    command_trace, command_eval, command_perplexity, command_train, command_pull, command_models,
    command_search, command_doctor, command_measure, command_completions, command_man,
    command_serve;

/* Command `index` in the order of the help, counted from 0; NULL behind the last. */
const command *command_at(int index);

#endif
