/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the library share. */
#ifndef E4_INTERNAL_H
#define E4_INTERNAL_H

#include "e4.h"

#define E4_MARK_AHEAD 5        /* seconds, format2.md section 2.7 */
#define E4_ALREADY_EVERY 10    /* seconds, format2.md section 3.3 */
#define E4_NO_LIMIT UINT64_MAX /* of an epoch */

/* Unsigned, little-endian, of `length` bytes. */
void e4_put(uint8_t *out, uint64_t value, size_t length);
uint64_t e4_get(const uint8_t *data, size_t length);
int e4_is_zero(const uint8_t *data, size_t length);
uint64_t e4_max(uint64_t a, uint64_t b);

/* Save what is kept. If that fails, what was saved last is read back, so that nothing has changed. */
e4_result e4_save(e4_device *device);
/* Read back what was saved last; `why` it must be, or E4_STORAGE. */
e4_result e4_take_back(e4_device *device, e4_result why);

/* lp(label) | lp(wire name), at `out`; returns its length. */
size_t e4_label(const e4_device *device, const char *label, uint8_t *out);
/* Key of a command or report (format2.md section 3.1). Args: header: 26 bytes. out: 32 or 64 bytes, by the suite. */
e4_result e4_control_key(const e4_device *device, const uint8_t secret[32], const char *label, const uint8_t *header, uint8_t *out);
e4_result e4_hello_report(const e4_device *device, const uint8_t nonce[16], e4_handled *handled);
/* Args: subject: of format2.md section 4.1. */
e4_result e4_ack(const e4_device *device, const uint8_t subject[16], e4_handled *handled);
/* Whether an acknowledgement as `already` is due; then it is taken as given. */
int e4_answers_again(e4_device *device, e4_time now);

e4_result e4_random(const e4_device *device, uint8_t *out, size_t length);
e4_result e4_fingerprint(const uint8_t key[32], uint8_t out[8]);

/* The two formats; what they must look like is that of e4.h. Topics come as their hashes. */
void e4_start1(e4_device *device);
e4_result e4_protect1(e4_device *device, const uint8_t *hash, e4_bytes payload, e4_time now, uint8_t *out, size_t *out_length);
e4_result e4_unprotect1(e4_device *device, const uint8_t *hash, e4_bytes data, e4_time now, uint8_t *payload, e4_message *message);
e4_result e4_command1(e4_device *device, e4_bytes data, e4_time now, uint8_t *room, e4_handled *handled);
e4_result e4_hello1(e4_device *device, e4_time now, e4_handled *handled);
void e4_close1(e4_device *device);
enum { E4_WINDOW1 = 600, E4_GRACE1 = 3600, E4_LEAD1 = 8 }; /* seconds, seconds, bytes before the AEAD output */
/* Check that `sent` is acceptable (wire.md section 4). */
e4_result e4_window(const e4_device *device, uint64_t sent, e4_time now, uint64_t window);
/* Erase previous keys whose grace is over; returns whether there were any. */
int e4_fade1(e4_device *device, e4_time now);
/* Open timestamp | SIV | ciphertext under a key that is used twice. */
e4_result e4_open1(const uint8_t key[32], e4_bytes data, uint8_t *plain);
/* Whether a tag of this second is among them, and how many there are of it. */
int e4_has_tag(const e4_tag *tags, uint32_t count, uint64_t second, const uint8_t tag[8]);
/* Forget all tags of the oldest second; returns that. */
uint64_t e4_forget_oldest(e4_tag *tags, uint32_t *count);

void e4_start2(e4_device *device);
e4_result e4_protect2(e4_device *device, const uint8_t *hash, e4_bytes payload, e4_time now, uint8_t *out, size_t *out_length);
e4_result e4_unprotect2(e4_device *device, const uint8_t *hash, e4_bytes data, e4_time now, uint8_t *payload, e4_message *message);
e4_result e4_command2(e4_device *device, e4_bytes data, e4_time now, uint8_t *room, e4_handled *handled);
e4_result e4_hello2(e4_device *device, e4_time now, e4_handled *handled);

/* Format 2: epochs (format2.md section 3.4) */
e4_topic2 *e4_held2(e4_device *device, const uint8_t hash[32]);
const e4_epoch *e4_sending(const e4_topic2 *topic); /* NULL: none */
int e4_is_over(const e4_epoch *epoch, uint64_t second);
/* Erase what is over; returns whether there was anything. */
int e4_fade2(e4_device *device, uint64_t second);
/* Args: entry: arguments of SetTopicKey. */
e4_result e4_set_topic_key(e4_device *device, const uint8_t *entry);
void e4_remove_topic(e4_device *device, const uint8_t hash[32]);
e4_time e4_corrected(const e4_device *device, e4_time now); /* the own clock with the correction of a Sync */
uint64_t e4_second2(const e4_device *device, e4_time now); /* for what ends; 0 while there is no clock */

/* Format 2: replay memory (format2.md section 2.6) */
/* Save, and then let the memory follow what topics and epochs are held. */
e4_result e4_adopt2(e4_device *device);
void e4_follow2(e4_device *device);
uint64_t e4_newest2(const e4_device *device, size_t topic); /* all that the memory of a topic refuses was sent at or before this */
e4_session *e4_session_of(e4_device *device, size_t topic, uint32_t epoch, const uint8_t who[24]); /* NULL: not remembered */
int e4_was_seen(const e4_session *session, uint32_t sequence);
/* Take note of a message. Args: message: its session, sequence, time, and the floor that it has passed. */
void e4_remember2(e4_device *device, size_t topic, const e4_session *message);

#endif
