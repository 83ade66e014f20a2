/* Where sentences end in running text, for reading aloud. Rules and tables for the languages of
 * Latin, Greek and Cyrillic script, the full stops of all others; what is not certain stays
 * together, because a wrong pause is heard and a missing one hardly. */
#ifndef TEXT_SENTENCES_H
#define TEXT_SENTENCES_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the first sentence of valid UTF-8, with the spaces behind it: [1, size] for size >= 1;
 * size when no sentence ends before the end of the text. Never ends:
 *   before a small letter ("What?" he said); after titles and the like (Mr. e.g. cf.); after an
 *   initial or an acronym (J. Smith, U.S. Army) unless a word follows that begins sentences; at
 *   "No. 5", "Fig. 3", "3. 4. 2020", "3. Mai"; after a number that opens the text (1. First). */
size_t sentence_next(const char *text, size_t size);

/* Bytes of the first piece of a sentence that is to be cut into pieces of at most char_max (>= 1)
 * characters: size when it fits; else a cut that makes the pieces about equal, rather behind ; : or
 * a dash than behind a comma, rather there than at a space. */
size_t sentence_cut(const char *text, size_t size, size_t char_max);

/* Whether there is a letter or a digit in it. */
bool sentence_is_speakable(const char *text, size_t size);

#endif
