#include "text/voices.h"

#include <string.h>

static const char *const names[] = {"us-male", "us-female", "uk-male", "uk-female", NULL};
static const char *const prompts[] = {
    "Perform TTS. Use the US male voice.", "Perform TTS. Use the US female voice.",
    "Perform TTS. Use the UK male voice.", "Perform TTS. Use the UK female voice."};

const char *const *voice_names(void) {
    return names;
}

const char *voice_prompt(const char *name, size_t size) {
    for (size_t i = 0; names[i] != NULL; i++)
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0) return prompts[i];
    return NULL;
}
