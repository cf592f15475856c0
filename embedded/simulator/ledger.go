package simulator

import (
	"slices"
	"sync"
)

// ledger remembers what was really simulated so far, for the status.
type ledger struct {
	mu    sync.Mutex
	items map[string]struct{}
}

func newLedger() *ledger { return &ledger{items: map[string]struct{}{}} }

// Add notes one thing, e.g. "kubelet" or "webhook cert-manager-webhook.cert-manager".
func (l *ledger) Add(item string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items[item] = struct{}{}
}

// List returns everything noted so far, sorted.
func (l *ledger) List() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]string, 0, len(l.items))
	for i := range l.items {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}
