#include "text/voices.h"

#include <string.h>

static const struct {
    const char *name, *prompt;
} voices[] = {
    {"us-male", "Perform TTS. Use the US male voice."},
    {"us-female", "Perform TTS. Use the US female voice."},
    {"uk-male", "Perform TTS. Use the UK male voice."},
    {"uk-female", "Perform TTS. Use the UK female voice."},
};

const char *voice_prompt(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof voices / sizeof *voices; i++)
        if (strlen(voices[i].name) == size && memcmp(voices[i].name, name, size) == 0)
            return voices[i].prompt;
    return NULL;
}
