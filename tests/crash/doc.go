// Package crash kills wrun where it hurts: at each fault point of a
// container's life and at random moments. Afterwards wrun must still answer for
// the container and be able to remove all of it. Its tests need Linux, root and
// Debian's busybox-static, and skip with the reason elsewhere.
package crash
