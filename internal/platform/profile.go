package platform

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// demoProfile is what every values.yaml is written for.
const demoProfile = "demo"

// profiles are those that platform.yaml may name.
func profiles() []string { return []string{demoProfile, "ha"} }

// ProfileValues is the file beside a component's values.yaml that says what is other in a profile.
func ProfileValues(profile string) string { return "values-" + profile + ".yaml" }

// ValueFiles are the values files, repo-relative, that component c is rendered with beside its own values.yaml; later ones win.
// Argo CD is given the same by IT/gitops.
func (p *Platform) ValueFiles(c Component) []string {
	files := []string{ConfigFile}
	if slices.Contains(c.Profiles, p.Config.Profile) {
		files = append(files, path.Join(c.Path, ProfileValues(p.Config.Profile)))
	}
	return files
}

// readProfiles finds the profiles that the component in folder has values for. A file for a profile that doesn't exist would never
// be read.
func readProfiles(fsys fs.FS, folder string, out *findings) []string {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil {
		return nil // readChart says so
	}
	others := profiles()[1:]
	var found []string
	for _, e := range entries {
		name := e.Name()
		rest, isValues := strings.CutPrefix(name, "values-")
		if !isValues || e.IsDir() {
			continue
		}
		if i := slices.IndexFunc(others, func(profile string) bool { return ProfileValues(profile) == name }); i >= 0 {
			found = append(found, others[i])
			continue
		}
		hint := "values of the profile " + demoProfile + " are in values.yaml, those of others in " + ProfileValues("<profile>")
		if near := Nearest(strings.TrimSuffix(rest, path.Ext(rest)), others); near != "" {
			hint = "did you mean " + ProfileValues(near) + "?"
		}
		out.add(&InputError{File: path.Join(folder, name), Msg: "no profile has this values file", Hint: hint})
	}
	return found
}
