package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Schema is the version of everything in the folder. A folder of another version is refused, not guessed at.
const Schema = 1

// Spec is cluster.json: what idp asks of the supervisor. idp writes it before it starts the supervisor.
type Spec struct {
	Schema  int    `json:"schema"`
	Name    string `json:"name"`
	Program string `json:"program"`           // key of the program that made the folder
	Restore string `json:"restore,omitempty"` // a gzipped etcd snapshot that a cluster without data starts from
}

// ReadSpec reads the folder's spec. It refuses other schema versions.
func ReadSpec(l Layout) (Spec, error) {
	var s Spec
	if _, err := os.Stat(l.Spec()); errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%s does not exist: `idp up` makes it", l.Spec())
	}
	if err := ReadJSON(l.Spec(), &s); err != nil {
		return s, err
	}
	if s.Schema != Schema {
		return s, fmt.Errorf("%s: schema version %d, this program knows %d: `idp down --name %s` removes the cluster", l.Spec(), s.Schema, Schema, s.Name)
	}
	return s, nil
}
