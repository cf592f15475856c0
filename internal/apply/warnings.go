package apply

import (
	"context"
	"sync"
)

// Warning is what the API server remarked on an object that it accepted: an unknown field, a deprecated version, a webhook's
// word.
type Warning struct {
	Object ObjectRef
	Text   string
}

// warnings gathers what the API server remarks during one request. Safe for concurrent use.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

type warningsKey struct{}

func withWarnings(ctx context.Context) (context.Context, *warnings) {
	gathered := &warnings{}
	return context.WithValue(ctx, warningsKey{}, gathered), gathered
}

// warningCollector hands warnings to whoever made the request, instead of client-go's default, the log.
type warningCollector struct{}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (warningCollector) HandleWarningHeaderWithContext(ctx context.Context, code int, _ string, text string) {
	gathered, ok := ctx.Value(warningsKey{}).(*warnings)
	if !ok || code != 299 || text == "" {
		return
	}
	gathered.mu.Lock()
	defer gathered.mu.Unlock()
	gathered.texts = append(gathered.texts, text)
}
