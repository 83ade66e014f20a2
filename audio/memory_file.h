/* Inside audio/: a file that is in memory only and has no name, for libraries that want a
 * descriptor. */
#ifndef AUDIO_MEMORY_FILE_H
#define AUDIO_MEMORY_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* An empty one, open for reading and writing; the caller closes it. -1 with errno. */
int memory_file_open(void);
/* All of the bytes, at the descriptor's place. False with errno. */
bool memory_file_write(int fd, const void *bytes, size_t size);

#endif
