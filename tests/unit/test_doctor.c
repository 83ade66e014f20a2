/* apps/machine.c, apps/doctor.c, apps/loopback.c: what doctor finds on good and bad machines, all
 * of them made up. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/doctor.h"
#include "core/random.h"
#include "tests/support/folder.h"

/* ---- Machines ---- */

static const char *const folders[] = {"proc",
                                      "proc/self",
                                      "sys",
                                      "sys/fs",
                                      "sys/fs/cgroup",
                                      "sys/devices",
                                      "sys/devices/system",
                                      "sys/devices/system/cpu",
                                      "sys/devices/system/cpu/cpu0",
                                      "sys/devices/system/cpu/cpu0/cpufreq"};
enum { FOLDER_COUNT = sizeof folders / sizeof *folders, FILE_COUNT = 8 };
static const char *const files[FILE_COUNT] = {
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/loadavg",
    "proc/self/limits",
    "proc/self/status",
    "sys/fs/cgroup/memory.max",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "proc/self/cgroup"};

/* Reads the machine of these files, in the order above; NULL: it has none such. */
static machine machine_of(const folder *root, const char *const texts[FILE_COUNT]) {
    char path[PATH_CAP];
    machine m;
    for (int i = 0; i < FOLDER_COUNT; i++) {
        name_in(root, folders[i], path);
        assert_int_equal(mkdir(path, 0777), 0);
    }
    for (int i = 0; i < FILE_COUNT; i++) {
        name_in(root, files[i], path);
        if (texts[i] != NULL) write_file(path, texts[i], strlen(texts[i]));
    }
    machine_read(root->path, &m);
    for (int i = 0; i < FILE_COUNT; i++) {
        name_in(root, files[i], path);
        if (texts[i] != NULL) assert_int_equal(unlink(path), 0);
    }
    for (int i = FOLDER_COUNT - 1; i >= 0; i--) {
        name_in(root, folders[i], path);
        assert_int_equal(rmdir(path), 0);
    }
    return m;
}

static const char *const good[FILE_COUNT] = {
    "processor\t: 0\nmodel name\t: Made Up 9000\n\nprocessor\t: 1\nmodel name\t: Other\n",
    "MemTotal:       16000000 kB\nMemAvailable:   12000000 kB\nSwapTotal:             0 kB\n",
    "0.25 0.50 0.75 1/234 5678\n",
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max locked memory         unlimited            unlimited            bytes     \n"
    "Max realtime priority     95                   95                   \n",
    "Name:\trunnel\nCapEff:\t0000000000000000\n",
    "max\n",
    "performance\n",
    "0::/\n"};

static const char *const bad[FILE_COUNT] = {
    "model name\t: Made Up 386\n",
    "MemTotal:       500000 kB\nMemAvailable:   400000 kB\nSwapTotal:       1000000 kB\n",
    "7.80 4.00 2.00 9/234 5678\n",
    "Max locked memory         8388608              8388608              bytes     \n"
    "Max realtime priority     0                    0                    \n",
    "CapEff:\t0000000000000000\n",
    "268435456\n",
    "powersave\n",
    "0::/\n"};

static const finding *find(const findings *f, const char *check) {
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->list[i].check, check) == 0) return &f->list[i];
    return NULL;
}

static void assert_finding(const findings *f, const char *check, finding_grade grade,
                           const char *text, const char *remedy) {
    const finding *one = find(f, check);
    if (one == NULL) fail_msg("nothing of %s", check);
    if (one->grade != grade || strstr(one->text, text) == NULL)
        fail_msg("%s: grade %d, %s", check, (int)one->grade, one->text);
    if (remedy == NULL) assert_null(one->remedy);
    if (remedy != NULL && (one->remedy == NULL || strstr(one->remedy, remedy) == NULL))
        fail_msg("%s: remedy %s", check, one->remedy != NULL ? one->remedy : "none");
}

static void a_good_machine_needs_nothing(void **state) {
    const machine m = machine_of(*state, good);
    findings f = {0};
    assert_string_equal(m.cpu, "Made Up 9000");
    assert_int_equal(m.memory_free, INT64_C(12000000) * 1024);
    assert_int_equal(m.memory_limit, -1);
    doctor_machine(&f, &m, 4);
    doctor_memory(&f, &m, (size_t)1 << 30, (size_t)1 << 28);
    for (int i = 0; i < f.count; i++) assert_null(f.list[i].remedy);
    assert_int_equal(findings_grade(&f), FINDING_GOOD);
    assert_finding(&f, "load", FINDING_GOOD, "0.2 of 4 processors", NULL);
    assert_finding(&f, "clock", FINDING_GOOD, "\"performance\"", NULL);
    assert_finding(&f, "real time", FINDING_GOOD, "up to 95", NULL);
    assert_finding(&f, "memory lock", FINDING_GOOD, "no swap", NULL);
    assert_finding(&f, "memory", FINDING_GOOD, "1.07 GB of weights", NULL);
}

static void a_bad_machine_is_told_what_to_do(void **state) {
    const machine m = machine_of(*state, bad);
    findings f = {0};
    doctor_machine(&f, &m, 4);
    assert_finding(&f, "load", FINDING_ADVICE, "7.8 of 4", "`top`");
    assert_finding(&f, "clock", FINDING_ADVICE, "powersave", "cpupower");
    assert_finding(&f, "real time", FINDING_ADVICE, "may not", "rtprio 95");
    assert_finding(&f, "memory lock", FINDING_ADVICE, "8.4 MB", "LimitMEMLOCK");
    assert_int_equal(findings_grade(&f), FINDING_ADVICE);
    /* The control group allows less than is free. */
    doctor_memory(&f, &m, 250 << 20, 10 << 20);
    assert_finding(&f, "memory", FINDING_BAD, "268.4 MB that the control group", "Q4_0");
    assert_int_equal(findings_grade(&f), FINDING_BAD);
    findings tight = {0};
    doctor_memory(&tight, &m, 200 << 20, 30 << 20);
    assert_finding(&tight, "memory", FINDING_ADVICE, "268.4 MB", "tight");
}

/* Root and whoever has the capability needs no limit. */
static void capabilities_count(void **state) {
    const char *texts[FILE_COUNT];
    memcpy(texts, bad, sizeof texts);
    texts[4] = "CapEff:\t000001ffffffffff\n";
    const machine m = machine_of(*state, texts);
    assert_int_equal(m.priority_max, 99);
    assert_int_equal(m.locked_max, INT64_MAX);
}

/* What is not told is passed over, what is nonsense is not believed. */
static void a_machine_that_tells_nothing(void **state) {
    static const char *const nothing[FILE_COUNT] = {0};
    static const char *const nonsense[FILE_COUNT] = {":::\nmodel name",
                                                     "MemAvailable: many kB\nSwapTotal: -5 kB",
                                                     "busy",
                                                     "Max locked memory",
                                                     "CapEff:\tzzz",
                                                     "-1",
                                                     "",
                                                     "0::"};
    for (int i = 0; i < 2; i++) {
        const machine m = machine_of(*state, i == 0 ? nothing : nonsense);
        findings f = {0};
        assert_string_equal(m.cpu, "");
        assert_int_equal(m.memory_free, -1);
        assert_int_equal(m.memory_limit, -1);
        assert_int_equal(m.locked_max, -1);
        assert_true(m.load < 0);
        doctor_machine(&f, &m, 2);
        doctor_memory(&f, &m, 1, 1);
        assert_null(find(&f, "load"));
        assert_null(find(&f, "clock"));
        assert_null(find(&f, "memory"));
    }
}

/* ---- The burst law: 12 (80 - F) > 6 D ---- */

static void the_burst_law_decides(void **state) {
    (void)state;
    static const struct {
        double text_ms, frame_ms;
        finding_grade grade;
    } cases[] = {
        {17, 21, FINDING_GOOD},     {50, 48, FINDING_GOOD},
        {50, 55, FINDING_BAD},      {50, 54.9, FINDING_ADVICE}, /* 301 ms for 300 */
        {0.1, 80, FINDING_BAD},     {70, 120, FINDING_BAD},
        {40, 55.1, FINDING_ADVICE}, {40, 54.9, FINDING_GOOD}, /* 301 ms for 240 and a quarter */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        findings f = {0};
        doctor_speed(&f, cases[i].text_ms, cases[i].frame_ms);
        if (f.list[0].grade != cases[i].grade)
            fail_msg("D %g, F %g: %s", cases[i].text_ms, cases[i].frame_ms, f.list[0].text);
        assert_int_equal(f.list[0].remedy == NULL, cases[i].grade == FINDING_GOOD);
    }
}

/* ---- Loopback ---- */

typedef struct heard {
    float mic[LOOPBACK_HEARD], reference[LOOPBACK_HEARD];
} heard;

/* The noise at 16 kHz (of 24, every second and third sample's mean will do), and what a microphone
 * hears of it. */
static loopback judge(size_t delay, double gain, double noise) {
    static float noise_out[LOOPBACK_NOISE];
    heard *h = calloc(1, sizeof *h);
    random_state r;
    loopback l;
    assert_non_null(h);
    loopback_noise(noise_out);
    random_seed(&r, 3);
    const size_t first = LOOPBACK_BEFORE + 700;
    for (size_t i = 0; 3 * i / 2 + 1 < LOOPBACK_NOISE; i++)
        h->reference[first + i] = (noise_out[3 * i / 2] + noise_out[3 * i / 2 + 1]) / 2;
    for (size_t i = 0; i < LOOPBACK_HEARD; i++) {
        const double room = i >= delay ? gain * h->reference[i - delay] : 0;
        const double x = room + noise * (2 * random_unit(&r) - 1);
        h->mic[i] = (float)fmax(-1, fmin(1, x));
    }
    loopback_judge(h->mic, h->reference, LOOPBACK_HEARD, &l);
    free(h);
    return l;
}

static void what_comes_back_is_measured(void **state) {
    (void)state;
    static const struct {
        size_t delay;
        double gain, noise;
    } cases[] = {
        {0, 0.5, 0}, {368, 0.1, 0.001}, {8000, 0.03, 0.003}, {1600, 2, 0.01}, {160, 0.02, 0.02}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const loopback l = judge(cases[i].delay, cases[i].gain, cases[i].noise);
        const double loss = -20 * log10(cases[i].gain);
        if (!l.heard || fabs(l.delay_ms - (double)cases[i].delay / 16) > 0.01 ||
            fabs(l.return_loss_db - loss) > 2)
            fail_msg("case %zu: heard %d, %g ms, %g dB", i, l.heard, l.delay_ms, l.return_loss_db);
    }
    findings f = {0};
    loopback l = judge(368, 0.1, 0.001);
    doctor_loopback(&f, &l);
    assert_finding(&f, "loopback", FINDING_GOOD, "after 23 ms, echo return loss 20 dB", NULL);
}

static void a_bad_loopback_is_told(void **state) {
    (void)state;
    static const struct {
        size_t delay;
        double gain, noise;
        finding_grade grade;
        const char *text, *remedy;
    } cases[] = {
        {0, 0, 0, FINDING_BAD, "nothing but zeros", "unmute"},
        {0, 0, 0.1, FINDING_ADVICE, "nothing of what was played", "headset"},
        {160, 0.9, 0.001, FINDING_ADVICE, "return loss 1 dB", "turn the loudspeaker down"},
        {6400, 0.1, 0.001, FINDING_ADVICE, "after 400 ms", "Bluetooth"},
        {160, 20, 0.001, FINDING_ADVICE, "clipped", "gain down"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        findings f = {0};
        const loopback l = judge(cases[i].delay, cases[i].gain, cases[i].noise);
        doctor_loopback(&f, &l);
        assert_finding(&f, "loopback", cases[i].grade, cases[i].text, cases[i].remedy);
    }
    /* Nothing was played at all. */
    float zeros[400] = {0}, some[400];
    for (int i = 0; i < 400; i++) some[i] = 0.1f;
    loopback l;
    loopback_judge(some, zeros, 400, &l);
    assert_false(l.heard || l.silent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_good_machine_needs_nothing),
        IN_FOLDER(a_bad_machine_is_told_what_to_do),
        IN_FOLDER(capabilities_count),
        IN_FOLDER(a_machine_that_tells_nothing),
        cmocka_unit_test(the_burst_law_decides),
        cmocka_unit_test(what_comes_back_is_measured),
        cmocka_unit_test(a_bad_loopback_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
