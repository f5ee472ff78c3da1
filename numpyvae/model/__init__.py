"""A model: parameters, layers, networks, and the VAE itself."""
