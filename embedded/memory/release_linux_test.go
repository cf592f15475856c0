package memory

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

const smaps = `00400000-00600000 r--p 00000000 fe:00 1    /bin/idp
Size:               2048 kB
Anonymous:             0 kB
00600000-00a00000 r-xp 00200000 fe:00 1    /bin/idp
Anonymous:             0 kB
00a00000-00a01000 r--p 00600000 fe:00 1    /bin/idp
Anonymous:             4 kB
00a01000-00b00000 rw-p 00601000 fe:00 1    /bin/idp
Anonymous:             0 kB
00c00000-00d00000 r--s 00000000 fe:00 1    /bin/idp
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 2    /lib/libc.so
Anonymous:             0 kB
7fff00000000-7fff00100000 rw-p 00000000 00:00 0    [stack]
Anonymous:            12 kB
`

func TestUntouched(t *testing.T) {
	require.Equal(t, []mapping{
		{start: 0x400000, size: 0x200000},
		{start: 0x600000, size: 0x400000},
	}, untouched(smaps, "/bin/idp"), "not what was written to, can be written to, is shared or belongs to others")
	require.Empty(t, untouched("garbage\n\nxx-yy r-xp 0 0 0 /bin/idp\nAnonymous: 0 kB\n", "/bin/idp"))
}

func FuzzUntouched(f *testing.F) {
	f.Add(smaps)
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range untouched(text, "/bin/idp") {
			require.Positive(t, m.size)
		}
	})
}

func TestReleaseLeavesTheProgramWhole(t *testing.T) {
	self, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	data, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	require.NotEmpty(t, untouched(string(data), self))
	releaseProgram()
	require.NotEmpty(t, untouched(smaps, "/bin/idp"), "code runs as before")
}
