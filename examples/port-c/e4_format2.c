/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of Format 2, suite `fips-sk` (format2.md section 2). */
#include "e4_internal.h"

#include <string.h>

#include "e4_crypto.h"

enum { VERSION = 2, LEAD = 41, TAG = 16, WHO = 13, SEQUENCE = 37 };

uint64_t e4_second2(const e4_device *device, e4_time now)
{
    return device->has_clock ? now / E4_SECOND : 0;
}

e4_time e4_corrected(const e4_device *device, e4_time now)
{
    int64_t corrected = (int64_t)now + device->correction;
    return corrected > 0 ? (e4_time)corrected : 0;
}

/* Args: header: LEAD bytes of a message. */
static e4_result message_key(const e4_device *device, const uint8_t hash[32], const uint8_t *secret, const uint8_t *header,
                             uint8_t key[32])
{
    uint8_t info[96];
    size_t length = e4_label(device, "E4.2 message key", info);
    memcpy(info + length, hash, 32);
    memcpy(info + length + 32, header + 1, 4);
    memcpy(info + length + 36, header + WHO, 24);
    return e4_kdf(secret, (e4_bytes){info, length + 60}, key, 32);
}

/* The key belongs to one session of one sender under one epoch, so a sequence is used once with it. */
static void set_nonce(const uint8_t *header, uint8_t nonce[12])
{
    memset(nonce, 0, 12);
    memcpy(nonce, header + SEQUENCE, 4);
}

/* --- Sending --- */

static e4_result draw_session(e4_device *device, e4_time now)
{
    e4_run2 *run = &device->run.two;
    uint8_t seed[13 + 32 + 8 + 8 + 16] = "\x0c" "E4.2 session";
    e4_result result = e4_random(device, seed + 13, 32);
    e4_put(seed + 45, device->has_clock ? now * 1000 : 0, 8);
    e4_put(seed + 53, device->kept.of.two.starts, 8);
    memcpy(seed + 61, device->kept.id, 16);
    if (result == E4_OK)
        result = e4_sha256_8((e4_bytes){seed, sizeof seed}, run->session);
    e4_wipe(seed, sizeof seed);
    memset(run->counters, 0, sizeof run->counters);
    run->has_session = result == E4_OK;
    return result;
}

/* Take the next sequence of a topic and epoch; it is never given back. */
static e4_result take_sequence(e4_device *device, size_t place, uint32_t epoch, e4_time now, uint32_t *sequence)
{
    e4_run2 *run = &device->run.two;
    e4_counter *counter = &run->counters[place];
    /* a place counts for one epoch: with an earlier one that comes back, or when all are used, another session begins */
    if (!run->has_session || epoch < counter->epoch || (epoch == counter->epoch && counter->next > UINT32_MAX)) {
        e4_result result = draw_session(device, now);
        if (result != E4_OK)
            return result;
    }
    if (counter->epoch != epoch) {
        counter->epoch = epoch;
        counter->next = 0;
    }
    *sequence = (uint32_t)counter->next++;
    return E4_OK;
}

static e4_result check_sending(const e4_device *device, const e4_epoch *epoch, e4_time now)
{
    if (epoch == NULL)
        return E4_TOPIC_KEY_MISSING;
    if (!epoch->has_key || e4_is_over(epoch, e4_second2(device, now)))
        return epoch->not_after != 0 && epoch->not_after < epoch->limit ? E4_KEY_EXPIRED : E4_TOPIC_KEY_MISSING;
    return device->has_clock ? E4_OK : E4_CLOCK_UNSET;
}

e4_result e4_protect2(e4_device *device, const uint8_t *hash, e4_bytes payload, e4_time now, uint8_t *out, size_t *out_length)
{
    e4_topic2 *topic = e4_held2(device, hash);
    const e4_epoch *epoch = topic == NULL ? NULL : e4_sending(topic);
    uint32_t sequence;
    uint8_t key[32], nonce[12];
    e4_result result;
    now = e4_corrected(device, now);
    result = check_sending(device, epoch, now);
    if (result == E4_OK)
        result = take_sequence(device, (size_t)(topic - device->kept.of.two.topics), epoch->number, now, &sequence);
    if (result != E4_OK)
        return result;
    out[0] = VERSION;
    e4_put(out + 1, epoch->number, 4);
    e4_put(out + 5, now / E4_SECOND, 8);
    memcpy(out + WHO, device->kept.id, 16);
    memcpy(out + WHO + 16, device->run.two.session, 8);
    e4_put(out + SEQUENCE, sequence, 4);
    set_nonce(out, nonce);
    result = message_key(device, hash, epoch->key, out, key);
    if (result == E4_OK)
        result = e4_gcm_seal(key, nonce, (e4_bytes){out, LEAD}, payload, out + LEAD);
    e4_wipe(key, sizeof key);
    *out_length = LEAD + payload.length + TAG;
    return result;
}

/* --- Receiving --- */

/* The topic, after its keys that are over were erased. */
static e4_result find_topic(e4_device *device, const uint8_t *hash, uint64_t second, e4_topic2 **topic)
{
    *topic = e4_held2(device, hash);
    if (*topic == NULL)
        return E4_TOPIC_KEY_MISSING;
    for (size_t i = 0; i < (*topic)->count; i++) {
        if (!(*topic)->epochs[i].has_key || !e4_is_over(&(*topic)->epochs[i], second))
            continue;
        e4_fade2(device, second);
        return e4_adopt2(device);
    }
    return E4_OK;
}

static e4_result find_epoch(const e4_topic2 *topic, uint32_t number, const e4_epoch **epoch)
{
    for (size_t i = 0; i < topic->count; i++) {
        *epoch = &topic->epochs[i];
        if ((*epoch)->number == number && (*epoch)->has_key)
            return E4_OK;
    }
    return number > topic->epochs[topic->count - 1].number ? E4_EPOCH_UNKNOWN : E4_EPOCH_RETIRED;
}

static e4_result check_time(const e4_device *device, uint64_t sent, const e4_epoch *epoch, uint64_t floor, e4_time now)
{
    if (sent > (now + device->skew) / E4_SECOND)
        return E4_TIMESTAMP_FUTURE;
    /* the fraction of a second counts */
    if (epoch->validity != 0 && (sent + epoch->validity) * E4_SECOND < now)
        return E4_TIMESTAMP_OLD;
    return sent <= floor ? E4_TIMESTAMP_OLD : E4_OK;
}

static e4_result raise_mark(e4_device *device, uint64_t sent, e4_time now)
{
    if (sent <= device->kept.mark)
        return E4_OK;
    device->kept.mark = sent + E4_MARK_AHEAD;
    e4_fade2(device, now / E4_SECOND);
    return e4_adopt2(device);
}

static e4_result open_message(const e4_device *device, const uint8_t *hash, const e4_epoch *epoch, e4_bytes data, uint8_t *payload)
{
    uint8_t key[32], nonce[12];
    e4_result result = message_key(device, hash, epoch->key, data.data, key);
    set_nonce(data.data, nonce);
    if (result == E4_OK)
        result = e4_gcm_open(key, nonce, (e4_bytes){data.data, LEAD}, (e4_bytes){data.data + LEAD, data.length - LEAD}, payload);
    e4_wipe(key, sizeof key);
    return result;
}

e4_result e4_unprotect2(e4_device *device, const uint8_t *hash, e4_bytes data, e4_time now, uint8_t *payload, e4_message *message)
{
    e4_topic2 *topic;
    const e4_epoch *epoch;
    e4_session *session, seen = {0};
    size_t place;
    e4_result result;
    now = e4_corrected(device, now);
    if (!device->has_clock)
        return E4_CLOCK_UNSET;
    if (data.length < LEAD + TAG || data.length > LEAD + TAG + E4_PAYLOAD)
        return E4_BAD_LENGTH;
    if (data.data[0] != VERSION)
        return E4_BAD_VERSION;
    result = find_topic(device, hash, now / E4_SECOND, &topic);
    seen.epoch = message->epoch = (uint32_t)e4_get(data.data + 1, 4);
    seen.newest = message->timestamp = e4_get(data.data + 5, 8);
    seen.highest = message->sequence = (uint32_t)e4_get(data.data + SEQUENCE, 4);
    memcpy(seen.who, data.data + WHO, 24);
    memcpy(message->sender, seen.who, 16);
    message->has_sender = 1;
    message->length = data.length - LEAD - TAG;
    if (result == E4_OK)
        result = find_epoch(topic, message->epoch, &epoch);
    if (result != E4_OK)
        return result;
    place = (size_t)(topic - device->kept.of.two.topics);
    session = e4_session_of(device, place, seen.epoch, seen.who);
    seen.floor = session ? session->floor : e4_max(device->kept.floor, device->memory.two[place].floor);
    result = check_time(device, message->timestamp, epoch, seen.floor, now);
    if (result == E4_OK && session != NULL && e4_was_seen(session, message->sequence))
        result = E4_REPLAYED;
    if (result == E4_OK)
        result = open_message(device, hash, epoch, data, payload);
    if (result != E4_OK)
        return result;
    result = raise_mark(device, message->timestamp, now);
    if (result == E4_OK)
        e4_remember2(device, place, &seen);
    else
        e4_wipe(payload, message->length);
    return result;
}

void e4_start2(e4_device *device)
{
    device->kept.of.two.starts++;
    e4_follow2(device);
}
