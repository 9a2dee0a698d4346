// Package podman has a real podman run its containers by wrun, as root and as an
// ordinary user. What a container is like inside is tested elsewhere; here it is
// whether the two understand each other. Its tests need Linux, root, Debian's
// podman and busybox-static, and skip with the reason elsewhere.
package podman
