package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/secrets"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// errSimulatedStore is what can't be had where pods don't run.
var errSimulatedStore = errors.New("the secret store is simulated on this cluster: its pods don't run, and Secrets hold placeholders; " +
	"use a cluster that runs pods: --cluster existing --context NAME")

func simulated(access *cluster.Access) bool {
	return access.Info.Provider == "embedded" || len(access.Info.Simulated) > 0
}

// seeder sets up the secret store of a layer while idp up, which holds the cluster's lock.
type seeder struct{ access *cluster.Access }

// Seed implements bootstrap.Seeder.
func (s seeder) Seed(ctx context.Context, declared *platform.Secrets, say func(string)) error {
	if simulated(s.access) {
		say("simulated here: no secret store is set up, Secrets get placeholders")
		return nil
	}
	site, err := secrets.NewKube(s.access.Config, declared.Server)
	if err != nil {
		return err
	}
	defer site.Close()
	result, err := secrets.New(secrets.Options{Site: site, Declared: declared, Say: say}).Reconcile(ctx)
	if err != nil {
		return err
	}
	for _, m := range result.Missing {
		say(missingText(m))
	}
	return nil
}

// Sound implements bootstrap.Seeder.
func (s seeder) Sound(ctx context.Context, declared *platform.Secrets) (bool, error) {
	if simulated(s.access) {
		return true, nil
	}
	site, err := secrets.NewKube(s.access.Config, declared.Server)
	if err != nil {
		return false, err
	}
	defer site.Close()
	return secrets.New(secrets.Options{Site: site, Declared: declared}).Sound(ctx)
}

func missingText(m secrets.Missing) string {
	return fmt.Sprintf("not given yet: %s (%s); give it with: idp secrets set %s %s", m.Key, m.Description, m.Path, m.Key)
}

func newSecrets(s streams, o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Give, rotate and list the values of the secret store",
		Long: `secrets works on the secret store that a layer declares (gate "seeded" in IT/layers.yaml). It is reached through the cluster,
as whoever the kubeconfig says, and every change is in the store's audit log. No value is ever an argument.`,
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSecretsSet(s, o), newSecretsRotate(s, o), newSecretsList(s, o), newSecretsApply(s, o))
	return cmd
}

func newSecretsSet(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "set PATH KEY",
		Short: "Give a value, read from stdin or asked for",
		Example: `  idp secrets set cicd/registry password < password.txt
  idp secrets set cicd/registry password        # asks, and doesn't show what is typed`,
		Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd.Context(), s, o, func(ctx context.Context, store *secrets.Store) error {
				if err := store.Settable(args[0], args[1]); err != nil {
					return err
				}
				value, err := valueFrom(s, args[0], args[1])
				if err != nil {
					return err
				}
				result, err := store.Set(ctx, args[0], args[1], value)
				return tell(s, o, result, err)
			})
		},
	}
}

// valueFrom is stdin, or what is typed at a prompt where stdin is a terminal.
func valueFrom(s streams, path, key string) (io.Reader, error) {
	terminal, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return s.in, nil
	}
	fmt.Fprintf(s.err, "%s %s: ", path, key)
	typed, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(s.err)
	if err != nil {
		return nil, fmt.Errorf("reading the value: %w", err)
	}
	return strings.NewReader(string(typed)), nil
}

func newSecretsRotate(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate PATH [KEY]",
		Short: "Make generated values anew; what is made from them follows",
		Long: `rotate makes the generated values of a path anew, or one of them. Hashes, timestamps and copies of it follow at once, the
Secrets in the cluster within a minute.`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := ""
			if len(args) > 1 {
				if key = args[1]; key == "" {
					return usagef("the name of the key is empty")
				}
			}
			return withStore(cmd.Context(), s, o, func(ctx context.Context, store *secrets.Store) error {
				result, err := store.Rotate(ctx, args[0], key)
				return tell(s, o, result, err)
			})
		},
	}
}

func newSecretsApply(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "apply",
		Short: "Bring the store to its declaration, as idp up does",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), s, o, func(ctx context.Context, store *secrets.Store) error {
				result, err := store.Reconcile(ctx)
				return tell(s, o, result, err)
			})
		},
	}
}

// tell prints what was changed, never to what.
func tell(s streams, o *options, result secrets.Result, err error) error {
	if err != nil {
		return err
	}
	for _, m := range result.Missing {
		fmt.Fprintln(s.err, missingText(m))
	}
	if o.output == "json" {
		if result.Changed == nil {
			result.Changed = []string{}
		}
		return json.NewEncoder(s.out).Encode(map[string]any{"changed": result.Changed})
	}
	if len(result.Changed) == 0 {
		fmt.Fprintln(s.out, "nothing to change")
	}
	for _, what := range result.Changed {
		fmt.Fprintln(s.out, "changed", what)
	}
	return nil
}

func newSecretsList(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the declared paths and keys, and how each is made; reads no value and needs no cluster",
		RunE: func(*cobra.Command, []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			declared, err := declaredSecrets(o)
			if err != nil {
				return err
			}
			return listSecrets(s.out, o, declared)
		},
	}
}

type listedSecret struct {
	Path string `json:"path"`
	Key  string `json:"key"`
	Made string `json:"made"`
}

func listSecrets(w io.Writer, o *options, declared *platform.Secrets) error {
	list := []listedSecret{}
	for _, p := range declared.Paths {
		for _, k := range p.Keys {
			list = append(list, listedSecret{p.Path, k.Name, made(k)})
		}
	}
	if o.output == "json" {
		return json.NewEncoder(w).Encode(list)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PATH\tKEY\tMADE")
	for _, l := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\n", l.Path, l.Key, l.Made)
	}
	return table.Flush()
}

func made(k platform.SecretKey) string {
	switch {
	case k.Generate != nil:
		return fmt.Sprintf("generated, %d characters", k.Generate.Length)
	case k.Bcrypt != "":
		return "bcrypt hash of " + k.Bcrypt
	case k.Timestamp != "":
		return "when " + k.Timestamp + " was last changed"
	case k.Copy != nil:
		return "copy of " + k.Copy.Path + " " + k.Copy.Key
	case k.User != nil:
		return "given by you: " + k.User.Description
	}
	return "text: " + k.Text
}

func newCredentials(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "credentials",
		Short: "Print the admin logins",
		Long:  "credentials reads the admin logins from the secret store and prints them. They are printed nowhere else.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), s, o, func(ctx context.Context, store *secrets.Store) error {
				logins := store.Declared.Logins
				var paths []string
				for _, l := range logins {
					paths = append(paths, l.Path)
				}
				values, err := store.Get(ctx, paths...)
				if err != nil {
					return err
				}
				return printLogins(s.out, o, logins, values)
			})
		},
	}
}

type login struct {
	Name     string `json:"name"`
	User     string `json:"user"`
	Password string `json:"password"`
}

func printLogins(w io.Writer, o *options, declared []platform.SecretLogin, values map[string]map[string]string) error {
	logins := []login{}
	for _, l := range declared {
		user := l.User
		if l.UserKey != "" {
			user = values[l.Path][l.UserKey]
		}
		logins = append(logins, login{l.Name, user, values[l.Path][l.PasswordKey]})
	}
	if o.output == "json" {
		return json.NewEncoder(w).Encode(logins)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tUSER\tPASSWORD")
	for _, l := range logins {
		fmt.Fprintf(table, "%s\t%s\t%s\n", l.Name, l.User, l.Password)
	}
	return table.Flush()
}

// declaredSecrets is what the checkout declares.
func declaredSecrets(o *options) (*platform.Secrets, error) {
	p, err := load(o)
	if err != nil {
		return nil, err
	}
	for _, layer := range p.Layers {
		if d := layer.Secrets(); d != nil {
			return d, nil
		}
	}
	return nil, usagef("no layer of %s declares a secret store (gate \"seeded\")", platform.LayersFile)
}

func reachSecrets(ctx context.Context, s streams, o *options) (*cluster.Access, *platform.Secrets, error) {
	if err := o.validate(); err != nil {
		return nil, nil, err
	}
	declared, err := declaredSecrets(o)
	if err != nil {
		return nil, nil, err
	}
	provider, err := newProvider(o, s, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	access, err := provider.Access(ctx)
	return access, declared, err
}

// withStore does something with the store of a running cluster, alone.
func withStore(ctx context.Context, s streams, o *options, do func(context.Context, *secrets.Store) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done within --timeout %s: %w", o.timeout, context.DeadlineExceeded))
	defer cancel()
	access, declared, err := reachSecrets(ctx, s, o)
	if err != nil {
		return err
	}
	if simulated(access) {
		return errSimulatedStore
	}
	site, err := secrets.NewKube(access.Config, declared.Server)
	if err != nil {
		return err
	}
	defer site.Close()
	records, err := bootstrap.NewRecords(access.Config)
	if err != nil {
		return err
	}
	say := func(text string) { fmt.Fprintln(s.err, text) }
	return do(ctx, secrets.New(secrets.Options{
		Site: site, Declared: declared, Say: say,
		Lock: func(ctx context.Context) (context.Context, func(), error) { return records.Lock(ctx, say) },
	}))
}

// exactly and between refuse other numbers of arguments, in our own way.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

func between(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			// What stands there may be a value: it isn't repeated.
			return usagef("usage: %s; a value is read from stdin or asked for, it is no argument", cmd.UseLine())
		}
		return nil
	}
}
