"""What a page says about itself in a form for machines, and how that fits a JSON Schema. Pure: no I/O."""
