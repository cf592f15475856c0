package simulator

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
)

// secretStage is a stage that makes up values as a cluster would.
type secretStage struct {
	stage
	existing map[string][]byte
}

func (s *secretStage) SecretData(external map[string]any) (map[string]any, error) {
	var spec externalSpec
	if err := into(external["spec"], &spec); err != nil {
		return nil, err
	}
	data, err := spec.placeholders(s.existing)
	if err != nil {
		return nil, err
	}
	s.existing = data
	return encodeData(data), nil
}

// TestEffectDatabaseSecret checks what an application finds in the Secret of its database: every key that the real operator writes,
// all with the one password, the same one each time.
func TestEffectDatabaseSecret(t *testing.T) {
	effects, err := loadEffects(effectsFS, "effects")
	require.NoError(t, err)
	object := readObjects(t, "testdata/effects/postgresql.yaml")[0]
	env := &secretStage{}
	var first map[string]string
	for range 2 {
		var cluster *effect
		for _, e := range effects {
			if e.Resource == "clusters.postgresql.cnpg.io" {
				cluster = e
			}
		}
		out, err := cluster.Render(object, env)
		require.NoError(t, err)
		got := map[string]string{}
		for key, value := range out.Objects[0].Object["data"].(map[string]any) {
			text, err := base64.StdEncoding.DecodeString(value.(string))
			require.NoError(t, err)
			got[key] = string(text)
		}
		password := got["password"]
		require.Len(t, password, placeholderLength)
		require.Equal(t, map[string]string{
			"username": "someone", "user": "someone", "password": password, "dbname": "shop", "host": "shop-db-rw", "port": "5432",
			"pgpass":        "shop-db-rw:5432:shop:someone:" + password + "\n",
			"uri":           "postgresql://someone:" + password + "@shop-db-rw.ns:5432/shop",
			"jdbc-uri":      "jdbc:postgresql://shop-db-rw.ns:5432/shop?password=" + password + "&user=someone",
			"fqdn-uri":      "postgresql://someone:" + password + "@shop-db-rw.ns.svc.cluster.local:5432/shop",
			"fqdn-jdbc-uri": "jdbc:postgresql://shop-db-rw.ns.svc.cluster.local:5432/shop?password=" + password + "&user=someone",
		}, got)
		if first != nil {
			require.Equal(t, first, got)
		}
		first = got
	}
}
