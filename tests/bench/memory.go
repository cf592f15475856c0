package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// settleTime is how long a cluster is left alone before its memory counts as settled.
const settleTime = 90 * time.Second

// usage is the memory of a cluster's processes, in bytes. The processes are one program: a resident set counts the pages that
// they share once for each of them, a proportional set once in all.
type usage struct{ resident, proportional int64 }

// footprint is one cold up whose memory is looked at every second, which is why none of the timed runs does it.
func (b *bencher) footprint(ctx context.Context) (peak, settled usage, err error) {
	const name = "memory"
	state := filepath.Join(b.state, "idp", name)
	if err := os.RemoveAll(filepath.Join(b.cache, "idp", "snapshots")); err != nil {
		return peak, settled, err
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.up(ctx, name)
		done <- err
	}()
	defer func() { _ = b.down(context.WithoutCancel(ctx), name) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var end <-chan time.Time
	for {
		select {
		case err := <-done:
			if err != nil {
				return peak, settled, err
			}
			done, end = nil, time.After(settleTime)
		case <-tick.C:
			now, err := usageBelow(state)
			if err != nil {
				return peak, settled, err
			}
			peak.resident, peak.proportional = max(peak.resident, now.resident), max(peak.proportional, now.proportional)
		case <-end:
			settled, err := usageBelow(state)
			return peak, settled, err
		case <-ctx.Done():
			return peak, settled, context.Cause(ctx)
		}
	}
}

// usageBelow adds up the processes that work on the state folder.
func usageBelow(state string) (usage, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return usage{}, err
	}
	var total usage
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte(state)) {
			continue // ended meanwhile, or not ours
		}
		rollup, err := os.ReadFile(filepath.Join(filepath.Dir(file), "smaps_rollup"))
		if err != nil {
			continue
		}
		for text := range strings.SplitSeq(string(rollup), "\n") {
			var kib int64
			if n, _ := fmt.Sscanf(text, "Rss: %d kB", &kib); n == 1 {
				total.resident += kib << 10
			}
			if n, _ := fmt.Sscanf(text, "Pss: %d kB", &kib); n == 1 {
				total.proportional += kib << 10
			}
		}
	}
	return total, nil
}
