/* What a user of an installed Runnel writes: also compiled as C++ by test_install.sh. It defines a
 * name that Runnel uses inside, which must not matter. */
#include <runnel/runnel.h>
#include <stdio.h>
#include <string.h>

int arena_take(void);
int arena_take(void) {
    return 7;
}

int main(void) {
    rnl_model *model = NULL;
    rnl_error error;
    memset(&error, 0, sizeof error);
    const rnl_model_config config = rnl_model_config_default();
    const rnl_status st = rnl_model_open("/nowhere/model.gguf", &config, &model, &error);
    printf("%s: %s\n", rnl_status_name(st), error.text);
    rnl_model_close(&model);
    return st < 0 && error.text[0] != '\0' && arena_take() == 7 ? 0 : 1;
}
