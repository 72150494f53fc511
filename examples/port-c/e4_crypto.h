/* SPDX-License-Identifier: Apache-2.0 */
/* What the protocol needs of cryptography. The only file that knows the library is e4_crypto.c. All lengths are in bytes. */
#ifndef E4_CRYPTO_H
#define E4_CRYPTO_H

#include "e4.h"

/* First `length` (at most 32) bytes of SHA3-256 over parts, FIPS 202. */
e4_result e4_sha3(const e4_bytes *parts, size_t count, uint8_t *out, size_t length);
/* SHA3-256 over more than fits into memory at once. Args: next: gives a part; its length 0 ends it. */
e4_result e4_sha3_each(e4_bytes (*next)(void *context), void *context, uint8_t *out, size_t length);
/* First 8 bytes of SHA-256, FIPS 180-4. */
e4_result e4_sha256_8(e4_bytes data, uint8_t out[8]);
/* HKDF-SHA256 with an empty salt, RFC 5869. */
e4_result e4_kdf(const uint8_t secret[32], e4_bytes info, uint8_t *out, size_t length);

/* AES-256-GCM, SP 800-38D. Args: out: input and 16; it may be where the input is. */
e4_result e4_gcm_seal(const uint8_t key[32], const uint8_t nonce[12], e4_bytes ad, e4_bytes plain, uint8_t *out);
/* Args: sealed: at least 16. out: 16 less. E4_NOT_AUTHENTIC: then out is all zeros. */
e4_result e4_gcm_open(const uint8_t key[32], const uint8_t nonce[12], e4_bytes ad, e4_bytes sealed, uint8_t *out);

/* AES-256-SIV with one string of associated data, RFC 5297: SIV, then ciphertext. Args: as above, but out is another place. */
e4_result e4_siv_seal(const uint8_t key[64], e4_bytes ad, e4_bytes plain, uint8_t *out);
e4_result e4_siv_open(const uint8_t key[64], e4_bytes ad, e4_bytes sealed, uint8_t *out);

/* Whether both are equal, in a time that does not depend on where they differ. */
int e4_equal(const uint8_t *a, const uint8_t *b, size_t length);
/* Overwrite with zeros, also where a compiler thinks that nobody looks. */
void e4_wipe(void *data, size_t length);

#endif
