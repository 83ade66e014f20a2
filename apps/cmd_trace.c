/* placeholder */
#include "apps/cli.h"
static int run(const options *o) { (void)o; return 0; }
const command command_trace = {.name = "trace", .summary = "", .synopsis = "", .own = "", .run = run};
