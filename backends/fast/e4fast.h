/* SPDX-License-Identifier: Apache-2.0 */
/* AES-SIV (RFC 5297) and SHA3-256 (FIPS 202) with the number of rounds fixed when compiled.
 *
 * The same sources with 14 and 24 rounds are the standard algorithms: that build is compared with other
 * implementations, and so the reduced one is trusted. Lengths are in bytes unless a name says blocks (16 bytes).
 * No branch and no address depends on key or text, only on lengths and on the verdict of e4_siv_open.
 */
#ifndef E4FAST_H
#define E4FAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef E4_AES_ROUNDS
#define E4_AES_ROUNDS 10
#endif
#ifndef E4_KECCAK_ROUNDS
#define E4_KECCAK_ROUNDS 10
#endif

#define E4_BLOCK_LEN 16
#define E4_TAG_LEN 16
#define E4_SIV_KEY_LEN 64
#define E4_SHA3_LEN 32

/* Full unrolling and inlining is worth a quarter of the time; clang unrolls unasked at -O3. */
#if defined(__GNUC__) && !defined(__clang__)
#define E4_UNROLL _Pragma("GCC unroll 32")
#else
#define E4_UNROLL
#endif
#define E4_INLINE static inline __attribute__((always_inline))

/* The first E4_AES_ROUNDS + 1 round keys of AES-256, in the form that the path likes. */
struct e4_aes_key {
    uint8_t round[E4_AES_ROUNDS + 1][E4_BLOCK_LEN];
};

/* One way to compute AES. Buffers may have any alignment; blocks may be 0; in and out do not overlap. */
struct e4_aes_path {
    const char *name;
    bool (*usable)(void);
    uint32_t (*sub_word)(uint32_t word);           /* the S-box on each byte */
    void (*arrange)(struct e4_aes_key *key);       /* bytes of FIPS 197 to the path's own form */
    /* state = AES(state ^ block), for each block */
    void (*mac)(const struct e4_aes_key *key, uint8_t state[16], const uint8_t *data, size_t blocks);
    /* counter: big-endian; its lower half never overflows, as SIV clears that half's top bit */
    void (*ctr)(const struct e4_aes_key *key, const uint8_t counter[16], const uint8_t *in, uint8_t *out,
                size_t blocks);
    /* ctr, and mac of what it puts out: one hides behind the other */
    void (*ctr_mac)(const struct e4_aes_key *ctr_key, const struct e4_aes_key *mac_key, const uint8_t counter[16],
                    uint8_t state[16], const uint8_t *in, uint8_t *out, size_t blocks);
};

struct e4_siv_key {
    const struct e4_aes_path *path;
    struct e4_aes_key mac;
    struct e4_aes_key ctr;
    uint8_t whole[E4_BLOCK_LEN];  /* CMAC subkey K1: the last block is complete */
    uint8_t padded[E4_BLOCK_LEN]; /* CMAC subkey K2: it is not */
    uint8_t s2v[E4_BLOCK_LEN];    /* dbl(CMAC(zero)): where S2V stands before the associated data */
};

/* Best first, the portable path last, then a null pointer. */
extern const struct e4_aes_path *const e4_aes_paths[];
extern const struct e4_aes_path e4_aes_bitsliced;

/* The first usable path. */
const struct e4_aes_path *e4_aes_best(void);
void e4_aes_expand(const struct e4_aes_path *path, struct e4_aes_key *key, const uint8_t raw[32]);

/* raw: MAC key, then CTR key (RFC 5297 section 2.2). */
void e4_siv_init(struct e4_siv_key *key, const struct e4_aes_path *path, const uint8_t raw[E4_SIV_KEY_LEN]);
/* out: tag | ciphertext, len + 16. One string of associated data, also when it is empty. */
void e4_siv_seal(const struct e4_siv_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t len,
                 uint8_t *out);
/* in: tag | ciphertext, len + 16; out: len. False: not authentic, and out is zero. */
bool e4_siv_open(const struct e4_siv_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t len,
                 uint8_t *out);

/* Keccak-p[1600, E4_KECCAK_ROUNDS] in the sponge of SHA3-256 (FIPS 202 sections 3.3 and 6.1). */
void e4_sha3_256(const uint8_t *data, size_t len, uint8_t out[E4_SHA3_LEN]);

/* A memset that the compiler may not leave out. */
static inline void e4_wipe(void *memory, size_t len)
{
    memset(memory, 0, len);
    __asm__ __volatile__("" : : "r"(memory) : "memory");
}

static inline void e4_xor_block(uint8_t *to, const uint8_t *from)
{
    uint64_t a[2], b[2];
    memcpy(a, to, 16);
    memcpy(b, from, 16);
    a[0] ^= b[0];
    a[1] ^= b[1];
    memcpy(to, a, 16);
}

static inline uint64_t e4_load64_be(const uint8_t *from)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | from[i];
    return value;
}

static inline void e4_store64_be(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(value >> (56 - 8 * i));
}

static inline uint32_t e4_load32_le(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static inline void e4_store32_le(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (8 * i));
}

static inline void e4_counter_add(uint8_t counter[16], uint64_t blocks)
{
    e4_store64_be(counter + 8, e4_load64_be(counter + 8) + blocks);
}

#endif
