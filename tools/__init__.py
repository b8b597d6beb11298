"""Programs that check, demonstrate and measure the project; not installed with it."""
