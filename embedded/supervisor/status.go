package supervisor

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/idp-blueprint/idp/embedded/state"
)

// Status is what GET /status on the control socket answers.
type Status struct {
	Schema     int               `json:"schema"`
	Program    string            `json:"program"` // key of the program that runs
	PID        int               `json:"pid"`
	Ready      bool              `json:"ready"`            // the control plane serves and its controllers run
	Failed     string            `json:"failed,omitempty"` // why it can't become ready without help
	Doing      string            `json:"doing,omitempty"`  // what the start is at
	Kubernetes string            `json:"kubernetes"`       // "v1.37.2"
	Restored   bool              `json:"restored"`         // the cluster began from a snapshot
	Saving     int               `json:"saving"`           // snapshots that are being written
	Simulated  []string          `json:"simulated"`        // what is played instead of run
	Ports      state.Ports       `json:"ports"`            // loopback ports by what listens there
	Endpoints  map[string]string `json:"endpoints"`        // URLs that answer, by what they are
	Processes  []ChildStatus     `json:"processes"`        // the supervisor first
}

// ChildStatus is the state of one process.
type ChildStatus struct {
	Name     string    `json:"name"`
	PID      int       `json:"pid"`
	State    string    `json:"state"`             // waiting | starting | running | restarting | stopped
	Waiting  string    `json:"waiting,omitempty"` // for what, while State is waiting
	Restarts int       `json:"restarts"`
	Started  time.Time `json:"started,omitzero"`
	LastExit string    `json:"lastExit,omitempty"`
	Failed   string    `json:"failed,omitempty"`
	RSS      int64     `json:"rss"` // bytes resident
	PSS      int64     `json:"pss"` // bytes resident, what processes share divided among them; 0 where unknown
	identity state.Process
}

// measure fills in the memory of a process.
func (s *ChildStatus) measure() {
	if s.PID == 0 {
		return
	}
	data, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID) + "/smaps_rollup")
	if err != nil {
		return
	}
	s.RSS, s.PSS = rollup(string(data))
}

// rollup reads Rss and Pss, in bytes, from a smaps_rollup file.
func rollup(data string) (rss, pss int64) {
	for line := range strings.Lines(data) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "Rss:":
			rss = kib << 10
		case "Pss:":
			pss = kib << 10
		}
	}
	return rss, pss
}
