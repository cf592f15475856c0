// Package slo proves that each objective of the platform can go red: it feeds what Pyrra makes of it, and the rules below it, with
// series of a service that fails and of one that doesn't, and evaluates them with Prometheus' own engine.
package slo

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/idp-blueprint/idp/internal/render"
)

// Series are given a sample a minute, for three hours: the long windows of both critical alerts.
const (
	step  = time.Minute
	steps = 180
)

// Each series in Prometheus' notation: start+increment, for every step.
type objectiveCase struct {
	failing, healthy []string
}

var objectiveCases = map[string]objectiveCase{
	"apiserver-availability": {
		failing: []string{
			`apiserver_request_total{job="apiserver", code="200", verb="GET"} 0+80`,
			`apiserver_request_total{job="apiserver", code="503", verb="GET"} 0+20`,
		},
		healthy: []string{
			`apiserver_request_total{job="apiserver", code="200", verb="GET"} 0+10000`,
			`apiserver_request_total{job="apiserver", code="404", verb="GET"} 0+5000`,
			`apiserver_request_total{job="apiserver", code="503", verb="GET"} 0+1`,
		},
	},
	"apiserver-latency": {
		failing: buckets("apiserver_request_sli_duration_seconds", `job="apiserver", verb="GET", scope="resource"`, "1.0", 60, 100),
		healthy: append(
			buckets("apiserver_request_sli_duration_seconds", `job="apiserver", verb="GET", scope="resource"`, "1.0", 999, 1000),
			// Lists of everything may take longer, and aren't what is promised.
			buckets("apiserver_request_sli_duration_seconds", `job="apiserver", verb="LIST", scope="cluster"`, "1.0", 0, 500)...,
		),
	},
	"argocd-sync": {
		failing: []string{
			`argocd_app_info{name="a", sync_status="OutOfSync", health_status="Healthy"} 1+0`,
			`argocd_app_info{name="b", sync_status="Synced", health_status="Degraded"} 1+0`,
			`argocd_app_info{name="c", sync_status="Synced", health_status="Healthy"} 1+0`,
		},
		healthy: []string{
			`argocd_app_info{name="a", sync_status="Synced", health_status="Healthy"} 1+0`,
			`argocd_app_info{name="b", sync_status="Synced", health_status="Progressing"} 1+0`,
		},
	},
	"gateway-availability": {
		failing: []string{
			`envoy_cluster_upstream_rq_xx{envoy_cluster_name="argocd:argocd-server:80", envoy_response_code_class="2"} 0+50`,
			`envoy_cluster_upstream_rq_xx{envoy_cluster_name="argocd:argocd-server:80", envoy_response_code_class="5"} 0+50`,
		},
		healthy: []string{
			`envoy_cluster_upstream_rq_xx{envoy_cluster_name="argocd:argocd-server:80", envoy_response_code_class="2"} 0+5000`,
			`envoy_cluster_upstream_rq_xx{envoy_cluster_name="argocd:argocd-server:80", envoy_response_code_class="4"} 0+5000`,
			`envoy_cluster_upstream_rq_xx{envoy_cluster_name="argocd:argocd-server:80", envoy_response_code_class="5"} 0+1`,
			// Envoy's own link to its agent is nobody's request.
			`envoy_cluster_upstream_rq_xx{envoy_cluster_name="xds-grpc-cilium", envoy_response_code_class="5"} 0+9000`,
		},
	},
	"gateway-latency": {
		// Every request takes between one and two and a half seconds: 1000 to 2500, as Envoy counts milliseconds.
		failing: append(
			buckets("envoy_cluster_upstream_rq_time", `envoy_cluster_name="a:b:80"`, "500.0", 0, 100),
			`envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="a:b:80", le="0.5"} 0+0`,
			`envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="a:b:80", le="2500.0"} 0+100`,
		),
		// Every request takes between ten and a hundred milliseconds. With a bucket in seconds, 0.5, all of them would be too slow.
		healthy: append(
			buckets("envoy_cluster_upstream_rq_time", `envoy_cluster_name="a:b:80"`, "500.0", 100, 100),
			`envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="a:b:80", le="0.5"} 0+0`,
		),
	},
	"vault-availability": {
		failing: []string{
			`vault_core_active{pod="vault-0"} 0+0`,
			`vault_core_active{pod="vault-1"} 0+0`,
		},
		healthy: []string{
			`vault_core_active{pod="vault-0"} 1+0`,
			`vault_core_active{pod="vault-1"} 0+0`,
		},
	},
	"external-secrets": {
		failing: []string{
			`externalsecret_sync_calls_total{name="a"} 0+10`,
			`externalsecret_sync_calls_error{name="a"} 0+10`,
			`externalsecret_sync_calls_total{name="b"} 0+10`,
			`externalsecret_sync_calls_error{name="b"} 0+0`,
		},
		healthy: []string{
			`externalsecret_sync_calls_total{name="a"} 0+1000`,
			`externalsecret_sync_calls_error{name="a"} 0+1`,
		},
	},
	"certificates": {
		// One of ten should have been renewed at the second hour, and hasn't been: it is still valid.
		failing: slices.Concat(
			certificates(1, 2*time.Hour, 30*24*time.Hour),
			certificates(9, 60*24*time.Hour, 90*24*time.Hour),
		),
		healthy: certificates(10, 60*24*time.Hour, 90*24*time.Hour),
	},
	"loki": {
		failing: []string{
			`loki_request_duration_seconds_count{namespace="observability", route="loki_api_v1_push", status_code="204"} 0+50`,
			`loki_request_duration_seconds_count{namespace="observability", route="loki_api_v1_push", status_code="500"} 0+50`,
		},
		healthy: []string{
			`loki_request_duration_seconds_count{namespace="observability", route="loki_api_v1_push", status_code="204"} 0+5000`,
			`loki_request_duration_seconds_count{namespace="observability", route="loki_api_v1_query_range", status_code="400"} 0+50`,
			`loki_request_duration_seconds_count{namespace="observability", route="loki_api_v1_query_range", status_code="500"} 0+1`,
			`loki_request_duration_seconds_count{namespace="observability", route="ready", status_code="503"} 0+900`,
		},
	},
	"workflows": {
		failing: []string{
			`argo_workflows_total_count{phase="Succeeded"} 0+5`,
			`argo_workflows_total_count{phase="Error"} 0+5`,
		},
		healthy: []string{
			`argo_workflows_total_count{phase="Running"} 0+10`,
			`argo_workflows_total_count{phase="Succeeded"} 0+6`,
			`argo_workflows_total_count{phase="Failed"} 0+4`,
			`argo_workflows_total_count{phase="Error"} 0+0`,
		},
	},
}

var alertCases = map[string]objectiveCase{
	"VaultSealed": {
		failing: []string{`vault_core_unsealed{pod="vault-0"} 1+0`, `vault_core_unsealed{pod="vault-1"} 0+0`},
		healthy: []string{`vault_core_unsealed{pod="vault-0"} 1+0`, `vault_core_unsealed{pod="vault-1"} 1+0`},
	},
	"ExternalSecretNotReady": {
		failing: []string{`externalsecret_status_condition{name="a", condition="Ready", status="False"} 1+0`},
		healthy: []string{
			`externalsecret_status_condition{name="a", condition="Ready", status="False"} 0+0`,
			`externalsecret_status_condition{name="a", condition="Ready", status="True"} 1+0`,
		},
	},
	"CertificateNotReady": {
		failing: []string{`certmanager_certificate_ready_status{name="a", condition="False"} 1+0`},
		healthy: []string{
			`certmanager_certificate_ready_status{name="a", condition="False"} 0+0`,
			`certmanager_certificate_ready_status{name="a", condition="True"} 1+0`,
		},
	},
	"ApplicationOutOfSync": {
		failing: []string{`argocd_app_info{name="a", sync_status="Unknown", health_status="Healthy"} 1+0`},
		healthy: []string{`argocd_app_info{name="a", sync_status="Synced", health_status="Healthy"} 1+0`},
	},
	"CertificateExpires": {
		failing: []string{fmt.Sprintf(`certmanager_certificate_expiration_timestamp_seconds{name="a"} %d+0`, end().Unix()+6*86400)},
		healthy: []string{fmt.Sprintf(`certmanager_certificate_expiration_timestamp_seconds{name="a"} %d+0`, end().Unix()+8*86400)},
	},
	"ApplicationDegraded": {
		failing: []string{`argocd_app_info{name="a", sync_status="Synced", health_status="Degraded"} 1+0`},
		healthy: []string{`argocd_app_info{name="a", sync_status="Synced", health_status="Healthy"} 1+0`},
	},
	"LokiInstanceDown": {
		failing: []string{
			`up{namespace="observability", pod="loki-0", service="loki"} 1+0`,
			`up{namespace="observability", pod="loki-0", service="loki-headless"} 1+0`,
		},
		healthy: []string{
			`up{namespace="observability", pod="loki-0", service="loki"} 1+0`,
			`up{namespace="observability", pod="loki-1", service="loki"} 1+0`,
		},
	},
	"PrometheusReplicaDown": {
		failing: []string{`up{namespace="observability", pod="prometheus-kube-prometheus-stack-prometheus-1"} 0+0`},
		healthy: []string{
			`up{namespace="observability", pod="prometheus-kube-prometheus-stack-prometheus-0"} 1+0`,
			`up{namespace="observability", pod="prometheus-kube-prometheus-stack-prometheus-1"} 1+0`,
		},
	},
}

func TestObjectives(t *testing.T) {
	objectives, rules := rendered(t)
	require.Len(t, objectives, len(objectiveCases), "every objective has a case, and every case an objective")
	for name, objective := range objectives {
		t.Run(name, func(t *testing.T) {
			test, ok := objectiveCases[name]
			require.True(t, ok, "no case for this objective: nobody knows that it can go red")
			t.Run("failing", func(t *testing.T) {
				ratio, firing := objective.evaluate(t, load(t, rules, test.failing))
				require.NotEmpty(t, firing, "the objective is at %g errors, and no alert fires", ratio)
			})
			t.Run("healthy", func(t *testing.T) {
				ratio, firing := objective.evaluate(t, load(t, rules, test.healthy))
				require.False(t, math.IsNaN(ratio), "the healthy series are not what the objective counts")
				require.Empty(t, firing, "the objective is at %g errors", ratio)
			})
		})
	}
}

// A Vault that is gone says nothing, which must not look like a Vault that is well.
func TestVaultGone(t *testing.T) {
	objectives, rules := rendered(t)
	_, firing := objectives["vault-availability"].evaluate(t, load(t, rules, []string{`up 1+0`}))
	require.NotEmpty(t, firing)
}

func TestAlerts(t *testing.T) {
	_, rules := rendered(t)
	alerts := 0
	for _, r := range rules {
		if r.Alert == "" {
			continue
		}
		alerts++
		t.Run(r.Alert, func(t *testing.T) {
			test, ok := alertCases[r.Alert]
			require.True(t, ok, "no case for this alert")
			require.NotEmpty(t, load(t, rules, test.failing).query(t, r.Expr, end()), "doesn't fire")
			require.Empty(t, load(t, rules, test.healthy).query(t, r.Expr, end()), "fires")
			require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], "the receiver takes these")
		})
	}
	require.Equal(t, len(alertCases), alerts)
}

// objective is what Pyrra reads.
type objective struct {
	Target    string `json:"target"`
	Window    string `json:"window"`
	Indicator struct {
		Ratio     *struct{ Errors, Total metric }  `json:"ratio"`
		Latency   *struct{ Success, Total metric } `json:"latency"`
		BoolGauge *metric                          `json:"bool_gauge"`
	} `json:"indicator"`
}

type metric struct {
	Metric string `json:"metric"`
}

type rule struct {
	Record string            `json:"record"`
	Alert  string            `json:"alert"`
	Expr   string            `json:"expr"`
	Labels map[string]string `json:"labels"`
}

// evaluate gives the share of errors over the last hour, and the windows whose alert fires.
func (o objective) evaluate(t *testing.T, s *store) (ratio float64, firing []string) {
	t.Helper()
	ratio = math.NaN()
	if v := s.query(t, o.burnrate(t, time.Hour), end()); len(v) == 1 {
		ratio = v[0].F
	}
	percent, err := strconv.ParseFloat(o.Target, 64)
	require.NoError(t, err)
	window, err := time.ParseDuration(strings.TrimSuffix(o.Window, "d") + "h")
	require.NoError(t, err)
	window *= 24
	// Pyrra's alerts, for four weeks: an hour and five minutes at 14 times the budget, six hours and half an hour at 7, a day and two
	// hours at 2, four days and six hours at 1. They shrink with the window.
	for _, w := range []struct {
		long, short time.Duration
		factor      float64
	}{
		{window / (28 * 24), window / (28 * 24 * 12), 14},
		{window / (28 * 4), window / (28 * 24 * 2), 7},
		{window / 28, window / (28 * 12), 2},
		{window / 7, window / (28 * 4), 1},
	} {
		long, short := w.long.Round(time.Minute), w.short.Round(time.Minute)
		expr := fmt.Sprintf("(%s) > %g and (%s) > %g",
			o.burnrate(t, short), w.factor*(1-percent/100), o.burnrate(t, long), w.factor*(1-percent/100))
		if len(s.query(t, expr, end())) > 0 {
			firing = append(firing, short.String()+"/"+long.String())
		}
	}
	return ratio, firing
}

// burnrate is the recording rule that Pyrra makes of the objective for one window.
func (o objective) burnrate(t *testing.T, window time.Duration) string {
	t.Helper()
	sum := func(function string, m metric) string {
		return fmt.Sprintf("sum(%s(%s[%s]))", function, selector(t, m.Metric), fmt.Sprintf("%dm", int(window.Minutes())))
	}
	switch i := o.Indicator; {
	case i.Ratio != nil:
		return sum("rate", i.Ratio.Errors) + " / " + sum("rate", i.Ratio.Total)
	case i.Latency != nil:
		return "(" + sum("rate", i.Latency.Total) + " - " + sum("rate", i.Latency.Success) + ") / " + sum("rate", i.Latency.Total)
	case i.BoolGauge != nil:
		count := sum("count_over_time", *i.BoolGauge)
		return "(" + count + " - " + sum("sum_over_time", *i.BoolGauge) + ") / " + count
	}
	require.FailNow(t, "an objective without an indicator")
	return ""
}

// selector is the metric as Pyrra queries it: a plain selector, with a whole number as le also in the form that Prometheus 3 gives it.
func selector(t *testing.T, text string) string {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	require.NoError(t, err)
	vector, ok := expr.(*parser.VectorSelector)
	require.True(t, ok, "Pyrra takes a metric and its labels, no expression: %s", text)
	for n, m := range vector.LabelMatchers {
		if _, err := strconv.Atoi(m.Value); err == nil && m.Name == "le" && m.Type == labels.MatchEqual {
			vector.LabelMatchers[n] = labels.MustNewMatcher(labels.MatchRegexp, "le", m.Value+`|`+m.Value+`\.0`)
		}
	}
	return vector.String()
}

// rendered gives the component's objectives and rules, as they are applied.
func rendered(t *testing.T) (map[string]objective, []rule) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../K8s/observability/slo")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "charts", "common"), os.DirFS("../../IT/common")))
	platform, err := os.ReadFile("../../platform.yaml")
	require.NoError(t, err)
	values, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "values.yaml"), append(platform, values...), 0o644))
	objects, err := render.Render(t.Context(), render.Request{Dir: dir, App: "observability-slo", Release: "slo", Namespace: "observability"})
	require.NoError(t, err)

	objectives, rules := map[string]objective{}, []rule{}
	for _, object := range objects {
		switch object.GetKind() {
		case "ServiceLevelObjective":
			var spec objective
			decode(t, object, &spec)
			objectives[object.GetName()] = spec
		case "PrometheusRule":
			var spec struct {
				Groups []struct{ Rules []rule }
			}
			decode(t, object, &spec)
			for _, group := range spec.Groups {
				rules = append(rules, group.Rules...)
			}
		}
	}
	return objectives, rules
}

func decode(t *testing.T, object *unstructured.Unstructured, spec any) {
	t.Helper()
	text, err := yaml.Marshal(object.Object["spec"])
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, spec))
}

// store is what Prometheus would have after three hours. In memory and not in Prometheus' own database, which brings the libraries
// of every cloud along.
type store struct {
	series []series
	engine *promql.Engine
}

type series struct {
	labels  labels.Labels
	samples []chunks.Sample
}

type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

func load(t *testing.T, rules []rule, given []string) *store {
	t.Helper()
	s := &store{engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute})}
	for _, text := range given {
		name, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(fmt.Sprintf("%sx%d", text, steps))
		require.NoError(t, err, text)
		one := series{labels: name}
		for n, value := range values {
			one.samples = append(one.samples, sample{at: (time.Duration(n) * step).Milliseconds(), value: value.Value})
		}
		s.series = append(s.series, one)
	}
	for at := time.Unix(0, 0); !at.After(end()); at = at.Add(step) {
		for _, r := range rules {
			if r.Record == "" {
				continue
			}
			for _, result := range s.query(t, r.Expr, at) {
				name := labels.NewBuilder(result.Metric).Set("__name__", r.Record).Labels()
				n := slices.IndexFunc(s.series, func(one series) bool { return labels.Equal(one.labels, name) })
				if n < 0 {
					n, s.series = len(s.series), append(s.series, series{labels: name})
				}
				s.series[n].samples = append(s.series[n].samples, sample{at: at.UnixMilli(), value: result.F})
			}
		}
	}
	return s
}

// Querier makes the store what the engine reads.
func (s *store) Querier(_, _ int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var found []storage.Series
		for _, one := range s.series {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.labels.Get(m.Name)) }) {
				found = append(found, storage.NewListSeries(one.labels, one.samples))
			}
		}
		return &set{series: found}
	}}, nil
}

// set hands out series one after the other.
type set struct {
	series []storage.Series
	at     storage.Series
}

func (s *set) Next() bool {
	if len(s.series) == 0 {
		return false
	}
	s.at, s.series = s.series[0], s.series[1:]
	return true
}

func (s *set) At() storage.Series                { return s.at }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

func (s *store) query(t *testing.T, expr string, at time.Time) promql.Vector {
	t.Helper()
	query, err := s.engine.NewInstantQuery(t.Context(), s, nil, expr, at)
	require.NoError(t, err, expr)
	defer query.Close()
	vector, err := query.Exec(t.Context()).Vector()
	require.NoError(t, err, expr)
	return slices.Clone(vector)
}

func end() time.Time { return time.Unix(0, 0).Add(steps * step) }

// buckets is one bucket of a histogram and its count: so many more in each step.
func buckets(name, of, le string, within, total int) []string {
	return []string{
		fmt.Sprintf(`%s_bucket{%s, le="%s"} 0+%d`, name, of, le, within),
		fmt.Sprintf(`%s_bucket{%s, le="+Inf"} 0+%d`, name, of, total),
		fmt.Sprintf(`%s_count{%s} 0+%d`, name, of, total),
	}
}

// certificates are so many, due for renewal and expiring at these times after the start.
func certificates(count int, renewal, expiration time.Duration) []string {
	var series []string
	for n := range count {
		of := fmt.Sprintf(`name="%s-%d"`, renewal, n)
		series = append(series,
			fmt.Sprintf(`certmanager_certificate_renewal_timestamp_seconds{%s} %d+0`, of, int(renewal.Seconds())),
			fmt.Sprintf(`certmanager_certificate_expiration_timestamp_seconds{%s} %d+0`, of, int(expiration.Seconds())),
		)
	}
	return series
}
