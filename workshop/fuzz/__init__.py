"""Everything that reads a stranger's file or JSON, fed with broken ones."""
