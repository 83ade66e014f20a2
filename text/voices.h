/* Voices of the official models, by the system prompts that ask for them (audio.md 7.2). */
#ifndef TEXT_VOICES_H
#define TEXT_VOICES_H

#include <stddef.h>

/* "us-male", "us-female", "uk-male", "uk-female"; NULL: no such voice. name [size]. */
const char *voice_prompt(const char *name, size_t size);
/* Their names; ends with NULL. */
const char *const *voice_names(void);
/* All of them, as a sentence lists them. */
#define VOICE_NAMES "us-male, us-female, uk-male or uk-female"

#endif
