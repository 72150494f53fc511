/* SPDX-License-Identifier: Apache-2.0 */
/* Format 2: which epochs of a topic are held, and what commands make of them (format2.md section 3.4). */
#include "e4_internal.h"

#include <string.h>

#include "e4_crypto.h"

static e4_topic2 *known(e4_device *device, const uint8_t hash[32])
{
    e4_topic2 *topics = device->kept.of.two.topics;
    for (size_t i = 0; i < E4_TOPICS; i++)
        if (topics[i].known && memcmp(topics[i].hash, hash, 32) == 0)
            return &topics[i];
    return NULL;
}

e4_topic2 *e4_held2(e4_device *device, const uint8_t hash[32])
{
    e4_topic2 *topic = known(device, hash);
    return topic != NULL && topic->count > 0 ? topic : NULL;
}

const e4_epoch *e4_sending(const e4_topic2 *topic)
{
    for (size_t i = topic->count; i-- > 0;)
        if (topic->epochs[i].use)
            return &topic->epochs[i];
    return NULL;
}

int e4_is_over(const e4_epoch *epoch, uint64_t second)
{
    int expired = epoch->not_after != 0 && second > epoch->not_after;
    return expired || (epoch->limit != E4_NO_LIMIT && second >= epoch->limit);
}

static void remove_epoch(e4_topic2 *topic, size_t place)
{
    size_t after = --topic->count - place;
    memmove(&topic->epochs[place], &topic->epochs[place + 1], after * sizeof topic->epochs[0]);
    e4_wipe(&topic->epochs[topic->count], sizeof topic->epochs[0]);
}

/* What is over loses its key; the newest, and the newest that may send, stay without it. */
static int fade(e4_topic2 *topic, uint64_t second)
{
    int any = 0;
    uint32_t newest = topic->count ? topic->epochs[topic->count - 1].number : 0;
    const e4_epoch *sending = e4_sending(topic);
    uint32_t sends = sending ? sending->number : 0;
    for (size_t i = topic->count; i-- > 0;) {
        e4_epoch *epoch = &topic->epochs[i];
        if (epoch->has_key && !e4_is_over(epoch, second))
            continue;
        any |= epoch->has_key;
        e4_wipe(epoch->key, sizeof epoch->key);
        epoch->has_key = 0;
        if (epoch->number != newest && epoch->number != sends) {
            remove_epoch(topic, i);
            any = 1;
        }
    }
    return any;
}

int e4_fade2(e4_device *device, uint64_t second)
{
    int any = 0;
    for (size_t i = 0; i < E4_TOPICS; i++)
        any |= fade(&device->kept.of.two.topics[i], second);
    return any;
}

/* A place for a topic that is not known: a free one, else that of a topic that is no longer held. */
static e4_topic2 *place_for(e4_device *device, const uint8_t hash[32])
{
    e4_topic2 *topics = device->kept.of.two.topics, *place = NULL;
    for (size_t i = 0; i < E4_TOPICS; i++) {
        if (topics[i].count > 0)
            continue;
        if (!topics[i].known) {
            place = &topics[i];
            break;
        }
        if (place == NULL || e4_newest2(device, i) < e4_newest2(device, (size_t)(place - topics)))
            place = &topics[i];
    }
    if (place != NULL) {
        place->fresh = place->fresh || place->known;
        place->known = 1;
        memcpy(place->hash, hash, 32);
    }
    return place;
}

static e4_epoch *epoch_of(e4_topic2 *topic, uint32_t number)
{
    for (size_t i = 0; topic != NULL && i < topic->count; i++)
        if (topic->epochs[i].number == number)
            return &topic->epochs[i];
    return NULL;
}

/* The new epoch is the newest; of too many the lowest goes. */
static e4_epoch *add(e4_topic2 *topic)
{
    if (topic->count == E4_EPOCHS)
        remove_epoch(topic, 0);
    return &topic->epochs[topic->count++];
}

e4_result e4_set_topic_key(e4_device *device, const uint8_t *entry)
{
    const uint8_t *key = entry + 36;
    uint32_t number = (uint32_t)e4_get(entry + 32, 4);
    uint64_t older = e4_get(entry + 81, 8);
    uint8_t fingerprint[8];
    e4_topic2 *topic = e4_held2(device, entry);
    e4_epoch *epoch = epoch_of(topic, number);
    if (number == 0 || (epoch == NULL && topic != NULL && number < topic->epochs[topic->count - 1].number))
        return E4_EPOCH_CONFLICT;
    if (e4_fingerprint(key, fingerprint) != E4_OK)
        return E4_FAILED;
    if (epoch != NULL && !(epoch->has_key ? e4_equal(epoch->key, key, 32) : e4_equal(epoch->fingerprint, fingerprint, 8)))
        return E4_EPOCH_CONFLICT;
    if (topic == NULL && (topic = known(device, entry)) == NULL && (topic = place_for(device, entry)) == NULL)
        return E4_UNSUPPORTED;
    if (epoch == NULL) {
        epoch = add(topic);
        epoch->number = number;
        epoch->limit = E4_NO_LIMIT;
    }
    memcpy(epoch->key, key, 32);
    memcpy(epoch->fingerprint, fingerprint, 8);
    epoch->has_key = 1;
    epoch->use = entry[68];
    epoch->validity = (uint32_t)e4_get(entry + 69, 4);
    epoch->not_after = e4_get(entry + 73, 8);
    for (e4_epoch *each = topic->epochs; each < epoch; each++)
        each->limit = each->limit < older ? each->limit : older;
    return E4_OK;
}

void e4_remove_topic(e4_device *device, const uint8_t hash[32])
{
    e4_topic2 *topic = known(device, hash);
    if (topic != NULL) {
        e4_wipe(topic->epochs, sizeof topic->epochs);
        topic->count = 0;
    }
}
