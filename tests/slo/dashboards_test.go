package slo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// Every panel reads from a datasource that Grafana has, and asks Prometheus what it understands.
func TestDashboards(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../IT/*/dashboards/*.json", "../../K8s/*/*/dashboards/*.json", "../../Policies/*/dashboards/*.json"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	require.NotEmpty(t, files)
	uids := map[string]string{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			type datasource struct{ Type, UID string }
			var dashboard struct {
				UID    string
				Panels []struct {
					Title      string
					Datasource datasource
					Targets    []struct {
						Datasource datasource
						Expr       string
					}
				}
			}
			require.NoError(t, json.Unmarshal(text, &dashboard))
			require.NotEmpty(t, dashboard.UID)
			require.NotContains(t, uids, dashboard.UID, "Grafana keeps one dashboard of a uid")
			uids[dashboard.UID] = file
			for _, panel := range dashboard.Panels {
				for _, target := range panel.Targets {
					require.Contains(t, []datasource{{"prometheus", "prometheus"}, {"loki", "loki"}}, target.Datasource, panel.Title)
					if target.Datasource.Type == "prometheus" {
						expr := strings.NewReplacer("$__rate_interval", "5m", "$__interval", "1m", "$__range", "1h").Replace(target.Expr)
						_, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
						require.NoError(t, err, panel.Title)
					}
				}
			}
		})
	}
}
