package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type version struct {
	Version    string `json:"version"`
	Revision   string `json:"revision,omitempty"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	Helm       string `json:"helm"`
	Kubernetes string `json:"clientGo"`
}

func newVersion(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of idp and of the libraries that decide what it renders",
		RunE: func(*cobra.Command, []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			v := buildVersion()
			if o.output == "json" {
				return json.NewEncoder(s.out).Encode(v)
			}
			fmt.Fprintf(s.out, "idp %s (%s, %s)\nhelm %s, client-go %s\n", v.Version, v.Go, v.Platform, v.Helm, v.Kubernetes)
			return nil
		},
	}
}

func buildVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			v.Revision = setting.Value
		}
	}
	for _, dep := range info.Deps {
		switch dep.Path {
		case "helm.sh/helm/v3":
			v.Helm = dep.Version
		case "k8s.io/client-go":
			v.Kubernetes = dep.Version
		}
	}
	return v
}
