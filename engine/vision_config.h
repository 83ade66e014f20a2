/* What the files of a vision model say of its tower and of the views of a picture. family.md 2.1,
 * 2.9. */
#ifndef ENGINE_VISION_CONFIG_H
#define ENGINE_VISION_CONFIG_H

#include "core/json.h"
#include "engine/config.h"

/* Whether the file (an mmproj file, or a bundle) holds the tower of an LFM2-VL model. */
bool vision_is_in_gguf(const gguf *g);
/* The keys of an mmproj file; limits of views, which no other program writes, from runnel.image.*,
 * else those of the released models. RNL_ERR_FORMAT, RNL_ERR_UNSUPPORTED. */
RNL_MUST_USE rnl_status vision_read_gguf(model_config *c, const gguf *g, rnl_error *error);
/* projection_dim is the backbone's width. */
void vision_write_gguf(const model_config *c, gguf_writer *w, int64_t width, int64_t ff_width);

/* config.json (root) of a Hugging Face directory, and preprocessor_config.json or
 * processor_config.json beside it. The same errors. */
RNL_MUST_USE rnl_status vision_read_hf(model_config *c, const json *root, const char *directory,
                                       rnl_error *error);

#endif
