package embedded

import (
	"slices"
	"time"
)

// aged is something in a cache.
type aged struct {
	name string
	used time.Time
	size int64 // bytes
}

// oldest returns the names of all but the keep most recently used items.
func oldest(items []aged, keep int) []string {
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b aged) int { return b.used.Compare(a.used) })
	var names []string
	for i, item := range items {
		if i >= keep {
			names = append(names, item.name)
		}
	}
	return names
}
