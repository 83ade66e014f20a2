#include "tests/support/npy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void parse_shape(const char *header, npy *a) {
    const char *p = strstr(header, "'shape':");
    assert_non_null(p);
    p = strchr(p, '(');
    assert_non_null(p);
    p++;
    a->rank = 0;
    a->count = 1;
    for (int i = 0; i < 4; i++) a->shape[i] = 1;
    while (*p != ')') {
        char *end;
        const long long n = strtoll(p, &end, 10);
        assert_true(end != p && a->rank < 4);
        a->shape[a->rank++] = n;
        a->count *= (size_t)n;
        p = end + strspn(end, ", ");
    }
}

npy npy_read(const char *path) {
    char full[1024];
    (void)snprintf(full, sizeof full, "%s/%s", TEST_DATA, path);
    FILE *f = fopen(full, "rb");
    if (f == NULL) fail_msg("%s: missing", full);
    unsigned char head[10];
    assert_int_equal(fread(head, 1, sizeof head, f), sizeof head);
    assert_memory_equal(head, "\x93NUMPY\x01\x00", 8);
    const size_t size = (size_t)head[8] | (size_t)head[9] << 8;
    char *header = calloc(size + 1, 1);
    assert_non_null(header);
    assert_int_equal(fread(header, 1, size, f), size);
    assert_non_null(strstr(header, "'fortran_order': False"));
    npy a = {0};
    parse_shape(header, &a);
    void *data = calloc(a.count + 1, 4);
    assert_non_null(data);
    const bool bytes = strstr(header, "'|u1'") != NULL;
    assert_int_equal(fread(data, bytes ? 1 : 4, a.count, f), a.count);
    if (strstr(header, "'<f4'") != NULL)
        a.f = data;
    else if (strstr(header, "'<i4'") != NULL)
        a.i = data;
    else if (bytes)
        a.u = data;
    else
        fail_msg("%s: dtype is none of float32, int32, uint8", full);
    free(header);
    fclose(f);
    return a;
}

void npy_free(npy *a) {
    free(a->f);
    free(a->i);
    free(a->u);
    *a = (npy){0};
}
