"""How the built-in backbones are made: each script makes its data, trains, and packs `mmtransfer/builtin/NAME`."""
