"""For tests, Twite's own and its users': clocks, fakes, and an emulator of X as a fixture."""
