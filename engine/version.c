/* Alone, so that programs without models tell it, too. */
#include <runnel/runnel.h>

const char *rnl_version(void) {
    return RNL_VERSION;
}
