"""Request and file formats: bytes to conversions, without I/O. One folder for each format."""
