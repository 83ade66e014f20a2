/* How much the server takes of anybody, in one table: what `runnel serve --help-limits` prints, and
 * what the code goes by. What options can change is here with its default. */
#ifndef SERVE_LIMITS_H
#define SERVE_LIMITS_H

#include <stdint.h>

/* Name, value, unit, what it bounds. */
#define LIMIT_LIST(X)                                                                              \
    X(CONNECTIONS, 1024, "", "connections at once")                                                \
    X(DESCRIPTORS, 2048, "", "file descriptors asked of the system")                               \
    X(CONNECTIONS_OF_ADDRESS, 64, "", "connections of one address")                                \
    X(HEADER_SIZE, 16384, "bytes", "head of a request")                                            \
    X(HEADER_SECONDS, 5, "s", "until the head is there")                                           \
    X(BODY_IDLE_SECONDS, 5, "s", "without a byte of the body")                                     \
    X(BODY_SECONDS, 120, "s", "for a whole body")                                                  \
    X(JSON_SIZE, 8 << 20, "bytes", "JSON body")                                                    \
    X(CHAT_SIZE, 25 << 20, "bytes", "JSON body of a chat, with its sounds")                        \
    X(UPLOAD_SIZE, 25 << 20, "bytes", "uploaded file (--upload-max)")                              \
    X(UPLOAD_SECONDS, 7200, "s", "sound of an uploaded file")                                      \
    X(UPLOADS_SIZE, 256 << 20, "bytes", "bodies of all requests together")                         \
    X(JSON_DEPTH, 16, "", "nesting of JSON")                                                       \
    X(JSON_KEYS, 256, "", "keys of one JSON object")                                               \
    X(PARTS, 64, "", "parts of a multipart body")                                                  \
    X(PART_HEAD_SIZE, 4096, "bytes", "head of a part")                                             \
    X(PART_TEXT_SIZE, 65536, "bytes", "part that is no file")                                      \
    X(BOUNDARY_SIZE, 70, "bytes", "boundary between parts")                                        \
    X(MESSAGE_SIZE, 4 << 20, "bytes", "WebSocket message (--message-max)")                         \
    X(EVENTS_RATE, 200, "1/s", "WebSocket messages, over 5 s")                                     \
    X(EVENTS_BURST, 1000, "", "WebSocket messages at once")                                        \
    X(EVENT_ERRORS, 20, "", "errors of a WebSocket client within 10 s")                            \
    X(EVENT_ID_SIZE, 512, "bytes", "event_id")                                                     \
    X(ITEM_ID_SIZE, 64, "bytes", "id of an item")                                                  \
    X(ITEMS, 256, "", "items of a conversation")                                                   \
    X(INSTRUCTIONS_SIZE, 65536, "bytes", "instructions")                                           \
    X(ITEM_TEXT_SIZE, 65536, "bytes", "text of an item")                                           \
    X(TOOLS, 32, "", "tools")                                                                      \
    X(TOOL_SIZE, 16384, "bytes", "one tool")                                                       \
    X(METADATA, 16, "", "pairs of metadata")                                                       \
    X(METADATA_KEY, 64, "characters", "key of metadata")                                           \
    X(METADATA_VALUE, 512, "characters", "value of metadata")                                      \
    X(RESPONSES_QUEUED, 4, "", "responses out of band that wait, of a conversation")               \
    X(CLIENT_SECRETS, 1024, "", "client secrets")                                                  \
    X(SPEECH_INPUT, 4096, "characters", "text to speak")                                           \
    X(STOP_TEXTS, 4, "", "texts that end an answer")                                               \
    X(KEPT_SOUND_SIZE, 16 << 20, "bytes", "sound of the user kept for retrieve")                   \
    X(KEPT_PICTURES_SIZE, 16 << 20, "bytes", "pictures of a realtime conversation, as they came")  \
    X(JOBS_WAITING, 8, "", "transcriptions that wait")                                             \
    X(ANSWERS_KEPT, 64, "", "spoken answers kept by their id")                                     \
    X(ANSWERS_SECONDS, 3600, "s", "that one is kept")                                              \
    X(PREFIXES_KEPT, 16, "", "conversations kept for requests that begin alike")                   \
    X(PREFIXES_OF_CALLER, 4, "", "of these, of one key; without keys of one connection")           \
    X(PREFIX_SECONDS, 600, "s", "that one is kept")                                                \
    X(SLOW_SECONDS, 10, "s", "without a write to a reader (--slow-seconds)")                       \
    X(COMMENT_SECONDS, 15, "s", "without an event before a comment in a stream of them")           \
    X(IDLE_SECONDS, 600, "s", "without a message of a WebSocket")                                  \
    X(PING_SECONDS, 20, "s", "between pings, and for the answer to one")                           \
    X(SESSION_SECONDS, 3600, "s", "age of a realtime session (--session-seconds)")                 \
    X(WRONG_KEYS, 10, "", "wrong keys of one address in a minute")                                 \
    X(WYOMING_LINE_SIZE, 8192, "bytes", "line of Wyoming")                                         \
    X(WYOMING_DATA_SIZE, 262144, "bytes", "data of a Wyoming event")                               \
    X(WYOMING_PAYLOAD_SIZE, 1 << 20, "bytes", "payload of a Wyoming event")                        \
    X(WYOMING_IDLE_SECONDS, 60, "s", "without an event of Wyoming")                                \
    X(WYOMING_CONNECTIONS, 32, "", "connections of Wyoming")                                       \
    X(WYOMING_CONVERSATIONS, 16, "", "conversations of Wyoming kept")                              \
    X(WYOMING_KEPT_SECONDS, 300, "s", "that one is kept")                                          \
    X(CALL_IDLE_SECONDS, 10, "s", "without a byte of a telephone call")

enum {
#define LIMIT_ENUM(name, value, unit, text) LIMIT_##name = (value),
    LIMIT_LIST(LIMIT_ENUM)
#undef LIMIT_ENUM
};

typedef struct limit_row {
    int64_t value;
    const char *unit; /* "": a number of things */
    const char *text;
} limit_row;

/* Row `index`, counted from 0; NULL behind the last. */
const limit_row *limit_at(int index);

#endif
