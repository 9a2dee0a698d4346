package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses of the two ends of a cable: the network outside and the container.
const outside, inside = "10.89.47.1", "10.89.47.2"

// network is what an engine makes for a container: a network namespace with an
// interface, whose other end lies in a second namespace in place of a network.
type network struct{ given, beyond string }

func (e *experiment) newNetwork(ctx context.Context, kind int) (network, error) {
	n := network{fmt.Sprintf("%s-%d", e.tag, kind), fmt.Sprintf("%s-%d-out", e.tag, kind)}
	for _, call := range []string{
		"netns add " + n.given,
		"netns add " + n.beyond,
		"-n " + n.beyond + " link add veth0 type veth peer name eth0 netns " + n.given,
		"-n " + n.beyond + " address add " + outside + "/24 dev veth0",
		"-n " + n.beyond + " link set veth0 up",
		"-n " + n.given + " address add " + inside + "/24 dev eth0",
		"-n " + n.given + " link set eth0 up",
		"-n " + n.given + " link set lo up",
	} {
		if err := ip(ctx, strings.Fields(call)...); err != nil {
			return n, err
		}
	}
	return n, nil
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (e *experiment) removeNetworks(ctx context.Context) error {
	names, err := filepath.Glob("/run/netns/" + e.tag + "-*")
	for _, n := range names {
		err = errors.Join(err, ip(ctx, "netns", "delete", filepath.Base(n)))
	}
	return err
}

// path is what a bundle names in windows.network.networkNamespace.
func path(name string) string { return "/run/netns/" + name }

// reach reads what somebody at an address says, seen from a network namespace.
func reach(namespace, address string) (string, error) {
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the namespace
		text, err := dial(namespace, address)
		answers <- answer{text, err}
	}()
	a := <-answers
	return strings.TrimSpace(a.text), a.err
}

func dial(namespace, address string) (string, error) {
	f, err := os.Open(path(namespace))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return "", fmt.Errorf("enter %s: %w", namespace, err)
	}
	c, err := net.DialTimeout("tcp4", address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // it always can
	text, err := io.ReadAll(c)
	return string(text), err
}
