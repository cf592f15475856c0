// Package memory gives back what a process needed only to start. Nine processes of one big program would otherwise each keep
// the pages of all its start-up code mapped, and the garbage that a start makes.
package memory

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"
)

const variable = "IDP_SETTLED_GOGC"

// startLasts is the time from which on a process counts as started, on a slow machine too.
const startLasts = 30 * time.Second

// releaseEvery is how often the program's pages are unmapped; mapping the used ones again takes milliseconds.
const releaseEvery = 8 * time.Second

// Environment returns the variables of a child that starts with little garbage collection, since its start is what the user
// waits for, and collects at the rate settled (see GOGC) once it runs. Above limit, in MiB, it collects whenever it can, so limit has to
// be well above what lives: near it, a process does little else.
func Environment(settled, limit int) []string {
	const starting = 200
	return []string{
		"GOGC=" + strconv.Itoa(starting),
		"GOMEMLIMIT=" + strconv.Itoa(limit) + "MiB",
		variable + "=" + strconv.Itoa(settled),
	}
}

// Settle makes this process give memory back once its start is over. Without the variables of Environment it does nothing.
func Settle() {
	settled, err := strconv.Atoi(os.Getenv(variable))
	if err != nil {
		return
	}
	// Helpers like helm are Go programs too, and must not inherit them.
	for _, name := range []string{variable, "GOGC", "GOMEMLIMIT"} {
		_ = os.Unsetenv(name)
	}
	SettleAt(settled)
}

// SettleAt does the same for a process that nobody gave the variables; settled is its GOGC from then on while it works, and a
// fraction of it while it rests.
func SettleAt(settled int) {
	go func() {
		time.Sleep(startLasts)
		collectAt, resting := startLasts, false
		before := read()
		for age := startLasts; ; age += releaseEvery {
			now := read()
			percent, rests := pace(now.allocated-before.allocated, now.live, settled)
			debug.SetGCPercent(percent)
			if age >= collectAt || rests && !resting {
				// After the start, whenever work has ended, and now and then for what little by little was left.
				debug.FreeOSMemory()
				collectAt = min(2*age, age+4*time.Minute)
			}
			before, resting = now, rests
			releaseProgram()
			time.Sleep(releaseEvery)
		}
	}()
}

// pace decides from what was allocated since the last look, in bytes, and what lives, at which GOGC to go on, and whether the
// process rests. One that rests collects early, which then costs next to nothing; one that works would do little else.
func pace(allocated, live uint64, settled int) (percent int, rests bool) {
	const part, least = 4, 10
	if allocated > live/part {
		return settled, false
	}
	return max(settled/part, least), true
}

// heap is what has been allocated since the start and what lived at the last collection, in bytes.
type heap struct{ allocated, live uint64 }

func read() heap {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64()}
}
