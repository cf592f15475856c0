package images

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMirrored(t *testing.T) {
	for _, c := range []struct{ image, mirror, want string }{
		{Go, "", Go},
		{"docker.io/library/golang:1.26", "registry.example", "registry.example/library/golang:1.26"},
		{"docker.io/library/golang:1.26", "registry.example/cache/", "registry.example/cache/library/golang:1.26"},
		{"ghcr.io/a/b@sha256:00", "localhost:5000", "localhost:5000/a/b@sha256:00"},
	} {
		require.Equal(t, c.want, Mirrored(c.image, c.mirror))
	}
}

// What keeps the images' digests has to find each of them, as they stand now and once they have digests.
func TestRenovateFindsEveryImage(t *testing.T) {
	var config struct {
		CustomManagers []struct{ MatchStrings []string }
	}
	content, err := os.ReadFile("../../renovate.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &config))
	pattern := regexp.MustCompile(config.CustomManagers[0].MatchStrings[0])
	source, err := os.ReadFile("images.go")
	require.NoError(t, err)
	var found []string
	for _, match := range pattern.FindAllStringSubmatch(string(source), -1) {
		found = append(found, match[1]+":"+match[2])
	}
	require.Equal(t, []string{Go, Base, K3s}, found)
	require.Equal(t, []string{"ghcr.io/a/b", "1.2", "sha256:00ff"}, pattern.FindStringSubmatch(`X = "ghcr.io/a/b:1.2@sha256:00ff"`)[1:])
}
