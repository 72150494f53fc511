/* SPDX-License-Identifier: Apache-2.0 */
/* Reports: hello and acknowledgements, and the digest of what is held in them (format2.md section 4). */
#include "e4_internal.h"

#include <string.h>

#include "e4_crypto.h"

enum { HEADER = 26, HELLO = 0, ACK = 1, COMMON = 25 };

static const char *const WIRE_NAMES[] = {"sk", "fips-sk"};

int e4_answers_again(e4_device *device, e4_time now)
{
    if (device->answered_already && now >= device->already && now - device->already < E4_ALREADY_EVERY * E4_SECOND)
        return 0;
    device->answered_already = 1;
    device->already = now;
    return 1;
}

e4_result e4_random(const e4_device *device, uint8_t *out, size_t length)
{
    return device->platform->random(device->platform->context, out, length) == 0 ? E4_OK : E4_FAILED;
}

static size_t put_text(uint8_t *out, const char *text)
{
    size_t length = strlen(text);
    out[0] = (uint8_t)length;
    memcpy(out + 1, text, length);
    return length + 1;
}

size_t e4_label(const e4_device *device, const char *label, uint8_t *out)
{
    size_t length = put_text(out, label);
    return length + put_text(out + length, WIRE_NAMES[device->kept.suite]);
}

e4_result e4_control_key(const e4_device *device, const uint8_t secret[32], const char *label, const uint8_t *header, uint8_t *out)
{
    uint8_t info[96];
    size_t length = put_text(info, "E4.2 control key");
    length += e4_label(device, label, info + length);
    memcpy(info + length, device->kept.id, 16);
    memcpy(info + length + 16, header, HEADER);
    return e4_kdf(secret, (e4_bytes){info, length + 16 + HEADER}, out, device->kept.suite == E4_SK ? 64 : 32);
}

e4_result e4_fingerprint(const uint8_t key[32], uint8_t out[8])
{
    uint8_t info[17];
    return e4_kdf(key, (e4_bytes){info, put_text(info, "E4.2 fingerprint")}, out, 8);
}

static const uint8_t *held_hash(const e4_device *device, size_t i)
{
    if (device->kept.suite == E4_SK)
        return device->kept.of.one.topics[i].held ? device->kept.of.one.topics[i].hash : NULL;
    return device->kept.of.two.topics[i].count ? device->kept.of.two.topics[i].hash : NULL;
}

int e4_next_held(const e4_device *device, e4_held *held)
{
    const uint8_t *former = held->hash;
    const e4_topic2 *topic;
    held->hash_length = device->kept.suite == E4_SK ? 16 : 32;
    held->hash = NULL;
    held->count = 0;
    for (size_t i = 0; i < E4_TOPICS; i++) {
        const uint8_t *hash = held_hash(device, i);
        if (hash == NULL || (former != NULL && memcmp(hash, former, held->hash_length) <= 0))
            continue;
        if (held->hash == NULL || memcmp(hash, held->hash, held->hash_length) < 0) {
            held->hash = hash;
            held->place = i;
        }
    }
    if (held->hash == NULL || device->kept.suite == E4_SK)
        return held->hash != NULL;
    topic = &device->kept.of.two.topics[held->place];
    for (size_t i = 0; i < topic->count; i++)
        if (topic->epochs[i].has_key)
            held->epochs[held->count++] = topic->epochs[i].number;
    return 1;
}

uint64_t e4_last(const e4_device *device)
{
    return device->kept.suite == E4_SK ? 0 : device->kept.of.two.last;
}

typedef struct {
    const e4_device *device;
    e4_held held;
    uint8_t record[49];
} records;

/* One record after the other, sorted; so nothing has to be stored. */
static e4_bytes next_record(void *context)
{
    records *all = context;
    const e4_kept *kept = &all->device->kept;
    uint8_t *fields;
    if (!e4_next_held(all->device, &all->held))
        return (e4_bytes){NULL, 0};
    all->record[0] = 1;
    memcpy(all->record + 1, all->held.hash, all->held.hash_length);
    fields = all->record + 1 + all->held.hash_length;
    if (kept->suite == E4_SK) {
        e4_put(fields, 0, 8);
        memcpy(fields + 8, kept->of.one.topics[all->held.place].fingerprint, 8);
    } else {
        const e4_topic2 *topic = &kept->of.two.topics[all->held.place];
        const e4_epoch *newest = &topic->epochs[topic->count - 1], *sending = e4_sending(topic);
        e4_put(fields, sending ? sending->number : 0, 4);
        e4_put(fields + 4, newest->number, 4);
        memcpy(fields + 8, newest->fingerprint, 8);
    }
    return (e4_bytes){all->record, 1 + all->held.hash_length + 16};
}

e4_result e4_digest(const e4_device *device, uint8_t digest[16])
{
    records all = {device, {NULL, 0, 0, 0, {0}}, {0}};
    return e4_sha3_each(next_record, &all, digest, 16);
}

/* Container of format2.md section 3.1. Args: plain: COMMON bytes are put before what is there. */
static e4_result seal(const e4_device *device, uint64_t sequence, uint8_t *plain, size_t length, e4_handled *handled)
{
    static const uint8_t nonce[12];
    const e4_kept *kept = &device->kept;
    uint8_t *header = handled->report, key[64];
    e4_bytes content = {plain, length}, ad = {header, HEADER};
    e4_result result = e4_digest(device, plain + 9);
    e4_put(plain + 1, kept->suite == E4_SK ? 0 : kept->of.two.last, 8);
    header[0] = header[1] = 2;
    e4_put(header + 2, sequence, 8);
    if (result == E4_OK)
        result = e4_random(device, header + 10, 16);
    if (result == E4_OK)
        result = e4_control_key(device, kept->has_pending ? kept->pending : kept->key, "E4.2 report", header, key);
    if (result == E4_OK && kept->suite == E4_SK)
        result = e4_siv_seal(key, ad, content, header + HEADER);
    else if (result == E4_OK)
        result = e4_gcm_seal(key, nonce, ad, content, header + HEADER);
    e4_wipe(key, sizeof key);
    handled->report_length = result == E4_OK ? HEADER + length + 16 : 0;
    return result;
}

e4_result e4_hello_report(const e4_device *device, const uint8_t nonce[16], e4_handled *handled)
{
    uint8_t plain[COMMON + 16] = {HELLO};
    memcpy(plain + COMMON, nonce, 16);
    return seal(device, 0, plain, sizeof plain, handled);
}

e4_result e4_ack(const e4_device *device, const uint8_t subject[16], e4_handled *handled)
{
    uint8_t plain[COMMON + 18] = {ACK};
    uint64_t sequence = device->kept.suite == E4_SK ? 0 : e4_get(subject, 8);
    memcpy(plain + COMMON, subject, 16);
    plain[COMMON + 16] = (uint8_t)handled->outcome;
    plain[COMMON + 17] = handled->outcome == E4_REFUSED ? (uint8_t)handled->error : 0;
    return seal(device, sequence, plain, sizeof plain, handled);
}
