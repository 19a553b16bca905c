"""What is spoken and listened to: terms, sentences, the plan of rows, the manifest, recordings and the split."""
