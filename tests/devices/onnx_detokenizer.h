/* What the sound of a detokenizer loses where a device computes its layers: the one
 * stage that no device is given (docs/DEVICES.md, "The detokenizer"). */
#ifndef TESTS_DEVICES_ONNX_DETOKENIZER_H
#define TESTS_DEVICES_ONNX_DETOKENIZER_H

#include <stdbool.h>

#include <runnel/runnel.h>

/* Sound of the CPU against the difference, in dB; DETOKENIZER_SAME: no sample differs. */
typedef struct detokenizer_snr {
    double stack_db; /* layers by the device; the last matrix and all behind it by the CPU */
    double head_db;  /* the last matrix by the device, too */
} detokenizer_snr;
#define DETOKENIZER_SAME 999.0

/* Of a spoken answer by the demo model, or of random codes by the random checkpoint "tiny". Fails
 * the running test. */
detokenizer_snr onnx_detokenizer_measure(const rnl_device_config *config, const char *provider,
                                         bool trained);

#endif
