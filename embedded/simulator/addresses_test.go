package simulator

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddresses(t *testing.T) {
	inUse := map[netip.Addr]bool{netip.MustParseAddr("10.0.0.2"): true}
	a := &addresses{pools: map[string]*pool{}, inUse: func(context.Context, string) (map[netip.Addr]bool, error) {
		out := map[netip.Addr]bool{}
		for k := range inUse {
			out[k] = true
		}
		return out, nil
	}}
	next := func(pod string) string {
		got, err := a.Next(context.Background(), "n", "10.0.0.0/29", pod) // .1 is the bridge's, .7 for broadcast
		require.NoError(t, err)
		return got
	}
	require.Equal(t, "10.0.0.3", next("a"), "an address from before the start is skipped")
	require.Equal(t, "10.0.0.4", next("b"))
	require.Equal(t, "10.0.0.3", next("a"), "a stage played twice gets the same address")
	require.Equal(t, "10.0.0.5", next("c"))
	require.Equal(t, "10.0.0.6", next("d"))

	// The range is used up; what is free by now is given again.
	inUse = map[netip.Addr]bool{netip.MustParseAddr("10.0.0.3"): true}
	require.Equal(t, "10.0.0.2", next("e"))
	require.Equal(t, "10.0.0.4", next("f"))

	for _, ip := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"} {
		inUse[netip.MustParseAddr(ip)] = true
	}
	a.pools = map[string]*pool{}
	_, err := a.Next(context.Background(), "n", "10.0.0.0/29", "g")
	require.ErrorContains(t, err, "node n: no address is left in 10.0.0.0/29")
}
