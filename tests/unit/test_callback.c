/* The sound card's thread only moves samples: while a callback runs, nothing may allocate, lock,
 * wait, read, write or call the system. These functions stand in front of the C library's and look
 * whether a callback is under way; a PortAudio without cards makes the callbacks come, PortAudio's
 * own function of audio/card.c included. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "audio/duplex.h"
#include "tests/devices/fake_portaudio.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GUARDED 0
#else
#define GUARDED 1
#endif

static atomic_bool inside;
static atomic_int violations;
static const char *_Atomic culprit;

static void enter(void) {
    atomic_store(&inside, true);
}

static void leave(void) {
    atomic_store(&inside, false);
}

#if GUARDED
static void look(const char *name) {
    if (!atomic_load(&inside)) return;
    atomic_fetch_add(&violations, 1);
    atomic_store(&culprit, name);
}

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *old);

#pragma GCC visibility push(default)
void *malloc(size_t size) {
    look("malloc");
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    look("calloc");
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    look("realloc");
    return __libc_realloc(old, size);
}
void *aligned_alloc(size_t align, size_t size) {
    look("aligned_alloc");
    return __libc_memalign(align, size);
}
void free(void *old) {
    look("free");
    __libc_free(old);
}

/* The rest is looked up behind this program. */
#define STAND_IN(type, name, parameters, arguments)                                                \
    type name parameters {                                                                         \
        static type(*real) parameters;                                                             \
        look(#name);                                                                               \
        if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, #name);                               \
        return real arguments;                                                                     \
    }
STAND_IN(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
STAND_IN(int, pthread_mutex_trylock, (pthread_mutex_t * m), (m))
STAND_IN(int, pthread_cond_signal, (pthread_cond_t * c), (c))
STAND_IN(int, pthread_cond_broadcast, (pthread_cond_t * c), (c))
STAND_IN(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t *m), (c, m))
STAND_IN(int, sem_post, (sem_t * s), (s))
STAND_IN(int, sem_wait, (sem_t * s), (s))
STAND_IN(int, sched_yield, (void), ())
STAND_IN(int, nanosleep, (const struct timespec *t, struct timespec *left), (t, left))
STAND_IN(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
STAND_IN(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
STAND_IN(size_t, fwrite, (const void *data, size_t size, size_t n, FILE *f), (data, size, n, f))
STAND_IN(int, vfprintf, (FILE * f, const char *format, va_list list), (f, format, list))
STAND_IN(int, close, (int fd), (fd))
#pragma GCC visibility pop
#endif

static void skip_unguarded(void) {
    if (GUARDED) return;
    printf("skipped: a sanitizer has its own functions, which cannot be replaced\n");
    skip();
}

/* The look-out itself sees what it shall see. */
static void test_look_out(void **state) {
    (void)state;
    skip_unguarded();
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    void *volatile made;
    atomic_store(&violations, 0);
    made = malloc(10);
    free(made);
    assert_int_equal(atomic_load(&violations), 0);
    enter();
    made = malloc(10);
    free(made);
    (void)pthread_mutex_lock(&mutex);
    (void)!write(STDOUT_FILENO, "", 0);
    leave();
    (void)pthread_mutex_unlock(&mutex);
    assert_int_equal(atomic_load(&violations), 4);
}

/* Everything a callback can meet. */
static void live_through(const char *input, const char *output) {
    device_config config = device_config_default();
    config.input = input;
    config.output = output;
    duplex *d = NULL;
    duplex_block block;
    duplex_counts counts;
    rnl_error error = {0};
    float sound[2400];
    size_t taken;
    if (duplex_open(&config, &d, &error) != RNL_OK) fail_msg("%s", error.text);
    for (int i = 0; i < 2400; i++) sound[i] = 0.4f;
    atomic_store(&violations, 0);
    fake_hooks(enter, leave);
    for (int i = 0; i < 60; i++) {
        if (i == 5 || i == 30) duplex_push(d, sound, 2400, &taken);
        if (i == 8) duplex_duck(d, true);
        if (i == 12) duplex_duck(d, false);
        if (i == 14) duplex_hold(d, true);
        if (i == 18) duplex_hold(d, false);
        if (i == 32) duplex_hold(d, true);
        if (i == 33) duplex_cut(d);
        if (i == 40) duplex_push(d, sound, 240, &taken);
        if (i == 41) duplex_end(d);
        (void)fake_run(0.1f);
        while (duplex_pull(d, &block) == RNL_OK) continue;
    }
    for (int i = 0; i < 600; i++) (void)fake_run(0.1f); /* nobody pulls: full rings */
    fake_hooks(NULL, NULL);
    duplex_get_counts(d, &counts);
    assert_true(counts.late_count > 0 && counts.dropped_count > 0 && counts.played_count > 2400);
    assert_int_equal(duplex_close(&d, false, NULL), RNL_OK);
    if (atomic_load(&violations) > 0)
        fail_msg("a callback called %s (%d calls in all)", atomic_load(&culprit),
                 atomic_load(&violations));
}

static void test_purity(void **state) {
    (void)state;
    skip_unguarded();
    const fake_card cards[] = {
        {.name = "one (hw:0,0)", .in_channels = 2, .out_channels = 2, .rate = 48000},
        {.name = "two (hw:1,0)", .in_channels = 1, .out_channels = 2, .rate = 44100},
    };
    fake_cards(cards, 2);
    live_through("one", "one");
    live_through("two", "one");
    live_through("two", "null");
    live_through("null", "two");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_look_out),
        cmocka_unit_test(test_purity),
    };
    return cmocka_run_group_tests_name("callback", tests, NULL, NULL);
}
