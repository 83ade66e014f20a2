/* runnel-measure: `runnel measure` for machines that have nothing else of Runnel, linked
 * statically. It knows config.json alone. */
#include "apps/ending.h"
#include "apps/measuring.h"
#include "apps/messages.h"

static int run(const options *o) {
    return measuring_run(o, NULL, NULL);
}

static const command alone = {
    .name = "measure",
    .synopsis = "[options] CONFIG ...",
    .about = "Measures the stack of each config.json as `runnel measure` does.",
    .options = {&options_json, &options_measure, &options_remote},
    .run = run,
};

int main(int argc, char **argv) {
    options o;
    int code;
    interrupt_install();
    if (options_parse(&o, &alone, argc, argv, &code)) code = alone.run(&o);
    if (interrupted()) return EXIT_STOPPED;
    return code == EXIT_OK ? flush_output() : code;
}
