package main

import "github.com/spf13/cobra"

func newLayers(s streams, o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "layers",
		Short: "Bring the layers up one by one, for a graph of containers that keeps the result of each",
		Long: `layers takes up apart, for callers that bring the layers up in steps of their own and keep what each step did:

  plan     render the platform into files; needs no cluster
  state    say which layers of the plan the cluster has
  apply    bring one layer up from its file
  finish   remove what the plan no longer has, and wait until Argo CD holds the rest

The layers, their keys, gates and records are those of up: a cluster that one of them brought up is finished for the other.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLayersPlan(s, o), newLayersState(s, o), newLayersApply(s, o), newLayersFinish(s, o))
	return cmd
}

// oneArg wants the one argument that the command's usage names.
func oneArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("usage: %s\nsee: %s --help", cmd.UseLine(), cmd.CommandPath())
	}
	return nil
}
