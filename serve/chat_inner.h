/* Inside serve/chat_request*.c: a request that is being read. */
#ifndef SERVE_CHAT_INNER_H
#define SERVE_CHAT_INNER_H

#include "serve/chat_request.h"
#include "serve/json_in.h"

typedef struct chat_builder {
    const chat_config *config;
    chat_request *request;
    api_error *error;
    rnl_mode mode;
    char *tools; /* [tools_size] the JSON list that the model gets; NULL: none */
    size_t tools_size;
    json_out system;     /* the texts of system messages, joined */
    bool has_system;     /* there was one, perhaps an empty one */
    size_t samples_left; /* of sounds */
    int64_t pixels_left; /* of pictures */
    const json *messages;
    int last_user; /* index of the last message of a user; -1: none */
} chat_builder;

/* Appends a command, which takes over what it holds, whatever becomes of it. */
bool chat_add_command(chat_builder *b, const command *what);
/* Copies of a text for commands. NULL with an error: memory is exhausted. */
char *chat_copy(chat_builder *b, const char *text, size_t size);
/* Messages to commands: the system's first, with the tools; then the others. */
bool chat_read_messages(chat_builder *b, const json *body);

#endif
