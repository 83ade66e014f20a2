/* How a packed matrix stands in a bundle, so that loading is mapping: as a tensor of bytes
 * [slabs, bytes of a slab] under the matrix's own name, and beside it the key
 *
 *     runnel.packed.<name> = "Q4_0 8192 2048"     type, rows, columns
 *     runnel.packed.<name> = "Q4_0 32 1792 2048"  of a stack the number of matrices before them,
 *                                                 each of which begins with a slab of its own
 *
 * The layout of a slab is kernels/packed.h; runnel.packed.layout names it. */
#ifndef ENGINE_PACKED_FILE_H
#define ENGINE_PACKED_FILE_H

#include "core/gguf.h"

#define PACKED_LAYOUT_KEY "runnel.packed.layout"
#define PACKED_LAYOUT "rows16"

/* Declares the tensor and its key; type is one that is packed, rank 2 or 3. */
void packed_file_put(gguf_writer *w, const char *name, quant_type type, int rank,
                     const int64_t *shape);

/* Turns a tensor of the file into the matrix it holds, when it is a packed one: type, shape and
 * slabs, data NULL. Others stay as they are. RNL_ERR_FORMAT: key and tensor do not fit;
 * RNL_ERR_UNSUPPORTED: another layout. */
RNL_MUST_USE rnl_status packed_file_read(const gguf *g, tensor *t, rnl_error *error);

#endif
