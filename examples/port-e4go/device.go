// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"sort"

	e4 "github.com/teserakt-io/e4go"
)

const (
	currentKeyLen = 32 // a previous topic key lies in the same table, with the second of its end: 40
	timestampLen  = 8
	idLen         = 16
)

// device is one client of e4go and the memory in which it saves itself.
type device struct {
	client   e4.Client
	store    e4.ReadWriteSeeker
	isPublic bool
	isClosed bool
}

func newDevice(isPublic bool, id, private, c2Public []byte) (*device, error) {
	var config e4.ClientConfig = &e4.SymIDAndKey{ID: id, Key: private}
	if isPublic {
		config = &e4.PubIDAndKey{ID: id, Key: private, C2PubKey: c2Public}
	}
	store := e4.NewInMemoryStore(nil)
	client, err := e4.NewClient(config, store)
	return &device{client: client, store: store, isPublic: isPublic}, err
}

// restart leaves the device stopped if e4go cannot load what it saved itself.
func (d *device) restart() (any, error) {
	d.isClosed = true
	if err := d.rewind(); err != nil {
		return nil, err
	}
	client, err := e4.LoadClient(d.store)
	if err != nil {
		return nil, err
	}
	d.client, d.isClosed = client, false
	return struct{}{}, nil
}

func (d *device) rewind() error {
	_, err := d.store.Seek(0, io.SeekStart)
	return err
}

func (d *device) close() (any, error) {
	d.isClosed = true
	return struct{}{}, nil
}

func (d *device) protect(payload []byte, topic string) (any, error) {
	data, err := d.client.ProtectMessage(payload, topic)
	return map[string]any{"data": hex.EncodeToString(data)}, err
}

// unprotect tells the sender, which e4go does not: it stands before what the signature covers, and was verified.
func (d *device) unprotect(data []byte, topic string) (any, error) {
	payload, err := d.client.Unprotect(data, topic)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"payload":       hex.EncodeToString(payload),
		"sender":        nil,
		"authenticated": d.isPublic,
		"timestamp":     binary.LittleEndian.Uint64(data),
	}
	if d.isPublic && !d.client.IsReceivingTopic(topic) {
		answer["sender"] = hex.EncodeToString(data[timestampLen : timestampLen+idLen])
	}
	return answer, nil
}

func (d *device) command(data []byte) (any, error) {
	_, err := d.client.Unprotect(data, d.client.GetReceivingTopic())
	answer := map[string]any{"outcome": "applied", "reports": []string{}, "synchronised": false}
	if err == nil {
		return answer, nil
	}
	kind := kindOf(err)
	if !ofCommand[kind] {
		return nil, err
	}
	answer["outcome"], answer["error"] = "refused", kind
	return answer, nil
}

// show reads what e4go saved; it lets nobody look into a client.
func (d *device) show() (any, error) {
	var saved struct {
		TopicKeys map[string][]byte
		Key       struct {
			KeyData struct{ PubKeys map[string][]byte } `json:"keyData"`
		}
	}
	if err := d.rewind(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(d.store).Decode(&saved); err != nil {
		return nil, err
	}
	if err := d.rewind(); err != nil {
		return nil, err
	}
	type topic struct {
		Hash   string `json:"hash"`
		Epochs []int  `json:"epochs"`
	}
	topics, peers := []topic{}, []string{}
	for hash, key := range saved.TopicKeys {
		if len(key) == currentKeyLen {
			topics = append(topics, topic{hash, []int{}})
		}
	}
	for id := range saved.Key.KeyData.PubKeys {
		peers = append(peers, id)
	}
	sort.Slice(topics, func(i, j int) bool { return topics[i].Hash < topics[j].Hash })
	sort.Strings(peers)
	return map[string]any{"topics": topics, "peers": peers}, nil
}
