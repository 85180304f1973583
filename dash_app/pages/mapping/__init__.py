"""The mapping's editor: `session` is what one open page does, `told` how its browser is told of it."""
