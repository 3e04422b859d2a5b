"""What a plate, a spot and a reading are, and the rules over them. No input or output happens here."""
