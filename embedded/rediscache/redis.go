// Package rediscache is the Redis that Argo CD keeps its caches in: an in-memory one, on a Unix socket.
package rediscache

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// tick is how often keys age: miniredis, made for tests, only knows the time it is told.
const tick = 10 * time.Second

// Serve answers Redis clients on the Unix socket until stop is called. Who may open the socket may read and write.
func Serve(socket string) (stop func(), err error) {
	if err := os.RemoveAll(socket); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	redis := miniredis.NewMiniRedis()
	done := make(chan struct{})
	go age(redis, done)
	go accept(listener, redis)
	return func() {
		close(done)
		_ = listener.Close()
		redis.Close()
	}, nil
}

func accept(listener net.Listener, redis *miniredis.Miniredis) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		// miniredis listens on TCP alone, but serves in-memory connections too.
		server, err := redis.Dial()
		if err != nil {
			_ = client.Close()
			continue
		}
		go pipe(client, server)
		go pipe(server, client)
	}
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

func age(redis *miniredis.Miniredis, done <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			redis.FastForward(tick)
		case <-done:
			return
		}
	}
}
