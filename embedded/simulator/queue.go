package simulator

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// work is a queue of keys with one worker, and retries that are spaced further and further.
type work[K comparable] struct {
	queue workqueue.TypedRateLimitingInterface[K]
	log   *slog.Logger
	// do handles a key. again asks for another try though nothing failed: something is not there yet.
	do func(ctx context.Context, key K) (again bool, err error)
}

func newWork[K comparable](log *slog.Logger, do func(context.Context, K) (bool, error)) *work[K] {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[K](250*time.Millisecond, 15*time.Second)
	return &work[K]{queue: workqueue.NewTypedRateLimitingQueue(limiter), log: log, do: do}
}

// Add puts a key in line.
func (w *work[K]) Add(key K) { w.queue.Add(key) }

// Run works until ctx ends.
func (w *work[K]) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, w.queue.ShutDown)
	defer stop()
	for {
		key, quit := w.queue.Get()
		if quit {
			return
		}
		again, err := w.do(ctx, key)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			w.log.Warn("will be tried again", "key", key, "error", err)
			w.queue.AddRateLimited(key)
		case again:
			w.queue.AddRateLimited(key)
		default:
			w.queue.Forget(key)
		}
		w.queue.Done(key)
	}
}
