// Package differential holds wrun against Microsoft's runhcs, the last versions
// that worked: both make the same containers of the emulated Host Compute
// Service, and every document that the service got of the one is compared with
// the other's, field by field. What wrun's were then stays in testdata, and is
// held without a peer (TestGoldens; -update rewrites it, with a peer's
// comparison behind it). With the peer by hand, because runhcs is no part of
// this repository:
//
//	go test ./tests/hcsemu/differential -v -runhcs PATH/runhcs.exe             silos, v0.11.7
//	go test ./tests/hcsemu/differential -v -runhcs PATH/runhcs.exe -hyperv     v0.8.25
//	go test ./tests/hcsemu/differential -v -runhcs PATH/runhcs.exe -times 15   wall times
//
// docs/windows.md says why each difference is one.
package differential
