#include "engine/model_part.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *prefix;
    model_part part;
} rows[] = {
    {"a.", PART_ENCODER},   {"mm.a.", PART_ENCODER},  {"v.", PART_TOWER},
    {"mm.", PART_TOWER},    {"depth", PART_DEPTH},    {"audio_embedding.", PART_DEPTH},
    {"detok.", PART_CODEC}, {"emb.emb.", PART_CODEC}, {"istft.", PART_CODEC},
    {"mimi.", PART_CODEC},
};

model_part part_of(const char *name) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strncmp(name, rows[i].prefix, strlen(rows[i].prefix)) == 0) return rows[i].part;
    return PART_BACKBONE;
}

const char *part_name(model_part part) {
    static const char *const names[PART_COUNT] = {"backbone", "encoder", "tower", "depthformer",
                                                  "codec"};
    return names[part];
}
