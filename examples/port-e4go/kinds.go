// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"regexp"

	miscreant "github.com/miscreant/miscreant.go"
	e4 "github.com/teserakt-io/e4go"
	e4crypto "github.com/teserakt-io/e4go/crypto"
	"github.com/teserakt-io/e4go/keys"
)

// named is what e4go exports, and the kind that the port protocol has for it.
var named = []struct {
	err  error
	kind string
}{
	{e4.ErrInvalidCommand, "unknown_command"},
	{e4.ErrTopicKeyNotFound, "topic_key_missing"},
	{e4.ErrUnsupportedOperation, "unsupported"},
	{e4crypto.ErrInvalidProtectedLen, "bad_length"},
	{e4crypto.ErrInvalidSignature, "bad_signature"},
	{e4crypto.ErrTimestampInFuture, "timestamp_future"},
	{e4crypto.ErrTimestampTooOld, "timestamp_old"},
	{e4crypto.ErrTooShortCipher, "too_short"},
	{keys.ErrPubKeyNotFound, "unknown_sender"},
	{miscreant.ErrNotAuthentic, "not_authentic"},
}

// worded is what e4go only says in words.
var worded = []struct {
	text *regexp.Regexp
	kind string
}{
	{regexp.MustCompile(`^invalid \w+ length$`), "bad_command_length"},
	{regexp.MustCompile(`^no public key exists for id`), "pubkey_missing"},
	{regexp.MustCompile(`^too short ciphertext$`), "bad_length"},
	{regexp.MustCompile(`invalid ID length`), "bad_length"},
	{regexp.MustCompile(`^invalid old topic key length$`), "bad_state"},
	{regexp.MustCompile(`invalid (symmetric|private|public) key|X25519 failed`), "bad_key"},
}

// ofCommand are the kinds that e4go gives only after a command was authentic.
var ofCommand = map[string]bool{
	"bad_command_length": true, "bad_key": true, "pubkey_missing": true, "unknown_command": true, "unsupported": true,
}

// kindOf is "internal" for what e4go has never been seen to say.
func kindOf(err error) string {
	for _, each := range named {
		if errors.Is(err, each.err) {
			return each.kind
		}
	}
	for _, each := range worded {
		if each.text.MatchString(err.Error()) {
			return each.kind
		}
	}
	return "internal"
}
