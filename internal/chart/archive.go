package chart

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"sigs.k8s.io/yaml"
)

// maxArchive bounds an archive as it is downloaded or imported, in bytes. The largest chart in wide use has 1 MiB.
const maxArchive = 64 << 20

// archive is a chart archive that was unpacked once, in memory.
type archive struct {
	name    string
	version string
	sha256  string // of data
	digest  string // over the unpacked files; see filesDigest
	data    []byte
	files   []*loader.BufferedFile
	where   string // path or URL, for messages
}

var (
	chartName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)
	chartVersion = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

// parseArchive unpacks data in memory. Helm's own loader refuses paths that lead outside, and bounds the unpacked size.
func parseArchive(where string, data []byte) (*archive, error) {
	if len(data) > maxArchive {
		return nil, &ArchiveError{Where: where, Msg: fmt.Sprintf("more than %d MiB, which no chart has", maxArchive>>20)}
	}
	files, err := loader.LoadArchiveFiles(bytes.NewReader(data))
	if err != nil {
		return nil, &ArchiveError{Where: where, Msg: "no readable chart archive (truncated download, or not a chart .tgz)", Err: err}
	}
	a := &archive{data: data, files: files, where: where, sha256: hashHex(data), digest: filesDigest(files)}
	meta, err := chartMeta(files)
	if err != nil {
		return nil, &ArchiveError{Where: where, Msg: "no readable chart archive", Err: err}
	}
	if !chartName.MatchString(meta.Name) || !chartVersion.MatchString(meta.Version) {
		return nil, &ArchiveError{Where: where, Msg: fmt.Sprintf("Chart.yaml has no usable name and version: %q %q", meta.Name, meta.Version)}
	}
	a.name, a.version = meta.Name, meta.Version
	return a, nil
}

type metadata struct {
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	AppVersion   string       `json:"appVersion"`
	Annotations  annotations  `json:"annotations"`
	Dependencies []dependency `json:"dependencies"`
}

type annotations map[string]string

type dependency struct {
	Name      string `json:"name"`
	Alias     string `json:"alias"`
	Condition string `json:"condition"`
}

func chartMeta(files []*loader.BufferedFile) (metadata, error) {
	var meta metadata
	for _, f := range files {
		if f.Name == "Chart.yaml" {
			return meta, yaml.Unmarshal(f.Data, &meta)
		}
	}
	return meta, errors.New("it has no Chart.yaml")
}

// filesDigest is "h1:" and the SHA-256 over the sorted list of "<sha256>  <path>" lines of the unpacked files. Left out is what
// packaging rewrites and nothing renders: Chart.yaml and Chart.lock at any depth, documents (*.md), and hidden files. So an
// archive that was packaged from the tagged source has the digest of the published one.
func filesDigest(files []*loader.BufferedFile) string {
	var lines []string
	for _, f := range files {
		base := path.Base(f.Name)
		if base == "Chart.yaml" || base == "Chart.lock" || strings.HasPrefix(base, ".") || strings.EqualFold(path.Ext(base), ".md") {
			continue
		}
		lines = append(lines, hashHex(f.Data)+"  "+f.Name+"\n")
	}
	slices.Sort(lines)
	return "h1:" + hashHex([]byte(strings.Join(lines, "")))
}

func hashHex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readArchive reads and unpacks a file, never more of it than an archive may have.
func readArchive(file string) (*archive, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxArchive+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return parseArchive(file, data)
}

// is refuses an archive that holds another chart than the one asked for.
func (a *archive) is(name, version string) error {
	if a.name == name && a.version == version {
		return nil
	}
	return &ArchiveError{Where: a.where, Msg: fmt.Sprintf("it holds chart %s %s, not %s %s", a.name, a.version, name, version)}
}

// fits compares the archive with what the inventory records: the published archive's own digest, or the digest of its files.
func (a *archive) fits(facts *Chart) error {
	switch {
	case facts == nil, facts.SHA256 != "" && facts.SHA256 == a.sha256, facts.Files != "" && facts.Files == a.digest:
		return nil
	case facts.Files != "":
		return &DigestError{a.name, a.version, a.where, "files digest", a.digest, facts.Files}
	case facts.SHA256 != "":
		return &DigestError{a.name, a.version, a.where, "sha256", a.sha256, facts.SHA256}
	}
	return nil
}

// meta reads the archive's Chart.yaml.
func (a *archive) meta() (metadata, error) {
	files := a.files
	if files == nil {
		var err error
		if files, err = loader.LoadArchiveFiles(bytes.NewReader(a.data)); err != nil {
			return metadata{}, &ArchiveError{Where: a.where, Msg: "no readable chart archive", Err: err}
		}
	}
	return chartMeta(files)
}
