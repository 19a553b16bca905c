"""From a sentence to a 16 kHz WAV file: voices, synthesis, noise, quality and the audio cache."""
