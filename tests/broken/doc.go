// Package broken gives wrun bundles that cannot work, and others that try to
// reach the host. Each must end with one clear error, the right exit code and
// nothing left on the machine. Its tests need Linux, root and Debian's
// busybox-static, and skip with the reason elsewhere.
package broken
