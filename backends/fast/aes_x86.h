/* SPDX-License-Identifier: Apache-2.0 */
/* What both x86-64 paths need. To be compiled with -maes -mavx: the VEX form is what makes the unrolled rounds fast. */
#ifndef E4_AES_X86_H
#define E4_AES_X86_H

#include <immintrin.h>

#include "e4fast.h"

static inline __m128i e4_load(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline void e4_store(uint8_t *to, __m128i value)
{
    _mm_storeu_si128((__m128i *)(void *)to, value);
}

static inline __m128i e4_round(const struct e4_aes_key *key, int round)
{
    return e4_load(key->round[round]);
}

/* Reverses the bytes: a big-endian counter becomes a number, whose lower half never overflows, and back. */
static inline __m128i e4_reverse(__m128i x)
{
    return _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

static inline __m128i e4_counter_block(__m128i counter, int64_t offset)
{
    return e4_reverse(_mm_add_epi64(counter, _mm_set_epi64x(0, offset)));
}

/* All rounds but the last, for a block that has met round key 0. */
static inline __m128i e4_inner_rounds(const struct e4_aes_key *key, __m128i x)
{
    E4_UNROLL for (int r = 1; r < E4_AES_ROUNDS; r++) x = _mm_aesenc_si128(x, e4_round(key, r));
    return x;
}

uint32_t e4_aes_ni_sub_word(uint32_t word);
void e4_aes_ni_mac(const struct e4_aes_key *key, uint8_t state[16], const uint8_t *data, size_t blocks);
void e4_aes_ni_ctr_mac(const struct e4_aes_key *ctr_key, const struct e4_aes_key *mac_key, const uint8_t start[16],
                       uint8_t state[16], const uint8_t *in, uint8_t *out, size_t blocks);

#endif
