/* A candidate as the config.json of a model: `lfm2` when that says it all, which others load as
 * well, else `runnel_stack` (stack/stack_json.h). learn.md 6.10. */
#ifndef SEARCH_CONFIG_H
#define SEARCH_CONFIG_H

#include "search/devices.h"

/* The text of the file; free() it. NULL: memory is exhausted. */
char *search_config_text(const search_space *s, const search_candidate *c);

#endif
