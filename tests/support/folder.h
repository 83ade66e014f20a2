/* A folder of its own for a test, and sounds to put into it. As cmocka's setup and teardown. */
#ifndef TESTS_SUPPORT_FOLDER_H
#define TESTS_SUPPORT_FOLDER_H

#include <stddef.h>
#include <stdint.h>

enum { PATH_CAP = 256 };

typedef struct folder {
    char path[64];
} folder;

int make_folder(void **state);
int remove_folder(void **state); /* with the files in it; fails when a folder is among them */
int entry_count(const folder *f);
void name_in(const folder *f, const char *file, char path[PATH_CAP]);

/* Writes root/path, making its folders. path begins with a slash. */
void put_below(const char *root, const char *path, const char *text);
/* A file with these bytes. */
void write_file(const char *path, const void *data, size_t size);
/* The bytes of a file, how many, and room for one more; free() it. */
unsigned char *read_whole(const char *path, size_t *size);
/* A WAV file of float32 (bits 32) or 16-bit samples; claim is the size its data chunk boasts of. */
void write_wav(const char *path, int rate, int channels, int bits, const void *data, size_t size,
               uint32_t claim);

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

#endif
