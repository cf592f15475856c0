package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// sourcesFile lies at the root of the published commit and says where each Application's charts came from, so that a later
// status can tell real charts from stand-ins without resolving them again.
const sourcesFile = "idp-charts.json"

func writeSources(sources map[string]string, dest string) error {
	content, err := json.MarshalIndent(sources, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dest, sourcesFile), append(content, '\n'), 0o644)
}

// Sources reads back, from the published commit, where each Application's charts came from.
func Sources(ctx context.Context, gitDir string) (map[string]string, error) {
	content, err := git(ctx, gitDir, nil, "show", Branch+":"+sourcesFile)
	if err != nil {
		return nil, err
	}
	sources := map[string]string{}
	if err := json.Unmarshal([]byte(content), &sources); err != nil {
		return nil, fmt.Errorf("reading %s of the published commit: %w", sourcesFile, err)
	}
	return sources, nil
}
