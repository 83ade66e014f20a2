/* The devices of this machine that could compute models' layers, and why those cannot that cannot.
 * Which one a model takes: rnl_model_config.device. */
#ifndef RUNNEL_DEVICE_H
#define RUNNEL_DEVICE_H

#include <runnel/runnel.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { RNL_DEVICE_NAME_CAP = 128 };

typedef struct rnl_device_info {
    char kind[8];                     /* "cpu", "gpu" or "npu" */
    char name[RNL_DEVICE_NAME_CAP];   /* of the device, UTF-8; of the CPU its kernels. "": none was
                                       * found, and refusal says why */
    char driver[RNL_DEVICE_NAME_CAP]; /* of what makes it compute; "": it does not say */
    size_t memory;                    /* bytes that it can have; 0: it does not say */
    bool shared;                      /* it computes in the host's memory */
    rnl_error refusal; /* status RNL_OK: it may be used; whether it computes right shows when a
                        * model is opened */
} rnl_device_info;

/* The CPU first, then what each kind finds by the config's paths. Returns how many there are;
 * those beyond cap are not in infos. Opens drivers' libraries; one that does not answer in time
 * (RNL_DEVICE_LIST_MS) is left alone for good. Any thread. config NULL: the default. */
RNL_API size_t rnl_device_list(const rnl_device_config *config, rnl_device_info *infos, size_t cap);
enum { RNL_DEVICE_LIST_MS = 10000 };

#ifdef __cplusplus
}
#endif

#endif
