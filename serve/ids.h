/* Identifiers that nobody can guess: a prefix and 21 characters of [A-Za-z0-9] from the system's
 * random numbers. */
#ifndef SERVE_IDS_H
#define SERVE_IDS_H

enum { ID_CAP = 40, ID_RANDOM = 21 };

/* "resp_x3..."; prefix of at most ID_CAP - ID_RANDOM - 1 characters. */
void id_make(char id[ID_CAP], const char *prefix);

#endif
