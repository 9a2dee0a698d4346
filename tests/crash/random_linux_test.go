package crash

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"wrun/tests/container"
)

var seed = flag.Uint64("seed", 0, "seed of the random moments (0: a new one each time)")

// rounds is how often each kind of container has wrun killed at a random moment.
const rounds = 12

// TestRandomMoments kills wrun from outside in the first milliseconds of
// create, run and delete.
func TestRandomMoments(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	for _, k := range kinds {
		for i := range rounds {
			operation := []string{"create", "run", "delete"}[i%3]
			delay := time.Duration(random.Int64N(int64(8 * time.Millisecond)))
			t.Run(k.name+"/"+operation+" "+delay.String(), func(t *testing.T) {
				l := newLife(t, k)
				args := append([]string{operation}, l.create...)
				switch operation {
				case "run":
					args = slices.Insert(args, 1, "--detach")
				case "delete":
					l.OK(t, append([]string{"create"}, l.create...)...)
					l.OK(t, "start", l.id)
					args = []string{"delete", "--force", l.id}
				}
				l.killed(delay, args...)
				l.settled()
				l.recover()
			})
		}
	}
}

// killed calls wrun and kills it after delay, if it lives that long.
func (l *life) killed(delay time.Duration, args ...string) {
	l.Helper()
	out, err := os.Create(filepath.Join(l.files, "out"))
	container.Must(l.T, err)
	defer out.Close()
	cmd := l.Command(context.Background(), args...)
	cmd.Stdout, cmd.Stderr = out, out
	container.Must(l.T, cmd.Start())
	time.Sleep(delay)
	_ = cmd.Process.Kill() // an error: it has ended already
	_ = cmd.Wait()
}
