package ui

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func at(seconds int, e Event) Event {
	e.Time = time.Date(2026, 1, 1, 0, 0, seconds, 0, time.UTC)
	return e
}

func TestPlainWritesChangesAndMilestones(t *testing.T) {
	var out bytes.Buffer
	view := NewPlain(&out)
	for _, e := range []Event{
		at(0, Event{Phase: PhaseCluster, State: StateRunning, Message: "building", Done: 1, Total: 100}),
		at(1, Event{Phase: PhaseCluster, State: StateRunning, Message: "building", Done: 2, Total: 100}),
		at(16, Event{Phase: PhaseCluster, State: StateRunning, Message: "building", Done: 50, Total: 100}),
		at(20, Event{Phase: PhaseLayer, Name: "net", State: StateWaiting, Message: "for CRD a"}),
		at(21, Event{Phase: PhaseLayer, Name: "net", State: StateWaiting, Message: "for CRD a"}),
		at(22, Event{Phase: PhaseLayer, Name: "net", State: StateWaiting, Message: "for CRD b"}),
		at(23, Event{Phase: PhaseLayer, Name: "net", State: StateApplied, Seconds: 3}),
		at(24, Event{Phase: PhaseApplication, Group: "obs", Name: "loki", State: StateFailed, Message: "why"}),
	} {
		view.Show(e)
	}
	view.Close()
	var lines []string
	for text := range strings.SplitSeq(strings.TrimSpace(out.String()), "\n") {
		lines = append(lines, strings.Join(strings.Fields(text), " "))
	}
	require.Equal(t, []string{
		"• cluster 1/100 building",
		"• cluster 50/100 building",
		"• layer net waiting for CRD a",
		"• layer net waiting for CRD b",
		"✓ layer net applied (3.0s)",
		"✗ application obs/loki failed why",
	}, lines)
}

func TestJSONWritesALineAnEvent(t *testing.T) {
	var out bytes.Buffer
	view := NewJSON(&out)
	view.Show(at(1, Event{Phase: PhaseLayer, Name: "net", State: StateCached}))
	view.Show(at(2, Event{Phase: PhaseLayer, Name: "net", State: StateCached})) // no news
	view.Close()
	var got Event
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Equal(t, at(1, Event{Phase: PhaseLayer, Name: "net", State: StateCached}), got)
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
}

func TestLiveRedrawsWithinTheTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		view := NewLive(&out, func() (int, int) { return 40, 4 })
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			view.Show(Event{Time: time.Now(), Phase: PhaseLayer, Name: name, State: StateApplied})
		}
		view.Show(Event{Time: time.Now(), Phase: PhaseLayer, Name: "f", State: StateRunning, Message: strings.Repeat("long ", 20)})
		time.Sleep(2*frameEvery + time.Millisecond)
		synctest.Wait()
		frame := out.String()
		require.Contains(t, frame, "finished above")
		require.Contains(t, frame, "\x1b[3A", "the second frame goes back over the first one's three lines")
		for text := range strings.SplitSeq(frame, "\n") {
			require.LessOrEqual(t, len([]rune(strings.NewReplacer("\r", "", "\x1b[K", "", "\x1b[J", "", "\x1b[3A", "").Replace(text))), 40)
		}
		out.Reset()
		view.Close()
		for _, name := range []string{" a ", " b ", " c ", " d ", " e ", " f "} {
			require.Contains(t, out.String(), name, "the last frame stays whole")
		}
	})
}
