"""VAE, condition encoder, denoiser and their losses."""
