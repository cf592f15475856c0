package platform

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
)

// keyBytes of the digest are enough: keys tell apart the states of one platform, they guard against no one.
const keyBytes = 16

// Key is a layer's key: 32 hex digits over the engine's schema version, the layer as rendered, its gates and, in the order of its needs,
// the keys of the layers it needs. Equal keys mean that running the layer again would change nothing.
// Where a gate stands in its file makes no difference.
func Key(schema string, rendered []byte, gates []Gate, needs []string) string {
	h := sha256.New()
	part(h, []byte(schema))
	part(h, rendered)
	part(h, gateBytes(gates))
	for _, key := range needs {
		part(h, []byte(key))
	}
	return hex.EncodeToString(h.Sum(nil)[:keyBytes])
}

// part writes a length first, so that no two different lists of parts are the same bytes.
func part(h hash.Hash, data []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(data)))
	h.Write(length[:])
	h.Write(data)
}

func gateBytes(gates []Gate) []byte {
	plain := make([]Gate, 0, len(gates))
	for _, g := range gates {
		g.Line = 0
		plain = append(plain, g)
	}
	data, err := json.Marshal(plain)
	if err != nil {
		// Load builds gates of JSON values only; anything else still has to get a key of its own.
		return fmt.Appendf(nil, "%#v", plain)
	}
	return data
}
