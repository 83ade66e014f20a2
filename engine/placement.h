/* Where a model's stages are computed: on a device, chosen when the model is opened, or on the CPU.
 *
 *     choice "gpu:NAME" ─► row of devices/ ─► open ─► self-check ─► backbone, depthformer, encoder
 *
 * Whatever refuses on that way is said in one line to the model's log, and the CPU has the stage;
 * the same when a device is given up later. */
#ifndef ENGINE_PLACEMENT_H
#define ENGINE_PLACEMENT_H

#include "devices/devices.h"

typedef struct placement {
    stack_device *device; /* NULL: the CPU alone, and nothing below */
    const device_kind *row;
    stack_placed *backbone; /* or NULL, as the next one */
    stack_placed *depth;
    encoder_placed *encoder; /* likewise (devices/encoder_device.h) */
    unsigned stages;         /* RNL_DEVICE_* that it was given */
    char name[192];          /* "gpu Adreno (TM) 740" */
    bool hung;               /* an earlier one hangs, */
    void *left[3];           /* perhaps in these, which are kept for it */
} placement;

/* Rows of a pass that devices are asked to make room for; longer passes are the CPU's. */
enum { PLACEMENT_ROW_CAP = 512, PLACEMENT_DEPTH_ROWS = 16 };

/* RNL_ERR_ARGUMENT: it names no choice, or a field is out of its range. NULL is fine. */
RNL_MUST_USE rnl_status placement_check(const rnl_device_config *config, rnl_error *error);
/* As a config says that was checked; NULL: the CPU. A device that cannot be used is told to the
 * log. The stages of the model are loaded and packed. */
void placement_open(rnl_model *m, const rnl_device_config *config);
/* The first device of the row with that name (NULL: any), for these stages. RNL_OK: m->placement
 * has it; else a sentence why not. */
RNL_MUST_USE rnl_status placement_take(rnl_model *m, const device_kind *row, const char *name,
                                       unsigned stages, const rnl_device_config *config,
                                       rnl_error *error);
/* As the config's `device` names it, which is neither "cpu" nor "auto", for these stages.
 * RNL_ERR_ARGUMENT: it names none, or a field is out of its range; another negative status: none
 * can be used. */
RNL_MUST_USE rnl_status placement_choose(rnl_model *m, const rnl_device_config *config,
                                         unsigned stages, rnl_error *error);
/* The sessions of the model are gone. */
void placement_close(rnl_model *m);

/* Where a pass over the backbone goes: decides: all its rows are decisions. NULL: the CPU. */
stack_placed *placement_of(const rnl_model *m, bool decides);
/* A state of the backbone may go to the device from here on. False: it does not. */
bool placement_attach(const rnl_model *m, stack_state *s);
/* Bytes that the device takes beside the model's and its sessions' own, as its row says. */
size_t placement_size(const rnl_model *m);
/* A device hangs: the memory that it was shown stays, that of the model, and of the sessions and
 * passes that say so (`elsewhere`). */
bool placement_hangs(const rnl_model *m);

#endif
