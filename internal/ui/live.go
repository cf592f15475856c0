package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const frameEvery = 100 * time.Millisecond

// Live redraws a block at the bottom of a terminal: one line a name, in the order in which names appeared, with a spinner and
// running seconds on what is under way. What doesn't fit the terminal's height is summed up in one line.
type Live struct {
	mu      sync.Mutex
	w       io.Writer
	size    func() (width, height int)
	rows    []*row
	byKey   map[string]*row
	drawn   int // lines of the last frame, to go back over
	frame   int
	stop    chan struct{}
	stopped sync.WaitGroup
}

type row struct {
	event Event
	since time.Time
}

// NewLive returns a view for a terminal; size gives its width and height in characters and is asked before each frame.
func NewLive(w io.Writer, size func() (width, height int)) *Live {
	l := &Live{w: w, size: size, byKey: map[string]*row{}, stop: make(chan struct{})}
	l.stopped.Go(l.loop)
	return l
}

// Show takes the event into the next frame.
func (l *Live) Show(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := e.key()
	known, ok := l.byKey[key]
	if !ok {
		known = &row{since: e.Time}
		l.byKey[key] = known
		l.rows = append(l.rows, known)
	}
	if known.event.State == StatePending && e.State != StatePending {
		known.since = e.Time
	}
	known.event = e
}

// Close draws the last frame and leaves the cursor below it.
func (l *Live) Close() {
	close(l.stop)
	l.stopped.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw(time.Now(), true)
}

func (l *Live) loop() {
	ticker := time.NewTicker(frameEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case now := <-ticker.C:
			l.mu.Lock()
			l.draw(now, false)
			l.mu.Unlock()
		}
	}
}

// draw writes one frame over the last one. The final frame is written whole, since it stays in the scroll-back.
func (l *Live) draw(now time.Time, final bool) {
	width, height := l.size()
	l.frame++
	lines := make([]string, 0, len(l.rows))
	for _, r := range l.rows {
		lines = append(lines, l.text(r, now))
	}
	if !final {
		lines = l.fit(lines, height-1)
	}
	var frame strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&frame, "\x1b[%dA", l.drawn)
	}
	for _, text := range lines {
		frame.WriteString("\r\x1b[K" + cut(text, width) + "\n")
	}
	frame.WriteString("\x1b[J")
	l.drawn = len(lines)
	_, _ = io.WriteString(l.w, frame.String())
}

// fit drops finished lines from the top, then whatever is left over, until the block fits.
func (l *Live) fit(lines []string, height int) []string {
	if height < 2 {
		height = 2
	}
	over := len(lines) - height
	if over <= 0 {
		return lines
	}
	over++ // the summary takes a line as well
	kept := make([]string, 0, height)
	done := 0
	for i, text := range lines {
		if done < over && l.rows[i].event.Settled() {
			done++
			continue
		}
		kept = append(kept, text)
	}
	head := fmt.Sprintf("✓ %d finished above", done)
	kept = append([]string{head}, kept...)
	if len(kept) > height {
		kept = append(kept[:height-1], fmt.Sprintf("  … and %d more", len(kept)-height+1))
	}
	return kept
}

func (l *Live) text(r *row, now time.Time) string {
	e := r.event
	if e.Settled() || e.State == StatePending || e.Phase == PhaseNote {
		return line(e)
	}
	e.Seconds = now.Sub(r.since).Seconds()
	spinner := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	return strings.Replace(line(e), "•", string(spinner[l.frame%len(spinner)]), 1)
}

// cut keeps a line within the terminal, so that going back over the frame counts lines rightly.
func cut(text string, width int) string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:width-1]) + "…"
}
