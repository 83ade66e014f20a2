/* A libonnxruntime that computes nothing, opened as the real one is: with one device, whose
 * provider compiles a graph into two files when it is told where, and counts. */
#ifndef TESTS_DEVICES_FAKE_ONNXRUNTIME_H
#define TESTS_DEVICES_FAKE_ONNXRUNTIME_H

#include <stdbool.h>

typedef struct fake_onnxruntime {
    /* What the test sets. */
    const char *version; /* of the provider */
    const char *driver;  /* of the system's driver; NULL: it does not say */
    bool is_cpu;         /* the provider is ONNX Runtime's own for CPUs */
    bool keeps_nothing;  /* it writes no files */
    bool fails_keeping;  /* it cannot compile where it is told to keep it */
    bool refuses_kept;   /* it does not take what it has compiled before */
    bool refuses_graph;  /* it does not take a graph */
    /* What it has done. */
    int compiled_count; /* sessions of a graph, */
    int kept_count;     /* and of what was compiled */
    int open_count;     /* sessions that are not released */
} fake_onnxruntime;

/* The library's own, by its name "fake_onnxruntime_state". */
typedef fake_onnxruntime *(*fake_onnxruntime_fn)(void);

#endif
