/* What a training leaves: an adapter in both layouts that adapters have (engine/lora.h), or a
 * model. */
#ifndef LEARN_RESULT_H
#define LEARN_RESULT_H

#include "learn/network.h"

/* FOLDER/adapter_config.json and adapter_model.safetensors as PEFT has them, FOLDER/adapter.gguf
 * beside them, of the adapters' values now. alpha: scale times rank, or with rslora times its root.
 * The folder exists. RNL_ERR_IO, RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_adapter_write(const learn_network *n, const char *folder,
                                            const char *base, bool rslora, rnl_error *error);
/* A bundle at path: what has learnt in float32, all else as it is stored. RNL_ERR_IO,
 * RNL_ERR_MEMORY, RNL_ERR_UNSUPPORTED as convert_model. */
RNL_MUST_USE rnl_status learn_model_write(const learn_network *n, const char *path,
                                          rnl_error *error);

#endif
