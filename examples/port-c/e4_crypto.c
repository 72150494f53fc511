/* SPDX-License-Identifier: Apache-2.0 */
/* The primitives, by wolfCrypt; SIV is composed of its AES-CMAC and AES-CTR as RFC 5297 says. */
#include "e4_crypto.h"

#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/cmac.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha3.h>

#define TAG 16

static e4_result worked(int status)
{
    return status == 0 ? E4_OK : E4_FAILED;
}

void e4_wipe(void *data, size_t length)
{
    volatile uint8_t *each = data;
    while (length-- > 0)
        *each++ = 0;
}

int e4_equal(const uint8_t *a, const uint8_t *b, size_t length)
{
    uint8_t differ = 0;
    for (size_t i = 0; i < length; i++)
        differ = (uint8_t)(differ | (a[i] ^ b[i]));
    return differ == 0;
}

typedef struct {
    const e4_bytes *parts;
    size_t left;
} listed;

static e4_bytes next_listed(void *context)
{
    static const e4_bytes end = {NULL, 0};
    listed *list = context;
    while (list->left > 0) {
        list->left--;
        if (list->parts->length > 0)
            return *list->parts++;
        list->parts++;
    }
    return end;
}

e4_result e4_sha3(const e4_bytes *parts, size_t count, uint8_t *out, size_t length)
{
    listed list = {parts, count};
    return e4_sha3_each(next_listed, &list, out, length);
}

e4_result e4_sha3_each(e4_bytes (*next)(void *context), void *context, uint8_t *out, size_t length)
{
    wc_Sha3 hash;
    uint8_t whole[32];
    int status = wc_InitSha3_256(&hash, NULL, INVALID_DEVID);
    for (e4_bytes part = next(context); status == 0 && part.length > 0; part = next(context))
        status = wc_Sha3_256_Update(&hash, part.data, (word32)part.length);
    if (status == 0)
        status = wc_Sha3_256_Final(&hash, whole);
    wc_Sha3_256_Free(&hash);
    memcpy(out, whole, length);
    return worked(status);
}

e4_result e4_sha256_8(e4_bytes data, uint8_t out[8])
{
    uint8_t whole[32];
    int status = wc_Sha256Hash(data.data, (word32)data.length, whole);
    memcpy(out, whole, 8);
    return worked(status);
}

e4_result e4_kdf(const uint8_t secret[32], e4_bytes info, uint8_t *out, size_t length)
{
    uint8_t prk[32];
    int status = wc_HKDF_Extract(WC_SHA256, NULL, 0, secret, 32, prk);
    if (status == 0)
        status = wc_HKDF_Expand(WC_SHA256, prk, sizeof prk, info.data, (word32)info.length, out, (word32)length);
    e4_wipe(prk, sizeof prk);
    return worked(status);
}

e4_result e4_gcm_seal(const uint8_t key[32], const uint8_t nonce[12], e4_bytes ad, e4_bytes plain, uint8_t *out)
{
    Aes aes;
    int status = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (status == 0)
        status = wc_AesGcmSetKey(&aes, key, 32);
    if (status == 0)
        status = wc_AesGcmEncrypt(&aes, out, plain.data, (word32)plain.length, nonce, 12, out + plain.length, TAG, ad.data,
                                  (word32)ad.length);
    wc_AesFree(&aes);
    e4_wipe(&aes, sizeof aes);
    return worked(status);
}

e4_result e4_gcm_open(const uint8_t key[32], const uint8_t nonce[12], e4_bytes ad, e4_bytes sealed, uint8_t *out)
{
    Aes aes;
    size_t length = sealed.length - TAG;
    int status = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (status == 0)
        status = wc_AesGcmSetKey(&aes, key, 32);
    if (status == 0)
        status = wc_AesGcmDecrypt(&aes, out, sealed.data, (word32)length, nonce, 12, sealed.data + length, TAG, ad.data,
                                  (word32)ad.length);
    wc_AesFree(&aes);
    e4_wipe(&aes, sizeof aes);
    if (status == 0)
        return E4_OK;
    e4_wipe(out, length);
    return status == AES_GCM_AUTH_E ? E4_NOT_AUTHENTIC : E4_FAILED;
}

/* AES-CMAC over a, then b. */
static int cmac(const uint8_t key[32], e4_bytes a, e4_bytes b, uint8_t out[TAG])
{
    Cmac state;
    word32 length = TAG;
    int status = wc_InitCmac(&state, key, 32, WC_CMAC_AES, NULL);
    if (status == 0 && a.length > 0)
        status = wc_CmacUpdate(&state, a.data, (word32)a.length);
    if (status == 0 && b.length > 0)
        status = wc_CmacUpdate(&state, b.data, (word32)b.length);
    if (status == 0)
        status = wc_CmacFinal(&state, out, &length);
    e4_wipe(&state, sizeof state);
    return status;
}

/* Multiplication by x in GF(2^128), RFC 5297 section 2.3. */
static void doubled(uint8_t block[TAG])
{
    uint8_t carry = 0;
    for (size_t i = TAG; i-- > 0;) {
        uint8_t next = block[i] >> 7;
        block[i] = (uint8_t)(block[i] << 1 | carry);
        carry = next;
    }
    block[TAG - 1] = (uint8_t)(block[TAG - 1] ^ (0x87 & -carry));
}

static void exclusive_or(uint8_t *into, const uint8_t *other, size_t length)
{
    for (size_t i = 0; i < length; i++)
        into[i] = (uint8_t)(into[i] ^ other[i]);
}

/* S2V with one string of associated data, RFC 5297 section 2.4. */
static e4_result s2v(const uint8_t key[32], e4_bytes ad, e4_bytes plain, uint8_t out[TAG])
{
    static const uint8_t zeros[TAG];
    static const e4_bytes nothing = {NULL, 0};
    const e4_bytes zero = {zeros, TAG};
    uint8_t d[TAG], last[TAG];
    e4_bytes before = nothing, end = {last, TAG};
    int status = cmac(key, zero, nothing, d);
    if (status == 0)
        status = cmac(key, ad, nothing, last);
    if (status != 0)
        return E4_FAILED;
    doubled(d);
    exclusive_or(d, last, TAG);
    if (plain.length >= TAG) {
        before.data = plain.data;
        before.length = plain.length - TAG;
        memcpy(last, plain.data + before.length, TAG);
    } else {
        doubled(d);
        memset(last, 0, TAG);
        if (plain.length > 0)
            memcpy(last, plain.data, plain.length);
        last[plain.length] = 0x80;
    }
    exclusive_or(last, d, TAG);
    status = cmac(key, before, end, out);
    e4_wipe(last, sizeof last);
    return worked(status);
}

static e4_result ctr(const uint8_t key[32], const uint8_t siv[TAG], e4_bytes in, uint8_t *out)
{
    Aes aes;
    uint8_t counter[TAG];
    int status;
    if (in.length == 0)
        return E4_OK;
    memcpy(counter, siv, TAG);
    counter[8] &= 0x7f;
    counter[12] &= 0x7f;
    status = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (status == 0)
        status = wc_AesSetKeyDirect(&aes, key, 32, counter, AES_ENCRYPTION);
    if (status == 0)
        status = wc_AesCtrEncrypt(&aes, out, in.data, (word32)in.length);
    wc_AesFree(&aes);
    e4_wipe(&aes, sizeof aes);
    return worked(status);
}

e4_result e4_siv_seal(const uint8_t key[64], e4_bytes ad, e4_bytes plain, uint8_t *out)
{
    e4_result result = s2v(key, ad, plain, out);
    return result != E4_OK ? result : ctr(key + 32, out, plain, out + TAG);
}

e4_result e4_siv_open(const uint8_t key[64], e4_bytes ad, e4_bytes sealed, uint8_t *out)
{
    uint8_t expected[TAG];
    e4_bytes ciphertext = {sealed.data + TAG, sealed.length - TAG}, plain = {out, sealed.length - TAG};
    e4_result result = ctr(key + 32, sealed.data, ciphertext, out);
    if (result == E4_OK)
        result = s2v(key, ad, plain, expected);
    if (result == E4_OK && !e4_equal(expected, sealed.data, TAG))
        result = E4_NOT_AUTHENTIC;
    if (result != E4_OK)
        e4_wipe(out, plain.length);
    return result;
}
