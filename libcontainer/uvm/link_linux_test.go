package uvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/wire"
)

// patience is how long a test waits for what must happen: it is only ever used
// up by a test that fails.
const patience = 20 * time.Second

// links are both ends of a link, with a deadline.
func links(t *testing.T) (a, b link) {
	t.Helper()
	a, b, err := newLink()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []link{a, b} {
		if err := l.patience(patience); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// tracked is a pipe of which the test can tell who else in this process has it.
type tracked struct {
	r, w int
	name string // of the pipe in /proc/self/fd
}

func track(t *testing.T) tracked {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", p[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return tracked{p[0], p[1], name}
}

// copies is how many descriptors of the pipe there are beside the test's two.
func (p tracked) copies(t *testing.T) int {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	n := -2
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && name == p.name {
			n++
		}
	}
	return n
}

func writeRaw(t *testing.T, l link, b []byte, fds ...int) {
	t.Helper()
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for len(b) > 0 {
		n, err := unix.SendmsgN(int(l), b, rights, nil, unix.MSG_NOSIGNAL)
		if err != nil {
			t.Fatal(err)
		}
		b, rights = b[n:], nil
	}
}

func framed(text string) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// TestLinkCarries: values and descriptors arrive as they were sent, frame by
// frame, whatever their size.
func TestLinkCarries(t *testing.T) {
	p := track(t)
	for name, c := range map[string]struct {
		text string
		fds  []int
	}{
		"nothing":             {"", nil},
		"a text":              {"<hello>", nil},
		"one descriptor":      {"x", []int{p.w}},
		"three descriptors":   {"x", []int{p.w, p.r, p.w}},
		"more than a buffer":  {strings.Repeat("long", 300_000), nil},
		"all of it with them": {strings.Repeat("long", 1_000_000), []int{p.r, p.w}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := links(t)
			defer a.close()
			defer b.close()
			sent := make(chan error, 1)
			go func() {
				err := a.send(c.text, c.fds...)
				if err == nil {
					err = a.send("the next one")
				}
				sent <- err
			}()
			var got, next string
			fds, err := b.receive(&got)
			if err != nil || got != c.text || len(fds) != len(c.fds) {
				t.Fatalf("%.20q (%d bytes), %d descriptors, %v", got, len(got), len(fds), err)
			}
			for i, fd := range fds {
				flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
				if err != nil || flags&unix.FD_CLOEXEC == 0 {
					t.Errorf("descriptor %d would be inherited: %v", i, err)
				}
				way, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
				if want, _ := unix.FcntlInt(uintptr(c.fds[i]), unix.F_GETFL, 0); way != want {
					t.Errorf("descriptor %d is another", i)
				}
			}
			if n := p.copies(t); n != len(fds) {
				t.Errorf("%d descriptors came, and there are %d", len(fds), n)
			}
			closeAll(fds)
			if fds, err := b.receive(&next); err != nil || next != "the next one" || len(fds) != 0 {
				t.Errorf("then %q, %v, %v", next, fds, err)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLinkRefuses: what is no frame is an error, and the descriptors that came
// with it are closed.
func TestLinkRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		want  string
		is    error
	}{
		"nothing":              {nil, "", io.EOF},
		"half a length":        {[]byte{9, 0}, "", io.EOF},
		"a length alone":       {[]byte{9, 0, 0, 0}, "", io.ErrUnexpectedEOF},
		"half a message":       {framed(`"text"`)[:7], "", io.ErrUnexpectedEOF},
		"a message too long":   {binary.LittleEndian.AppendUint32(nil, wire.MaxCall+1), "receive: a message of 4194305 bytes", nil},
		"as long as it gets":   {[]byte{255, 255, 255, 255}, "receive: a message of 4294967295 bytes", nil},
		"no JSON":              {framed(`"text`), "unexpected end of JSON", nil},
		"JSON of another":      {framed(`{"a":1}`), "cannot unmarshal object", nil},
		"two values":           {framed(`"a" "b"`), "invalid character", nil},
		"a message of no byte": {framed(""), "unexpected end of JSON", nil},
	} {
		for _, with := range []int{0, 1, 3} {
			if c.bytes == nil && with > 0 {
				continue // descriptors travel with a byte
			}
			t.Run(fmt.Sprintf("%s with %d descriptors", name, with), func(t *testing.T) {
				a, b := links(t)
				defer b.close()
				p := track(t)
				writeRaw(t, a, c.bytes, []int{p.w, p.r, p.w}[:with]...)
				a.close()
				var got string
				fds, err := b.receive(&got)
				if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || fds != nil {
					t.Errorf("%q, %v, %v; want %s %v", got, fds, err, c.want, c.is)
				}
				if n := p.copies(t); n != 0 {
					t.Errorf("%d descriptors are left", n)
				}
			})
		}
	}
}

// TestDescriptorsOnlyAtTheBeginning: descriptors that come behind the length
// are nobody's, and do not stay.
func TestDescriptorsOnlyAtTheBeginning(t *testing.T) {
	a, b := links(t)
	defer a.close()
	defer b.close()
	p := track(t)
	f := framed(`"text"`)
	writeRaw(t, a, f[:5])
	writeRaw(t, a, f[5:], p.w)
	var got string
	if fds, err := b.receive(&got); err != nil || got != "text" || len(fds) != 0 {
		t.Errorf("%q, %v, %v", got, fds, err)
	}
	if n := p.copies(t); n != 0 {
		t.Errorf("%d descriptors are left", n)
	}
}

// TestLinkInPieces: a frame may come byte by byte, with its descriptors at any
// of its length's.
func TestLinkInPieces(t *testing.T) {
	a, b := links(t)
	defer a.close()
	defer b.close()
	p := track(t)
	go func() {
		for i, c := range framed(`"slowly"`) {
			var rights []byte
			if i == 2 {
				rights = unix.UnixRights(p.w)
			}
			_ = unix.Sendmsg(int(a), []byte{c}, rights, nil, 0)
		}
	}()
	var got string
	fds, err := b.receive(&got)
	if err != nil || got != "slowly" || len(fds) != 1 {
		t.Errorf("%q, %v, %v", got, fds, err)
	}
	closeAll(fds)
	if n := p.copies(t); n != 0 {
		t.Errorf("%d descriptors are left", n)
	}
}

// TestLinkPatience: who waits for an end that says nothing, or that does not
// read, learns it in time.
func TestLinkPatience(t *testing.T) {
	const short = 20 * time.Millisecond
	for name, wait := range map[string]func(a, b link) error{
		"nothing comes": func(a, _ link) error { _, err := a.receive(new(string)); return err },
		"half a length comes": func(a, b link) error {
			_, _ = unix.Write(int(b), []byte{1})
			_, err := a.receive(new(string))
			return err
		},
		"half a message comes": func(a, b link) error {
			_, _ = unix.Write(int(b), framed(`"text"`)[:6])
			_, err := a.receive(new(string))
			return err
		},
		"nobody reads": func(a, _ link) error { return a.send(strings.Repeat("a", 3<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := links(t)
			defer a.close()
			defer b.close()
			if err := a.patience(short); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := wait(a, b); !errors.Is(err, unix.ETIMEDOUT) {
				t.Errorf("%v, want ETIMEDOUT", err)
			}
			if took := time.Since(begin); took < short/2 || took > patience/2 {
				t.Errorf("it took %v", took)
			}
		})
	}
	a, b := links(t)
	defer a.close()
	defer b.close()
	if err := a.patience(0); err != nil {
		t.Fatal(err)
	}
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if left, err := unix.GetsockoptTimeval(int(a), unix.SOL_SOCKET, option); err != nil || *left != (unix.Timeval{}) {
			t.Errorf("taken back, the deadline is %+v, %v", left, err)
		}
	}
}

// TestLinkToNobody: the other end's end is an error, and no signal.
func TestLinkToNobody(t *testing.T) {
	a, b := links(t)
	defer a.close()
	p := track(t)
	b.close()
	if err := a.send("x", p.w); !errors.Is(err, unix.EPIPE) {
		t.Errorf("%v, want EPIPE", err)
	}
	if _, err := a.receive(new(string)); err != io.EOF {
		t.Errorf("%v, want EOF", err)
	}
	if err := a.send(func() {}); err == nil {
		t.Error("a function was sent")
	}
	if n := p.copies(t); n != 0 {
		t.Errorf("%d descriptors are left", n)
	}
}

// TestLinkEnds: both ends would be closed by what this process starts.
func TestLinkEnds(t *testing.T) {
	a, b := links(t)
	for _, l := range []link{a, b} {
		if flags, err := unix.FcntlInt(uintptr(l), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("it would be inherited: %v", err)
		}
		l.close()
	}
}
