package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/plan"
	"github.com/idp-blueprint/idp/internal/ui"
	"github.com/spf13/cobra"
)

// applyFlags are the flags of layers apply.
type applyFlags struct{ among, definitions, turn, receipt string }

// appliedLayer is what layers apply prints. At says when it ran: to a caller that kept the output, that it did not run again.
type appliedLayer struct {
	layerReport
	At time.Time `json:"at"`
}

func newLayersApply(s streams, o *options) *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Bring one layer up from its file, once the layers that it needs are done",
		Long: `apply brings one layer up: its objects, its secret store, its gates. It prints the layer's report as JSON. A layer that the
cluster has recorded with the same key is left alone.`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout,
				fmt.Errorf("the layer was not done within --timeout %s: %w", o.timeout, context.DeadlineExceeded))
			defer cancel()
			return applyOne(ctx, s, o, args[0], f)
		},
	}
	cmd.Flags().StringVar(&f.among, "among", "", "the plan's objects.json: where a layer replaces another state of itself, what moved to another layer stays")
	cmd.Flags().StringVar(&f.definitions, "definitions", "", "the plan's definitions.json: created first where they are missing")
	cmd.Flags().StringVar(&f.turn, "turn", "", "recorded with the layer; see state")
	cmd.Flags().StringVar(&f.receipt, "receipt", "", "file that gets the layer's key once it is done")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "install on an existing cluster without being asked")
	return cmd
}

func applyOne(ctx context.Context, s streams, o *options, file string, f applyFlags) error {
	one, err := plan.ReadLayer(file)
	if err != nil {
		return asUsage(err)
	}
	one.Turn = f.turn
	if f.among != "" {
		if one.Others, err = plan.ReadOutline(f.among, one.Layer.Name); err != nil {
			return asUsage(err)
		}
	}
	access, runner, err := attach(ctx, s, o)
	if err != nil {
		return err
	}
	if access.Info.New && o.cluster == "existing" {
		if err := confirm(o, s, access.Info); err != nil {
			return err
		}
	}
	// Progress is for people: data on stdout is the report alone.
	view := ui.NewPlain(s.err)
	defer view.Close()
	if f.definitions != "" {
		definitions, err := plan.ReadDefinitions(f.definitions)
		if err != nil {
			return asUsage(err)
		}
		if err := createMissing(ctx, access, definitions, view.Show); err != nil {
			return err
		}
	}
	runner.Emit = func(e bootstrap.Event) { view.Show(layerEvent(e)) }
	outcome, err := runner.RunOne(ctx, one)
	if err != nil {
		return err
	}
	if f.receipt != "" {
		if err := os.WriteFile(f.receipt, []byte(one.Key+"\n"), 0o644); err != nil {
			return fmt.Errorf("writing the receipt: %w", err)
		}
	}
	return json.NewEncoder(s.out).Encode(appliedLayer{layerReport: newLayerReport(outcome), At: time.Now().UTC()})
}

func layerEvent(e bootstrap.Event) ui.Event {
	return ui.Event{Time: e.Time, Phase: ui.PhaseLayer, Name: e.Layer, State: e.State, Message: e.Message, Done: e.Done, Total: e.Total, Seconds: e.Seconds}
}
