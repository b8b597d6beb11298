// LND as a dependency of a module of our own: the Go tool fetches it and builds its command as it is.
module leyden/interop/lnd

go 1.25.10

require github.com/lightningnetwork/lnd v0.21.2-beta

// LND's own replacements; they count only in the main module. The last one makes bytes in its JSON hexadecimal.
replace (
	github.com/gogo/protobuf => github.com/gogo/protobuf v1.3.2
	github.com/ulikunitz/xz => github.com/ulikunitz/xz v0.5.11
	google.golang.org/protobuf => github.com/lightninglabs/protobuf-go-hex-display v1.33.0-hex-display
)
