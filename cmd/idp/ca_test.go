package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/idp-blueprint/idp/internal/secrets"
	"github.com/stretchr/testify/require"
)

func TestListAuthorities(t *testing.T) {
	when := time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC)
	authorities := []secrets.Authority{{Name: "old", Expires: when, Signed: []string{}}, {Name: "new", Expires: when, Signed: []string{"a/b", "c/d"}}}
	var out bytes.Buffer
	require.NoError(t, listAuthorities(&out, &options{}, authorities))
	require.Equal(t, "AUTHORITY  EXPIRES     SIGNED\nold        2036-01-02  nothing\nnew        2036-01-02  a/b\nnew        2036-01-02  c/d\n", out.String())
	out.Reset()
	require.NoError(t, listAuthorities(&out, &options{output: "json"}, authorities[:1]))
	require.JSONEq(t, `[{"name":"old","expires":"2036-01-02T03:04:05Z","signed":[]}]`, out.String())
}
