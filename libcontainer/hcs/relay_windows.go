package hcs

import (
	"context"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/windows"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
)

// relay copies between a process of the container and three files.
type relay struct {
	outputs sync.WaitGroup
	drained chan struct{} // closed when all output is written
	writing atomic.Int32  // outputs that wait for their reader
	written atomic.Int64  // bytes
}

// startRelay begins to copy. A caller that no longer reads must not block the
// process, so what cannot be written is dropped.
func startRelay(p process, in, out, err *os.File) *relay {
	r := &relay{drained: make(chan struct{})}
	pin, pout, perr := p.stdio()
	for _, s := range []struct {
		from io.ReadCloser
		to   *os.File
	}{{pout, out}, {perr, err}} {
		if s.from == nil {
			continue
		}
		r.outputs.Go(func() {
			defer s.from.Close()
			r.pump(s.to, s.from)
		})
	}
	if pin != nil {
		go func() {
			if in != nil {
				_, _ = io.Copy(pin, in)
			}
			// The service has an end of the pipe too, where the process is in a
			// utility VM: both have to go for the process to see the end.
			ctx, cancel := context.WithTimeout(context.Background(), callWait)
			defer cancel()
			_ = p.closeStdin(ctx)
			_ = pin.Close()
		}()
	}
	go func() {
		r.outputs.Wait()
		close(r.drained)
	}()
	return r
}

func (r *relay) pump(to *os.File, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && to != nil {
			r.writing.Add(1)
			if _, werr := to.Write(buf[:n]); werr != nil {
				to = nil
			}
			r.written.Add(int64(n))
			r.writing.Add(-1)
		}
		if err != nil {
			return
		}
	}
}

// wait returns when all output was written, or when for most there was nothing to
// write: a child of the process may hold the pipes for ever. One that goes on
// writing into them is heard for twenty times that long. A reader that is slow
// may be so as long as it reads something within patience, and nobody is in a
// hurry.
func (r *relay) wait(most, patience time.Duration, hurry <-chan struct{}) {
	t := time.NewTimer(most)
	defer t.Stop()
	stuck, before := time.Duration(0), r.written.Load()
	for round := 1; ; round++ {
		select {
		case <-r.drained:
			return
		case <-hurry:
			patience, hurry = 0, nil
			continue
		case <-t.C:
		}
		now, writing := r.written.Load(), r.writing.Load() > 0
		if now == before {
			stuck += most
		} else {
			stuck = 0
		}
		if !writing && (now == before || round >= 20) || writing && stuck >= patience {
			return
		}
		before = now
		t.Reset(most)
	}
}

// streamsFor says which pipes a process needs. A process without input gets no
// pipe that would only have to be closed again, and with a terminal its errors
// come with its output.
func streamsFor(io libcontainer.Stdio, terminal bool) hcsdoc.Streams {
	return hcsdoc.Streams{In: io.In != nil && !isNull(io.In), Out: io.Out != nil, Err: io.Err != nil && !terminal}
}

// isNull says that reading f ends at once, for ever: it is NUL.
func isNull(f *os.File) bool {
	h := windows.Handle(f.Fd())
	kind, err := windows.GetFileType(h)
	var mode uint32
	return err == nil && kind == windows.FILE_TYPE_CHAR && windows.GetConsoleMode(h, &mode) != nil
}

// isConsole says that f is a console of the calling process.
func isConsole(f *os.File) bool {
	var mode uint32
	return f != nil && windows.GetConsoleMode(windows.Handle(f.Fd()), &mode) == nil
}
