package bootstrap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// departed are the recorded layers that aren't among the steps, each before the layers that it needs.
func (x *run) departed() []Record {
	var gone []Record
	for name, record := range x.known {
		if _, wanted := x.outcomes[name]; !wanted {
			gone = append(gone, record)
		}
	}
	slices.SortFunc(gone, func(a, b Record) int { return strings.Compare(a.Layer, b.Layer) })
	return needersFirst(gone)
}

// needersFirst orders records so that each comes before those it needs. Records that need one another, which no platform that
// was loaded has, stay in the order they came in.
func needersFirst(records []Record) []Record {
	var ordered []Record
	for len(records) > 0 {
		at := max(0, slices.IndexFunc(records, func(candidate Record) bool {
			return !slices.ContainsFunc(records, func(r Record) bool { return slices.Contains(r.Needs, candidate.Layer) })
		}))
		ordered = append(ordered, records[at])
		records = slices.Delete(slices.Clone(records), at, at+1)
	}
	return ordered
}

// removeLayers removes the departed layers one after another, once all others are done: objects may have moved.
func (x *run) removeLayers(ctx context.Context) {
	for _, record := range x.departed() {
		if x.failed || ctx.Err() != nil {
			return
		}
		started := time.Now()
		x.emit(record.Layer, stateRunning, "no longer among the layers: removing what it left", 0)
		count, err := x.removeLayer(ctx, record)
		seconds := time.Since(started).Seconds()
		if err != nil {
			err = fmt.Errorf("removing layer %s%s: %w", record.Layer, boundNote(ctx, err, defaultTimeout), err)
			x.failed, x.errs = true, append(x.errs, err)
			x.emit(record.Layer, string(StateFailed), err.Error(), seconds)
			return
		}
		x.emit(record.Layer, string(StateApplied), fmt.Sprintf("removed, %d objects", count), seconds)
	}
}

// removeLayer takes the record's key away first: if the layer comes back before it was removed entirely, it isn't cached.
func (x *run) removeLayer(ctx context.Context, record Record) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	record.Done, record.Key = false, ""
	if err := x.Records.Put(ctx, record); err != nil {
		return 0, err
	}
	pruned, err := x.prune(ctx, record.Objects, nil)
	if err != nil {
		return len(pruned), err
	}
	return len(pruned), x.Records.Delete(ctx, record.Layer)
}
