/* The weights of both networks as read-only data. For gcc and clang, any processor: there is not one
 * instruction in it. A file of another size than its struct (weights.h) does not assemble. */
#include "vad/weights.h"

#define WEIGHTS(name, file, bytes)                                                                 \
    .globl name;                                                                                   \
    .hidden name;                                                                                  \
    .type name, %object;                                                                           \
    .size name, bytes;                                                                             \
    .balign 64;                                                                                    \
name:;                                                                                             \
    .incbin file;                                                                                  \
    .if (. - name) != bytes;                                                                       \
    .error "the file has not the size that weights.h says: run tools/make_vad_weights.py";         \
    .endif

    .section .rodata, "a", %progbits
    WEIGHTS(vad_silero, "vad/silero.bin", VAD_SILERO_SIZE)
#ifdef RUNNEL_TURN_NETWORK
    WEIGHTS(vad_turn_network, "vad/turn_network.bin", VAD_TURN_NETWORK_SIZE)
#endif

    .section .note.GNU-stack, "", %progbits
