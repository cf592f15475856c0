package ui

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// JSON writes each event that says something new as one line of JSON.
type JSON struct {
	mu   sync.Mutex
	enc  *json.Encoder
	last map[string]Event
}

// NewJSON returns a view for programs.
func NewJSON(w io.Writer) *JSON {
	return &JSON{enc: json.NewEncoder(w), last: map[string]Event{}}
}

// Show writes the event. A reader that went away is no reason to stop the work, so a failed write is dropped.
func (j *JSON) Show(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	news := e
	news.Time = time.Time{}
	if before, known := j.last[e.key()]; known && before == news {
		return
	}
	j.last[e.key()] = news
	_ = j.enc.Encode(e)
}

// Close does nothing: every line is complete as it stands.
func (j *JSON) Close() {}
