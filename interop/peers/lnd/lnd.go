//go:build never

// Package lnd names the command that is built, so that its module is required.
package lnd

import _ "github.com/lightningnetwork/lnd/cmd/lnd"
