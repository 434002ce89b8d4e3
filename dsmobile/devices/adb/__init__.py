"""Android phones over the person's own adb: no Python runs there, so this side plays the harness."""
