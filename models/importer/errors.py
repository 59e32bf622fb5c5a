class ImportRefused(Exception):
    """Something the person at the terminal can mend; the message names file, tensor and mend."""
