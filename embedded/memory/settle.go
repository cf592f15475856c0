// Package memory gives back what a process needed only to start. Nine processes of one big program would otherwise each keep
// the pages of all its start-up code mapped, and the garbage that a start makes.
package memory

import (
	"os"
	"runtime/debug"
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

// SettleAt does the same for a process that nobody gave the variables; settled is its GOGC from then on.
func SettleAt(settled int) {
	go func() {
		time.Sleep(startLasts)
		collectAt := startLasts
		for age := startLasts; ; age += releaseEvery {
			if age >= collectAt {
				// Once after the start; later for what a full synchronisation has left.
				debug.SetGCPercent(settled)
				debug.FreeOSMemory()
				collectAt = min(2*age, age+4*time.Minute)
			}
			releaseProgram()
			time.Sleep(releaseEvery)
		}
	}()
}
