package render

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/getter"
)

// mergedValues are the values that the Application gives the chart: its value files, then its parameters.
func mergedValues(r Request) (map[string]any, error) {
	set, err := arguments(r, r.Parameters)
	if err != nil {
		return nil, err
	}
	setString, err := arguments(r, r.StringParameters)
	if err != nil {
		return nil, err
	}
	options := values.Options{ValueFiles: r.ValueFiles, Values: set, StringValues: setString}
	// Without getters a value file is always a file, whatever its name looks like.
	return options.MergeValues(getter.Providers{})
}

// arguments are parameters as arguments of --set, in the order of their names.
func arguments(r Request, parameters map[string]string) ([]string, error) {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		value, err := substituted(parameters[name], r)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		list = append(list, name+"="+escaped(value))
	}
	return list, nil
}

// substituted replaces Argo CD's build environment, $ARGOCD_APP_NAME and the like, in a parameter; $$ stands for $.
// What only a running Argo CD knows, such as the commit, is refused: bootstrap could not render the same.
func substituted(value string, r Request) (string, error) {
	var unknown []string
	result := os.Expand(value, func(name string) string {
		switch name {
		case "$":
			return "$"
		case "ARGOCD_APP_NAME":
			return r.App
		case "ARGOCD_APP_NAMESPACE":
			return r.Namespace
		}
		unknown = append(unknown, name)
		return ""
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("$%s can't be used here; write $$ for a dollar sign", unknown[0])
	}
	return result, nil
}

// escaped keeps commas in a value from separating parameters, unless the value is a Helm list in braces.
func escaped(value string) string {
	if strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}") {
		return value
	}
	var out strings.Builder
	var previous rune
	for _, r := range value {
		if r == ',' && previous != '\\' {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
		previous = r
	}
	return out.String()
}
