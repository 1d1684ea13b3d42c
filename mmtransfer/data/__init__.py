"""From the user's files, lists and built-in sets to tables of examples, splits and plans."""
