/* Pictures to bytes: every file of golden vl/images against its checksum, all orientations, and
 * what is damaged, lies or is huge: one sentence each, and nothing large is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "picture/content.h"
#include "picture/exif.h"
#include "picture/picture.h"
#include "picture/video.h"
#include "tests/support/crc.h"
#include "tests/support/folder.h"

#define IMAGES TEST_DATA "/vl/images/"

static void every_file_has_the_bytes_of_the_reference(void **state) {
    (void)state;
    json *root = NULL;
    assert_int_equal(json_read(TEST_DATA "/vl/expect/images.json", 1 << 20, &root, NULL), RNL_OK);
    const json *images = json_get(root, "images");
    assert_int_equal(json_count(images), 23);
    for (size_t i = 0; i < json_count(images); i++) {
        const json *one = json_at(images, i), *size = json_get(one, "rgb_size");
        const char *file = json_chars(json_get(one, "file"), NULL);
        char path[512], sum[16];
        picture p;
        rnl_error error = {0};
        int64_t width, height;
        assert_true(json_int(json_at(size, 0), 1, 65535, &width));
        assert_true(json_int(json_at(size, 1), 1, 65535, &height));
        (void)snprintf(path, sizeof path, IMAGES "%s", file);
        assert_true(picture_is(path));
        if (picture_read(path, PICTURE_PIXELS_DEFAULT, &p, &error) != RNL_OK)
            fail_msg("%s", error.text);
        assert_int_equal(p.width, width);
        assert_int_equal(p.height, height);
        (void)snprintf(sum, sizeof sum, "%08x", crc32_of(p.pixels, (size_t)(3 * width * height)));
        if (strcmp(sum, json_chars(json_get(one, "rgb_crc32"), NULL)) != 0)
            fail_msg("%s has other bytes", file);
        picture_free(&p);
    }
    json_destroy(&root);
}

/* A picture of three by two points, numbered, as each orientation shows it. */
static void each_orientation_turns(void **state) {
    (void)state;
    const struct {
        int width, height;
        const char *points;
    } want[] = {{3, 2, "abcdef"}, {3, 2, "cbafed"}, {3, 2, "fedcba"}, {3, 2, "defabc"},
                {2, 3, "adbecf"}, {2, 3, "daebfc"}, {2, 3, "fcebda"}, {2, 3, "cfbead"}};
    for (int turn = 1; turn <= 8; turn++) {
        picture p = {.pixels = malloc(18), .width = 3, .height = 2};
        assert_non_null(p.pixels);
        for (int i = 0; i < 18; i++) p.pixels[i] = (uint8_t)("abcdef"[i / 3] + i % 3);
        assert_int_equal(exif_turn(&p, turn, "x", NULL), RNL_OK);
        assert_int_equal(p.width, want[turn - 1].width);
        assert_int_equal(p.height, want[turn - 1].height);
        for (int i = 0; i < 18; i++)
            assert_int_equal(p.pixels[i], want[turn - 1].points[i / 3] + i % 3);
        picture_free(&p);
    }
}

static void orientations_are_read_and_lies_are_none(void **state) {
    (void)state;
    unsigned char little[] = "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    unsigned char big[] = "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x05\0\0\0\0\0\0";
    assert_int_equal(exif_orientation(little, sizeof little - 1), 6);
    assert_int_equal(exif_orientation(big, sizeof big - 1), 5);
    for (size_t size = 0; size < 22; size++) /* cut anywhere: none */
        assert_int_equal(exif_orientation(little, size < 21 ? size : 20), 1);
    little[18] = 9;
    assert_int_equal(exif_orientation(little, sizeof little - 1), 1);
    little[4] = 0xff; /* beyond the end */
    little[7] = 0xff;
    assert_int_equal(exif_orientation(little, sizeof little - 1), 1);
}

/* ---- What is no picture, or not a whole one ---- */

typedef struct bytes {
    unsigned char data[1 << 16];
    size_t size;
} bytes;

static bytes *load(const char *file) {
    char path[512];
    (void)snprintf(path, sizeof path, IMAGES "%s", file);
    FILE *f = fopen(path, "rb");
    bytes *b = calloc(1, sizeof *b);
    assert_true(f != NULL && b != NULL);
    b->size = fread(b->data, 1, sizeof b->data, f);
    assert_true(b->size > 0 && b->size < sizeof b->data);
    assert_int_equal(fclose(f), 0);
    return b;
}

/* Refused with a sentence that names the file and holds `part`. */
static void refuse(const bytes *b, int64_t pixel_max, const char *part) {
    picture p;
    rnl_error error = {0};
    const rnl_status status = picture_decode("name.x", b->data, b->size, pixel_max, &p, &error);
    if (status != RNL_ERR_DATA) fail_msg("taken, or %d: %s", status, error.text);
    if (strncmp(error.text, "name.x: ", 8) != 0 || strstr(error.text, part) == NULL)
        fail_msg("'%s' lacks the name or '%s'", error.text, part);
    assert_null(p.pixels);
}

static void put32(unsigned char *p, uint32_t value) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* Another size in the header of a PNG, with the right sum. */
static void lie_of_size(bytes *b, uint32_t width, uint32_t height) {
    put32(b->data + 16, width);
    put32(b->data + 20, height);
    put32(b->data + 29, crc32_of(b->data + 12, 17));
}

static void a_cut_file_is_refused_wherever_it_is_cut(void **state) {
    (void)state;
    const char *const files[] = {"small-30x47.png", "chroma420-83x61.jpg", "progressive-64.jpg",
                                 "palette-60x48.png", "rgb16-40x36.png"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        bytes *b = load(files[i]);
        const size_t whole = b->size;
        for (size_t part = 1; part < 12; part++) {
            b->size = whole * part / 12;
            refuse(b, PICTURE_PIXELS_DEFAULT, "");
        }
        b->size = whole - 13; /* without the last bytes */
        refuse(b, PICTURE_PIXELS_DEFAULT, "damaged");
        free(b);
    }
}

static void sizes_that_lie_ask_for_no_memory(void **state) {
    (void)state;
    const struct {
        uint32_t width, height;
        const char *part;
    } lies[] = {{0, 1, ""},
                {1, 0, ""},
                {65535, 65535, "over the limit"},
                {65536, 1, ""},
                {0x7fffffff, 0x7fffffff, ""},
                {7072, 7072, "over the limit"},
                {30000, 2, "damaged"},
                {30, 48, "damaged"}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        bytes *b = load("small-30x47.png");
        lie_of_size(b, lies[i].width, lies[i].height);
        refuse(b, PICTURE_PIXELS_DEFAULT, lies[i].part);
        free(b);
    }
    bytes *b = load("small-30x47.png");
    refuse(b, 30 * 47 - 1, "over the limit of 1409");
    free(b);
    b = load("chroma420-83x61.jpg");
    refuse(b, 83 * 61 - 1, "over the limit");
    free(b);
}

static void damage_inside_is_told(void **state) {
    (void)state;
    bytes *b = load("small-30x47.png");
    b->data[b->size / 2] ^= 0x10; /* in the pixels: their sum is wrong */
    refuse(b, PICTURE_PIXELS_DEFAULT, "damaged");
    free(b);
    b = load("small-30x47.png");
    b->data[24] = 5; /* no such depth; the sum as well */
    refuse(b, PICTURE_PIXELS_DEFAULT, "damaged");
    put32(b->data + 29, crc32_of(b->data + 12, 17));
    refuse(b, PICTURE_PIXELS_DEFAULT, "damaged");
    free(b);
    b = load("chroma420-83x61.jpg");
    b->data[b->size - 200] = 0xff; /* an end in the middle of the pixels */
    b->data[b->size - 199] = 0xd9;
    refuse(b, PICTURE_PIXELS_DEFAULT, "damaged");
    free(b);
}

static void other_files_are_no_pictures(void **state) {
    (void)state;
    const struct {
        const char *text;
        size_t size;
        const char *part;
    } rows[] = {{"", 0, "empty"},
                {"x", 1, "no picture"},
                {"RIFF\x24\0\0\0WAVEfmt ", 16, "no picture"},
                {"RIFF\x24\0\0\0WEBPVP8 ", 16, "damaged"},
                {"\x89PNG\r\n\x1a\n", 8, "damaged"},
                {"\xff\xd8\xff\xe0", 4, "damaged"},
                {"\xff\xd8\xff\xd9", 4, "damaged"},
                {"<svg xmlns='http://www.w3.org/2000/svg'/>", 41, "no picture"},
                {"%PDF-1.7", 8, "no picture"},
                {"BM is a city in the north of a land", 35, "no picture"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bytes *b = calloc(1, sizeof *b);
        assert_non_null(b);
        memcpy(b->data, rows[i].text, rows[i].size);
        b->size = rows[i].size;
        refuse(b, PICTURE_PIXELS_DEFAULT, rows[i].part);
        free(b);
    }
}

static void missing_files_and_folders_are_named(void **state) {
    (void)state;
    picture p;
    rnl_error error = {0};
    assert_int_equal(picture_read("/nowhere/x.png", 1 << 20, &p, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere/x.png"));
    assert_int_equal(picture_read(TEST_DATA, 1 << 20, &p, &error), RNL_ERR_IO);
    assert_false(picture_is("/nowhere/x.png"));
    assert_false(picture_is(TEST_DATA));
    assert_false(picture_is(TEST_DATA "/vl/tiny/config.json"));
}

/* ---- Through ffmpeg; without it the sentences say so ---- */

static bool has_ffmpeg(void) {
    return system("command -v ffmpeg ffprobe > /dev/null 2>&1") == 0;
}

static void shell(const char *format, ...) {
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (system(command) != 0) fail_msg("%s", command);
}

static void formats_of_ffmpeg_are_the_same_bytes(void **state) {
    if (!has_ffmpeg()) skip();
    const char *const suffixes[] = {"bmp", "tiff", "gif"};
    picture want, got;
    rnl_error error = {0};
    assert_int_equal(picture_read(IMAGES "small-30x47.png", 1 << 20, &want, &error), RNL_OK);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char name[16], path[PATH_CAP];
        (void)snprintf(name, sizeof name, "x.%s", suffixes[i]);
        name_in(*state, name, path);
        shell("ffmpeg -v error -nostdin -y -i %ssmall-30x47.png %s %s", IMAGES,
              i == 1 ? "-pix_fmt rgb24" : "", path);
        assert_true(picture_is(path));
        if (picture_read(path, 1 << 20, &got, &error) != RNL_OK) fail_msg("%s", error.text);
        assert_int_equal(got.width, 30);
        assert_int_equal(got.height, 47);
        if (i < 2) assert_memory_equal(got.pixels, want.pixels, 3 * 30 * 47); /* GIF has few */
        picture_free(&got);
        if (picture_read(path, 100, &got, &error) != RNL_ERR_DATA)
            fail_msg("no limit for %s", path);
    }
    picture_free(&want);
}

static void frames_of_a_film_are_found(void **state) {
    if (!has_ffmpeg()) skip();
    char path[PATH_CAP];
    name_in(*state, "film.mkv", path);
    /* Each second of three has a grey of its own. */
    shell("ffmpeg -v error -nostdin -y -f lavfi -i "
          "\"color=black:s=32x16:r=5:d=3,format=gray,geq=lum='40+60*floor(T)'\" "
          "-c:v ffv1 %s",
          path);
    video_plan plan;
    picture p;
    rnl_error error = {0};
    if (video_find(path, 1, 16, &plan, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(plan.count, 3);
    for (int i = 0; i < 3; i++) {
        if (video_frame(path, &plan, i, 1 << 20, &p, &error) != RNL_OK) fail_msg("%s", error.text);
        assert_int_equal(p.width, 32);
        assert_in_range(p.pixels[0], 60 * i + 20, 60 * i + 60);
        picture_free(&p);
    }
    assert_int_equal(video_find(path, 10, 4, &plan, &error), RNL_OK);
    assert_int_equal(plan.count, 4);
    assert_true(video_time(&plan, 0) > 0.3 && video_time(&plan, 3) < 2.7);
    assert_int_equal(video_frame(path, &plan, 0, 100, &p, &error), RNL_ERR_DATA);
    assert_int_equal(video_find("/nowhere/x.mp4", 1, 16, &plan, &error), RNL_ERR_IO);
    assert_int_equal(video_find(TEST_DATA "/vl/tiny/config.json", 1, 16, &plan, &error),
                     RNL_ERR_DATA);
}

static void without_ffmpeg_a_way_is_named(void **state) {
    (void)state;
    const char *path = getenv("PATH");
    char *kept = strdup(path != NULL ? path : "");
    assert_non_null(kept);
    assert_int_equal(setenv("PATH", "/nowhere", 1), 0);
    picture p;
    video_plan plan;
    rnl_error error = {0};
    assert_int_equal(picture_decode("a.gif", (const unsigned char *)"GIF89a", 6, 100, &p, &error),
                     RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "GIF"));
    assert_non_null(strstr(error.text, "install ffmpeg"));
    assert_int_equal(video_find(IMAGES "small-30x47.png", 1, 16, &plan, &error),
                     RNL_ERR_UNSUPPORTED);
    assert_int_equal(setenv("PATH", kept, 1), 0);
    free(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_has_the_bytes_of_the_reference),
        cmocka_unit_test(each_orientation_turns),
        cmocka_unit_test(orientations_are_read_and_lies_are_none),
        cmocka_unit_test(a_cut_file_is_refused_wherever_it_is_cut),
        cmocka_unit_test(sizes_that_lie_ask_for_no_memory),
        cmocka_unit_test(damage_inside_is_told),
        cmocka_unit_test(other_files_are_no_pictures),
        cmocka_unit_test(missing_files_and_folders_are_named),
        IN_FOLDER(formats_of_ffmpeg_are_the_same_bytes),
        IN_FOLDER(frames_of_a_film_are_found),
        cmocka_unit_test(without_ffmpeg_a_way_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
