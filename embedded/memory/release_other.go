//go:build !linux

package memory

// releaseProgram does nothing where it isn't known how.
func releaseProgram() {}
