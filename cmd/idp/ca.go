package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/idp-blueprint/idp/internal/secrets"
	"github.com/spf13/cobra"
)

func newCA(s streams, o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "The platform's certificate authority",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "export",
		Short: "Print the certificate of the platform's authority, to trust it in a browser",
		Long: `export prints the certificates of the authorities that the platform trusts: of one, or of two while the second takes the place of
the first.`,
		Example: "  idp ca export > platform-ca.crt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuthorities(cmd.Context(), s, o, func(ctx context.Context, site *secrets.Kube) error {
				pem, err := site.Certificate(ctx)
				if err == nil {
					_, err = s.out.Write(pem)
				}
				return err
			})
		},
	}, &cobra.Command{
		Use:   "list",
		Short: "List the authorities that are trusted, and what each has signed",
		Long:  "list shows which certificates in use each authority has signed. One that has signed none of them needn't be trusted any more.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAuthorities(cmd.Context(), s, o, func(ctx context.Context, site *secrets.Kube) error {
				authorities, err := site.Authorities(ctx)
				if err != nil {
					return err
				}
				return listAuthorities(s.out, o, authorities)
			})
		},
	})
	return cmd
}

func withAuthorities(ctx context.Context, s streams, o *options, do func(context.Context, *secrets.Kube) error) error {
	access, declared, err := reachSecrets(ctx, s, o)
	if err != nil {
		return err
	}
	site, err := secrets.NewKube(access.Config, declared.Server)
	if err != nil {
		return err
	}
	if simulated(access) {
		fmt.Fprintln(s.err, "the certificates of this cluster are simulated: nothing serves with them")
	}
	return do(ctx, site)
}

func listAuthorities(w io.Writer, o *options, authorities []secrets.Authority) error {
	if o.output == "json" {
		return json.NewEncoder(w).Encode(authorities)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "AUTHORITY\tEXPIRES\tSIGNED")
	for _, a := range authorities {
		expires := a.Expires.UTC().Format(time.DateOnly)
		if len(a.Signed) == 0 {
			fmt.Fprintf(table, "%s\t%s\tnothing\n", a.Name, expires)
		}
		for _, signed := range a.Signed {
			fmt.Fprintf(table, "%s\t%s\t%s\n", a.Name, expires, signed)
		}
	}
	return table.Flush()
}
