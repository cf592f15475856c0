package platform

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

const (
	stacksFolder   = "K8s"
	policiesFolder = "Policies"
	policiesStack  = "policies"
)

// readStacks finds the stacks: each folder of K8s/, and Policies/.
func readStacks(fsys fs.FS, out *findings) []Stack {
	var stacks []Stack
	for _, name := range folders(fsys, stacksFolder, out) {
		stacks = append(stacks, readStack(fsys, name, path.Join(stacksFolder, name), out))
	}
	if s := readStack(fsys, policiesStack, policiesFolder, out); len(s.Components) > 0 {
		stacks = append(stacks, s)
	}
	first := map[string]string{}
	for _, s := range stacks {
		if earlier, doubled := first[s.Name]; doubled {
			out.add(&InputError{File: s.Path, Msg: "the stack " + s.Name + " is already in " + earlier, Hint: "rename one of the folders"})
		}
		first[s.Name] = s.Path
	}
	return stacks
}

func readStack(fsys fs.FS, name, folder string, out *findings) Stack {
	if wrong := notReleaseName(name); wrong != "" {
		out.add(&InputError{File: folder, Msg: "the name of this folder " + wrong, Hint: "rename it"})
	}
	s := Stack{Name: name, Namespace: name, Path: folder}
	for _, component := range folders(fsys, folder, out) {
		at := path.Join(folder, component)
		s.Components = append(s.Components, Component{
			Name:      component,
			App:       name + "-" + component,
			Stack:     name,
			Namespace: name,
			Path:      at,
			Chart:     readChart(fsys, at, out),
			Profiles:  readProfiles(fsys, at, out),
		})
	}
	return s
}

// folders are the folders in a folder, sorted, hidden ones and library charts left out. A folder that doesn't exist has none.
func folders(fsys fs.FS, folder string, out *findings) []string {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		out.add(&InputError{File: folder, Msg: "can't be read: " + err.Error()})
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !isLibrary(fsys, path.Join(folder, e.Name())) {
			names = append(names, e.Name())
		}
	}
	return names
}
