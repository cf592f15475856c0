package lifeline

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const role = "IDP_LIFELINE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(role) != "" {
		Watch()
		fmt.Println("ready")
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestChildEndsWithItsLine(t *testing.T) {
	line, err := New()
	require.NoError(t, err)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), role+"=1")
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	line.Attach(child)
	require.NoError(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill() })
	text, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", text)

	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	require.NoError(t, line.Close())
	select {
	case err := <-ended:
		require.ErrorContains(t, err, "killed")
	case <-time.After(20 * time.Second):
		t.Fatal("the child lives on")
	}
}
