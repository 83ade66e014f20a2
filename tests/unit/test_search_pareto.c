/* search/pareto.c against the reference (tests/data/search/pareto.json), and hard limits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "search/pareto.h"

enum { POINT_CAP = 64 };

static double number(const json *v) {
    double out;
    assert_true(json_number(v, &out));
    return out;
}

static int read_points(const json *list, search_point *out, int *count) {
    const size_t n = json_count(list);
    assert_in_range(n, 1, POINT_CAP);
    *count = (int)json_count(json_at(list, 0));
    for (size_t i = 0; i < n; i++) {
        out[i] = (search_point){.excess = 0};
        for (int m = 0; m < *count; m++)
            out[i].value[m] = number(json_at(json_at(list, i), (size_t)m));
    }
    return (int)n;
}

static void check_fronts(const json *fronts, const search_place *places, int n) {
    int seen = 0;
    for (size_t f = 0; f < json_count(fronts); f++) {
        const json *front = json_at(fronts, f);
        for (size_t i = 0; i < json_count(front); i++, seen++)
            assert_int_equal(places[(int)number(json_at(front, i))].front, f);
    }
    assert_int_equal(seen, n);
}

static void fronts_and_volumes_are_those_of_the_reference(void **state) {
    (void)state;
    json *root = NULL;
    assert_int_equal(json_read(TEST_DATA "/search/pareto.json", 1 << 20, &root, NULL), RNL_OK);
    assert_int_equal(json_count(root), 3);
    for (size_t c = 0; c < 3; c++) {
        const json *golden = json_at(root, c), *crowding = json_get(golden, "crowding");
        search_point points[POINT_CAP];
        search_place places[POINT_CAP];
        double reference[SEARCH_OBJECTIVE_CAP], volume;
        int count;
        const int n = read_points(json_get(golden, "points"), points, &count);
        assert_true(search_rank(points, n, count, places));
        check_fronts(json_get(golden, "fronts"), places, n);
        for (int i = 0; i < n; i++) {
            const json *want = json_at(crowding, (size_t)i);
            if (json_is_null(want))
                assert_true(isinf(places[i].crowding));
            else
                assert_true(places[i].crowding == number(want));
        }
        for (int m = 0; m < count; m++)
            reference[m] = number(json_at(json_get(golden, "reference"), (size_t)m));
        assert_true(search_hypervolume(points, n, count, reference, &volume));
        assert_true(volume == number(json_get(golden, "hypervolume")));
    }
    json_destroy(&root);
}

static void equal_points_stand_beside_each_other(void **state) {
    (void)state;
    const search_point a = {.value = {1, 2}}, b = {.value = {1, 3}}, c = {.value = {0, 3}};
    assert_false(search_dominates(&a, &a, 2));
    assert_true(search_dominates(&a, &b, 2));
    assert_false(search_dominates(&b, &a, 2));
    assert_false(search_dominates(&a, &c, 2));
    assert_false(search_dominates(&c, &a, 2));
    /* Only the objectives that there are count. */
    assert_false(search_dominates(&a, &b, 1));
}

static void limits_come_before_objectives(void **state) {
    (void)state;
    const search_point good = {.value = {9, 9}}, near = {.value = {1, 1}, .excess = 0.1},
                       far = {.value = {0, 0}, .excess = 0.2};
    const search_point all[] = {far, near, good};
    search_place places[3];
    assert_true(search_dominates(&good, &near, 2));
    assert_true(search_dominates(&near, &far, 2));
    assert_false(search_dominates(&near, &good, 2));
    assert_false(search_dominates(&near, &near, 2));
    assert_true(search_rank(all, 3, 2, places));
    assert_int_equal(places[2].front, 0);
    assert_int_equal(places[1].front, 1);
    assert_int_equal(places[0].front, 2);
    assert_true(search_better(&places[2], &places[1]));
}

static void nothing_has_no_volume(void **state) {
    (void)state;
    const search_point at_edge[] = {{.value = {1, 0}}, {.value = {0, 2}}};
    const double reference[] = {1, 1};
    double volume = -1;
    assert_true(search_hypervolume(at_edge, 0, 2, reference, &volume));
    assert_true(volume == 0);
    assert_true(search_hypervolume(at_edge, 2, 2, reference, &volume));
    assert_true(volume == 0);
    assert_true(search_rank(at_edge, 0, 2, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fronts_and_volumes_are_those_of_the_reference),
        cmocka_unit_test(equal_points_stand_beside_each_other),
        cmocka_unit_test(limits_come_before_objectives),
        cmocka_unit_test(nothing_has_no_volume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
