package main

import (
	"os"
	"time"

	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/ui"
	"golang.org/x/term"
)

// newView picks the view for whoever is reading.
func newView(s streams, o *options) ui.View {
	if o.output == "json" {
		return ui.NewJSON(s.out)
	}
	if terminal, ok := s.err.(*os.File); ok && term.IsTerminal(int(terminal.Fd())) && os.Getenv("TERM") != "dumb" {
		return ui.NewLive(terminal, func() (int, int) {
			width, height, err := term.GetSize(int(terminal.Fd()))
			if err != nil {
				return 80, 24
			}
			return width, height
		})
	}
	return ui.NewPlain(s.err)
}

// showApplications turns a look at Argo CD into events.
func showApplications(p *platform.Platform, apps []gitops.Application, show func(ui.Event)) {
	stacks := map[string]string{}
	for _, c := range p.Components() {
		stacks[c.App] = c.Stack
	}
	for _, app := range apps {
		e := ui.Event{Time: time.Now(), Phase: ui.PhaseApplication, Group: group(stacks[app.Name]), Name: app.Name, State: ui.StateWaiting}
		e.Message = app.Sync + " " + app.Health
		switch {
		case app.Done(""):
			e.State = ui.StateDone
		case app.Message != "":
			e.Message += ": " + firstLine(app.Message)
		}
		show(e)
	}
}

// group is the heading under which a component's Application is shown.
func group(stack string) string {
	if stack == "" {
		return "IT"
	}
	return stack
}
