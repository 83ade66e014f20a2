/* Inside audio/: what else is asked of pcm.c than to open. */
#ifndef AUDIO_PCM_H
#define AUDIO_PCM_H

#include <runnel/runnel.h>

/* Whether the head of a file is that of a WAV, RF64 or BW64 whose samples pcm.c can read. Also when
 * the format stands behind the first `size` bytes or is cut off: pcm.c has the sentence for it. */
bool pcm_knows_riff(const unsigned char *head, size_t size);

#endif
