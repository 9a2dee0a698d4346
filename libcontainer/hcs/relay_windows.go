package hcs

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/windows"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
)

// relay copies between a process of the container and three files.
type relay struct {
	outputs sync.WaitGroup
	drained chan struct{} // closed when all output is written
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
			pump(s.to, s.from)
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

func pump(to *os.File, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && to != nil {
			if _, werr := to.Write(buf[:n]); werr != nil {
				to = nil
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns when all output was written, or after a time: a child of the
// process may hold the pipes for ever.
func (r *relay) wait(most time.Duration) {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-r.drained:
	case <-t.C:
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
