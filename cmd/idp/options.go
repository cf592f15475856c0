package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// options are the flags that all commands share.
type options struct {
	name     string
	cluster  string
	context  string
	source   string
	output   string
	offline  bool
	strict   bool
	timeout  time.Duration
	gitURL   string
	revision string
	yes      bool
}

func (o *options) bind(f *pflag.FlagSet) {
	f.StringVar(&o.name, "name", "idp", "name of the cluster; any number of embedded clusters run side by side")
	f.StringVar(&o.cluster, "cluster", "embedded", "where the cluster comes from: embedded | existing")
	f.StringVar(&o.context, "context", "", "kubeconfig context, for --cluster existing")
	f.StringVar(&o.source, "source", "", "the checkout (default: the folder with platform.yaml, here or above)")
	f.StringVarP(&o.output, "output", "o", "text", "text | json; for lint sarif too")
	f.BoolVar(&o.offline, "offline", false, "never touch the network for charts")
	f.BoolVar(&o.strict, "strict", false, "fail where a stand-in would replace a chart that can't be had")
	f.DurationVar(&o.timeout, "timeout", 45*time.Minute, "bound of the whole command, the first build included")
}

// bindGit adds the flags of the commands that decide what Argo CD follows.
func (o *options) bindGit(f *pflag.FlagSet) {
	f.StringVar(&o.gitURL, "git-url", "", "repository that Argo CD follows (default: the checkout, served by the cluster itself)")
	f.StringVar(&o.revision, "revision", "", "branch, tag or commit of --git-url")
}

// validate checks the flags; formats are the outputs that a command has beyond text and json.
func (o *options) validate(formats ...string) error {
	if !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`).MatchString(o.name) {
		return usagef("--name %q: use 1 to 40 lower-case letters, digits and hyphens, with a letter or digit at both ends", o.name)
	}
	if formats = append([]string{"text", "json"}, formats...); !slices.Contains(formats, o.output) {
		return usagef("--output %q: use %s", o.output, strings.Join(formats, " or "))
	}
	switch o.cluster {
	case "embedded":
		if o.context != "" {
			return usagef("--context %q goes with --cluster existing", o.context)
		}
	case "existing":
		if o.context == "" {
			return usagef("--cluster existing needs --context: which cluster to write to is never guessed\nlist them with: kubectl config get-contexts")
		}
	default:
		return usagef("--cluster %q: use embedded or existing", o.cluster)
	}
	if o.revision != "" && o.gitURL == "" {
		return usagef("--revision %q goes with --git-url", o.revision)
	}
	if o.timeout <= 0 {
		return usagef("--timeout %s: use a duration above zero, such as 20m", o.timeout)
	}
	return nil
}

// root finds the checkout: --source, or the nearest folder at or above the working directory that holds platform.yaml.
func (o *options) root() (string, error) {
	if o.source != "" {
		root, err := filepath.Abs(o.source)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(filepath.Join(root, "platform.yaml")); err != nil {
			return "", usagef("--source %s: there is no platform.yaml in it", o.source)
		}
		return root, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "platform.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", usagef("there is no platform.yaml in %s or above it: run idp in a checkout of the platform, or name one with --source", here)
		}
	}
}

// cacheDir is where what can be made again is kept.
func cacheDir() (string, error) { return xdg("XDG_CACHE_HOME", ".cache") }

// stateDir is where a cluster's state is kept.
func stateDir(name string) (string, error) {
	dir, err := xdg("XDG_STATE_HOME", filepath.Join(".local", "state"))
	return filepath.Join(dir, name), err
}

func xdg(variable, fallback string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "idp"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.Join(usagef("neither %s nor HOME is set: idp has nowhere to keep its files", variable), err)
	}
	return filepath.Join(home, fallback, "idp"), nil
}
