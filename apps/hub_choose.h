/* Which files of a listing make the model that a person asked for. The same rules for the hub's
 * listing and for what lies in the cache. Pure functions. */
#ifndef APPS_HUB_CHOOSE_H
#define APPS_HUB_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum hub_role { HUB_MAIN, HUB_MMPROJ, HUB_VOCODER, HUB_TOKENIZER, HUB_ROLE_COUNT } hub_role;

typedef enum hub_choice_kind {
    HUB_SET,       /* GGUF files: index */
    HUB_FOLDER,    /* the layout of Hugging Face: hub_in_folder */
    HUB_NO_MODEL,  /* neither */
    HUB_NO_QUANT,  /* not in this quantisation, or several and none was named */
    HUB_AMBIGUOUS, /* several models in this quantisation */
    HUB_SPLIT      /* a part of its split main file is missing */
} hub_choice_kind;

#define HUB_NONE ((size_t)-1)

typedef struct hub_choice {
    hub_choice_kind kind;
    size_t index[HUB_ROLE_COUNT]; /* HUB_NONE: there is no such part; of a split file the first */
    bool is_old_set; /* its sound is an audiodecoder- file, which Runnel does not read */
} hub_choice;

/* quant "": Q4_0, else the only one. A part in another quantisation than the main file stands in
 * where its own is missing: Q8_0, F16, BF16, F32, any, in this order. */
hub_choice hub_choose(const char *const *paths, size_t count, const char *quant);
/* Whether a file is a further one of the split GGUF file that begins with `first`. */
bool hub_is_further(const char *path, const char *first);
/* Whether a file belongs to a model in the layout of Hugging Face. */
bool hub_in_folder(const char *path);
/* The quantisations of a listing, "Q4_0, Q8_0"; "" when none has a name. */
void hub_quants(const char *const *paths, size_t count, char *text, size_t cap);

#endif
