/* Packed bundles: the same bits as the model they were made from, rounded or exact; what does not
 * fit is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/convert.h"
#include "tests/support/rig.h"

static char folder[] = "/tmp/test_packed_XXXXXX";
static char path[64];

static int make_bundle(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/packed.gguf", folder);
    rnl_model *model = rig_model("gguf/tiny-Q4_0.gguf");
    const convert_config config = {.path = path, .packs = true, .thread_count = 2};
    rnl_error error = {0};
    if (convert_model(model, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    rnl_model_close(&model);
    return 0;
}

static int drop_bundle(void **state) {
    (void)state;
    (void)remove(path);
    return rmdir(folder);
}

/* A spoken question answered: encoder, backbone, depthformer and detokenizer all take part. */
static rig_result answer(rnl_model *model) {
    rnl_session *s = rig_session(model, 2);
    rig_clip_a(s);
    rig_begin(s, RNL_MODE_INTERLEAVED, 40);
    const rig_result r = rig_run(s);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
    return r;
}

static void assert_same(rig_result a, rig_result b) {
    assert_string_equal(a.text, b.text);
    assert_int_equal(a.sample_count, b.sample_count);
    assert_true(a.sample_count > 0);
    assert_memory_equal(a.samples, b.samples, a.sample_count * sizeof *a.samples);
    rig_free(&a);
    rig_free(&b);
}

static void a_packed_bundle_gives_the_same_bits(void **state) {
    (void)state;
    assert_same(answer(rig_model_fast(path)), answer(rig_model_fast("gguf/tiny-Q4_0.gguf")));
}

static void exact_reads_slabs_as_well(void **state) {
    (void)state;
    assert_same(answer(rig_model(path)), answer(rig_model("gguf/tiny-Q4_0.gguf")));
}

static void it_is_not_converted_again(void **state) {
    (void)state;
    rnl_model *model = rig_model(path);
    char target[80];
    (void)snprintf(target, sizeof target, "%s/again.gguf", folder);
    const convert_config config = {.path = target, .thread_count = 1};
    rnl_error error = {0};
    assert_int_equal(convert_model(model, &config, &error), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "packed"));
    assert_int_equal(access(target, F_OK), -1);
    rnl_model_close(&model);
}

static void damage_is_refused_or_harmless(void **state) {
    (void)state;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    const size_t size = (size_t)ftell(f);
    unsigned char *data = malloc(size);
    assert_non_null(data);
    rewind(f);
    assert_int_equal(fread(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    random_state r;
    random_seed(&r, 7);
    int refused = 0;
    char damaged[80];
    (void)snprintf(damaged, sizeof damaged, "%s/damaged.gguf", folder);
    for (int i = 0; i < (rig_rounds(2) == 1 ? 12 : 400); i++) {
        const size_t span = size < 60000 ? size : 60000; /* the header, where lies are told */
        const size_t at = (size_t)(random_unit(&r) * (double)span);
        const unsigned char before = data[at];
        data[at] ^= (unsigned char)(1 + random_u64(&r) % 255);
        f = fopen(damaged, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(data, 1, size, f), size);
        assert_int_equal(fclose(f), 0);
        data[at] = before;
        rnl_model *model = NULL;
        rnl_error error = {0};
        if (rnl_model_open(damaged, NULL, &model, &error) != RNL_OK) {
            refused++;
            assert_non_null(strstr(error.text, folder));
            continue;
        }
        rnl_model_close(&model);
    }
    printf("%d refused\n", refused);
    assert_true(refused > 0);
    free(data);
    (void)remove(damaged);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packed_bundle_gives_the_same_bits),
        cmocka_unit_test(exact_reads_slabs_as_well),
        cmocka_unit_test(it_is_not_converted_again),
        cmocka_unit_test(damage_is_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, make_bundle, drop_bundle);
}
