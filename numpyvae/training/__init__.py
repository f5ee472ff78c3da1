"""Settings, batches, threads and epochs; what a trained model is worth."""
