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

// Environment returns the variables of a child that starts with little garbage collection, since its start is what the user
// waits for, and collects at the rate settled (see GOGC) once it runs. Above limit, in MiB, it collects whenever it can.
func Environment(settled, limit int) []string {
	const starting = 80
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
		// The first time is after the usual start; later ones catch what a slow start or a full synchronisation has touched.
		for wait := 8 * time.Second; ; wait = min(2*wait, 4*time.Minute) {
			time.Sleep(wait)
			debug.SetGCPercent(settled)
			debug.FreeOSMemory()
			releaseProgram()
		}
	}()
}
