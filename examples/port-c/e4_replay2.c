/* SPDX-License-Identifier: Apache-2.0 */
/* Format 2: the bounded memory of what was accepted (format2.md section 2.6).
 *
 * It follows what is saved: only once topics and epochs are safe on storage, what was remembered of others is given up. */
#include "e4_internal.h"

#include <string.h>

static size_t of_number(const uint32_t *numbers, uint32_t number)
{
    size_t i = 0;
    while (i < E4_EPOCHS && numbers[i] != number)
        i++;
    return i;
}

uint64_t e4_newest2(const e4_device *device, size_t topic)
{
    uint64_t newest = e4_max(device->memory.two[topic].floor, device->memory.two[topic].gone);
    for (uint32_t i = 0; i < device->memory.two[topic].count; i++)
        newest = e4_max(newest, device->memory.two[topic].sessions[i].newest);
    return newest;
}

static void forget(e4_device *device, size_t topic, uint32_t place)
{
    e4_session *sessions = device->memory.two[topic].sessions;
    uint32_t after = --device->memory.two[topic].count - place;
    memmove(&sessions[place], &sessions[place + 1], after * sizeof sessions[0]);
}

/* Forget the epochs that have left the topic; nothing of them is accepted again, so the floor stays. */
static void keep(e4_device *device, size_t place)
{
    const e4_topic2 *topic = &device->kept.of.two.topics[place];
    uint32_t numbers[E4_EPOCHS] = {0}, *known = device->memory.two[place].numbers;
    uint32_t *retired = &device->memory.two[place].retired;
    int returned = 0;
    for (size_t i = 0; i < topic->count; i++) {
        numbers[i] = topic->epochs[i].number;
        returned |= numbers[i] <= *retired && of_number(known, numbers[i]) == E4_EPOCHS;
    }
    for (size_t i = 0; i < E4_EPOCHS; i++)
        if (known[i] != 0 && of_number(numbers, known[i]) == E4_EPOCHS)
            *retired = *retired > known[i] ? *retired : known[i];
    for (uint32_t i = device->memory.two[place].count; i-- > 0;) {
        const e4_session *session = &device->memory.two[place].sessions[i];
        if (of_number(numbers, session->epoch) < E4_EPOCHS)
            continue;
        device->memory.two[place].gone = e4_max(device->memory.two[place].gone, session->newest);
        forget(device, place, i);
    }
    memcpy(known, numbers, sizeof numbers);
    /* should one come back all the same (its topic was removed in between), what it has accepted counts by its floor */
    if (returned)
        device->memory.two[place].floor = e4_max(device->memory.two[place].floor, device->memory.two[place].gone);
}

void e4_follow2(e4_device *device)
{
    for (size_t i = 0; i < E4_TOPICS; i++)
        if (device->kept.of.two.topics[i].count > 0)
            keep(device, i);
}

e4_result e4_adopt2(e4_device *device)
{
    uint8_t fresh[E4_TOPICS];
    e4_result result;
    for (size_t i = 0; i < E4_TOPICS; i++) {
        fresh[i] = device->kept.of.two.topics[i].fresh;
        device->kept.of.two.topics[i].fresh = 0;
        if (fresh[i])
            device->kept.floor = e4_max(device->kept.floor, e4_newest2(device, i));
    }
    result = e4_save(device);
    for (size_t i = 0; i < E4_TOPICS && result == E4_OK; i++) {
        if (!fresh[i])
            continue;
        memset(&device->memory.two[i], 0, sizeof device->memory.two[i]);
        device->run.two.has_session = 0; /* its sequences were counted in this place */
    }
    if (result == E4_OK)
        e4_follow2(device);
    return result;
}

e4_session *e4_session_of(e4_device *device, size_t topic, uint32_t epoch, const uint8_t who[24])
{
    e4_session *sessions = device->memory.two[topic].sessions;
    for (uint32_t i = 0; i < device->memory.two[topic].count; i++)
        if (sessions[i].epoch == epoch && memcmp(sessions[i].who, who, 24) == 0)
            return &sessions[i];
    return NULL;
}

int e4_was_seen(const e4_session *session, uint32_t sequence)
{
    if (sequence >= session->highest)
        return sequence == session->highest;
    sequence = session->highest - 1 - sequence;
    return sequence >= E4_WINDOW || !(session->missing >> sequence & 1);
}

static uint64_t ones(uint32_t count)
{
    return count >= E4_WINDOW ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static void accept(e4_session *session, uint32_t sequence)
{
    if (sequence < session->highest) {
        session->missing &= ~(UINT64_C(1) << (session->highest - 1 - sequence));
        return;
    }
    uint32_t ahead = sequence - session->highest;
    session->missing = (ahead < E4_WINDOW ? session->missing << ahead : 0) | ones(ahead - 1);
    session->highest = sequence;
}

static e4_session *make_room(e4_device *device, size_t topic)
{
    e4_session *sessions = device->memory.two[topic].sessions;
    uint32_t oldest = 0;
    if (device->memory.two[topic].count == E4_SESSIONS) {
        for (uint32_t i = 1; i < E4_SESSIONS; i++)
            if (sessions[i].newest < sessions[oldest].newest)
                oldest = i;
        device->memory.two[topic].floor = e4_max(device->memory.two[topic].floor, sessions[oldest].newest);
        forget(device, topic, oldest);
    }
    return &sessions[device->memory.two[topic].count++];
}

void e4_remember2(e4_device *device, size_t topic, const e4_session *message)
{
    e4_session *session = e4_session_of(device, topic, message->epoch, message->who);
    if (session != NULL) {
        accept(session, message->highest);
        session->newest = e4_max(session->newest, message->newest);
        return;
    }
    session = make_room(device, topic);
    *session = *message;
    session->missing = ones(message->highest); /* those below may still come, if they were sent after the floor */
}
