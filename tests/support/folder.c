#include "tests/support/folder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int make_folder(void **state) {
    folder *f = calloc(1, sizeof *f);
    assert_non_null(f);
    (void)snprintf(f->path, sizeof f->path, "/tmp/runnel_test.XXXXXX");
    assert_non_null(mkdtemp(f->path));
    *state = f;
    return 0;
}

int entry_count(const folder *f) {
    DIR *d = opendir(f->path);
    assert_non_null(d);
    int count = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) count += e->d_name[0] != '.';
    (void)closedir(d);
    return count;
}

int remove_folder(void **state) {
    folder *f = *state;
    DIR *d = opendir(f->path);
    char path[PATH_CAP + 512];
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        (void)snprintf(path, sizeof path, "%s/%s", f->path, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) (void)remove(path);
    }
    if (d != NULL) (void)closedir(d);
    const int left = rmdir(f->path);
    free(f);
    return left;
}

void name_in(const folder *f, const char *file, char path[PATH_CAP]) {
    (void)snprintf(path, PATH_CAP, "%s/%s", f->path, file);
}

void write_file(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

unsigned char *read_whole(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, f), *size);
    (void)fclose(f);
    return data;
}

static void put(unsigned char *at, uint32_t value, int size) {
    for (int i = 0; i < size; i++) at[i] = (unsigned char)(value >> (8 * i));
}

void write_wav(const char *path, int rate, int channels, int bits, const void *data, size_t size,
               uint32_t claim) {
    unsigned char head[44] = "RIFF....WAVEfmt ....................data....";
    const int width = bits / 8 * channels;
    put(head + 4, 36 + claim, 4);
    put(head + 16, 16, 4);
    put(head + 20, bits == 32 ? 3 : 1, 2);
    put(head + 22, (uint32_t)channels, 2);
    put(head + 24, (uint32_t)rate, 4);
    put(head + 28, (uint32_t)(rate * width), 4);
    put(head + 32, (uint32_t)width, 2);
    put(head + 34, (uint32_t)bits, 2);
    put(head + 40, claim, 4);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(head, 1, sizeof head, f), sizeof head);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

void put_below(const char *root, const char *path, const char *text) {
    char full[512];
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)mkdir(full, 0700);
        *at = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}
