/* What a listener says to show that he listens: "mhm", "okay, right". Not meant to end a reply. */
#ifndef ENGINE_BACKCHANNEL_H
#define ENGINE_BACKCHANNEL_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the text [size], UTF-8 as a transcript has it, holds nothing else: it is empty, or it
 * consists of words of the list (backchannel_words.c), whatever punctuation and ASCII case. */
bool backchannel_is(const char *text, size_t size);

/* Words and short phrases in lower case, words parted by one space; "" ends the list of a language,
 * NULL the table. All languages hold at once: nobody says which one is spoken. */
extern const char *const *const backchannel_words[];

#endif
