// Package forward passes TCP connections on: from an address that others reach to one that only this machine, or this network, does.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// dialBound is how long the other side may take to accept.
const dialBound = 10 * time.Second

// Serve accepts connections until the context ends, and passes each on to where target says at that moment. It ends with the
// connections that are open by then.
func Serve(ctx context.Context, listener net.Listener, target func() string) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting connections at %s: %w", listener.Addr(), err)
		}
		open.Go(func() { pass(ctx, conn, target()) })
	}
}

// pass copies both ways until both sides are done. A target that can't be reached ends the connection, as it would without us.
func pass(ctx context.Context, from net.Conn, target string) {
	defer func() { _ = from.Close() }()
	to, err := (&net.Dialer{Timeout: dialBound}).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	stop := context.AfterFunc(ctx, func() { _, _ = from.Close(), to.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { oneWay(to, from) })
	both.Go(func() { oneWay(from, to) })
	both.Wait()
}

// oneWay copies until the source has no more, and says so to the destination, which may still have something to answer.
func oneWay(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok {
		_ = to.Close()
		return
	}
	if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = to.Close()
	}
}
