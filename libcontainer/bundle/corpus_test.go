package bundle

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// lay makes a bundle of a corpus file: config.json beside a rootfs folder.
func lay(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// targetOf reads off a Spec what libcontainer.Decide does.
func targetOf(b *Bundle) Target {
	t := Target{OS: "linux", VM: b.Spec.Windows != nil && b.Spec.Windows.HyperV != nil}
	if b.Spec.Linux == nil && b.Spec.Windows != nil {
		t.OS = "windows"
	}
	return t
}

func loadAndCheck(dir string) (*Bundle, error) {
	b, err := Load(dir)
	if err != nil {
		return nil, err
	}
	return b, b.Check(targetOf(b))
}

// Each bad file names in a .want file, line by line, what must be found in it:
// as many problems as lines, and each line in one of them.
func TestBadCorpus(t *testing.T) {
	var golden strings.Builder
	files := corpusFiles(t, "bad/*.json")
	if len(files) < 60 {
		t.Errorf("only %d bad files", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".want")
			if err != nil {
				t.Fatal(err)
			}
			dir := lay(t, file)
			_, err = loadAndCheck(dir)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.File != filepath.Join(dir, "config.json") {
				t.Errorf("the error names %q", e.File)
			}
			golden.WriteString("== " + name + "\n" + strings.NewReplacer(dir+string(filepath.Separator), "/bundle/", dir, "/bundle").Replace(err.Error()) + "\n")
			lines := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
			if len(lines) != len(e.Problems) {
				t.Errorf("%d problems, want %d:\n%v", len(e.Problems), len(lines), err)
			}
			if got := strings.Count(err.Error(), "\n"); len(e.Problems) == 1 && got != 0 || len(e.Problems) > 1 && got != len(e.Problems) {
				t.Errorf("%d problems on %d lines:\n%v", len(e.Problems), got+1, err)
			}
			for _, l := range lines {
				if !strings.Contains(err.Error(), l) {
					t.Errorf("%q is not in\n%v", l, err)
				}
			}
			for _, p := range e.Problems {
				if p.Text == "" || p.Clause == "" {
					t.Errorf("without text or clause: %+v", p)
				}
			}
		})
	}
	file := filepath.Join("testdata", "messages.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(golden.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if golden.String() != string(want) {
		t.Errorf("messages differ from %s; look at them and run with -update:\n%s", file, golden.String())
	}
}

func TestGoodCorpus(t *testing.T) {
	for _, file := range corpusFiles(t, "good/*.json") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			b, err := loadAndCheck(lay(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Parse(b.Dir, b.Raw); err != nil || again.Check(targetOf(again)) != nil {
				t.Errorf("Parse of what Load took: %v", err)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for name, want := range map[string]string{
		"minimal":               "",
		"unknown-capability":    `process.capabilities.bounding[1] = "CAP_TEST": is no known capability`,
		"relative-mount":        `mounts[1].destination = "data": is relative`,
		"windows-silo":          "",
		"windows-rootless-silo": "root: is REQUIRED for Windows Server containers and missing",
	} {
		b, err := loadAndCheck(lay(t, filepath.Join(corpus, "good", name+".json")))
		if err != nil {
			t.Fatal(err)
		}
		switch w := b.Warnings(targetOf(b)); {
		case want == "" && len(w) > 0:
			t.Errorf("%s: warns %v", name, w)
		case want != "" && (len(w) != 1 || !strings.HasPrefix(w[0].String(), want)):
			t.Errorf("%s: warns %v, want %s", name, w, want)
		}
	}
}

func TestLoadPaths(t *testing.T) {
	dir := lay(t, filepath.Join(corpus, "good", "relative-bind.json"))
	b, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Dir != dir || b.Spec.Root.Path != filepath.Join(dir, "rootfs") {
		t.Errorf("dir %q, root %q", b.Dir, b.Spec.Root.Path)
	}
	if got := b.Spec.Mounts[1].Source; got != filepath.Join(dir, "data") {
		t.Errorf("relative source of a bind mount became %q", got)
	}
	if got := b.Spec.Mounts[0].Source; got != "proc" {
		t.Errorf("source of no bind mount became %q", got)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || string(raw) != string(b.Raw) {
		t.Errorf("Raw is not the file: %v", err)
	}

	b, err = Load(lay(t, filepath.Join(corpus, "good", "windows-silo.json")))
	if err != nil || b.Spec.Root.Path != `\\?\Volume{ec84d99e-3f02-11e7-ac6c-00155d7682cf}\` {
		t.Errorf("a volume path was changed: %v, %v", b.Spec.Root, err)
	}

	t.Chdir(dir)
	if b, err := Load(""); err != nil || b.Dir != dir {
		t.Errorf("Load of the working directory: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the texts are those of POSIX error numbers")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	large := t.TempDir()
	if err := os.WriteFile(filepath.Join(large, "config.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(large, "config.json"), MaxSize+1); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "config.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dir, want string }{
		{"/nonexistent", "chdir /nonexistent: no such file or directory"},
		{file, "chdir " + file + ": not a directory"},
		{dir, "open " + filepath.Join(dir, "config.json") + ": no such file or directory"},
		{large, "larger than 16 MiB"},
		{folder, "not a regular file"},
	} {
		_, err := Load(c.dir)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Load(%s): %v, want %s", c.dir, err, c.want)
		}
	}
	if _, err := Load("/nonexistent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is no fs.ErrNotExist", err)
	}
}

func TestRootIsNoDirectory(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the texts are those of POSIX error numbers")
	}
	file := filepath.Join(corpus, "good", "minimal.json")
	for _, c := range []struct {
		spoil func(root string) error
		want  string
	}{
		{os.Remove, `is no directory: stat `},
		{func(root string) error {
			if err := os.Remove(root); err != nil {
				return err
			}
			return os.WriteFile(root, nil, 0o600)
		}, "not a directory"},
		{func(root string) error {
			if err := os.Remove(root); err != nil {
				return err
			}
			return os.Symlink("rootfs", root)
		}, "too many"},
	} {
		dir := lay(t, file)
		if err := c.spoil(filepath.Join(dir, "rootfs")); err != nil {
			t.Fatal(err)
		}
		_, err := loadAndCheck(dir)
		if err == nil || !strings.Contains(err.Error(), "root.path = ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func readCorpus(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(corpus, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
