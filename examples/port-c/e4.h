/* SPDX-License-Identifier: Apache-2.0 */
/* A device of E4 in portable C99: suites `sk` (Format 1, wire.md) and `fips-sk` (Format 2, format2.md).
 *
 * One flat struct e4_device holds everything; nothing is allocated. The clock comes with each call, random bytes and what must
 * survive a power cut go through e4_platform. One thread at a time may use a device. All lengths are in bytes. */
#ifndef E4_H
#define E4_H

#include <stddef.h>
#include <stdint.h>

/* What a port may choose (format2.md section 8); give others with -D. */
#ifndef E4_TOPICS
#define E4_TOPICS 4 /* topics held at a time */
#endif
#ifndef E4_EPOCHS
#define E4_EPOCHS 3 /* epochs a topic, at least 2 */
#endif
#ifndef E4_SESSIONS
#define E4_SESSIONS 8 /* sessions remembered a topic, at least 8 */
#endif
#ifndef E4_PAYLOAD
#define E4_PAYLOAD 1024 /* longest payload of a message */
#endif
#ifndef E4_COMMAND
#define E4_COMMAND 1024 /* longest command */
#endif
#ifndef E4_SEEN
#define E4_SEEN 48 /* Format 1: messages remembered, of all topics together */
#endif
#ifndef E4_SENT
#define E4_SENT 32 /* Format 1: own messages remembered */
#endif
#ifndef E4_OBEYED
#define E4_OBEYED 32 /* Format 1: commands remembered */
#endif
#ifndef E4_DECLINED
#define E4_DECLINED 8 /* Format 1: commands that were declined, and are not answered again */
#endif
#if E4_EPOCHS < 2 || E4_SESSIONS < 8
#error "a device of Format 2 has room for 2 epochs and 8 sessions a topic at least"
#endif
#define E4_WINDOW 64   /* Format 2: sequences below the highest that are told apart: the bits of e4_session.missing */
#define E4_HELLOS 8    /* hellos whose nonces count */
#define E4_TOPIC_NAME 512
#define E4_SKEW (600 * E4_SECOND)
#define E4_REPORT 85   /* longest report */
#define E4_OVERHEAD 57 /* at most so many bytes a message is longer than its payload */

#define E4_SECOND UINT64_C(1000000)
typedef uint64_t e4_time; /* Unix time in microseconds */

typedef enum { E4_SK, E4_FIPS_SK } e4_suite;

/* What became of a call; e4_kind gives the name that the specification has for it. */
typedef enum {
    E4_OK,
    /* the six reasons to refuse a command, by their number in an acknowledgement */
    E4_BAD_COMMAND_LENGTH,
    E4_UNKNOWN_COMMAND,
    E4_UNSUPPORTED,
    E4_BAD_KEY,
    E4_PUBKEY_MISSING,
    E4_EPOCH_CONFLICT,
    E4_BAD_LENGTH,
    E4_BAD_TOPIC,
    E4_BAD_VERSION,
    E4_CLOCK_UNSET,
    E4_CLOSED,
    E4_EPOCH_RETIRED,
    E4_EPOCH_UNKNOWN,
    E4_FAILED, /* the cryptographic library, or the generator of random bytes */
    E4_KEY_EXPIRED,
    E4_NOT_AUTHENTIC,
    E4_RATE_EXCEEDED,
    E4_REPLAYED,
    E4_STORAGE,
    E4_TIMESTAMP_FUTURE,
    E4_TIMESTAMP_OLD,
    E4_TOO_SHORT,
    E4_TOPIC_KEY_MISSING
} e4_result;

const char *e4_kind(e4_result result);

/* What became of a command that was authentic: numbers of format2.md section 4.1. */
typedef enum { E4_APPLIED, E4_ALREADY, E4_REFUSED, E4_OUTDATED } e4_outcome;

typedef enum { E4_KEPT, E4_REMEMBERED } e4_part; /* of the state, as storage sees it */

/* What the hardware gives. Each returns 0, or anything else if it failed. */
typedef struct {
    void *context;
    int (*random)(void *context, uint8_t *out, size_t length);
    /* Replaces a part atomically: after a power cut the old one is read, or the new one. Only once it is safe it returns. */
    int (*save)(void *context, e4_part part, const void *data, size_t length);
    int (*load)(void *context, e4_part part, void *data, size_t length);
} e4_platform;

/* --- The state. Only this library looks into it; it is here so that its size is known. --- */

/* Format 1 */
typedef struct {
    uint64_t rotated; /* second in which previous was replaced */
    uint8_t hash[16], key[32], fingerprint[8], previous[32];
    uint8_t held, has_previous;
} e4_topic1;

typedef struct {
    uint64_t second;
    uint8_t tag[8];
} e4_tag; /* first half of a SIV. A false match does no more than refuse a message, or send one a second later */

typedef struct {
    uint64_t newest, floor; /* seconds, of commands */
    uint64_t sent;          /* timestamps up to this one may have been used */
    uint32_t count;
    e4_topic1 topics[E4_TOPICS];
    e4_tag obeyed[E4_OBEYED]; /* in no order, as all of them */
} e4_kept1;

typedef struct {
    uint64_t floor; /* nothing sent at or before this second is accepted */
    uint32_t count;
    e4_tag seen[E4_SEEN]; /* exclusive or with the topic hash */
} e4_remembered1;

typedef struct {
    uint64_t second;            /* timestamp of own messages */
    uint64_t begins;            /* second of the own clock for which that holds */
    uint64_t own_floor, floor;  /* of this run, and of what is remembered of it */
    uint32_t count, declined_count;
    uint8_t begun, asked;
    uint8_t nonce[16]; /* of the hello that was not answered yet, if asked */
    uint8_t declined[E4_DECLINED][8];
    e4_tag sent[E4_SENT];
} e4_run1;

/* Format 2 */
typedef struct {
    uint64_t not_after, limit; /* limit: UINT64_MAX, none */
    uint32_t number, validity;
    uint8_t key[32], fingerprint[8];
    uint8_t use, has_key;
} e4_epoch;

typedef struct {
    uint8_t hash[32];
    uint8_t known;  /* the place belongs to this topic, held or not, and what is remembered of it counts */
    uint8_t fresh;  /* new here: what is remembered in this place is of another topic */
    uint8_t count;  /* epochs, by rising number; 0: not held */
    e4_epoch epochs[E4_EPOCHS];
} e4_topic2;

typedef struct {
    uint64_t last, starts;
    e4_topic2 topics[E4_TOPICS];
} e4_kept2;

typedef struct {
    uint64_t missing;       /* bit k: the sequence highest - 1 - k was not accepted yet */
    uint64_t newest, floor; /* timestamps: nothing at or below floor is accepted */
    uint32_t epoch, highest;
    uint8_t who[24]; /* sender id, session */
} e4_session;

typedef struct {
    uint64_t floor, gone; /* gone: newest timestamp of what left with its epoch */
    uint32_t retired;     /* highest number that left */
    uint32_t count;
    uint32_t numbers[E4_EPOCHS]; /* epochs that the sessions may be of; 0: none */
    e4_session sessions[E4_SESSIONS]; /* in the order in which they came */
} e4_remembered2[E4_TOPICS];

typedef struct {
    uint64_t next; /* sequence */
    uint32_t epoch;
} e4_counter;

typedef struct {
    struct {
        e4_time said;
        uint8_t nonce[16];
    } hellos[E4_HELLOS]; /* the oldest first */
    uint32_t hello_count;
    uint8_t session[8], has_session;
    e4_counter counters[E4_TOPICS];
} e4_run2;

typedef struct {
    uint64_t mark, floor;
    uint8_t id[16], key[32], pending[32];
    uint8_t suite, clean, has_pending;
    union {
        e4_kept1 one;
        e4_kept2 two;
    } of;
} e4_kept; /* is saved before what changed it takes effect */

typedef union {
    e4_remembered1 one;
    e4_remembered2 two;
} e4_remembered; /* is saved at a stop in order */

typedef struct {
    e4_kept kept;
    e4_remembered memory;
    union {
        e4_run1 one;
        e4_run2 two;
    } run; /* ends with the run */
    const e4_platform *platform;
    e4_time skew, already; /* already: when a command was last acknowledged as known */
    int64_t correction;    /* microseconds to add to the own clock */
    uint8_t open, answered_already, clock_trusted, has_clock, synchronised;
} e4_device;

/* --- What a device does. What fails has changed nothing, unless it says so. --- */

typedef struct {
    e4_suite suite;
    uint8_t id[16], key[32];
} e4_identity;

typedef struct {
    e4_time skew;      /* how far a sender's clock may be ahead, at most E4_SKEW */
    int clock_trusted; /* 0: nothing is protected or unprotected before a Sync (Format 2) */
} e4_settings;

/* Save the state of a device that has had no command yet, and start it. E4_BAD_KEY: the key is all zeros. */
e4_result e4_provision(e4_device *device, const e4_platform *platform, const e4_identity *identity, e4_settings settings);
/* Start from what was saved. */
e4_result e4_start(e4_device *device, const e4_platform *platform, e4_settings settings);
/* Stop in order: the next start need not refuse what is recent. */
e4_result e4_close(e4_device *device);

typedef struct {
    const uint8_t *data;
    size_t length;
} e4_bytes;

typedef struct {
    uint64_t timestamp;
    uint32_t epoch, sequence; /* 0 in Format 1 */
    uint8_t sender[16], has_sender;
    size_t length; /* of the payload */
} e4_message;

/* Args: out: payload.length + E4_OVERHEAD. */
e4_result e4_protect(e4_device *device, e4_bytes topic, e4_bytes payload, e4_time now, uint8_t *out, size_t *out_length);
/* Args: payload: E4_PAYLOAD; undefined unless E4_OK is returned. No sender is authenticated in these suites. */
e4_result e4_unprotect(e4_device *device, e4_bytes topic, e4_bytes data, e4_time now, uint8_t *payload, e4_message *message);

typedef struct {
    e4_outcome outcome;
    e4_result error;      /* why it was not applied */
    int synchronised;     /* whether the C2 has answered the last hello */
    size_t report_length; /* 0: there is none */
    uint8_t report[E4_REPORT];
} e4_handled;

/* Obey a command. Returns E4_OK if it was authentic; what became of it is in handled. Args: room: as many bytes as data has;
 * what is left there is secret. */
e4_result e4_command(e4_device *device, e4_bytes data, e4_time now, uint8_t *room, e4_handled *handled);
/* Report that asks the C2 for a Sync. Args: report: E4_REPORT. */
e4_result e4_hello(e4_device *device, e4_time now, uint8_t *report, size_t *length);

/* --- What may be seen of it --- */

/* State digest (format2.md section 4.2) of what is held. */
e4_result e4_digest(const e4_device *device, uint8_t digest[16]);
/* Sequence of the newest command; 0 in Format 1. */
uint64_t e4_last(const e4_device *device);

typedef struct {
    const uint8_t *hash;
    size_t hash_length, place; /* place: for the library */
    size_t count;
    uint32_t epochs[E4_EPOCHS]; /* that are held with their key, by rising number; none in Format 1 */
} e4_held;

/* The topic that is held next, by the order of their hashes; begin with hash = NULL. Returns 0 after the last. */
int e4_next_held(const e4_device *device, e4_held *held);

#endif
