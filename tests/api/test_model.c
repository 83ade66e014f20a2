/* What rnl_model_config asks of opening. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <runnel/runnel.h>

static const char *const path = SOURCE_DIR "/samples/minnow/minnow.gguf";

/* Every start of a thread passes here (the linker's --wrap). */
static atomic_int started;
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *context) {
    (void)atomic_fetch_add(&started, 1);
    return __real_pthread_create(thread, attributes, body, context);
}

static void opening_takes_the_threads_it_is_given(void **state) {
    (void)state;
    const int counts[] = {1, 3, rnl_thread_count_default()};
    for (int i = 0; i < 3; i++) {
        rnl_model *m;
        rnl_error error = {0};
        rnl_model_config c = rnl_model_config_default();
        if (i < 2) c.thread_count = counts[i];
        atomic_store(&started, 0);
        if (rnl_model_open(path, &c, &m, &error) != RNL_OK) fail_msg("%s", error.text);
        assert_int_equal(atomic_load(&started), counts[i] - 1); /* the caller is one of them */
        rnl_model_close(&m);
    }
}

static void wrong_thread_counts_are_refused(void **state) {
    (void)state;
    const int wrong[] = {0, -1, RNL_THREAD_CAP + 1};
    for (int i = 0; i < 3; i++) {
        rnl_model *m;
        rnl_error error = {0};
        rnl_model_config c = rnl_model_config_default();
        c.thread_count = wrong[i];
        assert_int_equal(rnl_model_open(path, &c, &m, &error), RNL_ERR_ARGUMENT);
        assert_null(m);
        assert_non_null(strstr(error.text, "thread_count"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_takes_the_threads_it_is_given),
        cmocka_unit_test(wrong_thread_counts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
