/* The kernels of opencl_*.cl as one text, for the driver to compile: there is not one instruction in
 * it. */
    .section .rodata, "a", %progbits
    .globl gpu_source
    .hidden gpu_source
    .type gpu_source, %object
gpu_source:
    .incbin "devices/opencl_product.cl"
    .incbin "devices/opencl_stack.cl"
    .byte 0
    .size gpu_source, . - gpu_source

    .section .note.GNU-stack, "", %progbits
