package state

import (
	"fmt"
	"os"
)

const environmentVariable = "IDP_PRIVATE_ENV"

// PrivateEnvironment returns the variable that makes a child read more of its environment from file: what is a secret must
// not stand in the environment that a process is started with, where every tool that lists processes can show it.
func PrivateEnvironment(file string) string { return environmentVariable + "=" + file }

// LoadPrivateEnvironment sets the variables of the file that PrivateEnvironment names, if there is one.
func LoadPrivateEnvironment() error {
	file := os.Getenv(environmentVariable)
	if file == "" {
		return nil
	}
	vars := map[string]string{}
	if err := ReadJSON(file, &vars); err != nil {
		return fmt.Errorf("private environment: %w", err)
	}
	for name, value := range vars {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("private environment: %s: %w", name, err)
		}
	}
	return os.Unsetenv(environmentVariable)
}
