package wine

// The scratch is the last of windows.layerFolders: what a container writes, and
// all that lives on in the next one that names it. It has
//
//	Files  what was written to drive C:, as an overlay has it; so the scratch can
//	       become a layer of other containers
//	Work   the overlay's own
//	Wine   the registry, as Wine keeps it
const (
	filesFolder    = "Files"
	workFolder     = "Work"
	registryFolder = "Wine"
)
