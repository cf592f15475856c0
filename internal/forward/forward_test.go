package forward

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// upper answers with what it was sent once the sender is done, and a word of its own.
func answering(t *testing.T, word string) string {
	l := listen(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			said, _ := io.ReadAll(conn)
			_, _ = conn.Write(append(said, word...))
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

func say(t *testing.T, address, what string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, what)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	return string(answer)
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	entrance, target := listen(t), answering(t, " first")
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, entrance, func() string { return target }) }()
	at := entrance.Addr().String()

	require.Equal(t, "hello first", say(t, at, "hello"), "the end of one way doesn't end the other")
	target = answering(t, " second")
	require.Equal(t, "hello second", say(t, at, "hello"), "the target may move")
	target = "127.0.0.1:1"
	require.Empty(t, say(t, at, ""), "nobody there")

	waiting, err := net.Dial("tcp", at)
	require.NoError(t, err)
	defer func() { _ = waiting.Close() }()
	cancel()
	require.NoError(t, <-served)
}
