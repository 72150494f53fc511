/* SPDX-License-Identifier: Apache-2.0 */
/* AES in constant time on any CPU: four blocks at once in eight words, one bit of each byte per word.
 *
 * Word b holds bit b of all 64 bytes; the byte in row r and column c of block n is bit 16 r + 4 c + n.
 */
#include "e4fast.h"

typedef uint64_t planes[8];

#define LANE 0x1111111111111111u /* block 0 alone */

/* The circuit of Boyar and Peralta (2010): 32 AND, 83 XOR and XNOR. */
E4_INLINE void sub_bytes(planes q)
{
    uint64_t x0 = q[7], x1 = q[6], x2 = q[5], x3 = q[4], x4 = q[3], x5 = q[2], x6 = q[1], x7 = q[0];

    uint64_t y14 = x3 ^ x5, y13 = x0 ^ x6, y9 = x0 ^ x3, y8 = x0 ^ x5, t0 = x1 ^ x2;
    uint64_t y1 = t0 ^ x7, y4 = y1 ^ x3, y12 = y13 ^ y14, y2 = y1 ^ x0, y5 = y1 ^ x6, y3 = y5 ^ y8;
    uint64_t t1 = x4 ^ y12, y15 = t1 ^ x5, y20 = t1 ^ x1, y6 = y15 ^ x7, y10 = y15 ^ t0, y11 = y20 ^ y9;
    uint64_t y7 = x7 ^ y11, y17 = y10 ^ y11, y19 = y10 ^ y8, y16 = t0 ^ y11, y21 = y13 ^ y16, y18 = x0 ^ y16;

    uint64_t t2 = y12 & y15, t3 = y3 & y6, t4 = t3 ^ t2, t5 = y4 & x7, t6 = t5 ^ t2, t7 = y13 & y16;
    uint64_t t8 = y5 & y1, t9 = t8 ^ t7, t10 = y2 & y7, t11 = t10 ^ t7, t12 = y9 & y11, t13 = y14 & y17;
    uint64_t t14 = t13 ^ t12, t15 = y8 & y10, t16 = t15 ^ t12, t17 = t4 ^ t14, t18 = t6 ^ t16, t19 = t9 ^ t14;
    uint64_t t20 = t11 ^ t16, t21 = t17 ^ y20, t22 = t18 ^ y19, t23 = t19 ^ y21, t24 = t20 ^ y18;

    uint64_t t25 = t21 ^ t22, t26 = t21 & t23, t27 = t24 ^ t26, t28 = t25 & t27, t29 = t28 ^ t22, t30 = t23 ^ t24;
    uint64_t t31 = t22 ^ t26, t32 = t31 & t30, t33 = t32 ^ t24, t34 = t23 ^ t33, t35 = t27 ^ t33, t36 = t24 & t35;
    uint64_t t37 = t36 ^ t34, t38 = t27 ^ t36, t39 = t29 & t38, t40 = t25 ^ t39, t41 = t40 ^ t37, t42 = t29 ^ t33;
    uint64_t t43 = t29 ^ t40, t44 = t33 ^ t37, t45 = t42 ^ t41;

    uint64_t z0 = t44 & y15, z1 = t37 & y6, z2 = t33 & x7, z3 = t43 & y16, z4 = t40 & y1, z5 = t29 & y7;
    uint64_t z6 = t42 & y11, z7 = t45 & y17, z8 = t41 & y10, z9 = t44 & y12, z10 = t37 & y3, z11 = t33 & y4;
    uint64_t z12 = t43 & y13, z13 = t40 & y5, z14 = t29 & y2, z15 = t42 & y9, z16 = t45 & y14, z17 = t41 & y8;

    uint64_t t46 = z15 ^ z16, t47 = z10 ^ z11, t48 = z5 ^ z13, t49 = z9 ^ z10, t50 = z2 ^ z12, t51 = z2 ^ z5;
    uint64_t t52 = z7 ^ z8, t53 = z0 ^ z3, t54 = z6 ^ z7, t55 = z16 ^ z17, t56 = z12 ^ t48, t57 = t50 ^ t53;
    uint64_t t58 = z4 ^ t46, t59 = z3 ^ t54, t60 = t46 ^ t57, t61 = z14 ^ t57, t62 = t52 ^ t58, t63 = t49 ^ t58;
    uint64_t t64 = z4 ^ t59, t65 = t61 ^ t62, t66 = z1 ^ t63, t67 = t64 ^ t65;

    uint64_t s3 = t53 ^ t66;
    q[7] = t59 ^ t63;
    q[6] = t64 ^ ~s3;
    q[5] = t55 ^ ~t67;
    q[4] = s3;
    q[3] = t51 ^ t66;
    q[2] = t47 ^ t65;
    q[1] = t56 ^ ~t62;
    q[0] = t48 ^ ~t60;
}

E4_INLINE void shift_rows(planes q)
{
    for (int b = 0; b < 8; b++) {
        uint64_t x = q[b];
        q[b] = (x & 0x000000000000FFFFu) | (x & 0x00000000FFF00000u) >> 4 | (x & 0x00000000000F0000u) << 12
             | (x & 0x0000FF0000000000u) >> 8 | (x & 0x000000FF00000000u) << 8 | (x & 0xF000000000000000u) >> 12
             | (x & 0x0FFF000000000000u) << 4;
    }
}

static inline uint64_t rotated(uint64_t x, int rows)
{
    return x >> (16 * rows) | x << (64 - 16 * rows);
}

E4_INLINE void mix_columns(planes q)
{
    uint64_t next[8], sum[8];
    for (int b = 0; b < 8; b++) {
        next[b] = rotated(q[b], 1);
        sum[b] = q[b] ^ next[b];
    }
    for (int b = 0; b < 8; b++) {
        uint64_t doubled = sum[(b + 7) % 8] ^ (b == 1 || b == 3 || b == 4 ? sum[7] : 0);
        q[b] = doubled ^ next[b] ^ rotated(sum[b], 2);
    }
}

static inline void swap_bits(uint64_t *a, uint64_t *b, uint64_t mask, int shift)
{
    uint64_t difference = ((*a >> shift) ^ *b) & mask;
    *b ^= difference;
    *a ^= difference << shift;
}

/* Transposes: bit b of byte k in word i goes to bit i of byte k in word b. Its own inverse. */
static void transpose(planes q)
{
    for (int i = 0; i < 8; i += 2) swap_bits(&q[i], &q[i + 1], 0x5555555555555555u, 1);
    for (int i = 0; i < 8; i++)
        if (!(i & 2)) swap_bits(&q[i], &q[i + 2], 0x3333333333333333u, 2);
    for (int i = 0; i < 4; i++) swap_bits(&q[i], &q[i + 4], 0x0F0F0F0F0F0F0F0Fu, 4);
}

/* Moves byte i to byte 2 i. */
static inline uint64_t spread(uint32_t column)
{
    uint64_t x = column;
    x = (x | x << 16) & 0x0000FFFF0000FFFFu;
    return (x | x << 8) & 0x00FF00FF00FF00FFu;
}

static inline uint32_t gathered(uint64_t x)
{
    x &= 0x00FF00FF00FF00FFu;
    x = (x | x >> 8) & 0x0000FFFF0000FFFFu;
    return (uint32_t)(x | x >> 16);
}

static void slice(planes q, const uint8_t *data, int blocks)
{
    memset(q, 0, sizeof(planes));
    for (int n = 0; n < blocks; n++)
        for (int c = 0; c < 2; c++) {
            const uint8_t *column = data + 16 * n + 4 * c;
            q[4 * c + n] = spread(e4_load32_le(column)) | spread(e4_load32_le(column + 8)) << 8;
        }
    transpose(q);
}

static void unslice(planes q, uint8_t *data, int blocks)
{
    transpose(q);
    for (int n = 0; n < blocks; n++)
        for (int c = 0; c < 2; c++) {
            uint8_t *column = data + 16 * n + 4 * c;
            e4_store32_le(column, gathered(q[4 * c + n]));
            e4_store32_le(column + 8, gathered(q[4 * c + n] >> 8));
        }
}

/* A round key needs only the lane of block 0: its eight words fit into the sixteen bytes of the round key. */
static void arrange(struct e4_aes_key *key)
{
    for (int r = 0; r <= E4_AES_ROUNDS; r++) {
        planes q;
        uint64_t packed[2] = {0, 0};
        slice(q, key->round[r], 1);
        for (int b = 0; b < 8; b++) packed[b / 4] |= q[b] << b % 4;
        memcpy(key->round[r], packed, 16);
        e4_wipe(q, sizeof q);
        e4_wipe(packed, sizeof packed);
    }
}

struct schedule {
    planes round[E4_AES_ROUNDS + 1];
};

static void unpack(struct schedule *schedule, const struct e4_aes_key *key)
{
    uint64_t packed[2];
    for (int r = 0; r <= E4_AES_ROUNDS; r++) {
        memcpy(packed, key->round[r], 16);
        for (int b = 0; b < 8; b++) schedule->round[r][b] = (packed[b / 4] >> b % 4 & LANE) * 15; /* to all lanes */
    }
    e4_wipe(packed, sizeof packed);
}

static inline void add(planes q, const planes other)
{
    for (int b = 0; b < 8; b++) q[b] ^= other[b];
}

static void encrypt(const struct schedule *schedule, planes q)
{
    add(q, schedule->round[0]);
    for (int r = 1; r < E4_AES_ROUNDS; r++) {
        sub_bytes(q);
        shift_rows(q);
        mix_columns(q);
        add(q, schedule->round[r]);
    }
    sub_bytes(q);
    shift_rows(q);
    add(q, schedule->round[E4_AES_ROUNDS]);
}

static void mac(const struct e4_aes_key *key, uint8_t state[16], const uint8_t *data, size_t blocks)
{
    struct schedule schedule;
    planes chain, block;
    if (blocks == 0) return;
    unpack(&schedule, key);
    slice(chain, state, 1);
    for (; blocks; blocks--, data += 16) {
        slice(block, data, 1);
        add(chain, block);
        encrypt(&schedule, chain);
    }
    unslice(chain, state, 1);
    e4_wipe(&schedule, sizeof schedule);
    e4_wipe(chain, sizeof chain);
    e4_wipe(block, sizeof block);
}

static void ctr(const struct e4_aes_key *key, const uint8_t start[16], const uint8_t *in, uint8_t *out, size_t blocks)
{
    struct schedule schedule;
    planes q;
    uint8_t stream[64];
    uint64_t position = e4_load64_be(start + 8);
    if (blocks == 0) return;
    unpack(&schedule, key);
    while (blocks) {
        int now = blocks < 4 ? (int)blocks : 4;
        for (int n = 0; n < now; n++) {
            memcpy(stream + 16 * n, start, 8);
            e4_store64_be(stream + 16 * n + 8, position++);
        }
        slice(q, stream, now);
        encrypt(&schedule, q);
        unslice(q, stream, now);
        for (int n = 0; n < now; n++) {
            e4_xor_block(stream + 16 * n, in + 16 * n);
            memcpy(out + 16 * n, stream + 16 * n, 16);
        }
        in += 16 * now;
        out += 16 * now;
        blocks -= (size_t)now;
    }
    e4_wipe(&schedule, sizeof schedule);
    e4_wipe(q, sizeof q);
    e4_wipe(stream, sizeof stream);
}

static void ctr_mac(const struct e4_aes_key *ctr_key, const struct e4_aes_key *mac_key, const uint8_t counter[16],
                    uint8_t state[16], const uint8_t *in, uint8_t *out, size_t blocks)
{
    ctr(ctr_key, counter, in, out, blocks);
    mac(mac_key, state, out, blocks);
}

static uint32_t sub_word(uint32_t word)
{
    planes q;
    uint8_t block[16] = {0};
    e4_store32_le(block, word);
    slice(q, block, 1);
    sub_bytes(q);
    unslice(q, block, 1);
    word = e4_load32_le(block);
    e4_wipe(q, sizeof q);
    e4_wipe(block, sizeof block);
    return word;
}

static bool usable(void)
{
    return true;
}

const struct e4_aes_path e4_aes_bitsliced = {"bitsliced", usable, sub_word, arrange, mac, ctr, ctr_mac};
