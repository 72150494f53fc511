/* SPDX-License-Identifier: Apache-2.0 */
/* AES-SIV: S2V over one string of associated data and the plaintext, then CTR (RFC 5297 sections 2.4 to 2.7). */
#include "e4fast.h"

/* Multiplies by x in GF(2^128) (RFC 5297 section 2.3). */
static void twice(uint8_t block[16])
{
    uint64_t high = e4_load64_be(block), low = e4_load64_be(block + 8);
    uint64_t reduction = (0 - (high >> 63)) & 0x87;
    e4_store64_be(block, high << 1 | low >> 63);
    e4_store64_be(block + 8, low << 1 ^ reduction);
}

/* CMAC (SP 800-38B). */
static void cmac(const struct e4_siv_key *key, const uint8_t *data, size_t len, uint8_t out[16])
{
    size_t blocks = len ? (len - 1) / 16 : 0;
    size_t rest = len - 16 * blocks;
    uint8_t last[16] = {0};
    memset(out, 0, 16);
    key->path->mac(&key->mac, out, data, blocks);
    memcpy(last, data + 16 * blocks, rest);
    if (rest < 16) last[rest] = 0x80;
    e4_xor_block(last, rest < 16 ? key->padded : key->whole);
    key->path->mac(&key->mac, out, last, 1);
    e4_wipe(last, sizeof last);
}

void e4_siv_init(struct e4_siv_key *key, const struct e4_aes_path *path, const uint8_t raw[E4_SIV_KEY_LEN])
{
    static const uint8_t zero[16];
    memset(key, 0, sizeof *key);
    key->path = path;
    e4_aes_expand(path, &key->mac, raw);
    e4_aes_expand(path, &key->ctr, raw + 32);
    path->mac(&key->mac, key->whole, zero, 1);
    twice(key->whole);
    memcpy(key->padded, key->whole, 16);
    twice(key->padded);
    cmac(key, zero, 16, key->s2v);
    twice(key->s2v);
}

/* S2V takes the plaintext in two parts: whole blocks that it leaves as they are, and an end of up to 31 bytes. */
static size_t untouched_blocks(size_t len)
{
    return len < 16 ? 0 : len / 16 - 1;
}

/* The end of S2V; state: CMAC so far, then the tag; end: what follows the untouched blocks, len bytes. */
static void s2v_end(const struct e4_siv_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *end, size_t len,
                    uint8_t state[16])
{
    uint8_t sum[16], last[32] = {0};
    cmac(key, ad, ad_len, sum);
    e4_xor_block(sum, key->s2v);
    memcpy(last, end, len);
    if (len < 16) twice(sum);
    if (len != 16) last[len] = 0x80;
    e4_xor_block(last + (len < 16 ? 0 : len - 16), sum);
    e4_xor_block(last + (len <= 16 ? 0 : 16), len <= 16 ? key->whole : key->padded);
    key->path->mac(&key->mac, state, last, len <= 16 ? 1 : 2);
    e4_wipe(sum, sizeof sum);
    e4_wipe(last, sizeof last);
}

static void first_counter(uint8_t counter[16], const uint8_t tag[16])
{
    memcpy(counter, tag, 16);
    counter[8] &= 0x7f;
    counter[12] &= 0x7f;
}

static void ctr(const struct e4_siv_key *key, uint8_t counter[16], const uint8_t *in, uint8_t *out, size_t len)
{
    size_t blocks = len / 16, rest = len % 16;
    uint8_t last[16] = {0}, stream[16];
    key->path->ctr(&key->ctr, counter, in, out, blocks);
    if (rest == 0) return;
    e4_counter_add(counter, blocks);
    memcpy(last, in + 16 * blocks, rest);
    key->path->ctr(&key->ctr, counter, last, stream, 1);
    memcpy(out + 16 * blocks, stream, rest);
    e4_wipe(last, sizeof last);
    e4_wipe(stream, sizeof stream);
}

void e4_siv_seal(const struct e4_siv_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t len,
                 uint8_t *out)
{
    size_t blocks = untouched_blocks(len);
    uint8_t tag[16] = {0}, counter[16];
    key->path->mac(&key->mac, tag, in, blocks);
    s2v_end(key, ad, ad_len, in + 16 * blocks, len - 16 * blocks, tag);
    first_counter(counter, tag);
    memcpy(out, tag, 16);
    ctr(key, counter, in, out + 16, len);
}

static bool equal_blocks(const uint8_t *a, const uint8_t *b)
{
    uint64_t x[2], y[2];
    memcpy(x, a, 16);
    memcpy(y, b, 16);
    uint64_t difference = (x[0] ^ y[0]) | (x[1] ^ y[1]);
    __asm__ __volatile__("" : "+r"(difference)); /* one verdict: no early exit between the halves */
    return difference == 0;
}

bool e4_siv_open(const struct e4_siv_key *key, const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t len,
                 uint8_t *out)
{
    size_t blocks = untouched_blocks(len), done = 16 * blocks;
    uint8_t tag[16] = {0}, counter[16];
    first_counter(counter, in);
    key->path->ctr_mac(&key->ctr, &key->mac, counter, tag, in + 16, out, blocks);
    e4_counter_add(counter, blocks);
    ctr(key, counter, in + 16 + done, out + done, len - done);
    s2v_end(key, ad, ad_len, out + done, len - done, tag);
    bool authentic = equal_blocks(tag, in);
    e4_wipe(tag, sizeof tag); /* of a forgery it is the tag that would have passed */
    if (!authentic) e4_wipe(out, len);
    return authentic;
}
