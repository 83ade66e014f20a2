/* The exact GELU in vectors: x P(x), P being the normal distribution. Its tail for u = |x|,
 *
 *     P(-u) = exp(-u^2 / 2) q(t) / (u + 3),   t = (u - 3) / (u + 3) in [-1, 1),
 *
 * has a smooth q, which a polynomial meets to 2^-23 (fitted at Chebyshev nodes to erfcx of SciPy
 * 1.15); P(u) = 1 - P(-u). From GELU_FAR on the tail counts as 0: 2^-29 at most is lost, and no
 * subnormal numbers come out, which cost a processor a hundred times what others do. Private to
 * kernels/. */
#ifndef KERNELS_GELU_INNER_H
#define KERNELS_GELU_INNER_H

enum { GELU_TERMS = 11 };
#define GELU_FAR 6.0f

static const float gelu_q[GELU_TERMS] = {
    0x1.754a76p-1f,   -0x1.04c72ep-1f, 0x1.d71310p-3f,  -0x1.8327d6p-5f,
    -0x1.568f8cp-7f,  0x1.c7da2ep-8f,  0x1.04ea5cp-10f, -0x1.0791bap-10f,
    -0x1.a466aap-13f, 0x1.da9f12p-14f, 0x1.f52312p-16f,
};

#endif
