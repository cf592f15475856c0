package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func newKubeconfig(s streams, o *options) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print where a running cluster's kubeconfig is",
		Example: `  export KUBECONFIG=$(idp kubeconfig --name demo)
  idp kubeconfig --raw > demo.kubeconfig`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			provider, err := newProvider(o, s, nil, nil)
			if err != nil {
				return err
			}
			access, err := provider.Access(cmd.Context())
			if err != nil {
				return err
			}
			if !raw {
				fmt.Fprintln(s.out, access.Kubeconfig)
				return nil
			}
			content, err := os.ReadFile(access.Kubeconfig)
			if err != nil {
				return fmt.Errorf("reading the kubeconfig: %w", err)
			}
			_, err = s.out.Write(content)
			return err
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the kubeconfig itself; it holds a private key")
	return cmd
}
