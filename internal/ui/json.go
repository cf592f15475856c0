package ui

import (
	"encoding/json"
	"io"
	"sync"
)

// JSON writes each event as one line of JSON.
type JSON struct {
	mu  sync.Mutex
	enc *json.Encoder
}

// NewJSON returns a view for programs.
func NewJSON(w io.Writer) *JSON {
	return &JSON{enc: json.NewEncoder(w)}
}

// Show writes the event. A reader that went away is no reason to stop the work, so a failed write is dropped.
func (j *JSON) Show(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.enc.Encode(e)
}

// Close does nothing: every line is complete as it stands.
func (j *JSON) Close() {}
