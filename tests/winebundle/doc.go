// Package winebundle runs Windows bundles on Linux through the real binary, with
// Wine as their Windows, and looks from inside (probe, a Windows program) and from
// outside what they can see and what they leave.
package winebundle
