// hcsemu.exe is the emulated Host Compute Service as a program for Wine:
//
//	hcsemu serve [-journal FILE] [-template PREFIX] [-vms DIRECTORY]
//	hcsemu ctl fault WORD... | faults-clear | leftovers | stop
//
// serve says "ready" on its standard output when it answers, and ends after
// ctl stop. PREFIX and DIRECTORY are Unix paths: utility VMs are clones of the
// one in the other. The state machine is package hcs; here are processes, pipes
// and virtual machines.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"wrun/tests/hcsemu/hcs"
	"wrun/tests/hcsemu/wire"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hcsemu:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("want serve or ctl")
	}
	switch args[0] {
	case "serve":
		return serve(args[1:])
	case "ctl":
		return control(args[1:])
	case "guest": // inside a VM
		return guest(args[1:])
	case "vmwp": // a VM's worker process on the host: it only has to be there
		time.Sleep(24 * time.Hour)
		return nil
	}
	return fmt.Errorf("%q is neither serve nor ctl", args[0])
}

func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	path := flags.String("journal", os.Getenv("HCSEMU_JOURNAL"), "append a JSON line for each request to this file")
	template := flags.String("template", os.Getenv("HCSEMU_TEMPLATE"), "Unix path of the Wine prefix that VMs are clones of")
	vms := flags.String("vms", os.Getenv("HCSEMU_VMS"), "Unix path of the directory for the VMs' prefixes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	journal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if *path != "" {
		journal, err = os.OpenFile(*path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	}
	if err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	defer journal.Close()
	if err := beTheOnly(); err != nil {
		return err
	}
	l, err := winio.ListenPipe(wire.PipeName, &winio.PipeConfig{SecurityDescriptor: "D:P(A;;GA;;;WD)", InputBufferSize: 65536, OutputBufferSize: 65536})
	if err != nil {
		return fmt.Errorf("listening at %s: %w", wire.PipeName, err)
	}
	machine, err := newMachine(*template, *vms)
	if err != nil {
		return err
	}
	service := hcs.New(machine, journal)
	failed := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				failed <- err
				return
			}
			go service.Serve(c)
		}
	}()
	if err := answers(); err != nil {
		return errors.Join(err, service.Close())
	}
	fmt.Println("ready")
	select {
	case <-service.Done():
		return nil
	case err := <-failed:
		return errors.Join(fmt.Errorf("accepting: %w", err), service.Close())
	}
}

// answers waits until the service is one: a client has been served.
func answers() error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = ask(c, []string{"leftovers"})
	return err
}

// beTheOnly fails where the prefix has a service: Wine lets a second one listen
// at the same pipe, and clients would meet now this one and now that.
func beTheOnly() error {
	name, err := windows.UTF16PtrFromString(`Local\hcsemu-service`)
	if err != nil {
		return err
	}
	_, err = windows.CreateMutex(nil, true, name) // kept until the process ends
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		return errors.New("a service runs already in this prefix")
	}
	return err
}

// control sends one request of ctl.
func control(args []string) error {
	if len(args) == 0 {
		return errors.New("ctl wants fault, faults-clear, leftovers or stop")
	}
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	said, err := ask(c, args)
	if said != "" {
		fmt.Println(said)
	}
	return err
}

func dial() (net.Conn, error) {
	patience := 10 * time.Second
	c, err := winio.DialPipe(wire.PipeName, &patience)
	if err != nil {
		return nil, fmt.Errorf("connecting to the service: %w", err)
	}
	return c, nil
}

// ask sends a request of ctl and answers what it says, "" for nothing.
func ask(c net.Conn, args []string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return "", err
	}
	q := &wire.Request{PID: uint32(os.Getpid()), DLL: "control", Function: args[0]}
	for i := range args[1:] {
		q.Args = append(q.Args, &args[1+i])
	}
	if err := wire.WriteRequest(c, q); err != nil {
		return "", fmt.Errorf("asking the service: %w", err)
	}
	a, err := wire.ReadAnswer(c)
	if err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	if a.HR != 0 {
		return "", fmt.Errorf("%s: %#08x %s", args[0], a.HR, *a.Result)
	}
	if a.Value != nil {
		return *a.Value, nil
	}
	return "", nil
}
