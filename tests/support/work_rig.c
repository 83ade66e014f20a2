#include "tests/support/work_rig.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#include "core/clock.h"

enum { SECONDS_MAX = 60 };

static sem_t woken; /* of all works: one that is told of too much only looks once more */

static void wake(void *owner) {
    (void)owner;
    (void)sem_post(&woken);
}

work *work_rig_start(rnl_model *model, work_config *config) {
    static bool made;
    work *w;
    work_facts f;
    rnl_error e = {0};
    if (!made && sem_init(&woken, 0, 0) != 0) fail_msg("no semaphore");
    made = true;
    config->wake = wake;
    if (work_create(model, config, &w, &e) != RNL_OK) fail_msg("%s", e.text);
    do {
        (void)sem_wait(&woken);
        work_get_facts(w, &f);
    } while (f.starting);
    return w;
}

void work_rig_turn(work *w) {
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    while (sem_timedwait(&woken, &until) != 0 && errno == EINTR) continue;
    work_dispatch(w);
}

void work_rig_wait(work *w, const int *count, int wanted) {
    const double end = clock_seconds() + SECONDS_MAX;
    while (*count < wanted) {
        work_rig_turn(w);
        assert_true(clock_seconds() < end);
    }
}
