package render

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Impure renders twice and names the objects that differ, as "Kind namespace/name". Such objects, made with random values, fresh
// certificates or the time, would be another each time Argo CD looks. The second render is in a later second of the clock than the
// first, so it takes up to a second longer than two renders.
func Impure(ctx context.Context, r Request) ([]string, error) {
	first, err := Render(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := nextSecond(ctx); err != nil {
		return nil, fmt.Errorf("render %s: %w", r.App, err)
	}
	second, err := Render(ctx, r)
	if err != nil {
		return nil, err
	}
	return differing(first, second), nil
}

func nextSecond(ctx context.Context) error {
	now := time.Now()
	timer := time.NewTimer(now.Truncate(time.Second).Add(time.Second).Sub(now))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// differing compares the two lists place by place: a random name moves nothing, since Helm's order is that of files and kinds.
func differing(first, second []Object) []string {
	names := map[string]bool{}
	for i := range max(len(first), len(second)) {
		switch {
		case i >= len(first):
			names[label(second[i])] = true
		case i >= len(second):
			names[label(first[i])] = true
		case !reflect.DeepEqual(first[i].Object, second[i].Object):
			names[label(first[i])] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func label(o Object) string {
	if o.GetNamespace() == "" {
		return fmt.Sprintf("%s %s", o.GetKind(), o.GetName())
	}
	return fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
}
