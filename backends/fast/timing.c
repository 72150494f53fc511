/* SPDX-License-Identifier: Apache-2.0 */
/* Does the time of the portable path depend on what it works on? After dudect (Reparaz, Balasch, Verbauwhede 2017):
 * two classes, one fixed and one random, in random order; Welch's t over the times, whole and cropped at percentiles.
 * |t| above 10 is a leak. A comparison that stops at the first difference is measured too: it must be found.
 *
 *     timing [measurements]      exits with 1 if a leak is found, or the known one is not
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "e4fast.h"

enum { INPUT = 64, CROPS = 20, LEAK = 10 };

static uint64_t seed = 88172645463325252u;

static uint64_t random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static uint64_t now(void)
{
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ __volatile__("mfence\n\tlfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
#endif
}

static struct e4_siv_key key;
static uint8_t sealed[E4_TAG_LEN + INPUT];
static volatile uint8_t sink;

static void seal_text(const uint8_t *input)
{
    uint8_t out[INPUT + E4_TAG_LEN];
    e4_siv_seal(&key, NULL, 0, input, INPUT, out);
    sink = out[0];
}

static void prepare_key(const uint8_t *input)
{
    struct e4_siv_key other;
    e4_siv_init(&other, &e4_aes_bitsliced, input);
    sink = other.ctr.round[E4_AES_ROUNDS][0];
}

/* One forgery against random ones. How many bytes of the tag are right cannot show: the tag is the counter too, so what
 * it is compared with has nothing in common with the tag that was forged. */
static void open_forged(const uint8_t *input)
{
    uint8_t forged[sizeof sealed], out[INPUT];
    memcpy(forged, sealed, sizeof sealed);
    for (int i = 0; i < E4_TAG_LEN; i++) forged[i] ^= input[i] & 0x7f;
    forged[0] ^= 1;
    sink = e4_siv_open(&key, NULL, 0, forged, INPUT, out);
}

static void known_leak(const uint8_t *input)
{
    size_t i = 0;
    while (i < INPUT && input[i] == 0) i++;
    sink = (uint8_t)i;
}

static const struct subject {
    const char *name;
    void (*run)(const uint8_t *input);
    bool leaks;
} SUBJECTS[] = {
    {"seal: the plaintext", seal_text, false},
    {"key schedule: the key", prepare_key, false},
    {"open: a forgery", open_forged, false},
    {"comparison with early exit", known_leak, true},
};

struct moments {
    double count, mean, square;
};

static void add(struct moments *m, double x)
{
    double delta = x - m->mean;
    m->count++;
    m->mean += delta / m->count;
    m->square += delta * (x - m->mean);
}

static double welch(const struct moments m[2])
{
    if (m[0].count < 100 || m[1].count < 100) return 0;
    double variance = 0;
    for (int c = 0; c < 2; c++) variance += m[c].square / (m[c].count - 1) / m[c].count;
    return variance > 0 ? (m[0].mean - m[1].mean) / sqrt(variance) : 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double largest_t(const uint64_t *times, const uint8_t *classes, size_t count)
{
    uint64_t *sorted = malloc(count * sizeof *sorted);
    double worst = 0;
    if (!sorted) abort();
    memcpy(sorted, times, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    for (int crop = 0; crop < CROPS; crop++) {
        /* Interrupts make a long tail: look below falling percentiles too. */
        uint64_t limit = sorted[(size_t)((double)(count - 1) * (crop ? 1 - pow(0.5, 10.0 * crop / CROPS) : 1))];
        struct moments m[2] = {{0, 0, 0}, {0, 0, 0}};
        for (size_t i = 0; i < count; i++)
            if (times[i] <= limit) add(&m[classes[i]], (double)times[i]);
        if (fabs(welch(m)) > fabs(worst)) worst = welch(m);
    }
    free(sorted);
    return worst;
}

static bool measure(const struct subject *subject, size_t count)
{
    uint64_t *times = malloc(count * sizeof *times);
    uint8_t *classes = malloc(count);
    if (!times || !classes) abort();
    for (size_t i = 0; i < count; i++) {
        uint8_t input[INPUT];
        uint8_t mask = (classes[i] = random64() >> 63 & 1) ? 0xff : 0;
        for (int j = 0; j < INPUT; j++) input[j] = (uint8_t)(random64() >> 24) & mask; /* both classes do the same */
        uint64_t start = now();
        subject->run(input);
        times[i] = now() - start;
    }
    double t = largest_t(times, classes, count);
    bool as_expected = (fabs(t) > LEAK) == subject->leaks;
    const char *finding = as_expected ? "as it must be" : subject->leaks ? "NOT FOUND" : "LEAK";
    printf("%-28s t = %8.2f  %s\n", subject->name, t, finding);
    free(times);
    free(classes);
    return as_expected;
}

int main(int count, char **arguments)
{
    size_t measurements = count > 1 ? strtoul(arguments[1], NULL, 10) : 300000;
    uint8_t raw[E4_SIV_KEY_LEN], text[INPUT] = {0};
    bool all = true;
    for (int i = 0; i < E4_SIV_KEY_LEN; i++) raw[i] = (uint8_t)(random64() >> 24);
    e4_siv_init(&key, &e4_aes_bitsliced, raw);
    e4_siv_seal(&key, NULL, 0, text, INPUT, sealed);
    for (size_t i = 0; i < sizeof SUBJECTS / sizeof *SUBJECTS; i++) all &= measure(&SUBJECTS[i], measurements);
    return !all;
}
