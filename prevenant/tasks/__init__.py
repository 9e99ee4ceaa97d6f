"""Long work that somebody asked for in the console, done by a process of its own."""
