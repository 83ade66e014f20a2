/* What --device and --device-set say of who computes the layers. */
#ifndef APPS_DEVICE_OPTIONS_H
#define APPS_DEVICE_OPTIONS_H

#include "apps/options.h"

/* The config, whose texts are those of the options, or live as long as the program. False: a
 * sentence in *error. */
bool device_options_parse(const options *o, rnl_device_config *out, rnl_error *error);

#endif
