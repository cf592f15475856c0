// Package render compares what idp renders with what Argo CD's repo server makes of the same folders, object by object. It needs the
// embedded program, which has the repo server's code in it, and no cluster.
package render

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/idp-blueprint/idp/internal/chart"
	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/cluster/embedded"
	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/render"
)

// buildRoom is what a first build of the embedded program may take.
const buildRoom = 40 * time.Minute

// question is a request as the embedded program's render-manifests reads it.
type question struct {
	Root             string            `json:"root"`
	Path             string            `json:"path"`
	App              string            `json:"app"`
	Release          string            `json:"release"`
	Namespace        string            `json:"namespace"`
	ValueFiles       []string          `json:"valueFiles"`
	Parameters       map[string]string `json:"parameters,omitempty"`
	StringParameters map[string]string `json:"stringParameters,omitempty"`
	KubeVersion      string            `json:"kubeVersion"`
	APIVersions      []string          `json:"apiVersions"`
	SkipTests        bool              `json:"skipTests"`
	SkipCRDs         bool              `json:"skipCRDs"`
}

// request is the same for idp.
func (q question) request() render.Request {
	r := render.Request{
		Dir: filepath.Join(q.Root, filepath.FromSlash(q.Path)), App: q.App, Release: q.Release, Namespace: q.Namespace,
		Parameters: q.Parameters, StringParameters: q.StringParameters,
		KubeVersion: q.KubeVersion, APIVersions: q.APIVersions, SkipTests: q.SkipTests, SkipCRDs: q.SkipCRDs,
	}
	for _, file := range q.ValueFiles {
		if !path.IsAbs(file) {
			file = path.Join(q.Path, file)
		}
		r.ValueFiles = append(r.ValueFiles, filepath.Join(q.Root, filepath.FromSlash(file)))
	}
	return r
}

// Every component, with whatever charts this machine has of it, and stand-ins for the others.
func TestComponents(t *testing.T) {
	program := program(t)
	own := filepath.Join(userCache(t), "charts")
	for name, test := range map[string]struct{ cache, profile string }{
		"own charts": {own, "demo"}, "own charts in ha": {own, "ha"}, "stand-ins": {t.TempDir(), "demo"},
	} {
		t.Run(name, func(t *testing.T) {
			root := inProfile(t, test.profile)
			p, err := platform.Load(os.DirFS(root), root)
			require.NoError(t, err)
			require.Equal(t, test.profile, p.Config.Profile)
			staged := t.TempDir()
			charts := vendorer{root, chart.NewResolver(chart.Options{CacheDir: test.cache, Offline: true, StandIns: true})}
			_, err = gitops.Stage(t.Context(), p, charts, staged)
			require.NoError(t, err)
			var questions []question
			for _, c := range p.Components() {
				questions = append(questions, question{
					Root: staged, Path: c.Path, App: c.App, Release: c.Name, Namespace: c.Namespace, ValueFiles: asGiven(p, c),
					KubeVersion: p.Config.Kubernetes.Version, APIVersions: p.Config.Kubernetes.APIVersions, SkipTests: true,
				})
			}
			compare(t, program, questions)
		})
	}
}

// Nothing repeats what platform.yaml says: with another domain and name there, the old ones are nowhere. Charts that this machine hasn't
// got are left out.
func TestNothingRepeatsTheDomain(t *testing.T) {
	root := changed(t, "domain: idp.localhost", "domain: example.test")
	p, err := platform.Load(os.DirFS(root), root)
	require.NoError(t, err)
	require.Equal(t, "example.test", p.Config.Domain)
	resolver := chart.NewResolver(chart.Options{CacheDir: filepath.Join(userCache(t), "charts"), Offline: true})
	routes := 0
	for _, c := range p.Components() {
		if _, err := resolver.Vendor(t.Context(), root, c, filepath.Join(root, c.Path)); err != nil {
			t.Log(err)
			continue
		}
		var files []string
		for _, file := range p.ValueFiles(c) {
			files = append(files, filepath.Join(root, file))
		}
		objects, err := render.Render(t.Context(), render.Request{
			Dir: filepath.Join(root, c.Path), App: c.App, Release: c.Name, Namespace: c.Namespace, ValueFiles: files,
			KubeVersion: p.Config.Kubernetes.Version, APIVersions: p.Config.Kubernetes.APIVersions, SkipTests: true,
		})
		require.NoError(t, err)
		for _, object := range objects {
			text := string(render.JSON([]render.Object{object}))
			require.NotContains(t, text, "idp.localhost", c.Path)
			if object.GetKind() == "HTTPRoute" {
				require.Contains(t, text, ".example.test")
				routes++
			}
			if object.GetName() == "argocd-cm" {
				require.Contains(t, text, `"url":"https://argocd.example.test"`)
			}
		}
	}
	require.Positive(t, routes)
}

// inProfile is a copy of what a render reads of the repository, in another profile.
func inProfile(t *testing.T, profile string) string {
	t.Helper()
	return changed(t, "profile: demo", "profile: "+profile)
}

// changed is such a copy with another line in platform.yaml.
func changed(t *testing.T, line, other string) string {
	t.Helper()
	root := t.TempDir()
	for _, folder := range []string{"IT", "K8s", "Policies"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join(repository(t), folder))))
	}
	config, err := os.ReadFile(filepath.Join(repository(t), platform.ConfigFile))
	require.NoError(t, err)
	require.Contains(t, string(config), line)
	text := strings.Replace(string(config), line, other, 1)
	require.NoError(t, os.WriteFile(filepath.Join(root, platform.ConfigFile), []byte(text), 0o644))
	return root
}

// asGiven are the values files as the Application names them: from the root, and beside its chart.
func asGiven(p *platform.Platform, c platform.Component) []string {
	var files []string
	for _, file := range p.ValueFiles(c) {
		if beside, ok := strings.CutPrefix(file, c.Path+"/"); ok {
			files = append(files, beside)
			continue
		}
		files = append(files, "/"+file)
	}
	return files
}

// The Applications are given the values files that components are rendered with.
func TestApplicationsAreGivenTheProfilesValues(t *testing.T) {
	for profile, want := range map[string][]any{"demo": {"/platform.yaml"}, "ha": {"/platform.yaml", "values-ha.yaml"}} {
		root := inProfile(t, profile)
		objects, err := render.Render(t.Context(), render.Request{
			Dir: filepath.Join(root, "IT", "gitops"), App: "gitops", Release: "gitops", Namespace: "argocd", ValueFiles: []string{filepath.Join(root, platform.ConfigFile)},
		})
		require.NoError(t, err)
		found := 0
		for _, object := range objects {
			fields := map[string][]string{"Application": {"spec", "source", "helm"}, "ApplicationSet": {"spec", "template", "spec", "source", "helm"}}[object.GetKind()]
			if fields == nil {
				continue
			}
			helm, _, err := unstructured.NestedMap(object.Object, fields...)
			require.NoError(t, err)
			require.Equal(t, want, helm["valueFiles"], object.GetName())
			require.Equal(t, profile != "demo", helm["ignoreMissingValueFiles"] == true, "not every component has values of the profile")
			found++
		}
		require.Greater(t, found, 2)
	}
}

// The tiny charts of render's own tests, for what no component happens to do.
func TestTinyCharts(t *testing.T) {
	program := program(t)
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, os.DirFS(filepath.Join(repository(t), "internal", "render", "testdata"))))
	var questions []question
	for _, name := range []string{"capabilities", "crds", "documents", "hooks", "order", "parameters", "subcharts", "tracking"} {
		chart := filepath.Join(root, name, "chart")
		if _, err := os.Stat(filepath.Join(chart, "subcharts")); err == nil {
			require.NoError(t, os.Rename(filepath.Join(chart, "subcharts"), filepath.Join(chart, "charts")))
		}
		q := question{
			Root: root, Path: name + "/chart", App: "app", Release: "rel", Namespace: "dest",
			KubeVersion: "v1.37.2", APIVersions: []string{"cert-manager.io/v1", "cert-manager.io/v1/Certificate"},
		}
		if _, err := os.Stat(filepath.Join(root, name, "platform.yaml")); err == nil {
			q.ValueFiles = []string{"/" + name + "/platform.yaml"}
		}
		switch name {
		case "parameters":
			q.Parameters = map[string]string{
				"a": "one,two", "n": "1", "list[0]": "y", "braces": "{a,b}", "nested.also": "null", "escaped": `a\,b`,
				"app": "$ARGOCD_APP_NAME.${ARGOCD_APP_NAMESPACE}", "dollar": "$$x",
			}
			q.StringParameters = map[string]string{"s": "1", "a": "string wins"}
		case "hooks":
			skipped := q
			skipped.SkipTests = true
			questions = append(questions, skipped)
		case "crds":
			skipped := q
			skipped.SkipCRDs = true
			questions = append(questions, skipped)
		}
		questions = append(questions, q)
	}
	compare(t, program, questions)
}

// compare asks both and wants the same objects in the same order, byte for byte.
func compare(t *testing.T, program string, questions []question) {
	t.Helper()
	for i, manifests := range ask(t, program, questions) {
		q := questions[i]
		t.Run(q.Path, func(t *testing.T) {
			objects, err := render.Render(t.Context(), q.request())
			require.NoError(t, err)
			var theirs bytes.Buffer
			for _, manifest := range manifests {
				theirs.Write(manifest)
				theirs.WriteByte('\n')
			}
			require.NotEmpty(t, objects)
			require.Equal(t, theirs.String(), string(render.JSON(objects)))
		})
	}
}

// ask gives the repo server's manifests for each question.
func ask(t *testing.T, program string, questions []question) [][]json.RawMessage {
	t.Helper()
	var in, out, complaints bytes.Buffer
	for _, q := range questions {
		require.NoError(t, json.NewEncoder(&in).Encode(q))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "render-manifests")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &complaints
	require.NoError(t, cmd.Run(), complaints.String())
	var answers [][]json.RawMessage
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var answer struct {
			Manifests []json.RawMessage
			Error     string
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &answer))
		require.Empty(t, answer.Error, questions[len(answers)].Path)
		answers = append(answers, answer.Manifests)
	}
	require.NoError(t, lines.Err())
	require.Len(t, answers, len(questions))
	return answers
}

// program is the embedded program, with helm beside it. It is built where it isn't yet.
func program(t *testing.T) string {
	t.Helper()
	spec := embedded.Spec{CacheDir: userCache(t), ModuleDir: filepath.Join(repository(t), "embedded")}
	if path, err := embedded.Program(spec); err == nil {
		return path
	}
	if deadline, ok := t.Deadline(); ok && time.Until(deadline) < buildRoom {
		t.Skip("the embedded program is not built yet, and its first build doesn't fit go test's time limit.\n" +
			"Run: go test -timeout 60m ./...   (or once: go run ./cmd/idp up)")
	}
	path, err := embedded.Build(t.Context(), spec, func(p cluster.Progress) { t.Log(p.Message) })
	require.NoError(t, err)
	return path
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	return root
}

// userCache is the idp command's own cache: what it has built and fetched is used here too.
func userCache(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	require.NoError(t, err)
	return filepath.Join(dir, "idp")
}

type vendorer struct {
	root     string
	resolver *chart.Resolver
}

// Vendor makes a chart resolver what gitops.Stage wants.
func (v vendorer) Vendor(ctx context.Context, c platform.Component, dest string) (string, error) {
	source, err := v.resolver.Vendor(ctx, v.root, c, dest)
	return string(source), err
}
