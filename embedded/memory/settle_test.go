package memory

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPace(t *testing.T) {
	const live = 400 << 20
	tests := map[string]struct {
		allocated uint64
		settled   int
		percent   int
		rests     bool
	}{
		"nothing to do":         {0, 40, 10, true},
		"a few requests":        {20 << 20, 80, 20, true},
		"never below the least": {20 << 20, 16, 10, true},
		"a synchronisation":     {101 << 20, 40, 40, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			percent, rests := pace(tt.allocated, live, tt.settled)
			require.Equal(t, tt.percent, percent)
			require.Equal(t, tt.rests, rests)
		})
	}
}

func TestReadSeesAllocations(t *testing.T) {
	before := read()
	kept := make([]byte, 8<<20)
	after := read()
	require.GreaterOrEqual(t, after.allocated-before.allocated, uint64(len(kept)))
}
