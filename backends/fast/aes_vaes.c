/* SPDX-License-Identifier: Apache-2.0 */
/* CTR by VAES on 256 bits, two blocks per instruction. The rest is AES-NI: beside the MAC chain VAES gains nothing. */
#if defined(__x86_64__)
#include "aes_x86.h"

static inline __m256i pair(__m128i low, __m128i high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

static inline __m256i load_pair(const uint8_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline void store_pair(uint8_t *to, __m256i value)
{
    _mm256_storeu_si256((__m256i *)(void *)to, value);
}

static inline __m256i round_pair(const struct e4_aes_key *key, int round)
{
    return _mm256_broadcastsi128_si256(e4_round(key, round));
}

/* Reverses the bytes of both blocks: counters become numbers, and back. */
static inline __m256i reverse_pair(__m256i x)
{
    const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(order));
}

static inline __m256i counter_pair(__m256i counters, int64_t offset)
{
    return reverse_pair(_mm256_add_epi64(counters, _mm256_set_epi64x(0, offset, 0, offset)));
}

static inline __m256i counters_from(const uint8_t start[16])
{
    __m128i counter = e4_reverse(e4_load(start));
    return pair(counter, _mm_add_epi64(counter, _mm_set_epi64x(0, 1)));
}

E4_INLINE void wide(const struct e4_aes_key *key, __m256i counters,
                    const uint8_t *in, uint8_t *out, int pairs)
{
    __m256i x[8];
    E4_UNROLL for (int n = 0; n < pairs; n++)
        x[n] = _mm256_xor_si256(counter_pair(counters, 2 * n), round_pair(key, 0));
    E4_UNROLL for (int r = 1; r < E4_AES_ROUNDS; r++) {
        __m256i k = round_pair(key, r);
        E4_UNROLL for (int n = 0; n < pairs; n++) x[n] = _mm256_aesenc_epi128(x[n], k);
    }
    __m256i k = round_pair(key, E4_AES_ROUNDS);
    E4_UNROLL for (int n = 0; n < pairs; n++)
        store_pair(out + 32 * n, _mm256_aesenclast_epi128(x[n], _mm256_xor_si256(k, load_pair(in + 32 * n))));
}

static void single(const struct e4_aes_key *key, __m128i counter, const uint8_t *in, uint8_t *out)
{
    __m128i x = e4_inner_rounds(key, _mm_xor_si128(e4_reverse(counter), e4_round(key, 0)));
    e4_store(out, _mm_aesenclast_si128(x, _mm_xor_si128(e4_round(key, E4_AES_ROUNDS), e4_load(in))));
}

static void ctr(const struct e4_aes_key *key, const uint8_t start[16], const uint8_t *in, uint8_t *out, size_t blocks)
{
    __m256i counters = counters_from(start);
    for (; blocks >= 16; blocks -= 16, in += 256, out += 256) {
        wide(key, counters, in, out, 8);
        counters = _mm256_add_epi64(counters, _mm256_set_epi64x(0, 16, 0, 16));
    }
    for (; blocks >= 4; blocks -= 4, in += 64, out += 64) {
        wide(key, counters, in, out, 2);
        counters = _mm256_add_epi64(counters, _mm256_set_epi64x(0, 4, 0, 4));
    }
    for (; blocks >= 2; blocks -= 2, in += 32, out += 32) {
        wide(key, counters, in, out, 1);
        counters = _mm256_add_epi64(counters, _mm256_set_epi64x(0, 2, 0, 2));
    }
    if (blocks) single(key, _mm256_castsi256_si128(counters), in, out);
}

static bool usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("vaes") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes");
}

const struct e4_aes_path e4_aes_vaes = {
    "vaes", usable, e4_aes_ni_sub_word, NULL, e4_aes_ni_mac, ctr, e4_aes_ni_ctr_mac,
};
#else
typedef int e4_not_x86_64; /* a translation unit must not be empty */
#endif
