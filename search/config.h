/* A candidate as the config.json of a model: `lfm2` when it is a plain one, which others load as
 * well, else `runnel_stack`. learn.md 6.10. */
#ifndef SEARCH_CONFIG_H
#define SEARCH_CONFIG_H

#include "search/devices.h"

/* The text of the file; free() it. NULL: memory is exhausted. */
char *search_config_text(const search_space *s, const search_candidate *c);
/* Whether it is plain: convolutions of one length, attention with one number of key heads, one
 * width, nothing shared. */
bool search_config_is_plain(const search_candidate *c);

#endif
