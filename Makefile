# What the targets do is one line each; the work is in Go and shell programs
# that also run without make.

GO ?= go
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

# git refuses to answer root about a user's clone, and go build then fails. The
# commit comes from above.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# The tag leaves out cli/v2's generator of manual pages, whose initialisation
# costs every call of wrun about 1 ms.
TAGS := urfave_cli_no_docs
LDFLAGS := -s -w -X main.commit=$(COMMIT)
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)'

# With a version of its own, so that the product's go.mod does not list it.
LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# What benchmarks and the conformance table need, of all that tests/setup.sh installs.
PEERS := runc crun busybox-static procps

# What the Isolation Modes experiment needs.
DEMO := qemu-system-x86 iproute2 procps wine wine64 gcc-mingw-w64-x86-64-win32

.PHONY: all build uvm uvm-kernel wine windows demo tour examples test check lint conformance bench cross fuzz fmt setup clean help

all: build

build: ## bin/wrun, one static binary
	$(BUILD) -o bin/wrun .

uvm: build ## bin/uvm, the boot image of utility VMs, of Debian's cloud kernel and wrun's agent
	GOARCH=amd64 $(BUILD) -o bin/agent ./libcontainer/uvm/guest/agent
	$(GO) run ./libcontainer/uvm/image/make -init bin/agent -o bin/uvm $(if $(KERNEL),-kernel $(KERNEL))

uvm-kernel: ## bin/uvm with a small kernel that it builds of Debian's sources, for minutes (root installs them)
	sh tests/setup.sh linux-source gcc make libc6-dev flex bison bc libelf-dev xz-utils
	libcontainer/uvm/image/kernel/build.sh bin/kernel
	$(MAKE) uvm KERNEL=bin/kernel/vmlinux

wine: ## bin/wine, what runs beside Wine in Windows containers on Linux (C by mingw, and Go)
	$(GO) run ./libcontainer/wine/make -o bin/wine

windows: ## bin/windows-amd64/wrun.exe, and for arm64; their resources are in the rsrc_windows_*.syso
	@set -e; for arch in amd64 arm64; do \
		GOOS=windows GOARCH=$$arch $(BUILD) -o bin/windows-$$arch/ .; \
	done

demo: ## one Windows bundle in a silo and in a utility VM: what is isolated and what pierces, in a table (root)
	sh tests/setup.sh $(DEMO)
	$(MAKE) uvm wine
	unshare --mount --propagation shared $(GO) run ./examples/isolation

tour: build ## a Linux container's life, call by call, checked (root)
	examples/demo.sh

examples: ## the bundles of examples/windows, in bin/examples
	examples/windows/make-bundles.sh bin/examples

setup: ## the Debian packages that tests compare wrun with, Wine to run wrun.exe (root)
	sh tests/setup.sh

test: ## everything this machine can run, and what it cannot and why
	@if [ "$$(id -u)" = 0 ]; then sh tests/setup.sh; else echo "not root: what makes containers is skipped and listed at the end"; fi
	$(GO) run ./tests/all

check: cross lint test ## what CI runs before a merge

lint: ## golangci-lint; its first run builds it, for minutes
	$(LINT) run ./...
	cd tests/oci && $(LINT) run --config ../../.golangci.yml ./...
	cd tests/engines && $(LINT) run --config ../../.golangci.yml ./...

conformance: ## runtime-tools on wrun, runc and crun, with cgroup v1 and v2, docs/conformance.md (root)
	sh tests/setup.sh $(PEERS) qemu-system-x86 iproute2
	cd tests/oci && $(GO) run ./conformance -record ../../docs/conformance.md

unified: ## all tests that apply, on a machine with cgroup v2 alone, a VM, for ten minutes (root)
	sh tests/setup.sh $(PEERS) qemu-system-x86 iproute2 uidmap
	$(GO) run ./tests/all -stage unified-all -limit 30m

bench: build ## wrun against crun and runc, and a utility VM against its kernel's boot, alternating (root)
	sh tests/setup.sh $(PEERS) qemu-system-x86
	WRUN=$${WRUN:-bin/wrun} $(GO) run ./tests/bench
	$(GO) test -count=1 ./libcontainer/uvm -run TestSpeed -v -args -speed 15

cross: ## builds and vets for each platform
	@set -e; for platform in linux/amd64 linux/arm64 windows/amd64 windows/arm64; do \
		echo "$$platform"; \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		$(BUILD) -o bin/$$GOOS-$$GOARCH/ .; \
		CGO_ENABLED=0 $(GO) vet ./...; \
	done

FUZZTIME ?= 10s
fuzz: ## each fuzz target for FUZZTIME
	@set -e; grep -rl '^func Fuzz' --include='*_test.go' . | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sort | \
	while IFS=: read -r file target; do \
		echo "$${target#func } in $$(dirname $$file)"; \
		$(GO) test -run '^$$' -fuzz "^$${target#func }\$$" -fuzztime $(FUZZTIME) $$(dirname $$file); \
	done

fmt:
	gofmt -w $$(git ls-files '*.go')

clean:
	rm -rf bin tests/oci/bin

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
