package lint

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

func requireSchema(t *testing.T, document []byte) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("testdata/sarif.schema.json")
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(value))
}
