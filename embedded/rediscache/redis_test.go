package rediscache

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestServe(t *testing.T) {
	dir, err := os.MkdirTemp("", "idp") // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	require.NoError(t, os.WriteFile(socket, nil, 0o600), "what a killed supervisor left")
	stop, err := Serve(socket)
	require.NoError(t, err)
	client := redis.NewClient(&redis.Options{Addr: socket})
	require.NoError(t, client.Set(t.Context(), "k", "v", time.Hour).Err())
	value, err := client.Get(t.Context(), "k").Result()
	require.NoError(t, err)
	require.Equal(t, "v", value)
	require.NoError(t, client.Close())
	stop()
	stopped := redis.NewClient(&redis.Options{Addr: socket, MaxRetries: -1})
	require.Error(t, stopped.Get(t.Context(), "k").Err())
	require.NoError(t, stopped.Close())
}
